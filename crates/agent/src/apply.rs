// SPDX-License-Identifier: Apache-2.0
//! Writing what hooks make of a VM's XML into its stored definition, for those who start it with other tools: libvirt
//! takes no XML from its hook script at a start.
//!
//! The definition is marked, and what was there before is kept: hooks always run on that, so that applying twice is
//! as good as once, whatever the hooks do.

use crate::driver::Driver;
use crate::error::Error;
use crate::occasion::Occasion;
use std::os::fd::BorrowedFd;
use std::time::Duration;
use virt_hooks_contract::Report;
use virt_hooks_engine::Watch;
use virt_hooks_engine::{Applied, AppliedRecords, Machine, Unheeded, unified_xml};
use virt_hooks_libvirt::{Domain, XmlFlags};

/// What of a VM is stored, secrets too.
pub(crate) const STORED: XmlFlags = XmlFlags { secure: true, inactive: true, migratable: false };
const OPERATION: &str = "apply hooks to VM";

/// To which VM hooks are applied, and how.
#[derive(Clone, Debug)]
pub struct ApplyRequest<'a> {
    /// The VM, by name or UUID.
    pub vm: &'a str,
    /// Whether what was applied is to be undone.
    pub undo: bool,
    /// Whether the definition stays as it is, and only what would become of it is told. Hooks run all the same.
    pub dry_run: bool,
    /// The deadline of each hook, before all other settings.
    pub timeout: Option<Duration>,
    /// Whether reports hold a diff for each hook that changed something.
    pub with_diff: bool,
    /// When this becomes readable it is given up, as long as nothing was written.
    pub cancel: Option<BorrowedFd<'a>>,
}

/// What became of a definition.
#[derive(Clone, Debug)]
pub struct Defined {
    /// The VM's name.
    pub name: String,
    /// Its UUID.
    pub uuid: String,
    /// Whether the definition is, or would be, another now.
    pub changed: bool,
    /// What changed, as a unified diff with secrets masked.
    pub diff: String,
}

impl Driver {
    /// Applies hooks to the stored definition of a VM, or undoes that. `reports` gets the record of each event.
    ///
    /// # Errors
    /// A veto, a definition that others changed at the same places, or libvirt's refusal; the definition is as it was
    /// then.
    pub fn apply(
        &self,
        request: &ApplyRequest<'_>,
        watch: &mut dyn Watch,
        reports: &mut Vec<Report>,
    ) -> Result<Defined, Error> {
        let domain = self.connection.lookup(request.vm).map_err(Error::Unreachable)?;
        let (name, uuid) = (domain.name().to_owned(), domain.uuid().to_owned());
        let _place = self.place_beside(&uuid, &name, request.cancel, watch, reports)?;
        if !domain.is_persistent().map_err(Error::Unreachable)? {
            return Err(Error::NotStored(name));
        }
        let current = stored(&domain)?;
        let former = self.before_hooks(&uuid, &current)?;
        if request.undo {
            let former = former.ok_or_else(|| Error::NotApplied(name.clone()))?;
            return self.write(request, &domain, &current, &former, None);
        }
        let mut machine = Machine::read(former.as_deref().unwrap_or(&current).as_bytes())?;
        let base = machine.xml().to_owned();
        let mut occasion = Occasion {
            driver: self,
            operation: OPERATION,
            reason: "apply",
            vm: machine.vm.clone(),
            launch_flags: None,
            timeout: request.timeout,
            cancel: request.cancel,
            untouched: "its definition is as it was",
            with_diff: request.with_diff,
            reports,
            watch,
        };
        occasion.edit(&mut machine)?;
        if machine.xml() == base {
            // Nothing to apply; what an earlier set of hooks had done is undone.
            return self.write(request, &domain, &current, &base, None);
        }
        let edited = machine.xml().to_owned();
        // What hooks made of the properties is what libvirt's hook script will see.
        let mut marked = Machine::read(edited.as_bytes())?;
        let mark = self.fingerprint(&marked)?;
        marked.set_mark(&mark)?;
        let record = Applied { name, mark, former: base, edited, applied: None };
        let known = self.records().load(&uuid).map_err(|e| self.unreadable(&uuid, e))?;
        let again = known.is_some_and(|k| {
            (&k.mark, &k.edited, k.applied.as_deref()) == (&record.mark, &record.edited, Some(&*current))
        });
        let xml = if again { current.as_str() } else { marked.xml() };
        self.write(request, &domain, &current, xml, Some(record))
    }

