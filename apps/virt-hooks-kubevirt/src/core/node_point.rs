// SPDX-License-Identifier: Apache-2.0
//! Points of the node a VM is on (plugins, KubeVirt 1.9).

use super::cancel::Cancel;
use super::driver::{Driver, Firing, PRE_VM_START};
use super::refusal::Refusal;
use super::vmi::Vmi;
use crate::log;
use virt_hooks_engine::{Check, Document, Vm};

/// A point of KubeVirt's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodePoint {
    /// Before the VM starts.
    PreVmStart,
    /// The VM has started.
    PostVmStart,
    /// Before the VM stops.
    PreVmStop,
    /// The VM has stopped.
    PostVmStop,
    /// Before the VM leaves.
    PreMigrationSource,
    /// Before the VM arrives.
    PreMigrationTarget,
    /// The VM has left.
    PostMigrationSource,
    /// The VM has arrived.
    PostMigrationTarget,
}

impl NodePoint {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::PreVmStart,
        Self::PostVmStart,
        Self::PreVmStop,
        Self::PostVmStop,
        Self::PreMigrationSource,
        Self::PreMigrationTarget,
        Self::PostMigrationSource,
        Self::PostMigrationTarget,
    ];

    /// The point of KubeVirt's name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|p| p.name() == name)
    }

    /// KubeVirt's name for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::PreVmStart => "PreVMStart",
            Self::PostVmStart => "PostVMStart",
            Self::PreVmStop => "PreVMStop",
            Self::PostVmStop => "PostVMStop",
            Self::PreMigrationSource => "PreMigrationSource",
            Self::PreMigrationTarget => "PreMigrationTarget",
            Self::PostMigrationSource => "PostMigrationSource",
            Self::PostMigrationTarget => "PostMigrationTarget",
        }
    }

    /// The hook point fired for it. `before_vm_start` edits a domain XML, which there is none of here, so
    /// `PreVMStart` has a point of its own.
    pub fn hook_point(self) -> &'static str {
        match self {
            Self::PreVmStart => PRE_VM_START,
            Self::PostVmStart => "after_vm_start",
            Self::PreVmStop => "before_vm_destroy",
            Self::PostVmStop => "after_vm_destroy",
            Self::PreMigrationSource => "before_vm_migrate_source",
            Self::PreMigrationTarget => "before_vm_migrate_destination",
            Self::PostMigrationSource => "after_vm_migrate_source",
            Self::PostMigrationTarget => "after_vm_migrate_destination",
        }
    }

    fn is_of_a_migration(self) -> bool {
        matches!(
            self,
            Self::PreMigrationSource
                | Self::PreMigrationTarget
                | Self::PostMigrationSource
                | Self::PostMigrationTarget
        )
    }
}

impl Driver {
    /// Fires a point of the node, once: a controller that retries what was fired to the end gets the same answer.
    ///
    /// # Errors
    /// A hook refuses, or the time is over; then the next try fires it again.
    pub fn node_event(
        &self,
        point: NodePoint,
        vmi: &Vmi,
        node: &str,
        cancel: &Cancel,
    ) -> Result<(), Refusal> {
        let key = key(point, vmi, node);
        if key.as_ref().is_some_and(|k| self.fired.has(k)) {
            log::say(&format!("{}: {} was fired before: not again", vmi.label(), point.name()));
            return Ok(());
        }
        let hook_point = self.point(point.hook_point());
        if !self.has_hooks(&hook_point)? {
            return Ok(());
        }
        let properties = self.properties(vmi)?;
        let vm = Vm {
            id: vmi.firmware_uuid().unwrap_or(vmi.uid()).to_owned(),
            name: Some(vmi.domain_name()),
            properties: properties.vm,
        };
        let firing = Firing {
            point: &hook_point,
            // There is no domain XML here, and nobody reads what hooks leave.
            payload: Document::default(),
            vm: &vm,
            device: None,
            reason: point.name(),
            check: Check::None,
        };
        self.fire(firing, cancel)?;
        if let Some(key) = key
            && let Err(e) = self.fired.add(&key)
        {
            log::say(&format!("warning: write down that {} was fired: {e}", point.name()));
        }
        Ok(())
    }
}

/// What tells this event from every other. A VMI starts and stops once; it may migrate often, and a migration
/// that cannot be told from the last one is fired rather than left out.
fn key(point: NodePoint, vmi: &Vmi, node: &str) -> Option<String> {
    let which = if point.is_of_a_migration() { vmi.migration()? } else { "" };
    let node = if node.is_empty() { vmi.node().unwrap_or_default() } else { node };
    let key = format!("{} {} {which} {node}", vmi.uid(), point.name());
    (!key.contains(char::is_control)).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_points() {
        for point in NodePoint::ALL {
            assert_eq!(NodePoint::named(point.name()), Some(point));
            let known = virt_hooks_contract::Catalogue::built_in();
            assert!(known.get(point.hook_point()).is_some() || point == NodePoint::PreVmStart, "{point:?}");
        }
        assert_eq!(NodePoint::named("prevmstart"), None);
    }

    #[test]
    fn events_are_told_apart() {
        let vmi = |uid: &str, migration: &str| {
            let json = format!(
                r#"{{"metadata":{{"uid":"{uid}"}},"status":{{"nodeName":"n1","migrationState":{{"migrationUid":"{migration}"}}}}}}"#
            );
            Vmi::parse(json.into_bytes()).unwrap()
        };
        let (start, source) = (NodePoint::PostVmStart, NodePoint::PreMigrationSource);
        assert_eq!(key(start, &vmi("a", ""), "n1"), key(start, &vmi("a", "m"), ""));
        assert_ne!(key(start, &vmi("a", ""), "n1"), key(start, &vmi("b", ""), "n1"));
        assert_ne!(key(start, &vmi("a", ""), "n1"), key(start, &vmi("a", ""), "n2"));
        assert_ne!(key(source, &vmi("a", "m1"), "n1"), key(source, &vmi("a", "m2"), "n1"));
        assert_eq!(key(source, &vmi("a", ""), "n1"), None);
        assert_eq!(key(start, &vmi("a", ""), "n\n1"), None);
    }
}
