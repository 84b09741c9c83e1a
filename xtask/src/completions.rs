// SPDX-License-Identifier: Apache-2.0
//! Completions for shells, which know the names of the hook points.

use clap::builder::{PossibleValue, PossibleValuesParser};
use clap::{Arg, Command};
use clap_complete::Shell;
use std::fmt::Write;
use virt_hooks_contract::Catalogue;

/// A completion script.
pub struct Completion {
    /// Its file name by itself.
    pub file: &'static str,
    /// Its place below the prefix.
    pub place: &'static str,
    /// The script.
    pub text: String,
}

/// For bash, zsh and fish.
pub fn all(catalogue: &Catalogue) -> Vec<Completion> {
    let shells = [
        (Shell::Bash, "virt-hooks.bash", "share/bash-completion/completions/virt-hooks"),
        (Shell::Zsh, "_virt-hooks", "share/zsh/site-functions/_virt-hooks"),
        (Shell::Fish, "virt-hooks.fish", "share/fish/vendor_completions.d/virt-hooks.fish"),
    ];
    let mut command = virt_hooks::command();
    // A verb may say what its arguments are only when it is built.
    command.build();
    let mut command = with_points(command, catalogue);
    shells
        .into_iter()
        .map(|(shell, file, place)| {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut command, "virt-hooks", &mut text);
            let mut text = String::from_utf8_lossy(&text).into_owned();
            match shell {
                // The generator takes the hyphen in the command's own name for the step to a verb: it sets
                // one word and looks for another, and completes nothing after a verb.
                Shell::Bash => text = text.replace("virt__subcmd__hooks", "virt__hooks"),
                Shell::Fish => text.push_str(&fish_points(&command, catalogue)),
                _ => {}
            }
            Completion { file, place, text }
        })
        .collect()
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
