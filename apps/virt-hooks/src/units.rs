// SPDX-License-Identifier: Apache-2.0
//! Units of systemd whose package is about to go.

use crate::streams::Streams;
use std::path::Path;
use std::process::{Command, Stdio};
use virt_hooks_package::build::Scripts;
use virt_hooks_package::shelf::Root;

/// Those that were enabled, and those that ran, before they were stopped: should their package stay after all, they
/// are to be as before.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Running {
    enabled: Vec<String>,
    active: Vec<String>,
}

impl Running {
    /// Asks systemd of the units that these scripts stop; in an image there are none.
    pub(crate) fn of(root: &Root, going: &Scripts) -> Self {
        if !root.is_host() || !Path::new("/run/systemd/system").is_dir() {
            return Self::default();
        }
        Self::asked("systemctl", &going.units)
    }

    fn asked(systemctl: &str, units: &[String]) -> Self {
        let are = |question: &str| {
            let is = |unit: &&String| said(systemctl, &[question, "--quiet", unit]);
            units.iter().filter(is).cloned().collect()
        };
        Self { enabled: are("is-enabled"), active: are("is-active") }
    }

    /// Has systemd have them as they were.
    pub(crate) fn put_back(&self, streams: &mut Streams<'_>) {
        for unit in self.put_back_by("systemctl") {
            streams
                .warn(&format!("{unit} was stopped and could not be started again: systemctl status {unit}"));
        }
    }

    fn put_back_by(&self, systemctl: &str) -> Vec<&str> {
        let not = |verb: &str, units: &'_ [String]| -> Vec<usize> {
            (0..units.len()).filter(|&i| !said(systemctl, &[verb, &units[i]])).collect()
        };
        let mut failed: Vec<&str> =
            not("enable", &self.enabled).into_iter().map(|i| &*self.enabled[i]).collect();
        failed.extend(not("start", &self.active).into_iter().map(|i| &*self.active[i]));
        failed.dedup();
        failed
    }
}

fn said(systemctl: &str, arguments: &[&str]) -> bool {
    let silent = || Stdio::null();
    let ran =
        Command::new(systemctl).args(arguments).stdin(silent()).stdout(silent()).stderr(silent()).status();
    ran.is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_ran_is_started_again_and_what_did_not_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let (systemctl, log) = (dir.path().join("systemctl"), dir.path().join("log"));
        let script = format!(
            "#!/bin/sh\necho \"$*\" >>{}\ncase \"$*\" in *is-active*b.timer|*is-enabled*a.service|start*stuck*) exit 3;; esac\n",
            log.display()
        );
        fs::write(&systemctl, script).unwrap();
        fs::set_permissions(&systemctl, fs::Permissions::from_mode(0o755)).unwrap();
        let systemctl = systemctl.to_str().unwrap();
        let units = ["a.service", "b.timer", "stuck.service"].map(str::to_owned);
        let before = Running::asked(systemctl, &units);
        let owned = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        assert_eq!(before.enabled, owned(&["b.timer", "stuck.service"]));
        assert_eq!(before.active, owned(&["a.service", "stuck.service"]));
        fs::write(&log, "").unwrap();
        assert_eq!(before.put_back_by(systemctl), ["stuck.service"]);
        let said = fs::read_to_string(&log).unwrap();
        assert_eq!(said, "enable b.timer\nenable stuck.service\nstart a.service\nstart stuck.service\n");
    }

    #[test]
    fn an_image_has_no_units_that_run() {
        let dir = tempfile::tempdir().unwrap();
        let going = Scripts { units: vec!["a.service".to_owned()], ..Scripts::default() };
        assert_eq!(Running::of(&Root::at(dir.path()).unwrap(), &going), Running::default());
    }
}
