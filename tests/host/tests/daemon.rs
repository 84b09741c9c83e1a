// SPDX-License-Identifier: Apache-2.0
//! The libvirt binding against a daemon: what happens when it goes.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test binary")]

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Failed, Trial};
use virt_hooks_libvirt::{CloseReason, Connection, CreateFlags, ErrorKind, Event, State};
use virt_hooks_testhost::{Daemon, GuestOptions, Host};

const PATIENCE: Duration = Duration::from_secs(60);

fn main() {
    let missing = Daemon::requirements().err();
    if let Some(missing) = &missing {
        eprintln!("tests with a daemon are ignored: {missing}");
    }
    let reason = missing.as_ref().and_then(|missing| missing.things.first());
    let reason = reason.map(|thing| format!("::needs_{}", thing.what.replace(' ', "_"))).unwrap_or_default();
    let trial = Trial::test(format!("a_lost_daemon_is_told_and_its_vm_found_again{reason}"), || {
        a_lost_daemon_is_told_and_its_vm_found_again().map_err(Failed::from)
    })
    .with_ignored_flag(missing.is_some());
    libtest_mimic::run(&Arguments::from_args(), vec![trial]).exit();
}

fn a_lost_daemon_is_told_and_its_vm_found_again() -> Result<(), Box<dyn Error>> {
    let host = Host::create(Some(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("capabilities")))?;
    let mut daemon = Daemon::start(&host)?;
    let connection = Connection::open(Some(&daemon.uri()))?;
    let events = connection.lifecycle_events()?;
    let vm = connection.create_xml(&host.domain_xml("kept", &GuestOptions::default()), CreateFlags::NONE)?;
    host.wait_for_guest("kept", PATIENCE)?;
    assert!(connection.is_alive());

    daemon.stop()?;
    let deadline = Instant::now() + PATIENCE;
    let mut last = None;
    // The stream ends by itself once the loss is told.
    while let Ok(event) = events.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        last = Some(event);
    }
    assert!(Instant::now() < deadline, "the stream did not end; last came {last:?}");
    assert_eq!(last, Some(Event::Closed(CloseReason::EndOfFile)));
    assert!(!connection.is_alive());
    let late = connection.lifecycle_events()?;
    assert_eq!((&late).into_iter().collect::<Vec<_>>(), [Event::Closed(CloseReason::EndOfFile)]);
    for error in [
        vm.state().unwrap_err(),
        connection.list().unwrap_err(),
        Connection::open(Some(&daemon.uri())).unwrap_err(),
    ] {
        assert_eq!(error.kind, ErrorKind::Unreachable, "{error}");
    }
    drop((vm, events, late));
    assert_eq!(connection.lifecycle_events().err().unwrap().kind, ErrorKind::Unreachable);
    drop(connection);
    assert!(host.qemu_cmdline("kept").is_some(), "QEMU does not need the daemon");

    let daemon = Daemon::start(&host)?;
    let connection = Connection::open(Some(&daemon.uri()))?;
    let vm = connection.lookup("kept")?;
    vm.settle();
    assert_eq!(vm.state()?.state, State::Running);
    vm.destroy()?;
    assert_eq!(host.qemu_cmdline("kept"), None);
    drop((vm, connection, daemon));
    assert!(host.cleanup()?.killed.is_empty());
    Ok(())
}
