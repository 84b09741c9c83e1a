// SPDX-License-Identifier: Apache-2.0
//! What a package's files ask for when they are installed and removed: units, system users, rules of udev.
//!
//! Each step is taken only where there is somebody to take it: in an image that is being made nothing runs.

use super::parcel::{Item, ItemKind};
use std::fmt::Write;

/// What is run when a package comes and goes: the lines of shell scripts. Empty: none. Their first argument is rpm's:
/// how many packages of this name there will be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scripts {
    /// After its files came.
    pub after_install: String,
    /// Before its files go.
    pub before_remove: String,
    /// After they went.
    pub after_remove: String,
}

/// The files that matter, by what is to be done for them.
struct Needs<'a> {
    units: Vec<&'a str>,
    has_unit_files: bool,
    sysusers: Vec<&'a str>,
    tmpfiles: Vec<&'a str>,
    udev: bool,
}

const UNIT_DIRS: [&str; 2] = ["/usr/lib/systemd/system/", "/etc/systemd/system/"];
/// What can be started by itself.
const STARTED: [&str; 4] = [".service", ".socket", ".timer", ".path"];

impl<'a> Needs<'a> {
    fn of(items: &'a [Item]) -> Self {
        let places: Vec<&str> =
            items.iter().filter(|i| i.kind != ItemKind::Directory).map(Item::place).collect();
        let below = |dir: &str| places.iter().copied().filter(|p| p.starts_with(dir)).collect::<Vec<_>>();
        let files: Vec<&str> =
            UNIT_DIRS.iter().flat_map(|d| places.iter().filter_map(move |p| p.strip_prefix(d))).collect();
        Self {
            units: files
                .iter()
                .copied()
                // Not drop-ins, and not templates, which have no instance yet.
                .filter(|f| !f.contains('/') && !f.contains("@.") && STARTED.iter().any(|s| f.ends_with(s)))
                .collect(),
            has_unit_files: !files.is_empty(),
            sysusers: below("/usr/lib/sysusers.d/"),
            tmpfiles: below("/usr/lib/tmpfiles.d/"),
            udev: places.iter().any(|p| p.starts_with("/usr/lib/udev/") || p.starts_with("/etc/udev/")),
        }
    }

    /// System users before everything that may use them.
    fn users_and_files(&self, script: &mut String) {
        for file in &self.sysusers {
            let _ = writeln!(
                script,
                "if command -v systemd-sysusers >/dev/null; then systemd-sysusers '{file}' || :; fi"
            );
        }
        if !self.tmpfiles.is_empty() {
            script.push_str("if [ -d /run/systemd/system ]; then\n");
            for file in &self.tmpfiles {
                let _ = writeln!(script, "\tsystemd-tmpfiles --create '{file}' || :");
            }
            script.push_str("fi\n");
        }
    }
}

const RELOAD_UDEV: &str = "if [ -d /run/udev ]; then udevadm control --reload || :; fi\n";

/// The units among these files that run by themselves.
pub fn units(items: &[Item]) -> Vec<String> {
    Needs::of(items).units.into_iter().map(str::to_owned).collect()
}

/// For rpm: presets decide which units are started.
pub fn rpm(items: &[Item]) -> Scripts {
    let needs = Needs::of(items);
    let mut scripts = Scripts::default();
    needs.users_and_files(&mut scripts.after_install);
    let udev = if needs.udev { RELOAD_UDEV } else { "" };
    let reload = "if [ -d /run/systemd/system ]; then systemctl daemon-reload || :; fi\n";
    scripts.after_install.push_str(udev);
    if needs.has_unit_files {
        scripts.after_install.push_str(reload);
        scripts.after_remove.push_str(reload);
    }
    scripts.after_remove.push_str(udev);
    if !needs.units.is_empty() {
        let units = needs.units.join(" ");
        // The number is that of the packages of this name that will be installed when the command is done.
        let _ = write!(
            scripts.after_install,
            "if [ \"$1\" -eq 1 ] && command -v systemctl >/dev/null; then\n\
             \tsystemctl --no-reload preset {units} || :\nfi\n"
        );
        let _ = write!(
            scripts.before_remove,
            "if [ \"$1\" -eq 0 ] && command -v systemctl >/dev/null; then\n\
             \tsystemctl --no-reload disable {units} || :\n\
             \tif [ -d /run/systemd/system ]; then systemctl stop {units} || :; fi\nfi\n"
        );
        let _ = write!(
            scripts.after_remove,
            "if [ \"$1\" -ge 1 ] && [ -d /run/systemd/system ]; then\n\tsystemctl try-restart {units} || :\nfi\n"
        );
    }
    scripts
}

/// For dpkg: its helpers start units as Debian's policy wants it.
pub(super) fn deb(items: &[Item]) -> Scripts {
    let needs = Needs::of(items);
    let mut scripts = Scripts::default();
    let mut install = String::new();
    needs.users_and_files(&mut install);
    if needs.udev {
        install.push_str(RELOAD_UDEV);
        scripts.after_remove.push_str(RELOAD_UDEV);
    }
    let reload = "if [ -d /run/systemd/system ]; then systemctl --system daemon-reload >/dev/null || :; fi\n";
    for unit in &needs.units {
        let _ = write!(
            install,
            "deb-systemd-helper unmask '{unit}' >/dev/null || :\n\
             if deb-systemd-helper --quiet was-enabled '{unit}'; then\n\
             \tdeb-systemd-helper enable '{unit}' >/dev/null || :\n\
             else\n\
             \tdeb-systemd-helper update-state '{unit}' >/dev/null || :\n\
             fi\n"
        );
    }
    if needs.has_unit_files {
        install.push_str(reload);
    }
    if !needs.units.is_empty() {
        let units = needs.units.join("' '");
        let _ = write!(
            install,
            "if [ -d /run/systemd/system ]; then\n\
             \tif [ -n \"$2\" ]; then action=restart; else action=start; fi\n\
             \tdeb-systemd-invoke \"$action\" '{units}' >/dev/null || :\nfi\n"
        );
        let _ = write!(
            scripts.before_remove,
            "if [ \"$1\" = remove ] && [ -d /run/systemd/system ]; then\n\
             \tdeb-systemd-invoke stop '{units}' >/dev/null || :\nfi\n"
        );
    }
    if needs.has_unit_files {
        let _ = write!(scripts.after_remove, "if [ \"$1\" = remove ]; then\n\t{reload}fi\n");
    }
    if !needs.units.is_empty() {
        let units = needs.units.join("' '");
        let _ = write!(
            scripts.after_remove,
            "if command -v deb-systemd-helper >/dev/null; then\n\
             \tif [ \"$1\" = remove ]; then deb-systemd-helper mask '{units}' >/dev/null || :; fi\n\
             \tif [ \"$1\" = purge ]; then\n\
             \t\tdeb-systemd-helper purge '{units}' >/dev/null || :\n\
             \t\tdeb-systemd-helper unmask '{units}' >/dev/null || :\n\
             \tfi\nfi\n"
        );
    }
    if !install.is_empty() {
        scripts.after_install = format!("case $1 in\nconfigure | abort-*) ;;\n*) exit 0 ;;\nesac\n{install}");
    }
    scripts
}
