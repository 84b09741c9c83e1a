// SPDX-License-Identifier: Apache-2.0
//! The promises of the crate, each with a real process, by each way of making one.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::ffi::CString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use virt_hooks_spawn::{
    Credentials, Environment, Finished, Launcher, Limits, Method, SpawnError, Status, Tick, signal_name,
};

const METHODS: [Method; 2] = [Method::Clone, Method::PosixSpawn];

fn limits() -> Limits<'static> {
    Limits {
        deadline: Duration::from_secs(60),
        grace: Duration::from_secs(5),
        stdout: 4096,
        stderr: 4096,
        cancel: None,
    }
}

struct Dir(tempfile::TempDir);

impl Dir {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn script(&self, text: &str) -> PathBuf {
        let path = self.0.path().join("hook");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    fn sh(&self, body: &str) -> PathBuf {
        self.script(&format!("#!/bin/sh\n{body}\n"))
    }
}

fn environment() -> Environment {
    let mut e = Environment::default();
    assert!(e.push(b"PATH", b"/usr/bin:/bin"));
    e
}

fn try_run(method: Method, path: &Path, limits: &Limits<'_>) -> Result<Finished, SpawnError> {
    let path = CString::new(path.to_str().unwrap()).unwrap();
    Launcher::new().unwrap().with_method(method).run(&path, &environment(), None, limits, None)
}

fn run(method: Method, path: &Path) -> Finished {
    try_run(method, path, &limits()).unwrap()
}

fn alive(pid: &str) -> bool {
    // A zombie nobody has reaped yet is as good as gone.
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|s| !s.rsplit(')').next().unwrap().starts_with(" Z"))
}

fn gone(pid: &str) -> bool {
    let end = Instant::now() + Duration::from_secs(10);
    while alive(pid) {
        if Instant::now() > end {
            return false;
        }
        std::thread::yield_now();
    }
    true
}

#[test]
fn exit_code_and_output() {
    for m in METHODS {
        let d = Dir::new();
        let f = run(m, &d.sh("echo out; echo err >&2; exit 7"));
        assert_eq!((f.status, f.timed_out, f.left_background), (Status::Exited(7), false, false), "{m:?}");
        assert_eq!((f.stdout.text().as_str(), f.stderr.text().as_str()), ("out\n", "err\n"));
    }
}

#[test]
fn arguments_arrive_with_a_shell_and_without() {
    for m in METHODS {
        for first_line in ["#!/bin/sh\n", ""] {
            let d = Dir::new();
            let path = d.script(&format!("{first_line}printf '%s|' \"$@\"\n"));
            let path = CString::new(path.to_str().unwrap()).unwrap();
            let arguments = [c"--a b".to_owned(), c"".to_owned(), c"$(c)".to_owned()];
            let l = Launcher::new().unwrap().with_method(m);
            let f = l.run_with_arguments(&path, &arguments, &environment(), None, &limits(), None).unwrap();
            assert_eq!(f.stdout.text(), "--a b||$(c)|", "{m:?} {first_line:?}: {}", f.stderr.text());
        }
    }
}

#[test]
fn death_by_signal_has_a_name() {
    for m in METHODS {
        let d = Dir::new();
        let f = run(m, &d.sh("kill -SEGV $$"));
        assert_eq!(f.status, Status::Signaled(11));
        assert_eq!(signal_name(11), "SIGSEGV");
        assert_eq!(signal_name(40), "SIG40");
    }
}

#[test]
fn own_session_and_group_and_null_stdin() {
    for m in METHODS {
        let d = Dir::new();
        let f = run(m, &d.sh("cut -d' ' -f1,5,6 /proc/$$/stat; readlink /proc/$$/fd/0"));
        let out = f.stdout.text();
        let ids: Vec<&str> = out.lines().next().unwrap().split(' ').collect();
        assert!(ids[0] == ids[1] && ids[1] == ids[2], "pid, group, session: {ids:?}");
        assert_eq!(out.lines().nth(1), Some("/dev/null"));
    }
}

