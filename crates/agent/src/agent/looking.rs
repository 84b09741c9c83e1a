// SPDX-License-Identifier: Apache-2.0
//! Looking: every VM on record is compared with libvirt, after a start of this process and after each loss of the
//! connection; a VM of which nobody knows where it is, as soon as its operation is over.

use super::Agent;
use super::observing::Complaining;
use crate::desk::{Desk, Due};
use crate::desks::Desks;
use crate::driver::Driver;
use crate::error::Error;
use crate::life::{Life, Phase, Step};
use crate::record::Record;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use virt_hooks_engine::{Teller, taken_locks};

/// How many VMs a processor waits for at once; they wait for libvirt, most of the time.
const LOOKS: usize = 4;

impl Agent {
    /// Compares all VMs with their records, before the first event is passed on: what events tell of that time
    /// again changes nothing.
    pub(super) fn look(self: &Arc<Self>, driver: &Arc<Driver>, there: &HashSet<String>) -> Result<(), Error> {
        let Some(desks) = &driver.desks else { return Ok(()) };
        desks.reconnected();
        // A daemon that was just started takes up running VMs in the background.
        let there: Vec<&String> = there.iter().collect();
        let cpus = thread::available_parallelism().map_or(1, std::num::NonZero::get);
        for_each(&there, cpus.saturating_mul(LOOKS), |uuid| {
            drop(driver.connection.lookup(uuid).map(|domain| domain.settle()));
        });
        let first = !self.state().looked;
        // After that others are kept out.
        let mut known: HashSet<String> = HashSet::new();
        if first {
            known.extend(taken_locks(&driver.engine.settings().run_dir));
        }
        for uuid in &known {
            let desk = desks.of(uuid);
            desk.set_elsewhere(true);
            let phase = driver
                .phase_in_libvirt(uuid)
                .or_else(|error| self.pass_over(driver, uuid, error).map(|()| Phase::Down))?;
            desk.reset(Life::resumed(driver.connection.uri(), phase));
        }
        for uuid in driver.records.uuids()? {
            if known.contains(&uuid) {
                continue;
            }
            let desk = desks.of(&uuid);
            let record = match self.record(driver, &uuid) {
                Ok(Some(record)) => record,
                Ok(None) => continue,
                Err(error) => {
                    // Not to be taken for a VM without one; it is looked at again until it can be read.
                    if !desk.attended() {
                        desk.reset(Life::resumed(driver.connection.uri(), driver.phase_in_libvirt(&uuid)?));
                    }
                    desk.unsettle();
                    self.pass_over(driver, &uuid, error)?;
                    known.insert(uuid);
                    continue;
                }
            };
            known.insert(uuid);
            // What an operation is at is its own to end.
            if desk.attended() {
                // But what was told of the VM meanwhile is lost.
                desk.unsettle();
            } else {
                // Until it is known better.
                desk.reset(Life::resumed(driver.connection.uri(), record.phase));
                let name = record.name.clone();
                self.look_at(driver, &desk, record).or_else(|error| self.pass_over(driver, &name, error))?;
            }
        }
        for uuid in driver.running()?.into_iter().filter(|uuid| !known.contains(uuid)) {
            let (found, machine) = match driver.found(&uuid) {
                Ok((found, Some(machine))) => (found, machine),
                Ok((_, None)) => continue,
                Err(error) => {
                    self.pass_over(driver, &uuid, error)?;
                    continue;
                }
            };
            let desk = desks.of(&uuid);
            let was_there = there.contains(&&uuid) && (first || desk.phase() != Phase::Down);
            let before = match driver.handover(&uuid).teller(&machine.life()) {
                Some(Teller::Script) => Phase::Down,
                // Somebody's VM: from now on it is ours to look after.
                None if was_there => Phase::Down,
                // It was left to an agent, or started while nobody listened.
                Some(Teller::Agent) | None => Phase::Starting,
            };
            let mut life = Life::resumed(driver.connection.uri(), before);
            let afters = life.step(Step::Found(found));
            if afters.is_empty() {
                driver.adopt(&machine, life.phase())?;
            }
            desk.reset(life);
            afters.into_iter().for_each(|after| desk.leave(desk.due(after)));
        }
        Ok(())
    }

    /// What is on record of a VM. A damaged record is told of, and is none.
    pub(super) fn record(&self, driver: &Driver, uuid: &str) -> Result<Option<Record>, Error> {
        driver.records.load_or_say(uuid, &mut |line| self.chronicler.say(line))
    }

    /// One VM that cannot be looked at keeps nobody from the others; a connection that is lost does.
    fn pass_over(&self, driver: &Driver, vm: &str, error: Error) -> Result<(), Error> {
        if !driver.connection.is_alive() {
            return Err(error);
        }
        self.chronicler.say(&format!("VM {vm}: {error}: what happened to it before is not known"));
        Ok(())
    }

