// SPDX-License-Identifier: Apache-2.0
//! Real VMs on a throw-away host, through the libvirt binding.
//!
//! A process can use one host only, so all tests of a process share one.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test binary"
)]

use std::env;
use std::error::Error;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Failed, Trial};
use virt_hooks_libvirt::{
    Affect, Connection, CreateFlags, ErrorKind, Event, Lifecycle, ResumeReason, ShutdownReason, StartReason,
    State, StopReason, Subscription, SuspendReason, XmlFlags,
};
use virt_hooks_testhost::{Cleanup, Guest, GuestOptions, Host, requirements};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;
type Test = fn(&Host) -> Result;

const PATIENCE: Duration = Duration::from_secs(60);
/// Tell this program to be the other process of `a_vm_outlives_its_process`.
const LEAVE: &str = "TESTHOST_LEAVE_A_VM";
const FIND: &str = "TESTHOST_FIND_A_VM";
const XML: &str = "TESTHOST_XML";

fn main() -> ExitCode {
    if env::var_os(LEAVE).is_some() {
        return exit_code(leave_a_vm());
    }
    if env::var_os(FIND).is_some() {
        return exit_code(find_a_vm());
    }
    let missing = requirements().err();
    if let Some(missing) = &missing {
        eprintln!("tests with VMs are ignored: {missing}");
    }
    let host: Arc<OnceLock<Host>> = Arc::default();
    let tests: [(&str, Test); 5] = [
        ("a_vm_lives_and_leaves_nothing", a_vm_lives_and_leaves_nothing),
        ("a_paused_vm_waits_to_be_resumed", a_paused_vm_waits_to_be_resumed),
        ("the_obliging_guest_shuts_down_and_the_deaf_one_does_not", shutdown_is_up_to_the_guest),
        ("a_vm_that_cannot_start_says_why_on_one_line", failures_are_told),
        ("a_vm_outlives_its_process", a_vm_outlives_its_process),
    ];
    let trials = tests.into_iter().map(|(name, test)| {
        let reason = missing.as_ref().and_then(|missing| missing.things.first());
        let reason =
            reason.map(|thing| format!("::needs_{}", thing.what.replace(' ', "_"))).unwrap_or_default();
        let host = Arc::clone(&host);
        Trial::test(format!("{name}{reason}"), move || {
            let host = host.get_or_init(|| create().expect("the requirements are met"));
            test(host).map_err(Failed::from)
        })
        .with_ignored_flag(missing.is_some())
    });
    let conclusion = libtest_mimic::run(&Arguments::from_args(), trials.collect());
    if let Some(host) = host.get() {
        let cleanup = host.cleanup().expect("the host can be removed");
        assert!(conclusion.has_failed() || cleanup == Cleanup::default(), "left behind: {cleanup:?}");
        assert!(!host.root().exists());
    }
    conclusion.exit_code()
}

fn create() -> Result<Host> {
    Ok(Host::create(Some(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("capabilities")))?)
}

/// The events of one VM until it is gone.
fn life(events: &Subscription, name: &str) -> Vec<Lifecycle> {
    let deadline = Instant::now() + PATIENCE;
    let mut seen = Vec::new();
    while !matches!(seen.last(), Some(Lifecycle::Stopped(_))) {
        let left = deadline.saturating_duration_since(Instant::now());
        match events.recv_timeout(left) {
            Ok(Event::Lifecycle(event)) if event.name == name => seen.push(event.lifecycle),
            Ok(_) => {}
            Err(error) => panic!("{error} after {seen:?}"),
        }
    }
    seen
}