#[test]
fn environment_is_exactly_what_was_given() {
    for m in METHODS {
        let d = Dir::new();
        let path = CString::new(d.script("#!/bin/cat /proc/self/environ\n").to_str().unwrap()).unwrap();
        let mut e = environment();
        assert!(e.push(b"a", b"1=2") && e.push(b"bytes", b"\xff\xfe"));
        assert!(
            !e.push(b"", b"x") && !e.push(b"a=b", b"x") && !e.push(b"n", b"a\0b") && !e.push(b"n\0", b"x")
        );
        let f = Launcher::new().unwrap().with_method(m).run(&path, &e, None, &limits(), None).unwrap();
        // `cat` prints the script itself next.
        let out = f.stdout.bytes();
        let own = out.windows(2).position(|w| w == b"#!").unwrap();
        assert_eq!(out[..own], *b"PATH=/usr/bin:/bin\0a=1=2\0bytes=\xff\xfe\0", "{m:?}: {}", f.stderr.text());
    }
}

#[test]
fn no_descriptor_leaks_in() {
    use std::os::fd::AsRawFd;
    let inheritable = fs::File::open("/dev/null").unwrap();
    // SAFETY: clears close-on-exec on a descriptor of ours, as a careless library would.
    unsafe { libc::fcntl(inheritable.as_raw_fd(), libc::F_SETFD, 0) };
    for m in METHODS {
        let d = Dir::new();
        // `ls` itself has the directory open, as the next free number.
        let f = run(m, &d.script("#!/bin/ls /proc/self/fd\n"));
        assert!(f.stderr.is_empty(), "{}", f.stderr.text());
        let fds: Vec<String> = f
            .stdout
            .text()
            .lines()
            .filter(|l| !l.is_empty() && l.bytes().all(|b| b.is_ascii_digit()))
            .map(String::from)
            .collect();
        assert_eq!(fds, ["0", "1", "2", "3"], "{m:?}");
    }
}

#[test]
fn signals_are_back_to_default() {
    // SAFETY: what Rust's start-up does anyway: the child must not inherit it.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
    for m in METHODS {
        let d = Dir::new();
        let f = run(m, &d.script("#!/bin/cat /proc/self/status\n"));
        let text = f.stdout.text();
        for line in ["SigBlk:\t0000000000000000", "SigCgt:\t0000000000000000"] {
            assert!(text.contains(line), "{m:?}: {text}");
        }
        let ignored =
            u64::from_str_radix(text.lines().find_map(|l| l.strip_prefix("SigIgn:\t")).unwrap(), 16).unwrap();
        assert_eq!(ignored & (1 << (libc::SIGPIPE - 1)), 0, "{m:?}: SIGPIPE is ignored");
    }
}

#[test]
fn script_without_interpreter_line_runs_under_sh() {
    for m in METHODS {
        let d = Dir::new();
        assert_eq!(run(m, &d.script("exit 3\n")).status, Status::Exited(3));
        assert_eq!(run(m, &d.script("")).status, Status::Exited(0));
    }
}

#[test]
fn what_cannot_be_executed_says_why() {
    for m in METHODS {
        let d = Dir::new();
        let say = |path: &Path| try_run(m, path, &limits()).unwrap_err().to_string();
        assert!(say(&d.script("#!/no/such/interpreter\n")).contains("its interpreter is missing"));
        assert!(say(&d.script("\0\u{1}\u{2}not a program")).contains("not a program for this machine"));
        assert!(say(Path::new("/no/such/hook")).contains("missing"));
        let path = d.sh("exit 0");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(say(&path).contains("no permission"));
        let path = d.sh("exit 0");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let writer = fs::OpenOptions::new().append(true).open(&path).unwrap();
        assert!(say(&path).contains("open for writing"), "{m:?}");
        drop(writer);
        assert_eq!(run(m, &path).status, Status::Exited(0));
    }
}

