// SPDX-License-Identifier: Apache-2.0
//! Completions in a real shell.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::process::Command;
use virt_hooks_contract::Catalogue;
use xtask::completions::all;

/// What bash offers for the last of these words.
fn bash(words: &str) -> Vec<String> {
    bash_with(words, "COMP_WORDS")
}

fn bash_with(words: &str, set: &str) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let program = words.split(' ').next().unwrap();
    let file = format!("{program}.bash");
    let completion = all(&Catalogue::built_in()).into_iter().find(|c| c.file == file).unwrap();
    let path = dir.path().join(completion.file);
    std::fs::write(&path, completion.text).unwrap();
    let script = format!(
        "source {}; {set}=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))\n\
         f=$(complete -p {program} | sed 's/.*-F \\([^ ]*\\).*/\\1/')\n\
         $f {program} \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD-1]}}\"\n\
         printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        path.display()
    );
    let said = Command::new("bash").args(["--norc", "-c", &script]).output().unwrap();
    assert!(said.status.success() && said.stderr.is_empty(), "{said:?}");
    String::from_utf8(said.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_verbs_points_and_options() {
    assert_eq!(bash("virt-hooks fi"), ["fire"]);
    assert_eq!(bash("virt-hooks fire before_vm_st"), ["before_vm_start"]);
    assert_eq!(
        bash("virt-hooks points after_nic_hotun"),
        ["after_nic_hotunplug", "after_nic_hotunplug_fail"]
    );
    assert_eq!(bash("virt-hooks list before_vm_st"), ["before_vm_start"]);
    assert_eq!(bash("virt-hooks fire --dev"), ["--device-property"]);
    assert_eq!(bash("virt-hooks fire before_vm_start --kind j"), ["json"]);
}

#[test]
fn bash_completes_the_driver_and_the_agent() {
    assert_eq!(bash("virt-hooks-kubevirt side"), ["sidecar"]);
    assert_eq!(bash("virt-hooks-kubevirt sidecar --shim"), ["--shim-dir"]);
    assert_eq!(bash("virt-hooks-kubevirt plugin --node"), ["--node-socket"]);
    assert_eq!(bash("virt-hooksd --socket-m"), ["--socket-mode"]);
}

/// No program's script is about another, and each is where its shell looks.
#[test]
fn each_program_has_a_script_for_each_shell() {
    let all = all(&Catalogue::built_in());
    assert_eq!(all.len(), 9);
    for program in ["virt-hooks", "virt-hooksd", "virt-hooks-kubevirt"] {
        let mine: Vec<_> = all.iter().filter(|c| c.program == program).collect();
        let places: Vec<&str> = mine.iter().map(|c| c.place.as_str()).collect();
        let bash = format!("share/bash-completion/completions/{program}");
        let zsh = format!("share/zsh/site-functions/_{program}");
        let fish = format!("share/fish/vendor_completions.d/{program}.fish");
        assert_eq!(places, [&*bash, &*zsh, &*fish]);
        assert!(mine[0].text.contains(&format!("complete -F _{}", program.replace('-', "__"))));
        assert!(mine[1].text.starts_with(&format!("#compdef {program}\n")));
        let lines = mine[2].text.lines().filter(|l| l.starts_with("complete "));
        assert!(lines.clone().count() > 3);
        assert!(lines.clone().all(|l| l.starts_with(&format!("complete -c {program} "))), "{program}");
    }
}

/// A command that knows one package, in the place of the real one.
#[test]
fn bash_asks_which_packages_there_are() {
    let dir = tempfile::tempdir().unwrap();
    let command = dir.path().join("virt-hooks");
    std::fs::write(&command, "#!/bin/sh\ncase $* in *packages) echo smbios ;; *) echo 50_smbios ;; esac\n")
        .unwrap();
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&command, executable).unwrap();
    let path = format!("PATH={}:$PATH; COMP_WORDS", dir.path().display());
    let asked = |words: &str| bash_with(words, &path);
    assert_eq!(asked("virt-hooks remove sm"), ["smbios"]);
    assert_eq!(asked("virt-hooks --root /x disable 50"), ["50_smbios"]);
    assert_eq!(asked("virt-hooks remove --dry"), ["--dry-run"]);
}

/// Each verb fish is told of here is asked for by a function that the script itself defines.
#[test]
fn fish_knows_the_points() {
    let fish = all(&Catalogue::built_in()).into_iter().find(|c| c.file == "virt-hooks.fish").unwrap().text;
    assert!(fish.contains("function __fish_virt_hooks_using_subcommand"));
    for verb in ["fire", "points", "list"] {
        let line = format!(
            "complete -c virt-hooks -n \"__fish_virt_hooks_using_subcommand {verb}\" -f -a \"before_vm_start\" -d '"
        );
        assert!(fish.contains(&line), "{verb}");
    }
}
