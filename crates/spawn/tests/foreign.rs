// SPDX-License-Identifier: Apache-2.0
//! Where somebody else takes the ends of this process's children. In a program of its own, because that
//! concerns all of it.
#![allow(clippy::unwrap_used, reason = "a test may")]

use std::ffi::CString;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;
use virt_hooks_spawn::{
    Environment, Finished, Launcher, Limits, Method, SpawnError, Status, keep_ends_of_children,
};

fn run(method: Method, body: &str, deadline: Duration) -> Result<Finished, SpawnError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hook");
    std::fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = CString::new(path.to_str().unwrap()).unwrap();
    let mut environment = Environment::default();
    assert!(environment.push(b"PATH", b"/usr/bin:/bin"));
    let limits = Limits { deadline, grace: Duration::from_secs(5), stdout: 4096, stderr: 4096, cancel: None };
    let launcher = Launcher::new().unwrap().with_method(method);
    launcher.run(&path, &environment, None, &limits, None)
}

#[test]
fn an_end_that_was_taken_is_lost_and_hangs_nothing() {
    let long = Duration::from_secs(60);
    for method in [Method::Clone, Method::PosixSpawn] {
        // SAFETY: no handler is set. The kernel reaps children at once now, as a foreign `waitpid(-1)` would.
        unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
        match run(method, "echo said >&2; exit 3", long) {
            Ok(f) => assert_eq!((f.status, f.stderr.text().as_str()), (Status::Lost, "said\n"), "{method:?}"),
            // It was over before there was a descriptor of it.
            Err(e) => assert!(method == Method::PosixSpawn && matches!(e, SpawnError::Process(_)), "{e:?}"),
        }
        let f = run(method, "sleep 600", Duration::from_millis(200)).unwrap();
        assert!(f.status == Status::Lost && f.timed_out && f.duration < long, "{method:?} {f:?}");
        keep_ends_of_children();
        assert_eq!(run(method, "exit 3", long).unwrap().status, Status::Exited(3), "{method:?}");
    }
}
