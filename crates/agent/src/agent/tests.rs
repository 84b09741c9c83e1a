// SPDX-License-Identifier: Apache-2.0
//! The agent over libvirt's test driver.

use super::*;
use crate::life::{After, Phase};
use rustix::fs::CWD;
use std::sync::mpsc;
use virt_hooks_engine::{Machine, Overrides, Teller};

/// The points that were fired, and what was said.
struct Points(mpsc::Sender<String>, mpsc::Sender<String>);

impl Chronicler for Points {
    fn fired(&self, reports: &[Report]) {
        reports.iter().for_each(|report| drop(self.0.send(report.point.clone())));
    }

    fn say(&self, line: &str) {
        let _ = self.1.send(line.to_owned());
    }
}

fn agent() -> Option<(tempfile::TempDir, Arc<Agent>, mpsc::Receiver<String>)> {
    agent_that_says().map(|(dir, agent, points, _)| (dir, agent, points))
}

type Said = mpsc::Receiver<String>;

#[allow(clippy::print_stderr, reason = "says what was not tested")]
fn agent_that_says() -> Option<(tempfile::TempDir, Arc<Agent>, Said, Said)> {
    if let Err(missing) = virt_hooks_libvirt::Libvirt::load() {
        eprintln!("not tested: {missing}");
        return None;
    }
    let dir = tempfile::tempdir().unwrap();
    let hooks_dirs = vec![dir.path().to_owned()];
    let [run_dir, state_dir] = ["run", "state"].map(|name| Some(dir.path().join(name)));
    let overrides = Overrides { hooks_dirs, run_dir, state_dir, ..Overrides::default() };
    let host = Host::load(overrides, &|_| None).unwrap();
    let ((fired, points), (says, said)) = (mpsc::channel(), mpsc::channel());
    let agent = Agent::start(Some("test:///default"), host, Box::new(Points(fired, says))).unwrap();
    assert!(agent.wait_until_ready(LONG));
    Some((dir, agent, points, said))
}

const LONG: Duration = Duration::from_secs(600);

fn domain(name: &str, uuid: &str) -> String {
    format!(
        "<domain type='test'><name>{name}</name><uuid>{uuid}</uuid><memory>1024</memory>\
         <os><type>hvm</type></os></domain>"
    )
}

#[test]
fn events_go_on_until_the_very_end() {
    let Some((_dir, agent, points)) = agent() else { return };
    let driver = agent.driver().unwrap();
    agent.close();
    assert!(matches!(agent.driver(), Err(Error::Stopping)));
    let xml = domain("late", "00000000-0000-0000-0000-00000000000b");
    let vm = driver.connection.create_xml(&xml, virt_hooks_libvirt::CreateFlags::NONE).unwrap();
    assert_eq!(points.recv_timeout(LONG).unwrap(), "after_vm_start");
    vm.destroy().unwrap();
    assert_eq!(points.recv_timeout(LONG).unwrap(), "after_vm_destroy");
    assert!(agent.stop(LONG));
    agent.leave();
}

#[test]
fn an_agent_watches_from_its_first_look_until_it_is_to_stop() {
    let Some((dir, agent, _points)) = agent() else { return };
    let run = dir.path().join("run");
    let watching = || virt_hooks_engine::agent_watching(&run);
    let begun = Instant::now();
    while watching().is_none() && begun.elapsed() < LONG {
        thread::yield_now();
    }
    assert_eq!(watching().as_deref(), Some("test:///default"));
    agent.close();
    assert_eq!(watching(), None);
    assert_eq!(virt_hooks_engine::agent_of(&run).as_deref(), Some("test:///default"));
    agent.leave();
    assert_eq!(virt_hooks_engine::agent_of(&run), None);
}

