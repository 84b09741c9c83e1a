// SPDX-License-Identifier: Apache-2.0
//! Reports the interface of a network as down when none of the network's addresses has answered for a minute.

use std::fs;
use std::io::ErrorKind;
use virt_hooks_sdk::serde_json::{self, Value};
use virt_hooks_sdk::{Context, Failure};

/// VDSM's networks: a JSON file each.
const NETWORKS: &str = "/var/lib/vdsm/persistence/netconf/nets";

/// What the daemon notes: a file per network, with the seconds since boot at which an address answered.
const ANSWERS: &str = "/run/vdsm/checkips";

/// Seconds for which an answer counts.
const FRESH: f64 = 60.0;

pub(crate) fn run(hook: &mut Context) -> Result<(), Failure> {
    let mut down = Vec::new();
    for (network, config) in networks(hook)? {
        if !is_checked(hook, &network, &config) || answered(hook, &network)? {
            continue;
        }
        let device = ["nic", "bonding"].iter().find_map(|&kind| config.get(kind)?.as_str());
        down.extend(device.filter(|device| !device.is_empty()).map(str::to_owned));
    }
    if down.is_empty() {
        return Ok(());
    }
    let mut stats = hook.json()?;
    for device in down {
        let state = |stats: &Value| Some(stats.get("network")?.get(&device)?.get("state").cloned());
        match state(&stats) {
            None => hook.log(format_args!("checkips: {device} is not in the statistics and left out")),
            Some(Some(Value::String(state))) if state == "down" => {}
            Some(_) => {
                let entry = stats.get_mut("network").and_then(|network| network.get_mut(&device));
                if let Some(Value::Object(entry)) = entry {
                    entry.insert("state".into(), "down".into());
                }
            }
        }
    }
    Ok(stats.save()?)
}

fn networks(hook: &Context) -> Result<Vec<(String, Value)>, Failure> {
    let directory = hook.host().path(NETWORKS);
    let told = |error: std::io::Error| Failure::stop(format_args!("read {}: {error}", directory.display()));
    let entries = match fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(told(error)),
    };
    let mut networks = Vec::new();
    for entry in entries {
        let entry = entry.map_err(told)?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if name.starts_with('.') {
            continue;
        }
        let bytes = fs::read(entry.path()).map_err(told)?;
        let config = serde_json::from_slice(&bytes)
            .map_err(|error| Failure::stop(format_args!("network {name}: expected JSON: {error}")))?;
        networks.push((name, config));
    }
    networks.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(networks)
}

/// Whether the network has an address to check. The daemon goes by the same rule.
fn is_checked(hook: &Context, network: &str, config: &Value) -> bool {
    ["checkipv4", "checkipv6"].iter().any(|&property| {
        let address = config.get("custom").and_then(|custom| custom.get(property)).and_then(Value::as_str);
        match address.unwrap_or_default() {
            "" => false,
            refused if refused.starts_with('-') => {
                hook.log(format_args!(
                    "{property} of network {network}: expected an address or a host's name"
                ));
                false
            }
            _ => true,
        }
    })
}

/// By the clock that no one sets and that goes on while the host sleeps.
fn seconds_since_boot(hook: &Context) -> Result<f64, Failure> {
    let text = hook.host().read("/proc/uptime")?.unwrap_or_default();
    let first = text.split_whitespace().next().and_then(|seconds| seconds.parse().ok());
    first.ok_or_else(|| Failure::stop("checkips: /proc/uptime does not say how long the host has been up"))
}

