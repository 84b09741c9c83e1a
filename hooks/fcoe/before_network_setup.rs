// SPDX-License-Identifier: Apache-2.0
//! Keeps the FCoE configuration of NICs as the networks above them ask for it.

use super::plan::{self, Plan};
use super::settings::Settings;
use crate::shared::network_request::networks;
use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use virt_hooks_sdk::{Command, Context, Failure};

const TEMPLATE: &str = "/etc/fcoe/cfg-ethx";

pub(crate) fn run(hook: &mut Context) -> Result<(), Failure> {
    let payload = hook.json()?;
    let networks = networks(&payload, "fcoe")?;
    // All that can be wrong is found here, before the first file is touched.
    let plan = plan::make(hook, networks)?;
    let mut files = Vec::new();
    if !plan.wanted.is_empty() {
        let template = hook.host().read(TEMPLATE)?;
        let template = template.ok_or_else(|| {
            Failure::stop(format!("fcoe: there is no template {TEMPLATE}: install fcoe-utils"))
        })?;
        let template = Settings::parse(&template)
            .map_err(|reason| Failure::stop(format!("fcoe: {TEMPLATE}: {reason}")))?;
        for (nic, asked) in &plan.wanted {
            files.push((nic, template.with(asked)));
        }
    }
    if apply(hook, &plan, &files)? {
        for service in ["lldpad", "fcoe"] {
            let command = Command::new("/bin/systemctl").args(["restart", service]);
            if let Err(error) = hook.execute(&command).and_then(|output| output.success(&command)) {
                let failure = Failure::from(error);
                hook.log(format!("fcoe: restart {service}: {failure}"));
            }
        }
    }
    Ok(())
}

/// Removes and writes the files; true if one says something else than before.
fn apply(hook: &Context, plan: &Plan, files: &[(&String, Settings)]) -> Result<bool, Failure> {
    let mut changed = false;
    for nic in &plan.unwanted {
        let path = hook.host().path(file_of(nic));
        match fs::remove_file(&path) {
            Ok(()) => changed = true,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(Failure::stop(format!("fcoe: remove {}: {error}", path.display()))),
        }
    }
    for (nic, settings) in files {
        let path = hook.host().path(file_of(nic));
        let old = fs::read_to_string(&path).ok().and_then(|text| Settings::parse(&text).ok());
        if old.as_ref() != Some(settings) {
            replace(&path, &settings.to_string())
                .map_err(|error| Failure::stop(format!("fcoe: write {}: {error}", path.display())))?;
            changed = true;
        }
    }
    Ok(changed)
}

fn file_of(nic: &str) -> String {
    format!("/etc/fcoe/cfg-{nic}")
}