#[test]
fn what_the_script_told_is_not_told_again_and_what_it_left_is() {
    let Some((_dir, agent, points)) = agent() else { return };
    let driver = agent.driver().unwrap();
    let uuid = "00000000-0000-0000-0000-00000000000c";
    let vm =
        driver.connection.create_xml(&domain("told", uuid), virt_hooks_libvirt::CreateFlags::NONE).unwrap();
    assert_eq!(points.recv_timeout(LONG).unwrap(), "after_vm_start");
    let (_, machine) = driver.found(uuid).unwrap();
    let life = machine.unwrap().life();
    let handover = driver.handover(uuid);
    let desk = driver.desks.as_ref().unwrap().of(uuid);
    for (teller, expected) in [(Teller::Script, 0), (Teller::Agent, 1), (Teller::Script, 0)] {
        handover.note(teller, &life).unwrap();
        agent.observed(&driver, &desk, &desk.due(After::Start)).unwrap();
        assert_eq!(points.try_iter().count(), expected, "{teller:?}");
        assert!(virt_hooks_engine::record_path(&driver.state_dir, uuid).exists());
    }
    // And the end.
    handover.ended();
    let end = After::Destroy { reason: "destroyed-by-others", with_before: false };
    agent.observed(&driver, &desk, &desk.due(end)).unwrap();
    assert_eq!(points.try_iter().count(), 0);
    vm.destroy().unwrap();
    assert!(agent.stop(LONG));
    agent.leave();
}

#[test]
fn what_cannot_be_read_now_is_told_once_it_can() {
    let Some((_dir, agent, points, said)) = agent_that_says() else { return };
    let driver = agent.driver().unwrap();
    let uuid = "00000000-0000-0000-0000-00000000000d";
    let xml = domain("unread", uuid);
    let vm = driver.connection.create_xml(&xml, virt_hooks_libvirt::CreateFlags::NONE).unwrap();
    assert_eq!(points.recv_timeout(LONG).unwrap(), "after_vm_start");
    // The record is there once its hooks ran, and then not written again.
    let record = virt_hooks_engine::record_path(&driver.state_dir, uuid);
    let away = record.with_extension("away");
    let begun = Instant::now();
    while !driver.records.load(uuid).unwrap().is_some_and(|r| r.underway.is_empty()) && begun.elapsed() < LONG
    {
        thread::yield_now();
    }
    // Root reads everything that is a file; nobody may see a moment without one.
    std::fs::create_dir(&away).unwrap();
    let exchange = || {
        rustix::fs::renameat_with(CWD, &record, CWD, &away, rustix::fs::RenameFlags::EXCHANGE).unwrap();
    };
    exchange();
    vm.destroy().unwrap();
    let tries = |line: &String| line.contains("trying again until it works");
    while !tries(&said.recv_timeout(LONG).unwrap()) {}
    assert_eq!(points.try_iter().count(), 0);
    exchange();
    assert_eq!(points.recv_timeout(LONG).unwrap(), "after_vm_destroy");
    assert!(agent.stop(LONG));
    assert_eq!(driver.records.load(uuid).unwrap(), None);
    agent.leave();
}

#[test]
fn a_panic_keeps_no_stop_waiting() {
    let Some((_dir, agent, _points)) = agent() else { return };
    agent.in_background(|| std::panic::resume_unwind(Box::new("on purpose")));
    assert!(agent.stop(LONG));
    agent.leave();
}

#[test]
fn hooks_are_told_once_however_often_one_looks() {
    let Some((_dir, agent, points)) = agent() else { return };
    let driver = agent.driver().unwrap();
    let uuid = "00000000-0000-0000-0000-00000000000a";
    let xml = format!("<domain><name>gone</name><uuid>{uuid}</uuid></domain>");
    driver.adopt(&Machine::read(xml.as_bytes()).unwrap(), Phase::Up).unwrap();
    let desk = driver.desks.as_ref().unwrap().of(uuid);
    let busy = desk.operations.turn();
    for _ in 0..2 {
        agent.look_at(&driver, &desk, driver.records.load(uuid).unwrap().unwrap()).unwrap();
    }
    drop(busy);
    assert!(agent.stop(Duration::from_secs(600)));
    assert_eq!(points.try_iter().filter(|point| point == "after_vm_destroy").count(), 1);
    assert_eq!(driver.records.load(uuid).unwrap(), None);
    agent.leave();
}