fn a_vm_lives_and_leaves_nothing(host: &Host) -> Result {
    const NAMESPACE: &str = "http://example.org/notes";
    let connection = Connection::open(Some(&host.uri()))?;
    assert_eq!(connection.uri(), host.uri());
    let events = connection.lifecycle_events()?;
    let options = GuestOptions {
        uuid: Some("6695eb01-f6a4-8304-79aa-97f2502e193f".to_owned()),
        metadata: format!("<n:notes xmlns:n='{NAMESPACE}'><n:old/></n:notes>"),
        ..GuestOptions::default()
    };
    let started = Instant::now();
    let vm = connection.create_xml(&host.domain_xml("lives", &options), CreateFlags::VALIDATE)?;
    let created = started.elapsed();
    host.wait_for_guest("lives", PATIENCE)?;
    println!("create {created:?}, guest up after {:?}", started.elapsed());

    assert_eq!(vm.uuid(), options.uuid.as_deref().unwrap());
    assert_eq!(vm.state()?.state, State::Running);
    assert!(vm.id().is_some() && vm.is_active()? && !vm.is_persistent()?);
    let info = connection.list()?.into_iter().find(|info| info.name == "lives").unwrap();
    assert_eq!((info.uuid.as_str(), info.state.state), (vm.uuid(), State::Running));

    assert!(vm.metadata(NAMESPACE, Affect::Live)?.unwrap().contains("old"));
    vm.set_metadata(NAMESPACE, "n", Some("<notes><new/></notes>"), Affect::Live)?;
    assert!(vm.metadata(NAMESPACE, Affect::Live)?.unwrap().contains("<new/>"));
    assert_eq!(vm.metadata("http://example.org/other", Affect::Live)?, None);

    let arguments = host.qemu_cmdline("lives").expect("QEMU runs");
    assert!(arguments.iter().any(|argument| argument.ends_with("guest/ack.bin")), "{arguments:?}");
    assert_eq!(host.qemu_cmdline("live"), None);
    let xml = vm.xml(XmlFlags { migratable: true, ..XmlFlags::default() })?;
    assert!(xml.contains("<name>lives</name>"), "{xml}");

    let again = connection.create_xml(&host.domain_xml("lives", &options), CreateFlags::NONE).unwrap_err();
    assert_eq!(again.kind, ErrorKind::DomainExists, "{again}");

    let destroying = Instant::now();
    vm.destroy()?;
    let destroyed = destroying.elapsed();
    println!("destroy {destroyed:?}");
    assert!(destroyed < Duration::from_secs(2), "{destroyed:?}");
    assert_eq!(host.qemu_cmdline("lives"), None);
    assert_eq!(vm.state().unwrap_err().kind, ErrorKind::NoDomain);
    assert_eq!(
        life(&events, "lives"),
        [
            Lifecycle::Resumed(ResumeReason::Unpaused),
            Lifecycle::Started(StartReason::Booted),
            Lifecycle::Shutdown(ShutdownReason::Host),
            Lifecycle::Stopped(StopReason::Destroyed),
        ]
    );
    Ok(())
}

fn a_paused_vm_waits_to_be_resumed(host: &Host) -> Result {
    let connection = Connection::open(Some(&host.uri()))?;
    let events = connection.lifecycle_events()?;
    let options = GuestOptions { machine: "q35".to_owned(), ..GuestOptions::default() };
    let vm = connection.define_xml(&host.domain_xml("paused", &options))?;
    vm.create(CreateFlags::START_PAUSED)?;
    assert_eq!(vm.state()?.state, State::Paused);
    let early = host.wait_for_guest("paused", Duration::ZERO).unwrap_err();
    assert!(early.to_string().starts_with("guest paused is not up after 0ns"), "{early}");
    vm.resume()?;
    host.wait_for_guest("paused", PATIENCE)?;
    vm.suspend()?;
    assert_eq!(vm.create(CreateFlags::NONE).unwrap_err().kind, ErrorKind::OperationInvalid);
    vm.destroy()?;
    assert_eq!(vm.state()?.state, State::ShutOff);
    assert_eq!(vm.suspend().unwrap_err().kind, ErrorKind::OperationInvalid);
    assert_eq!(
        life(&events, "paused"),
        [
            Lifecycle::Defined(0),
            Lifecycle::Started(StartReason::Booted),
            Lifecycle::Suspended(SuspendReason::Paused),
            Lifecycle::Resumed(ResumeReason::Unpaused),
            Lifecycle::Suspended(SuspendReason::Paused),
            Lifecycle::Shutdown(ShutdownReason::Host),
            Lifecycle::Stopped(StopReason::Destroyed),
        ]
    );
    vm.undefine()?;
    assert_eq!(connection.lookup("paused").unwrap_err().kind, ErrorKind::NoDomain);
    Ok(())
}

