// SPDX-License-Identifier: Apache-2.0
//! The disks of a VM that is about to run (VDSM's `after_disk_prepare`, sequences 4.1, 4.3 and 4.10).
//!
//! VDSM fires the point for images that it manages, and prepares them first. Here the disks are what the domain
//! XML says, so the point is fired for every disk and CD-ROM that has a source.

mod drive;

use crate::error::Error;
use crate::occasion::{About, Occasion};
use drive::Drive;
use virt_hooks_contract::env;
use virt_hooks_engine::machine::{Machine, label};

impl Occasion<'_> {
    /// Fires `after_disk_prepare` for each disk, in document order, and puts what hooks make of its description
    /// back into the XML. `flow` is the sequence this is part of: `start`, `restore`, `migration`; only where the
    /// VM is to boot from this XML does the result matter (C25).
    ///
    /// # Errors
    /// A veto; or an answer that cannot be put into the XML.
    pub(crate) fn prepare_disks(&mut self, machine: &mut Machine, flow: &str) -> Result<(), Error> {
        // The file for launch flags is VDSM's from the next step on.
        let flags = self.launch_flags.take();
        let done = self.prepare_each(machine, flow);
        self.launch_flags = flags;
        done
    }

    fn prepare_each(&mut self, machine: &mut Machine, flow: &str) -> Result<(), Error> {
        for disk in machine.doc().devices("disk") {
            let Some(drive) = Drive::read(machine.doc(), disk) else { continue };
            let label = label(machine.doc(), disk);
            let variables = [(env::FLOW, flow)];
            let about = About { device: Some(&label), variables: &variables, ..About::default() };
            let outcome = self.fire_about("after_disk_prepare", &drive.json(), about);
            let changed = outcome.changed;
            let mut kept = Ok(());
            // Also after a veto, so that clean-up finds what hooks before it made.
            self.settle(outcome, |answer| {
                if changed {
                    kept = drive.put_back(machine.doc_mut(), disk, answer.bytes());
                }
            })?;
            kept.map_err(|e| Error::Xml(format!("cannot take {label} from its hooks: {e}")))?;
            self.check_interrupt()?;
        }
        Ok(())
    }
}
