// SPDX-License-Identifier: Apache-2.0
//! libvirt's own hook script: whether it is called, and what it could not do.

use super::finding::{Finding, Kind, Severity};
use super::machine::Machine;
use super::quote;
use super::survey::Survey;
use crate::libvirt_script::{DRIVERS, Entry, Places};
use virt_hooks_engine::Unheeded;

const INSTALL: &str = "virt-hooks libvirt-hook install";

pub(super) fn check(survey: &Survey<'_>, machine: &Machine, out: &mut Vec<Finding>) {
    // It is about the host, not about a point.
    if !survey.all {
        return;
    }
    let state = survey.host.state_dir.clone();
    // What the links lead to is theirs to say; this is for installing them only.
    let places = Places::below(machine.root.as_deref(), "/usr/bin/virt-hooks".into(), state);
    for driver in DRIVERS {
        script(&places, driver, out);
    }
    for (vm, note) in Unheeded::of(&survey.host.state_dir).list() {
        out.push(
            Finding::new(Severity::Warning, Kind::EditsWithoutEffect, &note)
                .what(format!(
                    "says that hooks change the XML of VM {}, which was started without these changes",
                    vm.escape_debug()
                ))
                .why(
                    "libvirt takes no XML from its hook script at a start, so that these hooks had no effect",
                )
                .mend(format!(
                    "virt-hooks vm apply {} # or start it with: virt-hooks vm start",
                    quote::word(vm.as_bytes())
                )),
        );
    }
}

fn script(places: &Places, driver: &str, out: &mut Vec<Finding>) {
    let link = places.link(driver);
    match places.entry(driver) {
        // Not every host wants it; and what cannot be read cannot be told.
        Ok(Entry::Missing) | Err(_) => {}
        Ok(Entry::Dangling(target)) => out.push(
            Finding::new(Severity::Broken, Kind::HookScriptDangling, &link)
                .what(format!("leads to {}, which is not there", target.display()))
                .why("libvirt finds nothing to run there and says nothing, so that no hook runs where it calls")
                .mend(INSTALL),
        ),
        Ok(Entry::Foreign) => out.push(
            Finding::new(Severity::Warning, Kind::HookScriptForeign, &link)
                .what("has the name of our hook script, and is no link to virt-hooks")
                .why("it is left alone, and virt-hooks is not called in its place")
                .mend(format!("ls -l {} # to see whose it is; then {INSTALL}", quote::path(&link))),
        ),
        Ok(Entry::Installed(_)) => {
            for daemon in places.daemons().iter().filter(|d| d.drivers.contains(&driver)) {
                if !places.is_seen(daemon, driver) {
                    out.push(
                        Finding::new(Severity::Broken, Kind::HookScriptUnseen, &link)
                            .what(format!("came after {} (process {}) had looked for it", daemon.name, daemon.pid))
                            .why("a daemon of libvirt's looks for scripts when it starts and when it is reloaded only")
                            .mend(INSTALL),
                    );
                }
            }
        }
    }
}