#[test]
fn a_property_too_large_for_the_kernel_is_said() {
    for m in METHODS {
        let d = Dir::new();
        let path = CString::new(d.sh("exit 0").to_str().unwrap()).unwrap();
        let mut e = environment();
        assert!(e.push(b"huge", &vec![b'x'; 1 << 20]));
        let error =
            Launcher::new().unwrap().with_method(m).run(&path, &e, None, &limits(), None).unwrap_err();
        assert!(error.to_string().contains("environment or arguments are too large"), "{error}");
    }
}

#[test]
fn deadline_ends_the_whole_group() {
    for m in METHODS {
        let d = Dir::new();
        let hook = d.sh("sleep 600 & echo $!; sleep 600");
        let f = try_run(m, &hook, &Limits { deadline: Duration::from_millis(300), ..limits() }).unwrap();
        assert!(f.timed_out);
        assert_eq!(f.status, Status::Signaled(libc::SIGTERM));
        assert!(f.duration < Duration::from_secs(5), "{:?}", f.duration);
        assert!(gone(f.stdout.text().trim()), "the grandchild lives on");
    }
}

/// Runs a script and cancels it as soon as it has written to `ready` in its directory: on a busy machine no
/// deadline is long enough to be sure that a script has come to a certain line.
fn cancel_when_ready(method: Method, d: &Dir, body: &str, grace: Duration) -> Finished {
    use std::os::fd::AsFd;
    let ready = d.0.path().join("ready");
    let hook = d.sh(&format!("cd '{}'\n{body}", d.0.path().display()));
    assert!(std::process::Command::new("mkfifo").arg(&ready).status().unwrap().success());
    let (reader, writer) = std::io::pipe().unwrap();
    let canceller = std::thread::spawn(move || {
        fs::read(ready).unwrap();
        drop(writer);
    });
    let f = try_run(method, &hook, &Limits { grace, cancel: Some(reader.as_fd()), ..limits() }).unwrap();
    canceller.join().unwrap();
    f
}

#[test]
fn who_ignores_term_is_killed_after_the_grace() {
    for m in METHODS {
        let d = Dir::new();
        let grace = Duration::from_millis(300);
        let body =
            "trap '' TERM; (while :; do sleep 1; done) & echo $!; : > ready; while :; do sleep 1; done";
        let f = cancel_when_ready(m, &d, body, grace);
        assert!(f.cancelled && f.duration >= grace, "{:?}", f.duration);
        assert_eq!(f.status, Status::Signaled(libc::SIGKILL));
        let pid = f.stdout.text();
        assert!(!pid.is_empty() && gone(pid.trim()), "{pid} lives on");
    }
}

#[test]
fn after_term_a_group_may_clean_up() {
    for m in METHODS {
        let d = Dir::new();
        // The leader dies of TERM at once; its child needs a moment.
        let body = "sh -c 'trap \"sleep 0.3; touch done; exit\" TERM; : > ready; while :; do sleep 0.05; done' &\nwait";
        let f = cancel_when_ready(m, &d, body, Duration::from_secs(30));
        assert!(f.cancelled && d.0.path().join("done").exists(), "{m:?} {f:?}");
        assert_eq!(f.status, Status::Signaled(libc::SIGTERM));
    }
}

#[test]
fn a_background_child_delays_nothing() {
    for m in METHODS {
        let d = Dir::new();
        let f = run(m, &d.sh("sleep 600 & echo $!; echo last >&2"));
        let pid = f.stdout.text().trim().to_owned();
        assert!(f.left_background && !f.timed_out);
        assert_eq!((f.status, f.stderr.text().as_str()), (Status::Exited(0), "last\n"));
        assert!(f.duration < Duration::from_secs(5), "{:?}", f.duration);
        assert!(alive(&pid), "a daemon a hook started is left alone");
        // SAFETY: a process this test started.
        unsafe { libc::kill(pid.parse().unwrap(), libc::SIGKILL) };
    }
}

