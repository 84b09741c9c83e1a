// SPDX-License-Identifier: Apache-2.0
//! Devices that guests let go of after all (C32).

use crate::devices::Changed;
use crate::devices::live::{lacks, read};
use crate::devices::unplug::Kind;
use crate::driver::Driver;
use crate::error::Error;
use crate::occasion::Occasion;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use virt_hooks_contract::Report;
use virt_hooks_domxml::Element;
use virt_hooks_engine::machine::Machine;
use virt_hooks_engine::{CustomProperties, Watch};
use virt_hooks_libvirt::ErrorKind;

/// Devices whose guests were asked to let go, and had not when the wait was over; by UUID of the VM and alias.
#[derive(Default)]
pub(crate) struct PendingRemovals(Mutex<HashMap<(String, String), Pending>>);

/// What the point after the removal needs.
pub(super) struct Pending {
    pub(super) kind: &'static Kind,
    /// libvirt's number of the run of the VM: another run has other devices.
    pub(super) run: Option<u32>,
    pub(super) machine: Machine,
    pub(super) device: Element,
    pub(super) label: String,
    pub(super) xml: String,
    pub(super) properties: CustomProperties,
}

impl PendingRemovals {
    pub(super) fn put(&self, uuid: &str, alias: &str, pending: Pending) {
        let mut all = self.all();
        // Another run of the VM has other devices.
        all.retain(|(vm, _), known| vm != uuid || known.run == pending.run);
        all.insert((uuid.to_owned(), alias.to_owned()), pending);
    }

    /// The name of the VM, where its device is waited for.
    fn name(&self, uuid: &str, alias: &str) -> Option<String> {
        let all = self.all();
        all.get(&(uuid.to_owned(), alias.to_owned())).map(|pending| pending.machine.name().to_owned())
    }

    pub(super) fn take(&self, uuid: &str, alias: &str) -> Option<Pending> {
        self.all().remove(&(uuid.to_owned(), alias.to_owned()))
    }

    /// The VM ended, and with it its devices.
    pub(crate) fn forget(&self, uuid: &str) {
        self.all().retain(|(vm, _), _| vm != uuid);
    }

    fn all(&self) -> std::sync::MutexGuard<'_, HashMap<(String, String), Pending>> {
        // Each step leaves the table whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Driver {
    /// Whether [`Driver::late_removal`] would have something to do.
    pub(crate) fn awaits_removal(&self, uuid: &str, alias: &str) -> bool {
        self.removals.name(uuid, alias).is_some()
    }

    /// The devices that guests were asked to let go of and that are gone from their VMs by now, by UUID and alias: the
    /// word of it was lost together with a connection.
    pub(crate) fn removed_unheard(&self) -> Vec<(String, String)> {
        let awaited: Vec<(String, String, &str)> = {
            let all = self.removals.all();
            all.iter().map(|((uuid, alias), p)| (uuid.clone(), alias.clone(), p.kind.element)).collect()
        };
        let gone = |uuid: &str, alias: &str, kind: &str| {
            let now = self.connection.lookup(uuid).map_err(Error::Unreachable).and_then(|d| read(&d));
            now.is_ok_and(|now| lacks(&now, kind, alias))
        };
        let gone = awaited.into_iter().filter(|(uuid, name, kind)| gone(uuid, name, kind));
        gone.map(|(uuid, alias, _)| (uuid, alias)).collect()
    }

    /// A device is gone, long after this driver asked for it: fires the point after the unplug (C32). For who
    /// gets libvirt's events, from each [`DeviceChange::Removed`](virt_hooks_libvirt::DeviceChange::Removed); `None` where this driver waits for no such
    /// device, which is most often so, because whoever unplugs hears of it himself.
    ///
    /// # Errors
    /// Without an agent: another operation on the VM is under way. Or libvirt does not answer: try again later.
    pub fn late_removal(
        &self,
        uuid: &str,
        alias: &str,
        watch: &mut dyn Watch,
        reports: &mut Vec<Report>,
    ) -> Result<Option<Changed>, Error> {
        let Some(name) = self.removals.name(uuid, alias) else { return Ok(None) };
        // First the VM: whoever is at it may be about to take the same removal.
        let place = self.place_beside(uuid, &name, None, watch, reports)?;
        let Some(pending) = self.removals.take(uuid, alias) else { return Ok(None) };
        let domain = match self.connection.lookup(uuid) {
            Ok(domain) => domain,
            Err(e) if e.kind == ErrorKind::NoDomain => return Ok(None),
            Err(e) => {
                self.removals.put(uuid, alias, pending);
                return Err(Error::Unreachable(e));
            }
        };
        if domain.id() != pending.run {
            return Ok(None);
        }
        let mut occasion = Occasion::afterwards(
            self,
            (pending.kind.operation, pending.kind.reason),
            pending.machine.vm.clone(),
            reports,
            watch,
        );
        Ok(Some(occasion.removed(&domain, &pending, place, true)))
    }
}
