// SPDX-License-Identifier: Apache-2.0
//! The desks of all VMs an agent knows.

use crate::desk::{Desk, Due};
use crate::life::{Life, Step};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

/// Takes care of after-points that no operation claims.
type Observe = Arc<dyn Fn(&Arc<Desk>, Due) + Send + Sync>;

/// How many ends are remembered.
const REMEMBERED: usize = 1000;

/// One desk for each VM.
pub(crate) struct Desks {
    uri: String,
    observe: Observe,
    desks: Mutex<HashMap<String, Arc<Desk>>>,
    /// Why VMs went that nobody here ended, the last few.
    ended: Mutex<VecDeque<(String, &'static str)>>,
}

impl Desks {
    pub(crate) fn new(uri: &str, observe: Observe) -> Arc<Self> {
        Arc::new(Self { uri: uri.to_owned(), observe, desks: Mutex::default(), ended: Mutex::default() })
    }

    /// The desk of a VM, which is down where nobody heard of it.
    pub(crate) fn of(&self, uuid: &str) -> Arc<Desk> {
        let mut desks = self.desks.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || {
            let observe = self.observe.clone();
            Desk::new(uuid, Life::new(&self.uri), Some(Box::new(move |desk, due| observe(desk, due))))
        };
        desks.entry(uuid.to_owned()).or_insert_with(make).clone()
    }

    /// Remembers why a VM went that nobody here ended.
    pub(crate) fn note_end(&self, uuid: &str, reason: &'static str) {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        ended.retain(|(known, _)| known != uuid);
        ended.push_back((uuid.to_owned(), reason));
        if ended.len() > REMEMBERED {
            ended.pop_front();
        }
    }

    /// Why a VM went, where nobody here ended it.
    pub(crate) fn ended(&self, uuid: &str) -> Option<&'static str> {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        ended.iter().find(|(known, _)| known == uuid).map(|(_, reason)| *reason)
    }

    /// The desks of VMs of which an operation did not learn how it ended.
    pub(crate) fn unsettled(&self) -> Vec<Arc<Desk>> {
        let desks = self.desks.lock().unwrap_or_else(PoisonError::into_inner);
        desks.values().filter(|desk| desk.is_unsettled()).cloned().collect()
    }

    /// The desks of VMs that other processes are at.
    pub(crate) fn elsewhere(&self) -> Vec<Arc<Desk>> {
        let desks = self.desks.lock().unwrap_or_else(PoisonError::into_inner);
        desks.values().filter(|desk| desk.is_elsewhere()).cloned().collect()
    }

    /// There is a new connection to libvirt: nothing that the one before had still to tell will come.
    pub(crate) fn reconnected(&self) {
        let all: Vec<Arc<Desk>> = {
            let desks = self.desks.lock().unwrap_or_else(PoisonError::into_inner);
            desks.values().cloned().collect()
        };
        all.iter().for_each(|desk| desk.step(Step::Reconnected));
    }

    /// Forgets VMs that are down and that nobody works on.
    pub(crate) fn tidy(&self) {
        let mut desks = self.desks.lock().unwrap_or_else(PoisonError::into_inner);
        desks.retain(|_, desk| Arc::strong_count(desk) > 1 || desk.phase() != crate::Phase::Down);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::life::After;
    use std::sync::mpsc;
    use virt_hooks_libvirt::{Lifecycle, ResumeReason, StartReason, StopReason};

    #[test]
    fn what_a_lost_connection_had_to_tell_is_not_waited_for() {
        let (sender, observed) = mpsc::channel();
        let desks =
            Desks::new("qemu:///x", Arc::new(move |_: &Arc<Desk>, due: Due| sender.send(due.after).unwrap()));
        let desk = desks.of("u");
        let boot = [Lifecycle::Resumed(ResumeReason::Unpaused), Lifecycle::Started(StartReason::Booted)];
        boot.iter().for_each(|event| desk.event(*event));
        // The word of it is lost; the events of the next start come after the call returned.
        [Step::Destroy, Step::Destroyed].into_iter().for_each(|step| desk.step(step));
        desks.reconnected();
        [Step::Start, Step::Started { paused: false }].into_iter().for_each(|step| desk.step(step));
        boot.iter().for_each(|event| desk.event(*event));
        desk.event(Lifecycle::Stopped(StopReason::Crashed));
        let last = observed.try_iter().last();
        assert_eq!(last, Some(After::Destroy { reason: "crashed", with_before: false }));
    }
}
