// SPDX-License-Identifier: Apache-2.0
//! The reaper takes orphans, and only orphans. A process of its own, because it cannot be undone.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test binary")]

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Trial};
use virt_hooks_testhost::become_subreaper;

fn main() {
    let trials = vec![
        Trial::test("own_children_keep_their_exit_codes", || {
            own_children_keep_their_exit_codes();
            Ok(())
        }),
        Trial::test("an_orphaned_daemon_is_reaped_while_own_zombies_wait", || {
            an_orphaned_daemon_is_reaped_while_own_zombies_wait();
            Ok(())
        }),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn own_children_keep_their_exit_codes() {
    become_subreaper().unwrap();
    become_subreaper().expect("a second call does nothing");
    let threads: Vec<_> = (0..4)
        .map(|number| {
            thread::spawn(move || {
                for round in 0..25 {
                    let code = (number * 25 + round) % 100;
                    // Every second child makes a session of its own, as hooks do.
                    let mut command = Command::new(if round % 2 == 0 { "setsid" } else { "env" });
                    let mut child = command.args(["sh", "-c", &format!("exit {code}")]).spawn().unwrap();
                    if round % 5 == 0 {
                        // Leave it dead for the reaper to see.
                        wait_until_zombie(child.id());
                    }
                    assert_eq!(child.wait().unwrap().code(), Some(code));
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("no thread panics");
    }
}

fn an_orphaned_daemon_is_reaped_while_own_zombies_wait() {
    become_subreaper().unwrap();
    let mut zombie = Command::new("true").spawn().unwrap();
    wait_until_zombie(zombie.id());

    // The shell leads a session and ends at once: what is left is what QEMU is after libvirt started it.
    let output = Command::new("setsid")
        .args(["sh", "-c", "sleep 60 >/dev/null 2>&1 & echo $!"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let daemon: u32 = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
    assert!(stat(daemon).exists());
    assert!(Command::new("kill").arg(daemon.to_string()).status().unwrap().success());
    let killed = Instant::now();
    wait_until("the daemon is reaped", || !stat(daemon).exists());
    assert!(killed.elapsed() < Duration::from_secs(2), "{:?}", killed.elapsed());

    assert!(zombie.wait().unwrap().success(), "the zombie was left to its owner");
}

fn stat(pid: u32) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/stat"))
}

fn wait_until_zombie(pid: u32) {
    wait_until("the child is dead", || {
        let line = std::fs::read_to_string(stat(pid)).expect("a child that nobody waited for has an entry");
        line.rsplit_once(") ").unwrap().1.starts_with('Z')
    });
}

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}
