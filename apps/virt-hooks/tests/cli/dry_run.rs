// SPDX-License-Identifier: Apache-2.0
//! `fire --dry-run`: shows all, does nothing.

use crate::case::{Case, Done};

fn dry_run(arguments: &str) -> Done {
    let done = Case::new()
        .hook("before_vm_start/10_a", "touch ran")
        .hook("before_vm_start/20_slow", "touch ran")
        .hook("before_vm_start/20_slow~", "touch ran")
        .file("config.toml", "[hooks.20_slow]\ntimeout = \"90s\"\n")
        .says("fire before_vm_start --dry-run --payload dom.xml -p vncPassword=hunter2 -p note=hunter2! -p LD_X=1")
        .says(arguments)
        .run()
        .ended(0);
    assert!(!done.path("ran").exists());
    assert!(!done.path("run").exists());
    assert!(!done.stdout.contains("hunter2"), "{}", done.stdout);
    done
}

#[test]
fn for_people() {
    let done = dry_run("");
    let hooks = done.path("hooks/before_vm_start");
    let hooks = hooks.display();
    let start = format!(
        "before_vm_start: 2 hooks would run, as the caller; a failure would veto\n  \
           10_a     at most 10m      {hooks}\n  \
           20_slow  at most 1m 30s   {hooks}\n\
         Not run\n  \
           20_slow~  {hooks}  its name looks like a backup copy\n\
         Environment\n"
    );
    let squeezed = |text: &str| text.split(' ').filter(|w| !w.is_empty()).collect::<Vec<_>>().join(" ");
    assert!(squeezed(&done.stdout).starts_with(&squeezed(&start)), "{}", done.stdout);
    let own = done.stdout.find("\nEnvironment\n").unwrap();
    let callers = done.stdout.find("\nEnvironment of the caller\n").unwrap();
    assert!((own..callers).contains(&done.stdout.find("  vmId=").unwrap()));
    assert!(done.stdout.find("  PATH=/usr/bin:/bin\n").unwrap() > callers);
    for line in ["  vncPassword=***\n", "  note=***!\n", "  _hook_point=before_vm_start\n"] {
        assert!(done.stdout.contains(line), "{line} is missing in {}", done.stdout);
    }
    assert!(done.stdout.contains("warning: property \"LD_X\""), "{}", done.stdout);
}

#[test]
fn for_programs() {
    let done = dry_run("--format json --timeout 5s --on-failure proceed");
    let plan: serde_json::Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(plan["point"], "before_vm_start");
    assert_eq!(plan["failure"], "advisory");
    assert_eq!(plan["user"], serde_json::json!(null));
    assert_eq!(plan["hooks"][0]["path"], done.path("hooks/before_vm_start/10_a").to_str().unwrap());
    assert_eq!(plan["hooks"][1]["deadline_ms"], 5000.0);
    assert_eq!(plan["skipped"][0]["reason"], "its name looks like a backup copy");
    assert_eq!(plan["environment"]["vncPassword"], "***");
    assert_eq!(plan["environment"]["vmId"], crate::case::UUID);
    assert_eq!(plan["warnings"].as_array().unwrap().len(), 1);
}

#[test]
fn needs_no_payload_but_checks_one() {
    Case::new().says("fire before_vm_start --dry-run").run().ended(0);
    let done = Case::new().file("bad", "<a>").says("fire before_vm_start --dry-run --payload bad").run();
    assert!(done.refused(3).starts_with("payload bad: not a well-formed"));
}