    /// The definition without what was applied to it; `None` where nothing was.
    pub(crate) fn before_hooks(&self, uuid: &str, current: &str) -> Result<Option<String>, Error> {
        let machine = Machine::read(current.as_bytes())?;
        let Some(mark) = machine.mark() else { return Ok(None) };
        let records = self.records();
        let name = machine.name().to_owned();
        match records.load(uuid).map_err(|e| self.unreadable(uuid, e))? {
            Some(record) if record.mark == mark => match record.undone(current) {
                Some(former) if Machine::read(former.as_bytes()).is_ok_and(|m| m.mark().is_none()) => {
                    Ok(Some(former))
                }
                _ => Err(Error::ChangedSince { name, record: records.path(uuid) }),
            },
            _ => Err(Error::Unrecorded(name)),
        }
    }

    /// Stores `xml`, and with it what undoes it.
    fn write(
        &self,
        request: &ApplyRequest<'_>,
        domain: &Domain,
        current: &str,
        xml: &str,
        record: Option<Applied>,
    ) -> Result<Defined, Error> {
        let (name, uuid) = (domain.name().to_owned(), domain.uuid().to_owned());
        let records = self.records();
        let changed = xml != current;
        let done = |diff| Defined { name: name.clone(), uuid: uuid.clone(), changed, diff };
        if request.dry_run {
            return Ok(done(unified_xml(current, xml)));
        }
        let unwritten = |source| Error::File { doing: "write", path: records.path(&uuid), source };
        if changed {
            let earlier = records.load(&uuid).map_err(|e| self.unreadable(&uuid, e))?;
            if let Some(record) = &record {
                // Before the definition: without it nobody could undo what a crash leaves.
                records.save(&uuid, record).map_err(unwritten)?;
            }
            if let Err(source) = self.connection.define_xml(xml) {
                match &earlier {
                    Some(earlier) => records.save(&uuid, earlier),
                    None => records.remove(&uuid),
                }
                .map_err(unwritten)?;
                return Err(Error::Refused { operation: OPERATION, vm: name, source: Box::new(source) });
            }
            if let Some(mut record) = record {
                record.applied = Some(stored(domain)?);
                records.save(&uuid, &record).map_err(unwritten)?;
            } else {
                records.remove(&uuid).map_err(unwritten)?;
            }
        }
        if !request.undo {
            Unheeded::of(&self.state_dir).forget(&uuid);
        }
        Ok(done(unified_xml(current, &stored(domain)?)))
    }

    fn fingerprint(&self, machine: &Machine) -> Result<String, Error> {
        let points = ["before_device_create", "before_vm_start"].map(|name| self.catalogue.get(name));
        let points: Vec<_> = points.into_iter().flatten().collect();
        self.engine.fingerprint(&points, machine).map_err(|trouble| Error::Trouble {
            operation: OPERATION,
            vm: machine.name().to_owned(),
            point: "before_vm_start".to_owned(),
            trouble: trouble.line(),
        })
    }

    fn records(&self) -> AppliedRecords {
        AppliedRecords::of(&self.state_dir)
    }

    fn unreadable(&self, uuid: &str, source: std::io::Error) -> Error {
        Error::File { doing: "read", path: self.records().path(uuid), source }
    }
}

fn stored(domain: &Domain) -> Result<String, Error> {
    domain.xml(STORED).map_err(Error::Unreachable)
}
