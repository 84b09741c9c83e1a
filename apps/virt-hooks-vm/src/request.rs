// SPDX-License-Identifier: Apache-2.0
//! From the command line to an operation, as the agent knows it too.

use crate::{apply, devices, inquiries};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use virt_hooks::cli::{Place, Property, Telling, VmApply, VmCommand, Whom};
use virt_hooks::{Failure, Streams, payload};
use virt_hooks_agent::protocol::Parameters;
use virt_hooks_contract::PayloadKind;

/// An operation, or a question.
pub(crate) struct Request<'a> {
    /// Its name in the agent's interface.
    pub(crate) method: &'static str,
    /// Its name in reports.
    pub(crate) verb: &'static str,
    pub(crate) done: Done<'a>,
    pub(crate) parameters: Parameters,
    pub(crate) whom: &'a Whom,
    pub(crate) report: Option<&'a Place>,
    /// Whether people are shown what each hook changes.
    pub(crate) diff: bool,
}

/// What people read once it is done.
pub(crate) enum Done<'a> {
    /// Words before the VM's name and after it.
    Vm(&'static str, &'static str),
    /// What was changed of a VM.
    Change,
    /// What became of a stored definition.
    Definition(&'a VmApply),
    /// The answer, on standard output.
    Document,
}

impl<'a> Request<'a> {
    /// The operation of a command; `None` for one that only reads.
    pub(crate) fn of(
        command: &'a VmCommand,
        limit: u64,
        streams: &mut Streams<'_>,
    ) -> Result<Option<Self>, Failure> {
        match command {
            VmCommand::Apply(command) => return Ok(Some(apply::request(command))),
            VmCommand::Stats(stats) => return Ok(Some(inquiries::of_vms(stats))),
            _ => {}
        }
        if let Some(request) = devices::request(command, limit, streams)? {
            return Ok(Some(request));
        }
        let told = |telling: &Telling| Parameters {
            timeout_ms: telling.timeout.map(milliseconds),
            diff: telling.diff,
            ..Parameters::default()
        };
        let about = |vm: &str, telling: &Telling| Parameters { vm: Some(vm.to_owned()), ..told(telling) };
        let (method, verb, done, parameters, whom, telling) = match command {
            VmCommand::Start(start) => {
                let mut parameters = told(&start.telling);
                parameters.paused = start.paused;
                parameters.properties = properties(&start.property)?;
                match (&start.xml, &start.name) {
                    (Some(place), _) => parameters.xml = Some(xml(place, limit, streams)?),
                    (None, Some(name)) => parameters.vm = Some(name.clone()),
                    (None, None) => {
                        return Err(Failure::usage("which VM? give its name, or its XML with --xml FILE"));
                    }
                }
                ("Start", "start", ("started", " runs"), parameters, &start.whom, Some(&start.telling))
            }
            VmCommand::Create(create) => {
                let parameters = Parameters {
                    paused: create.paused,
                    properties: properties(&create.property)?,
                    xml: Some(xml(&create.xml, limit, streams)?),
                    ..told(&create.telling)
                };
                ("Start", "create", ("started", " runs"), parameters, &create.whom, Some(&create.telling))
            }
            VmCommand::Pause(act) => (
                "Pause",
                "pause",
                ("paused", ""),
                about(&act.vm, &act.telling),
                &act.whom,
                Some(&act.telling),
            ),
            VmCommand::Cont(act) => (
                "Cont",
                "cont",
                ("continued", ""),
                about(&act.vm, &act.telling),
                &act.whom,
                Some(&act.telling),
            ),
            VmCommand::Destroy(act) => (
                "Destroy",
                "destroy",
                ("destroyed", ""),
                about(&act.vm, &act.telling),
                &act.whom,
                Some(&act.telling),
            ),
            VmCommand::Shutdown(act) => {
                let mut parameters = about(&act.vm, &act.telling);
                parameters.wait_ms = act.wait.map(milliseconds);
                ("Shutdown", "shutdown", ("shut down", ""), parameters, &act.whom, Some(&act.telling))
            }
            VmCommand::Migrate(act) => {
                let parameters = Parameters {
                    to: Some(act.to.clone()),
                    migrate_uri: act.migrate_uri.clone(),
                    to_agent: act.to_agent.as_deref().map(absolute).transpose()?,
                    copy_storage: act.copy_storage,
                    disks_uri: act.disks_uri.clone(),
                    retries: act.retries,
                    retry_wait_ms: act.retry_wait.map(milliseconds),
                    limit_ms: act.abort_after.map(milliseconds),
                    ..about(&act.vm, &act.telling)
                };
                ("Migrate", "migrate", ("migrated", ""), parameters, &act.whom, Some(&act.telling))
            }
            VmCommand::Hibernate(act) => {
                let mut parameters = about(&act.vm, &act.telling);
                parameters.file = Some(absolute(&act.file)?);
                ("Hibernate", "hibernate", ("saved", ""), parameters, &act.whom, Some(&act.telling))
            }
            VmCommand::Dehibernate(act) => {
                let parameters = Parameters { file: Some(absolute(&act.file)?), ..told(&act.telling) };
                (
                    "Dehibernate",
                    "dehibernate",
                    ("restored", " runs"),
                    parameters,
                    &act.whom,
                    Some(&act.telling),
                )
            }
            VmCommand::RestoreSnapshot(snapshot) => {
                let act = &snapshot.restore;
                let given = snapshot.xml.as_ref().map(|place| xml(place, limit, streams)).transpose()?;
                let parameters =
                    Parameters { file: Some(absolute(&act.file)?), xml: given, ..told(&act.telling) };
                (
                    "RestoreSnapshot",
                    "restore-snapshot",
                    ("restored", " runs"),
                    parameters,
                    &act.whom,
                    Some(&act.telling),
                )
            }
            VmCommand::Set(set) => {
                let mut properties = properties(&set.property)?;
                properties.extend(set.unset.iter().map(|name| (name.clone(), None)));
                let parameters = Parameters {
                    vm: Some(set.vm.clone()),
                    device: set.device.clone(),
                    properties,
                    ..Parameters::default()
                };
                ("Set", "set", ("set", ""), parameters, &set.whom, None)
            }
            _ => return Ok(None),
        };
        Ok(Some(Self {
            method,
            verb,
            done: Done::Vm(done.0, done.1),
            parameters,
            whom,
            report: telling.and_then(|t| t.report.as_ref()),
            diff: telling.is_some_and(|t| t.diff),
        }))
    }
}

