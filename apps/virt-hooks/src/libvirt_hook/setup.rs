// SPDX-License-Identifier: Apache-2.0
//! `libvirt-hook install`, `remove` and `status`.

use crate::cli::{LibvirtHookCommand, Locations, SetUp};
use crate::environ::Environ;
use crate::failure::Failure;
use crate::render::{Style, paint, printable};
use crate::streams::{Look, Streams};
use std::path::{Path, PathBuf};
use virt_hooks_contract::exit;
use virt_hooks_package::libvirt_script::{Change, DRIVERS, Entry, Places, Reload, ScriptError, remarks};

/// The prefix this was built for.
const PREFIX: &str = match option_env!("VIRT_HOOKS_PREFIX") {
    Some(prefix) => prefix,
    None => "/usr",
};

impl From<ScriptError> for Failure {
    fn from(e: ScriptError) -> Self {
        Self::unusable(e.to_string())
    }
}

pub(super) fn run(
    command: &LibvirtHookCommand,
    locations: &Locations,
    environ: &Environ,
    streams: &mut Streams<'_>,
) -> Result<u8, Failure> {
    let (LibvirtHookCommand::Install(set_up)
    | LibvirtHookCommand::Remove(set_up)
    | LibvirtHookCommand::Status(set_up)) = command;
    let places = places(set_up, locations, environ)?;
    match command {
        LibvirtHookCommand::Install(_) => {
            let changes = places.install()?;
            tell(&changes, streams)?;
            if set_up.root.is_none() && !places.command.exists() {
                streams.say(&warning(streams.errors_look, "there is no command where the links lead to"));
            }
            for remark in remarks(&places.command) {
                streams.say(&format!("{}\n", printable(&remark)));
            }
            reload(&places, streams)?;
        }
        LibvirtHookCommand::Remove(_) => {
            // A daemon that goes on looking finds nothing: it need not be told.
            tell(&places.remove()?, streams)?;
        }
        LibvirtHookCommand::Status(_) => return status(&places, streams),
    }
    Ok(exit::command::PROCEED)
}

fn places(set_up: &SetUp, locations: &Locations, environ: &Environ) -> Result<Places, Failure> {
    let installed = || Path::new(PREFIX).join("bin/virt-hooks");
    let command: PathBuf = match (&set_up.command, &set_up.root) {
        (Some(command), _) if command.is_absolute() && command.ends_with("virt-hooks") => command.clone(),
        (Some(command), _) => {
            return Err(Failure::usage(format!(
                "--command {}: give the full path of a file called virt-hooks",
                command.display()
            )));
        }
        (None, Some(_)) => installed(),
        (None, None) => environ.executable().unwrap_or_else(installed),
    };
    Ok(Places::below(set_up.root.as_deref(), command, locations.host(environ)?.state_dir))
}

fn tell(changes: &[Change], streams: &mut Streams<'_>) -> Result<(), Failure> {
    let lines: String =
        changes.iter().map(|c| format!("{}: {}\n", printable(&c.path.to_string_lossy()), c.done)).collect();
    streams.print(lines.as_bytes())
}

fn reload(places: &Places, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let told = places.reload()?;
    let mut lines = String::new();
    for (daemon, how) in &told {
        let how = match how {
            Reload::Systemd => "systemctl reload",
            Reload::Signal => "SIGHUP",
        };
        lines.push_str(&format!("{} (process {}): reloaded by {how}\n", daemon.name, daemon.pid));
    }
    if told.is_empty() {
        lines.push_str("no daemon of libvirt's runs: the next one will see it when it starts\n");
    }
    streams.print(lines.as_bytes())
}

fn status(places: &Places, streams: &mut Streams<'_>) -> Result<u8, Failure> {
    let mut good = true;
    let mut lines = String::new();
    for driver in DRIVERS {
        let link = places.link(driver);
        let (what, fine) = match places.entry(driver)? {
            Entry::Installed(target) => (format!("leads to {}", target.display()), true),
            Entry::Dangling(target) => (
                format!(
                    "leads to {}, which is not there: \"virt-hooks libvirt-hook install\"",
                    target.display()
                ),
                false,
            ),
            Entry::Missing => ("not installed: \"virt-hooks libvirt-hook install\"".to_owned(), false),
            Entry::Foreign => ("somebody else's file, which has our name".to_owned(), false),
        };
        good &= fine;
        lines.push_str(&format!("{}: {}\n", printable(&link.to_string_lossy()), printable(&what)));
        if !fine {
            continue;
        }
        for daemon in places.daemons().iter().filter(|d| d.drivers.contains(&driver)) {
            let seen = places.is_seen(daemon, driver);
            good &= seen;
            let says = if seen {
                "calls it"
            } else {
                "was not told of it: \"virt-hooks libvirt-hook install\" reloads it"
            };
            lines.push_str(&format!("  {} (process {}) {says}\n", daemon.name, daemon.pid));
        }
    }
    if places.daemons().is_empty() {
        lines.push_str("no daemon of libvirt's runs: the next one will see what is installed\n");
    }
    streams.print(lines.as_bytes())?;
    Ok(if good { exit::command::PROCEED } else { exit::command::VETO })
}

fn warning(look: Look, text: &str) -> String {
    format!("{}: {text}\n", paint("warning", Style::Odd, look))
}
