// SPDX-License-Identifier: Apache-2.0
//! The verbs against libvirt's built-in `test` driver, whose VMs live in this process.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test may")]

use std::os::fd::AsFd;
use virt_hooks_agent::{DestroyRequest, Driver, Error, Quiet, Source, StartRequest, Watch};
use virt_hooks_contract::Report;
use virt_hooks_engine::{Host, Observer, Overrides};
use virt_hooks_libvirt::{Connection, Libvirt};

const URI: &str = "test:///default";

/// A host in a directory, and a driver; `None` where there is no libvirt.
fn bed() -> Option<(tempfile::TempDir, Driver)> {
    if let Err(missing) = Libvirt::load() {
        eprintln!("not tested: {missing}");
        return None;
    }
    let dir = tempfile::tempdir().unwrap();
    let hooks = dir.path().join("hooks");
    std::fs::create_dir(&hooks).unwrap();
    let overrides = Overrides {
        hooks_dirs: vec![hooks],
        run_dir: Some(dir.path().join("run")),
        state_dir: Some(dir.path().join("state")),
        config: None,
        ..Overrides::default()
    };
    let flags = dir.path().join("vdsm").into_os_string();
    let host = Host::load(overrides, &|name| (name == "VIRT_HOOKS_LAUNCH_FLAGS_DIR").then(|| flags.clone()));
    Some((dir, Driver::connect(Some(URI), host.unwrap()).unwrap()))
}

fn request(name: &str) -> StartRequest<'static> {
    let xml = format!(
        "<domain type='test'><name>{name}</name><memory unit='MiB'>8</memory><os><type>hvm</type></os></domain>"
    );
    StartRequest {
        source: Source::Xml(xml.into_bytes()),
        properties: Vec::new(),
        paused: false,
        timeout: None,
        with_diff: false,
        cancel: None,
    }
}

fn points(reports: &[Report]) -> Vec<&str> {
    reports.iter().map(|r| r.point.as_str()).collect()
}

#[test]
fn a_start_that_is_given_up_starts_nothing_even_without_hooks() {
    let Some((_dir, driver)) = bed() else { return };
    let (reader, writer) = std::io::pipe().unwrap();
    drop(writer);
    let mut reports = Vec::new();
    let request = StartRequest { cancel: Some(reader.as_fd()), ..request("given-up") };
    let done = driver.start(&request, &mut Quiet, &mut reports);
    assert!(matches!(done, Err(Error::Interrupted { .. })), "{done:?}");
    assert!(driver.list().unwrap().iter().all(|vm| vm.name != "given-up"));
    assert_eq!(points(&reports), ["before_vm_start", "before_vm_destroy", "after_vm_destroy"]);
}

#[test]
fn a_vm_that_goes_by_itself_while_its_hooks_run_is_cleaned_up_after() {
    /// The guest shuts itself down just before libvirt is asked to stop it.
    struct Goes(Connection);
    impl Observer for Goes {}
    impl Watch for Goes {
        fn step(&mut self, _: &str) {
            self.0.lookup("goes").unwrap().destroy().unwrap();
        }
    }
    let Some((_dir, driver)) = bed() else { return };
    driver.start(&request("goes"), &mut Quiet, &mut Vec::new()).unwrap();
    let mut reports = Vec::new();
    let done = driver.destroy(
        &DestroyRequest { vm: "goes", timeout: None, with_diff: false, cancel: None },
        &mut Goes(Connection::open(Some(URI)).unwrap()),
        &mut reports,
    );
    assert_eq!(points(&reports), ["before_vm_destroy", "after_vm_destroy"]);
    assert_eq!(done.unwrap().name, "goes");
}