fn shutdown_is_up_to_the_guest(host: &Host) -> Result {
    let connection = Connection::open(Some(&host.uri()))?;
    let events = connection.lifecycle_events()?;
    let create = |name, guest| -> Result<_> {
        let xml = host.domain_xml(name, &GuestOptions { guest, ..GuestOptions::default() });
        let vm = connection.create_xml(&xml, CreateFlags::NONE)?;
        host.wait_for_guest(name, PATIENCE)?;
        Ok(vm)
    };
    let deaf = create("deaf", Guest::Deaf)?;
    let obliging = create("obliging", Guest::Obliging)?;
    deaf.shutdown()?;
    obliging.shutdown()?;
    let told = life(&events, "obliging");
    assert!(
        told.ends_with(&[
            Lifecycle::Shutdown(ShutdownReason::Guest),
            Lifecycle::Stopped(StopReason::Shutdown),
        ]),
        "{told:?}"
    );
    // The deaf one was asked before the other and had as much time.
    assert_eq!(deaf.state()?.state, State::Running);
    deaf.destroy()?;
    Ok(())
}

fn failures_are_told(host: &Host) -> Result {
    let connection = Connection::open(Some(&host.uri()))?;
    let xml = host.domain_xml("fails", &GuestOptions::default()).replace("ack.bin", "no-such-kernel");
    let error = connection.create_xml(&xml, CreateFlags::NONE).unwrap_err();
    assert!(error.message.contains("no-such-kernel") && !error.to_string().contains('\n'), "{error}");
    assert_eq!(error.kind, ErrorKind::Internal, "{error}");
    let xml = host.domain_xml("fails", &GuestOptions::default()).replace("'pc'", "'no-such-machine'");
    let error = connection.create_xml(&xml, CreateFlags::NONE).unwrap_err();
    assert_eq!(error.kind, ErrorKind::ConfigUnsupported, "{error}");
    let xml = host.domain_xml("fails", &GuestOptions { extra: "<bogus/>".to_owned(), ..Default::default() });
    let error = connection.create_xml(&xml, CreateFlags::VALIDATE).unwrap_err();
    assert_eq!(error.kind, ErrorKind::XmlError, "{error}");
    assert_eq!(host.qemu_cmdline("fails"), None);
    Ok(())
}

/// On a host of its own, which this process never connects to.
fn a_vm_outlives_its_process(_shared: &Host) -> Result {
    let host = create()?;
    let run = |variable, name: &str| {
        let xml = host.domain_xml(name, &GuestOptions::default());
        let mut command = Command::new(env::current_exe().unwrap());
        let output = command.envs(host.environment()).env(variable, "").env(XML, xml).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "libvirt printed");
    };
    run(LEAVE, "left");
    host.wait_for_guest("left", PATIENCE)?;
    assert!(host.qemu_cmdline("left").is_some(), "it is ours now: {:?}", host.qemus());
    run(FIND, "left");
    assert_eq!(host.qemu_cmdline("left"), None);

    run(LEAVE, "forgotten");
    let cleanup = host.cleanup()?;
    let killed: Vec<_> = cleanup.killed.iter().map(|qemu| qemu.name.as_str()).collect();
    assert_eq!(killed, ["forgotten"]);
    assert!(!host.root().exists());
    assert_eq!(host.cleanup()?, Cleanup::default());
    Ok(())
}

fn leave_a_vm() -> Result {
    Connection::open(None)?.create_xml(&env::var(XML)?, CreateFlags::NONE)?;
    Ok(())
}

fn find_a_vm() -> Result {
    let connection = Connection::open(None)?;
    let infos = connection.list()?;
    assert_eq!(infos.len(), 1, "{infos:?}");
    assert_eq!((infos[0].name.as_str(), infos[0].state.state), ("left", State::Running));
    let events = connection.lifecycle_events()?;
    let started = Instant::now();
    connection.lookup("left")?.destroy()?;
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    assert!(life(&events, "left").contains(&Lifecycle::Stopped(StopReason::Destroyed)));
    Ok(())
}

fn exit_code(result: Result) -> ExitCode {
    result.expect("the other process does its part");
    ExitCode::SUCCESS
}
