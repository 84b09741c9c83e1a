// SPDX-License-Identifier: Apache-2.0
//! Completions for shells, which know the names of the hook points.

use crate::install::DRIVER;
use crate::man::{AGENT, COMMAND};
use clap::builder::{PossibleValue, PossibleValuesParser};
use clap::{Arg, Command};
use clap_complete::Shell;
use std::fmt::Write;
use virt_hooks_contract::Catalogue;

/// A completion script.
pub struct Completion {
    /// The command it completes.
    pub program: &'static str,
    /// Its file name by itself.
    pub file: String,
    /// Its place below the prefix.
    pub place: String,
    /// The script.
    pub text: String,
}

/// Of each command, for bash, zsh and fish.
pub fn all(catalogue: &Catalogue) -> Vec<Completion> {
    let mut all = Vec::new();
    for (program, mut command) in [
        (COMMAND, virt_hooks::command()),
        (AGENT, virt_hooksd::command()),
        (DRIVER, virt_hooks_kubevirt::command()),
    ] {
        // A verb may say what its arguments are only when it is built.
        command.build();
        let mut command = if program == COMMAND { with_points(command, catalogue) } else { command };
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut command, program, &mut text);
            let mut text = String::from_utf8_lossy(&text).into_owned();
            if program == COMMAND {
                installed(shell, &mut text);
            }
            if shell == Shell::Bash {
                // The generator takes a hyphen in the command's own name for the step to a verb: it sets one word
                // and looks for another, and completes nothing after a verb.
                text = text.replace(&program.replace('-', "__subcmd__"), &program.replace('-', "__"));
            }
            if shell == Shell::Fish && program == COMMAND {
                text.push_str(&fish_points(&command, catalogue));
            }
            let (file, place) = match shell {
                Shell::Bash => {
                    (format!("{program}.bash"), format!("share/bash-completion/completions/{program}"))
                }
                Shell::Fish => {
                    (format!("{program}.fish"), format!("share/fish/vendor_completions.d/{program}.fish"))
                }
                _ => (format!("_{program}"), format!("share/zsh/site-functions/_{program}")),
            };
            all.push(Completion { program, file, place, text });
        }
    }
    all
}

/// Verbs whose argument is a name that the host has to be asked for, and what it is a name of.
const INSTALLED: [(&str, &str); 5] = [
    ("remove", "packages"),
    ("info", "packages"),
    ("verify", "packages"),
    ("enable", "hooks"),
    ("disable", "hooks"),
];

/// Has the shell ask the command itself which packages and hooks there are.
fn installed(shell: Shell, text: &mut String) {
    let ask = |kind: &str| format!("virt-hooks list --names {kind} 2>/dev/null");
    let verbs = |kind: &str| -> Vec<&str> { INSTALLED.iter().filter(|i| i.1 == kind).map(|i| i.0).collect() };
    match shell {
        Shell::Bash => {
            text.push_str(
                "\n_virt__hooks__installed() {\n    _virt__hooks \"$@\"\n    local cur=${COMP_WORDS[COMP_CWORD]} word\n    \
                 [[ $cur == -* ]] && return 0\n    for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n        case $word in\n",
            );
            for kind in ["packages", "hooks"] {
                let _ = writeln!(
                    text,
                    "            {}) COMPREPLY=($(compgen -W \"$({})\" -- \"$cur\")); return 0 ;;",
                    verbs(kind).join("|"),
                    ask(kind)
                );
            }
            text.push_str("        esac\n    done\n}\ncomplete -F _virt__hooks__installed -o bashdefault -o default virt-hooks\n");
        }
        Shell::Zsh => {
            for kind in ["packages", "hooks"] {
                let function = format!("_virt-hooks_{kind}");
                for argument in [format!(":{kind} -- "), format!(":{} -- ", kind.trim_end_matches('s'))] {
                    *text = text
                        .lines()
                        .map(|line| match line.contains(&argument) {
                            true => format!("{}\n", line.replace(":_default' ", &format!(":{function}' "))),
                            false => format!("{line}\n"),
                        })
                        .collect();
                }
                let define =
                    format!("{function}() {{ compadd -- ${{(f)\"$({})\"}} }}\n\n_virt-hooks() {{", ask(kind));
                *text = text.replacen("_virt-hooks() {", &define, 1);
            }
        }
        Shell::Fish => {
            for (verb, kind) in INSTALLED {
                let condition = format!("__fish_virt_hooks_using_subcommand {verb}");
                let _ = writeln!(text, "complete -c virt-hooks -n \"{condition}\" -f -a \"({})\"", ask(kind));
            }
        }
        _ => {}
    }
}

/// The grammar, with what a hook point can be called spelt out.
fn with_points(command: Command, catalogue: &Catalogue) -> Command {
    let verb = command.get_name().to_owned();
    command
        .mut_args(|arg| if takes_point(&verb, &arg) { arg.value_parser(names(catalogue)) } else { arg })
        .mut_subcommands(|sub| with_points(sub, catalogue))
}

/// Whether an argument is the name of a hook point: by its name, or because it is what `points` is asked for.
fn takes_point(verb: &str, arg: &Arg) -> bool {
    arg.is_positional() && (matches!(arg.get_id().as_str(), "point" | "points") || verb == "points")
}

/// The generator for fish leaves out the values of arguments that are not options.
fn fish_points(command: &Command, catalogue: &Catalogue) -> String {
    let quote = |text: &str| text.replace('\\', "\\\\").replace('\'', "\\'");
    let mut lines = String::new();
    for verb in command.get_subcommands() {
        let name = verb.get_name();
        if !verb.get_arguments().any(|arg| takes_point(name, arg)) {
            continue;
        }
        for p in catalogue.iter() {
            let _ = writeln!(
                lines,
                "complete -c virt-hooks -n \"__fish_virt_hooks_using_subcommand {name}\" -f -a \"{}\" -d '{}'",
                p.name,
                quote(&p.summary)
            );
        }
    }
    lines
}

fn names(catalogue: &Catalogue) -> PossibleValuesParser {
    // clap keeps names as 'static; this process ends as soon as they are written.
    let keep = |text: &str| -> &'static str { text.to_owned().leak() };
    PossibleValuesParser::new(
        catalogue.iter().map(|p| PossibleValue::new(keep(&p.name)).help(keep(&p.summary))),
    )
}
