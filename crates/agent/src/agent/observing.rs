// SPDX-License-Identifier: Apache-2.0
//! After-points that no operation claims: fired by a thread for each, in turn with the others of the VM.

use super::Agent;
use crate::desk::{Desk, Due};
use crate::driver::Driver;
use crate::error::Error;
use crate::life::{After, Phase};
use crate::occasion::Occasion;
use crate::scene::Noting;
use std::sync::{Arc, Weak};
use virt_hooks_engine::{Machine, OBSERVE, Teller, Watch};

pub(super) fn observe(agent: &Weak<Agent>, desk: &Arc<Desk>, due: Due) {
    let Some(agent) = agent.upgrade() else { return };
    let Some(driver) = agent.state().driver.clone() else { return };
    let (this, desk) = (agent.clone(), desk.clone());
    agent.in_background(move || {
        if let Err(error) = this.observed(&driver, &desk, &due) {
            this.chronicler.say(&format!("VM {}: {error}", desk.uuid));
        }
    });
}

impl Agent {
    /// Fires after-points that no operation claimed.
    pub(super) fn observed(&self, driver: &Driver, desk: &Arc<Desk>, due: &Due) -> Result<(), Error> {
        due.wait();
        // Where it cannot be read, what is due is found out once it can.
        let record = self.record(driver, &desk.uuid).inspect_err(|_| desk.unsettle())?;
        let live = driver.found(&desk.uuid).ok().and_then(|(_, machine)| machine);
        let known = || record.as_ref().and_then(|r| Machine::read(r.xml.as_bytes()).ok());
        let handover = driver.handover(&desk.uuid);
        let gone = due.after.ends_life();
        // Of a VM that is gone the last that was known; a life after it is another's.
        let machine = if gone { known() } else { live.or_else(known) };
        let Some(machine) = machine else {
            // It came and went faster than anybody could look; or it began or went while we did not watch.
            self.chronicler.say(&format!(
                "VM {}: gone before its XML was read, or libvirt's hook script told of its end: {:?} was not fired",
                desk.uuid, due.after
            ));
            driver.records.remove(&desk.uuid);
            return Ok(());
        };
        let starts = matches!(due.after, After::Start | After::Dehibernate { .. });
        if starts && handover.teller(&machine.life()) == Some(Teller::Script) {
            let phase = match desk.phase() {
                Phase::Down | Phase::GoingDown | Phase::Starting => Phase::Up,
                phase => phase,
            };
            return driver.adopt(&machine, phase);
        }
        let before = record.map_or(Phase::Starting, |record| record.phase);
        let before = match due.after {
            After::Hibernate => Phase::Saving,
            After::MigrateSource => Phase::MigratingOut,
            _ => before,
        };
        let notes = driver.records.begin((&machine.vm.id, machine.name()), OBSERVE, before, machine.xml())?;
        if starts {
            // The record says from here on what is to tell.
            handover.clear();
        }
        let mut reports = Vec::new();
        let mut watch = Complaining { agent: self };
        let mut noting = Noting::new(&mut watch, notes.clone());
        let mut occasion = Occasion::afterwards(
            driver,
            ("look after VM", due.after.reason()),
            machine.vm.clone(),
            &mut reports,
            &mut noting,
        );
        occasion.fire_after(due.after, &machine, None);
        let after = match (due.after, desk.phase()) {
            // Part of what an operation is at, which has noted how far it is.
            (After::Pause(_) | After::Cont, phase @ (Phase::Saving | Phase::MigratingOut)) => phase,
            (After::Pause(_), _) => Phase::Paused,
            // The destroy points follow.
            (After::Hibernate, _) => Phase::Saving,
            (After::MigrateSource, _) => Phase::MigratingOut,
            (After::Destroy { .. }, _) => Phase::Down,
            (After::Cont, _) | (_, Phase::Down | Phase::GoingDown | Phase::Starting) => Phase::Up,
            (_, phase) => phase,
        };
        match after {
            // Until those have run: who comes after a crash must not repeat what ran.
            Phase::Saving | Phase::MigratingOut if gone => notes.phase(after, None),
            _ => notes.end(after, true),
        }
        self.chronicler.fired(&reports);
        Ok(())
    }
}

/// Wants to know what is worth a line in the log.
pub(super) struct Complaining<'a> {
    pub(super) agent: &'a Agent,
}

impl virt_hooks_engine::Observer for Complaining<'_> {}

impl Watch for Complaining<'_> {
    fn warning(&mut self, text: &str) {
        self.agent.chronicler.say(text);
    }

    fn outcome(&mut self, outcome: &virt_hooks_engine::Outcome) {
        let error = outcome.error_text();
        if !error.is_empty() {
            self.agent.chronicler.say(&format!("{}: {error}", outcome.point));
        }
    }
}
