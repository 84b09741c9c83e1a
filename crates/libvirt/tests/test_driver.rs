// SPDX-License-Identifier: Apache-2.0
//! The binding against libvirt's built-in `test` driver, which lives in `libvirt.so.0` itself.
//!
//! The driver's state is shared by all connections of a process, so each test has VMs of its own.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "a test binary")]

use std::thread;
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Failed, Trial};
use virt_hooks_libvirt::{
    Affect, Connection, CreateFlags, Error, ErrorKind, Event, Libvirt, Lifecycle, ResumeReason, SaveFlags,
    ShutdownReason, StartReason, State, StopReason, Subscription, SuspendReason, Version, XmlFlags,
};

const URI: &str = "test:///default";
const PATIENCE: Duration = Duration::from_secs(20);

type Test = fn() -> Result<(), Error>;

fn main() {
    let missing = Libvirt::load().err().map(|error| error.to_string());
    if let Some(reason) = &missing {
        eprintln!("tests of the test driver are ignored: {reason}");
    }
    let tests: [(&str, Test); 10] = [
        ("open_tells_uri_version_and_life", open_tells_uri_version_and_life),
        ("list_has_every_vm_with_its_state", list_has_every_vm_with_its_state),
        ("a_vm_goes_through_its_life", a_vm_goes_through_its_life),
        ("a_transient_vm_is_gone_when_it_stops", a_transient_vm_is_gone_when_it_stops),
        ("metadata_comes_back_and_goes", metadata_comes_back_and_goes),
        ("events_tell_the_life_of_a_vm_in_order", events_tell_the_life_of_a_vm_in_order),
        ("a_dropped_subscription_ends_alone", a_dropped_subscription_ends_alone),
        ("a_saved_vm_comes_back", a_saved_vm_comes_back),
        ("errors_say_what_and_why", errors_say_what_and_why),
        ("handles_work_from_many_threads", handles_work_from_many_threads),
    ];
    let trials = tests.into_iter().map(|(name, test)| {
        let name = if missing.is_some() { format!("{name}::needs_libvirt.so.0") } else { name.to_owned() };
        Trial::test(name, move || test().map_err(Failed::from)).with_ignored_flag(missing.is_some())
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit();
}

fn xml(name: &str) -> String {
    format!(
        "<domain type='test'><name>{name}</name><memory unit='MiB'>8</memory>\
         <os><type>hvm</type></os></domain>"
    )
}

fn open() -> Result<Connection, Error> {
    Connection::open(Some(URI))
}

fn open_tells_uri_version_and_life() -> Result<(), Error> {
    let connection = open()?;
    assert_eq!(connection.uri(), URI);
    assert!(connection.is_alive());
    let version = connection.lib_version()?;
    assert_eq!(version, Libvirt::load()?.version()?, "the driver is part of the library");
    assert!(version >= Version { major: 1, minor: 2, release: 0 });
    Ok(())
}

fn list_has_every_vm_with_its_state() -> Result<(), Error> {
    let connection = open()?;
    let off = connection.define_xml(&xml("listed-off"))?;
    let running = connection.create_xml(&xml("listed-running"), CreateFlags::NONE)?;
    let infos = connection.list()?;
    assert!(infos.is_sorted_by(|a, b| a.name <= b.name));

    let info = infos.iter().find(|info| info.name == "listed-off").unwrap();
    assert_eq!((info.uuid.as_str(), info.id, info.persistent), (off.uuid(), None, true));
    assert_eq!(info.state.state, State::ShutOff);

    let info = infos.iter().find(|info| info.name == "listed-running").unwrap();
    assert_eq!((info.uuid.as_str(), info.id, info.persistent), (running.uuid(), running.id(), false));
    assert!(info.id.is_some());
    assert_eq!(info.state.state, State::Running);
    Ok(())
}

fn a_vm_goes_through_its_life() -> Result<(), Error> {
    let connection = open()?;
    let vm = connection.define_xml(&xml("life"))?;
    assert!(!vm.is_active()? && vm.is_persistent()?);
    vm.create(CreateFlags::NONE)?;
    assert!(vm.is_active()?);
    let error = vm.create(CreateFlags::NONE).unwrap_err();
    assert!(error.to_string().starts_with("start VM life: ") && error.message.contains("running"), "{error}");
    vm.suspend()?;
    assert_eq!(vm.state()?.state, State::Paused);
    vm.resume()?;
    assert_eq!(vm.state()?.state, State::Running);

    assert_eq!(connection.lookup(vm.uuid())?.name(), "life");
    assert_eq!(connection.lookup("life")?.uuid(), vm.uuid());
    let live = vm.xml(XmlFlags::default())?;
    assert!(live.contains("<name>life</name>") && live.contains(vm.uuid()), "{live}");

    vm.shutdown()?;
    assert_eq!(vm.state()?.state, State::ShutOff);
    vm.undefine()?;
    assert_eq!(vm.state().unwrap_err().kind, ErrorKind::NoDomain);
    Ok(())
}

fn a_transient_vm_is_gone_when_it_stops() -> Result<(), Error> {
    let connection = open()?;
    let vm = connection.create_xml(&xml("transient"), CreateFlags::VALIDATE)?;
    assert!(vm.is_active()? && !vm.is_persistent()?);
    let again = connection.create_xml(&xml("transient"), CreateFlags::NONE).unwrap_err();
    assert_eq!(again.kind, ErrorKind::DomainExists, "{again}");
    vm.destroy()?;
    assert_eq!(connection.lookup("transient").unwrap_err().kind, ErrorKind::NoDomain);
    assert_eq!(vm.destroy().unwrap_err().kind, ErrorKind::NoDomain);
    Ok(())
}

fn metadata_comes_back_and_goes() -> Result<(), Error> {
    const NAMESPACE: &str = "http://example.org/notes";
    let connection = open()?;
    let vm = connection.create_xml(&xml("metadata"), CreateFlags::NONE)?;
    assert_eq!(vm.metadata(NAMESPACE, Affect::Current)?, None);
    vm.set_metadata(NAMESPACE, "n", Some("<notes><a>1</a></notes>"), Affect::Live)?;
    let read = vm.metadata(NAMESPACE, Affect::Live)?.unwrap();
    assert!(read.contains("<a>1</a>"), "{read}");
    assert!(vm.xml(XmlFlags::default())?.contains("n:notes"));
    vm.set_metadata(NAMESPACE, "n", None, Affect::Live)?;
    vm.set_metadata(NAMESPACE, "n", None, Affect::Live)?;
    assert_eq!(vm.metadata(NAMESPACE, Affect::Current)?, None);
    Ok(())
}

/// The next `count` events of the VM `name`.
fn take(events: &Subscription, name: &str, count: usize) -> Vec<Lifecycle> {
    let deadline = Instant::now() + PATIENCE;
    let mut seen = Vec::new();
    while seen.len() < count {
        let left = deadline.saturating_duration_since(Instant::now());
        match events.recv_timeout(left) {
            Ok(Event::Lifecycle(event)) if event.name == name => {
                assert_eq!(event.uuid.len(), 36);
                seen.push(event.lifecycle);
            }
            Ok(_) => {}
            Err(error) => panic!("{error} after {seen:?}"),
        }
    }
    seen
}

fn events_tell_the_life_of_a_vm_in_order() -> Result<(), Error> {
    let connection = open()?;
    let events = connection.lifecycle_events()?;
    let vm = connection.define_xml(&xml("told"))?;
    vm.create(CreateFlags::NONE)?;
    vm.suspend()?;
    vm.resume()?;
    vm.destroy()?;
    vm.undefine()?;
    assert_eq!(
        take(&events, "told", 6),
        [
            Lifecycle::Defined(0),
            Lifecycle::Started(StartReason::Booted),
            Lifecycle::Suspended(SuspendReason::Paused),
            Lifecycle::Resumed(ResumeReason::Unpaused),
            Lifecycle::Stopped(StopReason::Destroyed),
            Lifecycle::Undefined(0),
        ]
    );
    assert_eq!(ShutdownReason::from_raw(1).name(), "guest");
    Ok(())
}

fn a_dropped_subscription_ends_alone() -> Result<(), Error> {
    let connection = open()?;
    let dropped = connection.lifecycle_events()?;
    let kept = connection.lifecycle_events()?;
    drop(dropped);
    // The subscription keeps the connection open.
    drop(connection);
    let other = open()?;
    let second = other.lifecycle_events()?;
    drop(second);
    let vm = other.create_xml(&xml("dropped"), CreateFlags::NONE)?;
    assert_eq!(take(&kept, "dropped", 1), [Lifecycle::Started(StartReason::Booted)]);
    vm.destroy()?;
    assert_eq!(take(&kept, "dropped", 1), [Lifecycle::Stopped(StopReason::Destroyed)]);
    drop(kept);
    // The last subscription is gone, and a new one starts afresh.
    let fresh = other.lifecycle_events()?;
    other.create_xml(&xml("dropped"), CreateFlags::NONE)?.destroy()?;
    assert_eq!(take(&fresh, "dropped", 2).len(), 2);
    Ok(())
}

fn a_saved_vm_comes_back() -> Result<(), Error> {
    let connection = open()?;
    let file = std::env::temp_dir().join(format!("virt-hooks-saved-{}", std::process::id()));
    let vm = connection.create_xml(&xml("saved"), CreateFlags::NONE)?;
    let uuid = vm.uuid().to_owned();
    vm.save(&file, SaveFlags::NONE)?;
    assert!(file.exists());
    assert_eq!(connection.lookup("saved").unwrap_err().kind, ErrorKind::NoDomain);
    let saved = connection.saved_xml(&file, true)?;
    assert!(saved.contains(&uuid), "{saved}");
    let restored = connection.restore(&file, None, SaveFlags::NONE);
    let _ = std::fs::remove_file(&file);
    restored?;
    let vm = connection.lookup("saved")?;
    assert_eq!((vm.uuid(), vm.state()?.state), (uuid.as_str(), State::Running));
    vm.destroy()?;
    let error = connection.saved_xml(&file, false).unwrap_err();
    assert!(error.to_string().starts_with("read the saved VM "), "{error}");
    Ok(())
}

fn errors_say_what_and_why() -> Result<(), Error> {
    let connection = open()?;
    let error = connection.lookup("no-such-vm").unwrap_err();
    assert_eq!((error.kind, error.code), (ErrorKind::NoDomain, 42));
    assert!(error.to_string().starts_with("look up VM no-such-vm: Domain not found"), "{error}");
    assert!(error.hint().unwrap().contains("virsh list --all"));
    // A UUID nobody has is tried as a name too, and reported as not found.
    let error = connection.lookup("11111111-2222-3333-4444-555555555555").unwrap_err();
    assert_eq!(error.kind, ErrorKind::NoDomain);

    let error = connection.define_xml("<domain").unwrap_err();
    assert_eq!(error.kind, ErrorKind::XmlError, "{error}");
    assert!(!error.to_string().contains('\n'), "{error}");
    let error = connection.create_xml(&xml("paused"), CreateFlags::START_PAUSED).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unsupported, "{error}");
    let error = connection.lookup("a\0b").unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidArgument);

    let uri = "qemu+unix:///system?socket=/nonexistent/libvirt-sock";
    let error = Connection::open(Some(uri)).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unreachable);
    assert_eq!(
        error.to_string(),
        format!(
            "connect to {uri}: Failed to connect socket to '/nonexistent/libvirt-sock': \
             No such file or directory"
        )
    );
    assert!(error.hint().unwrap().contains("systemctl start"));
    let error = Connection::open(Some("no-scheme")).unwrap_err();
    assert_eq!(error.kind, ErrorKind::NoConnect, "{error}");
    Ok(())
}

fn handles_work_from_many_threads() -> Result<(), Error> {
    let connection = open()?;
    let threads: Vec<_> = (0..8)
        .map(|number| {
            let connection = connection.clone();
            thread::spawn(move || -> Result<(), Error> {
                let name = format!("thread-{number}");
                let events = connection.lifecycle_events()?;
                for _ in 0..20 {
                    let vm = connection.create_xml(&xml(&name), CreateFlags::NONE)?;
                    // libvirt keeps errors per thread, so another thread's success cannot hide this one.
                    assert_eq!(connection.lookup("nobody").unwrap_err().kind, ErrorKind::NoDomain);
                    vm.destroy()?;
                }
                assert_eq!(take(&events, &name, 40).len(), 40);
                Ok(())
            })
        })
        .collect();
    drop(connection);
    for thread in threads {
        thread.join().expect("no thread panics")?;
    }
    Ok(())
}
