// SPDX-License-Identifier: Apache-2.0
//! What people see while a chain runs.

use crate::case::Case;

/// Durations differ from run to run.
fn timeless(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        match line.find(" ms") {
            Some(at) => {
                let number = line[..at].rfind(' ').map_or(0, |n| n + 1);
                out.push_str(&format!("{}N{}\n", line[..number].trim_end_matches(' '), &line[at..]));
            }
            None => out.push_str(&format!("{line}\n")),
        }
    }
    out
}

#[test]
fn a_chain() {
    let done = Case::new()
        .hook("before_vm_start/10_rename", r#"sed -i s/web1/web2/ "$_hook_domxml"; echo renamed >&2"#)
        .hook("before_vm_start/20_fails", "echo one >&2; echo two >&2; exit 1")
        .hook("before_vm_start/30_no_interpreter", "")
        .file("hooks/before_vm_start/30_no_interpreter", "#!/no/such/thing\n")
        .hook("before_vm_start/40_fine", ":")
        .hook("before_vm_start/50_old~", ":")
        .says("fire before_vm_start --payload dom.xml")
        .run()
        .ended(1);
    let old = done.path("hooks/before_vm_start/50_old~");
    assert_eq!(
        timeless(&done.stderr),
        format!(
            "before_vm_start\n\
             N ms  fine          10_rename, changed the payload\n    | renamed\n\
             N ms  exit code 1   20_fails\n    | one\n    | two\n\
             N ms  not started   30_no_interpreter, cannot be executed: it or its interpreter is missing \
             (No such file or directory (os error 2))\n\
             N ms  fine          40_fine\n\
             not run: {}: its name looks like a backup copy\n\
             veto: before_vm_start: 2 of 4 hooks failed,N ms\n  \
               20_fails: exit code 1: two\n  \
               30_no_interpreter: not started: cannot be executed: it or its interpreter is missing \
               (No such file or directory (os error 2))\n",
            old.display()
        )
    );
}

#[test]
fn no_hooks() {
    let done = Case::new().says("fire before_vm_start --payload dom.xml").run().ended(0);
    assert_eq!(done.stderr, "proceed: before_vm_start: no hooks to run\n");
}

#[test]
fn a_slow_hook_gets_a_line_of_progress() {
    let done = Case::new()
        .hook("before_vm_start/10_slow", "sleep 1.5")
        .says("fire before_vm_start --payload dom.xml --timeout 1m")
        .run()
        .ended(0);
    assert!(
        done.stderr.starts_with("before_vm_start\n       1 s   running       10_slow (at most 1m)\n  15"),
        "{}",
        done.stderr
    );
}

#[test]
fn a_long_speech_is_cut() {
    let done = Case::new()
        .hook("before_vm_start/10_talks", "seq 1 25 >&2")
        .says("fire before_vm_start --payload dom.xml")
        .run()
        .ended(0);
    assert!(done.stderr.contains("    | [15 lines before these]\n    | 16\n"), "{}", done.stderr);
    assert!(done.stderr.contains("    | 25\n"));
}

#[test]
fn foreign_text_cannot_drive_the_terminal() {
    let done = Case::new()
        .hook("before_vm_start/10_evil", r"printf '\033]0;owned\007\033[2J\r' >&2; exit 2")
        .says("fire before_vm_start --payload dom.xml")
        .run()
        .ended(1);
    assert!(!done.stderr.contains(['\u{1b}', '\u{7}', '\r']), "{:?}", done.stderr);
    assert!(done.stderr.contains(r"\u{1b}[2J"), "{}", done.stderr);
}

#[test]
fn a_diff_shows_what_a_hook_changed_and_no_secret() {
    let done = Case::new()
        .file(
            "vnc.xml",
            "<domain>\n  <name>web1</name>\n  <graphics type='vnc' passwd='hunter2'/>\n</domain>\n",
        )
        .hook("before_vm_start/10_rename", r#"sed -i s/web1/web2/ "$_hook_domxml""#)
        .hook("before_vm_start/20_idle", ":")
        .says("fire before_vm_start --payload vnc.xml --diff --report r.json")
        .run()
        .ended(0);
    let diff = "    @@ -1,4 +1,4 @@\n     <domain>\n    -  <name>web1</name>\n    +  <name>web2</name>\n";
    assert!(done.stderr.contains(diff), "{}", done.stderr);
    assert!(!done.stderr.contains("hunter2"));
    assert!(done.stdout.contains("hunter2"));
    let report = done.json("r.json");
    assert!(report["runs"][0]["diff"].as_str().unwrap().contains("+  <name>web2</name>"));
    assert!(report["runs"][1].get("diff").is_none());
    assert!(!done.read("r.json").contains("hunter2"));
}

#[test]
fn properties_a_point_never_has_are_pointed_out() {
    let done = Case::new().says("fire before_get_caps -p a=b").run().ended(0);
    assert!(
        done.stderr
            .starts_with("warning: before_get_caps has no custom properties outside of this command\n")
    );
}

#[test]
fn help_is_not_an_error() {
    for line in ["--help", "fire --help", "vm start -h", "--version"] {
        let done = Case::new().says(line).run().ended(0);
        assert!(done.stdout.ends_with('\n') && done.stderr.is_empty(), "{line}");
    }
}
