// SPDX-License-Identifier: Apache-2.0
//! An operation by its name: what the agent's socket and the command have in common.

use crate::apply::ApplyRequest;
use crate::destroy::DestroyRequest;
use crate::devices::CHANGES;
use crate::driver::Driver;
use crate::error::Error;
use crate::host::QUESTIONS;
use crate::migrate::MigrateRequest;
use crate::pause::{Served, VmRequest};
use crate::protocol::{Answer, Parameters};
use crate::receive::ReceiveRequest;
use crate::restore::RestoreRequest;
use crate::set::SetRequest;
use crate::start::{Source, StartRequest};
use std::os::fd::BorrowedFd;
use std::time::Duration;
use virt_hooks_contract::Report;
use virt_hooks_engine::Watch;

/// How long a guest may take to shut down, where nobody says.
const SHUTDOWN: Duration = Duration::from_secs(30);
/// How often a busy destination is asked again, and after which time, where nobody says.
const RETRIES: (u32, Duration) = (3, Duration::from_secs(10));

/// The operations on a whole VM.
const LIFE: [&str; 12] = [
    "Start",
    "Pause",
    "Cont",
    "Hibernate",
    "Dehibernate",
    "RestoreSnapshot",
    "Migrate",
    "Receive",
    "Destroy",
    "Shutdown",
    "Set",
    "Apply",
];

/// Everything [`Driver::perform`] knows.
pub fn operations() -> impl Iterator<Item = &'static str> {
    LIFE.into_iter().chain(CHANGES).chain(QUESTIONS)
}

impl Driver {
    /// Does the operation that is called `method` in `io.virthooks.Agent`. The records of its events go to `reports`
    /// alone.
    ///
    /// # Errors
    /// Those of the operation; there is none of that name; a parameter is missing.
    pub fn perform(
        &self,
        method: &str,
        p: &Parameters,
        cancel: Option<BorrowedFd<'_>>,
        watch: &mut dyn Watch,
        reports: &mut Vec<Report>,
    ) -> Result<Answer, Error> {
        if CHANGES.contains(&method) {
            return self.perform_change(method, p, cancel, watch, reports);
        }
        if QUESTIONS.contains(&method) {
            return self.perform_question(method, p, cancel, watch, reports);
        }
        let vm = || p.vm.as_deref().ok_or(Error::Missing("vm"));
        let file = || p.file.as_deref().ok_or(Error::Missing("file"));
        let timeout = p.timeout_ms.map(Duration::from_millis);
        let with_diff = p.diff;
        let request = || Ok::<_, Error>(VmRequest { vm: vm()?, timeout, with_diff, cancel });
        let served = match method {
            "Start" => {
                let source = match &p.xml {
                    Some(xml) => Source::Xml(xml.clone().into_bytes()),
                    None => Source::Stored(vm()?.to_owned()),
                };
                let given = p.properties.iter();
                let properties = given.filter_map(|(n, v)| Some((n.clone(), v.clone()?))).collect();
                let request =
                    StartRequest { source, properties, paused: p.paused, timeout, with_diff, cancel };
                let started = self.start(&request, watch, reports)?;
                Ok(Served { name: started.name, uuid: started.uuid })
            }
            "Pause" => self.pause(&request()?, watch, reports),
            "Cont" => self.cont(&request()?, watch, reports),
            "Hibernate" => self.hibernate(&request()?, file()?, watch, reports),
            "Migrate" => {
                let request = MigrateRequest {
                    vm: request()?,
                    to: p.to.as_deref().ok_or(Error::Missing("to"))?,
                    uri: p.migrate_uri.as_deref(),
                    disks_uri: p.disks_uri.as_deref(),
                    agent: p.to_agent.as_deref(),
                    copy_storage: p.copy_storage,
                    retries: (
                        p.retries.unwrap_or(RETRIES.0),
                        p.retry_wait_ms.map_or(RETRIES.1, Duration::from_millis),
                    ),
                    limit: p.limit_ms.map(Duration::from_millis),
                };
                self.migrate(&request, watch, reports)
            }
            "Receive" => {
                let xml = p.xml.as_deref().ok_or(Error::Missing("xml"))?;
                let attempt = p.attempt.unwrap_or(1);
                let request = ReceiveRequest { xml, attempt, timeout, with_diff, cancel };
                self.receive(&request, watch, reports)
            }
            "Shutdown" => {
                let wait = p.wait_ms.map_or(SHUTDOWN, Duration::from_millis);
                self.shutdown(&request()?, wait, watch, reports)
            }
            "Destroy" => {
                self.destroy(&DestroyRequest { vm: vm()?, with_diff, timeout, cancel }, watch, reports)
            }
            "Set" => {
                let properties = p.properties.clone().into_iter().collect();
                self.set(&SetRequest { vm: vm()?, device: p.device.as_deref(), properties }, watch)
            }
            "Dehibernate" | "RestoreSnapshot" => {
                let from_snapshot = method == "RestoreSnapshot";
                let xml = p.xml.as_deref().filter(|_| from_snapshot);
                let request =
                    RestoreRequest { file: file()?, xml, from_snapshot, timeout, with_diff, cancel };
                self.restore(&request, watch, reports)
            }
            "Apply" => {
                let request =
                    ApplyRequest { vm: vm()?, undo: p.undo, dry_run: p.dry_run, timeout, with_diff, cancel };
                let defined = self.apply(&request, watch, reports)?;
                return Ok(Answer {
                    name: Some(defined.name),
                    uuid: Some(defined.uuid),
                    changed: Some(defined.changed),
                    definition_diff: Some(defined.diff),
                    ..Answer::default()
                });
            }
            _ => Err(Error::Missing("method")),
        }?;
        Ok(Answer { name: Some(served.name), uuid: Some(served.uuid), ..Answer::default() })
    }
}