#[test]
fn a_flood_is_bounded_and_both_ends_are_kept() {
    for m in METHODS {
        let d = Dir::new();
        let f = run(m, &d.sh("echo first >&2; head -c 50000000 /dev/zero | tr '\\0' x >&2; echo last >&2"));
        let text = f.stderr.text();
        assert!(text.starts_with("first\n") && text.ends_with("last\n") && text.len() < 5000);
        assert_eq!(f.stderr.total(), 50_000_000 + 11);
        assert!(text.contains("bytes left out"));
    }
}

#[test]
fn ticks_while_it_runs() {
    let d = Dir::new();
    let path = CString::new(d.sh("sleep 0.5").to_str().unwrap()).unwrap();
    let mut seen = Vec::new();
    let tick = Tick { every: Duration::from_millis(100), call: &mut |t| seen.push(t) };
    Launcher::new().unwrap().run(&path, &environment(), None, &limits(), Some(tick)).unwrap();
    assert!((1..=6).contains(&seen.len()) && seen.is_sorted(), "{seen:?}");
}

#[test]
fn runs_as_another_user() {
    // SAFETY: asks who we are.
    if unsafe { libc::geteuid() } != 0 {
        eprintln!("only root can run as another user: what is shown here is the refusal");
        let d = Dir::new();
        let c = Credentials { uid: 12345, gid: 12345, groups: vec![] };
        let path = CString::new(d.sh("id").to_str().unwrap()).unwrap();
        let e = Launcher::new().unwrap().run(&path, &environment(), Some(&c), &limits(), None).unwrap_err();
        assert_eq!(e.to_string(), "run as user 12345");
        return;
    }
    let d = Dir::new();
    fs::set_permissions(d.0.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let path = CString::new(d.sh("id -u; id -g; id -G").to_str().unwrap()).unwrap();
    let c = Credentials { uid: 12345, gid: 12346, groups: vec![12347] };
    let f = Launcher::new().unwrap().run(&path, &environment(), Some(&c), &limits(), None).unwrap();
    assert_eq!(f.stdout.text(), "12345\n12346\n12346 12347\n", "{}", f.stderr.text());
    let e = Launcher::new().unwrap().with_method(Method::PosixSpawn).run(
        &path,
        &environment(),
        Some(&c),
        &limits(),
        None,
    );
    assert!(matches!(e, Err(SpawnError::Credentials { uid: 12345, .. })), "posix_spawn cannot, and says so");
}

#[test]
fn many_threads_at_once() {
    let d = Dir::new();
    let hook = d.sh("echo $$ >&2; exit 1");
    for m in METHODS {
        std::thread::scope(|s| {
            for _ in 0..32 {
                s.spawn(|| {
                    for _ in 0..10 {
                        let f = run(m, &hook);
                        assert_eq!(f.status, Status::Exited(1));
                        assert_eq!(f.stderr.text().lines().count(), 1);
                        assert!(!f.left_background);
                    }
                });
            }
        });
    }
}

#[test]
fn a_cancelled_process_ends_with_its_group() {
    use std::os::fd::AsFd;
    for m in METHODS {
        let d = Dir::new();
        let hook = d.sh("sleep 600 & echo $!; sleep 600");
        let (reader, writer) = std::io::pipe().unwrap();
        let canceller = std::thread::spawn(move || drop(writer));
        let f = try_run(m, &hook, &Limits { cancel: Some(reader.as_fd()), ..limits() }).unwrap();
        canceller.join().unwrap();
        assert!(f.cancelled && !f.timed_out && f.duration < Duration::from_secs(5), "{:?}", f.duration);
        let pid = f.stdout.text();
        assert!(pid.is_empty() || gone(pid.trim()), "the grandchild lives on");
    }
}