pub(crate) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The agent has another directory. The protocol has paths as text, and so do libvirt's.
fn absolute(file: &Path) -> Result<PathBuf, Failure> {
    let path =
        std::path::absolute(file).map_err(|e| Failure::unusable(format!("find {}: {e}", file.display())))?;
    match path.to_str() {
        Some(_) => Ok(path),
        None => Err(Failure::usage(format!(
            "the path {} is not UTF-8: give the file another name",
            path.display()
        ))),
    }
}

fn xml(place: &Place, limit: u64, streams: &mut Streams<'_>) -> Result<String, Failure> {
    read_xml("domain", place, limit, streams)
}

/// The XML of something, which the protocol has as text.
pub(crate) fn read_xml(
    of: &str,
    place: &Place,
    limit: u64,
    streams: &mut Streams<'_>,
) -> Result<String, Failure> {
    let given = payload::read(place, &mut *streams.input, limit, PayloadKind::Xml, true)?;
    String::from_utf8(given.bytes.bytes().to_vec()).map_err(|_| {
        Failure::unusable(format!("the {of} XML is not UTF-8: convert it with `iconv -t UTF-8`"))
    })
}

/// Properties are kept in XML, which is text.
pub(crate) fn properties(given: &[Property]) -> Result<BTreeMap<String, Option<String>>, Failure> {
    let text = |property: &Property| match String::from_utf8(property.value.clone()) {
        Ok(value) => Ok((property.name.clone(), Some(value))),
        Err(_) => Err(Failure::usage(format!("-p {}: the value is not UTF-8", property.name))),
    };
    given.iter().map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn a_path_that_is_no_text_is_refused() {
        let bad = Path::new(std::ffi::OsStr::from_bytes(b"/srv/\xe9.save"));
        assert!(absolute(bad).unwrap_err().to_string().contains("is not UTF-8"));
        assert_eq!(absolute(Path::new("/srv/\u{e9}.save")).unwrap(), Path::new("/srv/\u{e9}.save"));
    }
}