fn answered(hook: &Context, network: &str) -> Result<bool, Failure> {
    let noted = hook.host().read(format!("{ANSWERS}/{network}")).ok().flatten();
    let Some(noted) = noted.and_then(|text| text.parse::<f64>().ok()) else { return Ok(false) };
    // Asked after the note was read, so a time that is still to come is of nobody who could know.
    let now = seconds_since_boot(hook)?;
    Ok((0.0..=FRESH).contains(&(now - noted)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use std::process::Command;

    struct Machine(tempfile::TempDir);

    impl Machine {
        fn new() -> Self {
            let machine = Self(tempfile::tempdir().unwrap());
            machine.write("/proc/uptime", "1000.50 3.00\n");
            machine
        }

        fn write(&self, path: &str, text: &str) {
            let path = self.path(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }

        fn path(&self, path: &str) -> std::path::PathBuf {
            self.0.path().join(path.trim_start_matches('/'))
        }

        fn network(&self, name: &str, config: &str) {
            self.write(&format!("{NETWORKS}/{name}"), config);
        }

        fn hook(&self, json: &str) -> Context {
            Context::for_test().with_host(self.0.path()).with_json(json)
        }

        fn after(&self, json: &str) -> String {
            let mut hook = self.hook(json);
            run(&mut hook).unwrap();
            hook.json_text()
        }
    }

    const UP: &str = r#"{"network": {"eth0": {"state": "up"}, "bond0": {"state": "up"}}, "x": 1}"#;
    const ETH0_DOWN: &str = r#"{"network": {"eth0": {"state": "down"}, "bond0": {"state": "up"}}, "x": 1}"#;

    #[test]
    fn old_answers_do_not_count_nor_do_those_to_come() {
        let machine = Machine::new();
        machine.network("red", r#"{"nic": "eth0", "custom": {"checkipv4": "10.0.0.1"}}"#);
        assert_eq!(machine.after(UP), ETH0_DOWN);
        // VDSM's place is that of other files too.
        machine.write("/run/vdsm/red", "1000");
        for (noted, fresh) in [
            ("1000.5", true),
            ("940.5", true),
            ("940.4", false),
            ("1000.6", false),
            ("x", false),
            ("NaN", false),
        ] {
            machine.write(&format!("{ANSWERS}/red"), noted);
            assert_eq!(machine.after(UP), if fresh { UP } else { ETH0_DOWN }, "{noted}");
        }
        assert_eq!(machine.after(ETH0_DOWN), ETH0_DOWN);
    }

    #[test]
    fn networks_without_addresses_or_devices_are_left_alone() {
        let machine = Machine::new();
        for config in [
            r#"{"nic": "eth0"}"#,
            r#"{"nic": "eth0", "custom": null}"#,
            r#"{"nic": "eth0", "custom": {"checkipv4": "", "checkipv6": null}}"#,
            r#"{"nic": "eth0", "custom": {"checkipv4": "-f"}}"#,
            r#"{"nic": "eth9", "custom": {"checkipv4": "10.0.0.1"}}"#,
            r#"{"custom": {"checkipv6": "::1"}}"#,
            "[]",
        ] {
            machine.network("red", config);
            assert_eq!(machine.after(UP), UP, "{config}");
        }
    }

    #[test]
    fn a_bond_is_meant_where_there_is_no_nic() {
        let machine = Machine::new();
        machine.network("red", r#"{"nic": null, "bonding": "bond0", "custom": {"checkipv6": "::1"}}"#);
        machine.network("blue", r#"{"nic": "eth0", "vlan": 3, "custom": {"checkipv4": "a.example"}}"#);
        let both = ETH0_DOWN.replace("up", "down");
        assert_eq!(machine.after(UP), both);
    }

    #[test]
    fn without_networks_nothing_is_read() {
        run(&mut Context::for_test()).unwrap();
    }

    #[test]
    fn unreadable_configuration_stops() {
        let machine = Machine::new();
        machine.network("red", "{");
        let mut hook = machine.hook(UP);
        let failure = run(&mut hook).unwrap_err();
        assert!(failure.stops() && failure.message().starts_with("network red"));
        assert_eq!(hook.json_text(), UP);
    }

    /// The daemon, once, with a ping that answers for some addresses only.
    #[test]
    fn the_daemon_notes_who_answers() {
        let machine = Machine::new();
        if Command::new("python3").arg("--version").output().is_err() {
            println!("skipped: no python3");
            return;
        }
        let ping =
            "#!/bin/sh\necho \"$@\" >>\"$PINGS\"\ncase \"$*\" in *10.0.0.1) ;; *) echo lost; exit 1;; esac\n";
        machine.write("bin/ping", ping);
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(machine.path("bin/ping"), executable).unwrap();
        machine.network("red", r#"{"custom": {"checkipv4": "10.0.0.1", "checkipv6": "::1"}}"#);
        machine.network("storage", r#"{"custom": {"checkipv4": "10.0.0.2"}}"#);
        machine.network("odd", r#"{"custom": {"checkipv4": "-f"}}"#);
        machine.network("null", r#"{"custom": null}"#);
        machine.network("broken", "{");
        fs::create_dir_all(machine.path(ANSWERS)).unwrap();
        // Left by somebody who wanted the daemon to write elsewhere.
        std::os::unix::fs::symlink("/nonexistent/x", machine.path(ANSWERS).join("red")).unwrap();
        let daemon = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../hooks/checkips/checkipsd");
        let output = Command::new("python3")
            .arg(daemon)
            .args(["--once", "--networks"])
            .arg(machine.path(NETWORKS))
            .arg("--answers")
            .arg(machine.path(ANSWERS))
            .env("PATH", format!("{}:/usr/bin:/bin", machine.path("bin").display()))
            .env("PINGS", machine.path("pings"))
            .output()
            .unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{told}");
        let mut pings: Vec<_> =
            fs::read_to_string(machine.path("pings")).unwrap().lines().map(str::to_owned).collect();
        pings.sort();
        assert_eq!(pings, ["-4 -c 1 -w 15 -- 10.0.0.1", "-4 -c 1 -w 15 -- 10.0.0.2", "-6 -c 1 -w 15 -- ::1"]);
        let noted: Vec<_> =
            fs::read_dir(machine.path(ANSWERS)).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(noted, ["red"]);
        machine.write("/proc/uptime", &fs::read_to_string("/proc/uptime").unwrap());
        assert!(answered(&machine.hook(UP), "red").unwrap());
        for line in ["10.0.0.2", "odd", "broken"] {
            assert!(told.contains(line), "{told}");
        }
    }
}