    /// Compares one VM with its record; what follows is fired by a thread of its own.
    pub(super) fn look_at(
        self: &Arc<Self>,
        driver: &Arc<Driver>,
        desk: &Arc<Desk>,
        record: Record,
    ) -> Result<(), Error> {
        let assessed = driver.assess(&record)?;
        desk.reset(assessed.life.clone());
        let turns: Vec<Due> = assessed.afters.iter().map(|after| desk.due(*after)).collect();
        let operation = desk.operations.turn();
        // Most VMs have nothing to tell: hundreds of them need no threads.
        if turns.is_empty() && operation.is_up() {
            return driver.catch_up(&record, assessed, &mut Complaining { agent: self }, &mut Vec::new());
        }
        let (agent, driver, desk) = (self.clone(), driver.clone(), desk.clone());
        self.in_background(move || {
            operation.wait();
            // One after the other they would wait for each other: the first one's turn ends with the last one's.
            turns.iter().take(1).for_each(Due::wait);
            // Hooks may know by now: from a look before this one, over a connection that did not last, or from what
            // was told of the VM since.
            let record = match agent.record(&driver, &record.uuid) {
                Ok(Some(now)) if now.phase == record.phase => now,
                Ok(_) => return,
                Err(error) => {
                    agent.chronicler.say(&format!("VM {}: {error}", record.name));
                    desk.unsettle();
                    return;
                }
            };
            let mut reports = Vec::new();
            let mut watch = Complaining { agent: &agent };
            if let Err(error) = driver.catch_up(&record, assessed, &mut watch, &mut reports) {
                agent.chronicler.say(&format!("VM {}: {error}", record.name));
            }
            agent.chronicler.fired(&reports);
            drop((turns, operation, desk));
        });
        Ok(())
    }

    /// Looks at VMs whose operation ended without knowing how. `unread` has those whose record could not be read, which was said once.
    pub(super) fn look_again(self: &Arc<Self>, driver: &Arc<Driver>, unread: &mut HashSet<String>) {
        let Some(desks) = &driver.desks else { return };
        self.look_where_others_were(driver, desks);
        for desk in desks.unsettled() {
            if desk.attended() {
                continue;
            }
            let record = match self.record(driver, &desk.uuid) {
                Ok(record) => record,
                Err(error) => {
                    if unread.insert(desk.uuid.clone()) {
                        self.chronicler
                            .say(&format!("VM {}: {error}; trying again until it works", desk.uuid));
                    }
                    continue;
                }
            };
            unread.remove(&desk.uuid);
            let Some(record) = record else {
                desk.settled();
                continue;
            };
            match self.look_at(driver, &desk, record) {
                Ok(()) => desk.settled(),
                // Where the connection is lost, after the next one.
                Err(error) => {
                    if self.pass_over(driver, &desk.uuid, error).is_ok() {
                        desk.settled();
                    }
                }
            }
        }
    }

    /// Looks at VMs that another process was at an operation on, once it is done.
    fn look_where_others_were(self: &Arc<Self>, driver: &Arc<Driver>, desks: &Desks) {
        let desks = desks.elsewhere();
        if desks.is_empty() {
            return;
        }
        let taken = taken_locks(&driver.engine.settings().run_dir);
        for desk in desks.into_iter().filter(|desk| !desk.attended() && !taken.contains(&desk.uuid)) {
            desk.set_elsewhere(false);
            let look = || match self.record(driver, &desk.uuid) {
                // It was killed, or an agent had the VM on record before.
                Ok(Some(record)) => self.look_at(driver, &desk, record),
                Err(error) => {
                    desk.unsettle();
                    Err(error)
                }
                // Its hooks know where the VM is.
                Ok(None) => {
                    let (found, machine) = driver.found(&desk.uuid)?;
                    let mut life = Life::resumed(driver.connection.uri(), Phase::Down);
                    life.step(Step::Found(found));
                    if let Some(machine) = machine {
                        driver.adopt(&machine, life.phase())?;
                    }
                    desk.reset(life);
                    Ok(())
                }
            };
            // Where the connection is lost, after the next one.
            if let Err(error) = look()
                && self.pass_over(driver, &desk.uuid, error).is_err()
            {
                desk.set_elsewhere(true);
            }
        }
    }
}

impl Driver {
    /// The UUIDs of the VMs that run.
    pub(super) fn running(&self) -> Result<Vec<String>, Error> {
        let all = self.connection.list().map_err(Error::Unreachable)?;
        Ok(all.into_iter().filter(|vm| vm.id.is_some()).map(|vm| vm.uuid).collect())
    }
}

/// Does something with each item, with so many at once.
fn for_each<T: Sync>(items: &[T], at_once: usize, work: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    let take_turns = || {
        while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
            work(item);
        }
    };
    thread::scope(|scope| {
        for _ in 1..at_once.min(items.len()) {
            // Without a thread to spare the others do more.
            if thread::Builder::new().name("look".to_owned()).spawn_scoped(scope, take_turns).is_err() {
                break;
            }
        }
        take_turns();
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Mutex, mpsc};
    use std::time::Duration;

    const LONG: Duration = Duration::from_secs(600);

    #[test]
    fn a_few_at_once_and_a_slow_one_keeps_only_its_own_place() {
        let items: Vec<usize> = (0..500).collect();
        let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let (done, all) = mpsc::channel();
        let (release, held) = mpsc::channel::<()>();
        let held = Mutex::new(held);
        thread::scope(|scope| {
            scope.spawn(|| {
                for_each(&items, 4, |item| {
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    if *item == 0 {
                        let _ = held.lock().unwrap().recv();
                    }
                    now.fetch_sub(1, Ordering::SeqCst);
                    done.send(*item).unwrap();
                });
            });
            // All others, before the slow one.
            for _ in 1..500 {
                assert_ne!(all.recv_timeout(LONG).unwrap(), 0);
            }
            release.send(()).unwrap();
            assert_eq!(all.recv_timeout(LONG).unwrap(), 0);
        });
        assert!(most.into_inner() <= 4);
    }
}
