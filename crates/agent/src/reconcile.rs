// SPDX-License-Identifier: Apache-2.0
//! Finding out what happened while nobody looked: this process, an agent or libvirt was gone.

use crate::driver::Driver;
use crate::error::Error;
use crate::life::{After, Found, Life, Phase, Step};
use crate::occasion::Occasion;
use crate::record::Record;
use crate::restore::{RESTORE, RESTORE_SNAPSHOT};
use crate::scene::Noting;
use virt_hooks_contract::Report;
use virt_hooks_engine::{LaunchFlags, Machine, Watch};
use virt_hooks_libvirt::{ErrorKind, StateInfo, XmlFlags};

/// What a VM's record and libvirt say together.
pub(crate) struct Assessed {
    /// The VM as it is.
    pub(crate) life: Life,
    /// What hooks were not told.
    pub(crate) afters: Vec<After>,
    machine: Machine,
}

impl Driver {
    /// Compares a VM's record with libvirt.
    pub(crate) fn assess(&self, record: &Record) -> Result<Assessed, Error> {
        let (found, live) = self.found(&record.uuid)?;
        let mut life = Life::resumed(self.connection.uri(), record.phase);
        let mut afters = life.step(Step::Found(found));
        if record.phase == Phase::Starting {
            let restoring = record.was_at(RESTORE) || record.was_at(RESTORE_SNAPSHOT);
            match found {
                Found::Gone => {
                    afters = vec![After::Destroy { reason: "start-failed", with_before: true }];
                }
                _ if restoring => {
                    afters = vec![After::Dehibernate { from_snapshot: record.was_at(RESTORE_SNAPSHOT) }];
                }
                _ => {}
            }
        }
        if record.phase == Phase::MigratingIn && found == Found::Gone {
            afters = vec![After::Destroy { reason: "migrate-failed", with_before: true }];
        }
        let machine = match live {
            Some(live) => live,
            None => Machine::read(record.xml.as_bytes())?,
        };
        Ok(Assessed { life, afters, machine })
    }

    /// Fires what hooks were not told, each hook once, and brings the record up to date.
    pub(crate) fn catch_up(
        &self,
        record: &Record,
        assessed: Assessed,
        watch: &mut dyn Watch,
        reports: &mut Vec<Report>,
    ) -> Result<(), Error> {
        let Assessed { life, afters, machine } = assessed;
        LaunchFlags::remove_left(&self.launch_flags_dir, &record.uuid);
        if !afters.is_empty() {
            let vm = (record.uuid.as_str(), record.name.as_str());
            let notes = self.records.begin(vm, "reconcile", record.phase, machine.xml())?;
            let mut noting = Noting::new(watch, notes);
            let mut occasion = Occasion::afterwards(
                self,
                ("look after VM", "reconcile"),
                machine.vm.clone(),
                reports,
                &mut noting,
            );
            for after in afters {
                occasion.fire_after(after, &machine, Some(record));
            }
        }
        if life.phase() == Phase::Down {
            self.records.remove(&record.uuid);
            return Ok(());
        }
        self.adopt(&machine, life.phase())
    }

    /// Puts a VM on record as it is.
    pub(crate) fn adopt(&self, machine: &Machine, phase: Phase) -> Result<(), Error> {
        self.records.put(&Record {
            uuid: machine.vm.id.clone(),
            name: machine.name().to_owned(),
            phase,
            xml: machine.xml().to_owned(),
            underway: Vec::new(),
        })
    }

    /// What libvirt says of a VM, and its XML where it runs.
    pub(crate) fn found(&self, uuid: &str) -> Result<(Found, Option<Machine>), Error> {
        let gone = |e: &virt_hooks_libvirt::Error| e.kind == ErrorKind::NoDomain;
        let domain = match self.connection.lookup(uuid) {
            Ok(domain) => domain,
            Err(e) if gone(&e) => return Ok((Found::Gone, None)),
            Err(e) => return Err(Error::Unreachable(e)),
        };
        let (phase, xml) = (self.phase_in_libvirt(uuid)?, domain.xml(XmlFlags::default()));
        let found = match phase {
            Phase::Paused if domain.state().is_ok_and(StateInfo::is_migrating) => Found::Migrating,
            Phase::Down => return Ok((Found::Gone, None)),
            Phase::Paused => Found::Paused,
            _ => Found::Running,
        };
        match xml {
            Ok(xml) => Ok((found, Some(Machine::read(xml.as_bytes())?))),
            Err(e) if gone(&e) => Ok((Found::Gone, None)),
            Err(e) => Err(Error::Unreachable(e)),
        }
    }
}