/// Gives the file new content at once; the services never see half of it.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy();
    // The dot keeps it out of the services' cfg-*.
    let beside = path.with_file_name(format!(".{name}.{}.new", std::process::id()));
    let written = OpenOptions::new().write(true).create_new(true).open(&beside).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.set_permissions(Permissions::from_mode(0o644))?;
        file.sync_all()?;
        fs::rename(&beside, path)
    });
    written.inspect_err(|error| {
        if error.kind() != io::ErrorKind::AlreadyExists {
            let _ = fs::remove_file(&beside);
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::rc::Rc;
    use tempfile::TempDir;
    use virt_hooks_sdk::Output;
    use virt_hooks_sdk::serde_json::{Value, json};

    const OLD: &str = "# Generated\nFCOE_ENABLE=\"yes\"\n";

    /// A host where the network "old" has FCoE on eth3.
    fn host() -> TempDir {
        let host = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = host.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        put(
            "etc/fcoe/cfg-ethx",
            "# on or off\nFCOE_ENABLE=\"yes\"\nDCB_REQUIRED='yes' # DCB\n\nMODE=fabric\n",
        );
        put("etc/fcoe/cfg-eth3", OLD);
        put(
            "var/lib/vdsm/staging/netconf/nets/old",
            "{\"nic\": \"eth3\", \"custom\": {\"fcoe\": \"enable=yes\"}}",
        );
        host
    }

    fn run_on(host: &TempDir, networks: &Value) -> (Result<(), Failure>, Vec<String>, Vec<String>) {
        let ran = Rc::new(RefCell::new(Vec::new()));
        let seen = Rc::clone(&ran);
        let mut hook = Context::for_test()
            .with_json(json!({"request": {"networks": networks}}).to_string())
            .with_host(host.path())
            .with_commands(move |command| {
                seen.borrow_mut().push(command.to_string());
                Ok(Output::exited(5, "").with_stderr("Unit not found."))
            });
        let result = run(&mut hook);
        let ran = ran.borrow().clone();
        (result, ran, hook.logged())
    }

    fn files(host: &TempDir) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(host.path().join("etc/fcoe"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != "cfg-ethx")
            .collect();
        names.sort();
        names
    }

    fn text(host: &TempDir, nic: &str) -> String {
        fs::read_to_string(host.path().join("etc/fcoe").join(format!("cfg-{nic}"))).unwrap()
    }

    const RESTARTS: [&str; 2] = ["/bin/systemctl restart lldpad", "/bin/systemctl restart fcoe"];

    #[test]
    fn a_new_one() {
        let host = host();
        let (result, ran, logged) = run_on(
            &host,
            &json!({"new": {"nic": "p1p1", "custom": {"fcoe": " dcb = no ,, auto_vlan=yes,x=y"}}}),
        );
        result.unwrap();
        assert_eq!(ran, RESTARTS);
        assert_eq!(logged.len(), 2);
        assert_eq!(files(&host), ["cfg-eth3", "cfg-p1p1"]);
        let written = text(&host, "p1p1");
        let (first, rest) = written.split_once('\n').unwrap();
        assert!(first.starts_with("# "));
        assert_eq!(rest, "FCOE_ENABLE=\"yes\"\nDCB_REQUIRED=\"no\"\nMODE=\"fabric\"\nAUTO_VLAN=\"yes\"\n");
        let mode = fs::metadata(host.path().join("etc/fcoe/cfg-p1p1")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o644);
    }

    #[test]
    fn the_second_time_nothing_is_restarted() {
        let host = host();
        let request = json!({"old": {"nic": "eth3", "custom": {"fcoe": ""}}});
        assert_eq!(run_on(&host, &request).1, RESTARTS);
        let written = text(&host, "eth3");
        assert!(run_on(&host, &request).1.is_empty());
        assert_eq!(text(&host, "eth3"), written);
        // Another comment, such as VDSM's, is no other setting.
        let other = written.replace("# ", "# VDSM ");
        fs::write(host.path().join("etc/fcoe/cfg-eth3"), &other).unwrap();
        assert!(run_on(&host, &request).1.is_empty());
        assert_eq!(text(&host, "eth3"), other);
    }

    #[test]
    fn the_old_nics_file_goes() {
        for network in [
            json!({"remove": "true"}),
            json!({"nic": "eth3"}),
            json!({"nic": "eth5"}),
            json!({"bonding": "bond0"}),
            json!({"nic": "eth5", "custom": {"fcoe": null}}),
        ] {
            let host = host();
            fs::write(host.path().join("etc/fcoe/cfg-eth5"), OLD).unwrap();
            let (result, ran, _) = run_on(&host, &json!({"old": network}));
            result.unwrap();
            assert_eq!(ran, RESTARTS, "{network}");
            assert_eq!(files(&host), ["cfg-eth5"], "{network}");
        }
    }

    #[test]
    fn a_file_that_is_gone_already_is_no_change() {
        let host = host();
        fs::remove_file(host.path().join("etc/fcoe/cfg-eth3")).unwrap();
        let (result, ran, _) = run_on(&host, &json!({"old": {"remove": true}}));
        result.unwrap();
        assert!(ran.is_empty());
    }

    #[test]
    fn moves_and_swaps() {
        let host = host();
        fs::write(
            host.path().join("var/lib/vdsm/staging/netconf/nets/b"),
            "{\"nic\": \"eth4\", \"custom\": {\"fcoe\": \"\"}}",
        )
        .unwrap();
        let on = |nic: &str| json!({"nic": nic, "custom": {"fcoe": "enable=no"}});
        run_on(&host, &json!({"old": on("eth4"), "b": on("eth3")})).0.unwrap();
        assert_eq!(files(&host), ["cfg-eth3", "cfg-eth4"]);
        run_on(&host, &json!({"old": on("eth5"), "b": {"remove": true}})).0.unwrap();
        assert_eq!(files(&host), ["cfg-eth5"]);
    }

    #[test]
    fn another_fcoe_network_keeps_its_nic() {
        let host = host();
        let nets = host.path().join("var/lib/vdsm/staging/netconf/nets");
        fs::copy(nets.join("old"), nets.join("second")).unwrap();
        let (result, ran, _) = run_on(&host, &json!({"old": {"remove": true}}));
        result.unwrap();
        assert!(ran.is_empty());
        assert_eq!(files(&host), ["cfg-eth3"]);
    }

    #[test]
    fn a_mistake_touches_nothing() {
        let long = "x".repeat(1 << 20);
        for (network, said) in [
            (json!({"nic": "eth0", "custom": {"fcoe": "true"}}), "name=value"),
            (json!({"nic": "eth0", "custom": {"fcoe": "enable=maybe"}}), "yes or no"),
            (json!({"nic": "eth0", "custom": {"fcoe": "enable=yes\nX"}}), "yes or no"),
            (json!({"nic": "eth0", "custom": {"fcoe": "dcb=\"$(reboot)\""}}), "yes or no"),
            (json!({"nic": "eth0", "custom": {"fcoe": long}}), "name=value"),
            (json!({"nic": "eth0", "custom": {"fcoe": true}}), "text"),
            (json!({"nic": "eth0", "custom": null}), "custom"),
            (json!({"bonding": "bond0", "custom": {"fcoe": ""}}), "NIC"),
            (json!({"nic": "../../x", "custom": {"fcoe": ""}}), "interface"),
            (json!({"nic": "ethx", "custom": {"fcoe": ""}}), "interface"),
            (json!(5), "object"),
        ] {
            let host = host();
            let (result, ran, _) = run_on(&host, &json!({"old": {"remove": true}, "bad": network}));
            let failure = result.unwrap_err();
            assert_eq!(failure.exit_code(), 2);
            let message = failure.message();
            assert!(message.starts_with("fcoe of network \"bad\": "), "{message}");
            assert!(message.contains(said) && message.len() < 300, "{message}");
            assert!(ran.is_empty());
            assert_eq!(files(&host), ["cfg-eth3"]);
        }
    }

    #[test]
    fn a_template_of_no_use_touches_nothing() {
        for template in [None, Some("FCOE_ENABLE"), Some("A='x")] {
            let host = host();
            let path = host.path().join("etc/fcoe/cfg-ethx");
            fs::remove_file(&path).unwrap();
            if let Some(template) = template {
                fs::write(&path, template).unwrap();
            }
            let networks = json!({"old": {"remove": true}, "new": {"nic": "eth0", "custom": {"fcoe": ""}}});
            let failure = run_on(&host, &networks).0.unwrap_err();
            assert!(failure.message().contains("cfg-ethx"), "{}", failure.message());
            assert_eq!(files(&host), ["cfg-eth3"]);
        }
    }

    #[test]
    fn not_a_request() {
        for payload in ["[]", "{}", "{\"request\": {\"networks\": 1}}", ""] {
            let failure = run(&mut Context::for_test().with_json(payload)).unwrap_err();
            assert_eq!(failure.exit_code(), 2, "{payload}");
        }
    }

    #[test]
    fn a_link_in_the_place_of_the_file_is_not_followed() {
        let host = host();
        let target = host.path().join("target");
        fs::write(&target, "precious").unwrap();
        std::os::unix::fs::symlink(&target, host.path().join("etc/fcoe/cfg-eth0")).unwrap();
        run_on(&host, &json!({"new": {"nic": "eth0", "custom": {"fcoe": ""}}})).0.unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "precious");
        assert!(text(&host, "eth0").contains("FCOE_ENABLE"));
    }
}
