// SPDX-License-Identifier: Apache-2.0
//! Tells the engine under which id Neutron's agents know this host.

use virt_hooks_sdk::serde_json::{Map, Value};
use virt_hooks_sdk::{Command, Context, Failure};

const IDS: &str = "openstack_binding_host_ids";

pub(crate) fn run(hook: &mut Context) -> Result<(), Failure> {
    let status = Command::new("/usr/share/openvswitch/scripts/ovs-ctl").arg("status");
    if hook.execute(&status).and_then(|output| output.success(&status)).is_err() {
        hook.log(format!("{IDS}: Open vSwitch is not running"));
        return Ok(());
    }
    let id = match external_id(hook, "odl_os_hostconfig_hostid")? {
        Ok(id) if !id.is_empty() => id,
        _ => match external_id(hook, "hostname")? {
            Ok(id) => id,
            Err(reason) => {
                hook.log(format!("{IDS}: Open vSwitch does not know the host's name: {reason}"));
                return Ok(());
            }
        },
    };
    let mut caps = hook.json().map_err(|error| Failure::go_on(Failure::from(error)))?;
    let ids = caps
        .as_object_mut()
        .ok_or_else(|| Failure::go_on(format!("{IDS}: the capabilities are no object")))?
        .entry(IDS)
        .or_insert_with(|| Value::Object(Map::new()))
        .as_object_mut()
        .ok_or_else(|| Failure::go_on(format!("{IDS} of the capabilities is no object")))?;
    for plugin in ["OPEN_VSWITCH", "OPENSTACK_OVN"] {
        ids.insert(plugin.to_owned(), Value::String(id.clone()));
    }
    caps.save().map_err(|error| Failure::go_on(Failure::from(error)))
}

/// An external id of Open vSwitch; the inner error is why it has none.
///
/// # Errors
/// It answered without any text.
fn external_id(hook: &mut Context, name: &str) -> Result<Result<String, String>, Failure> {
    let command = Command::new("/usr/bin/ovs-vsctl")
        .args(["--no-wait", "--verbose=db_ctl_base:syslog:off", "get", "Open_vSwitch", "."])
        .arg(format!("external_ids:{name}"))
        .sudo();
    let output = match hook.execute(&command).and_then(|output| output.success(&command)) {
        Ok(output) => output.stdout.text(),
        Err(error) => return Ok(Err(Failure::from(error).message().to_owned())),
    };
    let line = output
        .lines()
        .next()
        .ok_or_else(|| Failure::go_on(format!("{IDS}: ovs-vsctl gave nothing for external_ids:{name}")))?;
    Ok(Ok(line.replace('"', "")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use virt_hooks_sdk::Output;

    /// Open vSwitch's answers: exit code and output for the status, the first and the second id.
    fn after(caps: &str, answers: [(u8, &'static str); 3]) -> (Result<(), Failure>, String, Vec<String>) {
        let mut hook = Context::for_test().with_json(caps).with_commands(move |command| {
            let command = command.to_string();
            let (code, stdout) = match command.rsplit(['/', ':']).next() {
                Some("ovs-ctl status") => answers[0],
                Some("odl_os_hostconfig_hostid") => answers[1],
                Some("hostname") => answers[2],
                _ => panic!("{command}"),
            };
            Ok(Output::exited(code, stdout).with_stderr("no key"))
        });
        let result = run(&mut hook);
        (result, hook.json_text(), hook.logged())
    }

    #[test]
    fn the_first_id_that_is_known() {
        for (answers, id) in [
            ([(0, ""), (0, "\"odl\"\n\"x\"\n"), (0, "\"name\"\n")], "odl"),
            ([(0, ""), (1, ""), (0, "\"name\"\n")], "name"),
            ([(0, ""), (0, "\"\"\n"), (0, "na\"me\n")], "name"),
            ([(0, ""), (0, "\"\"\n"), (0, "\"\"\n")], ""),
        ] {
            let (result, caps, logged) = after("{\"a\": 1}", answers);
            result.unwrap();
            assert_eq!(
                caps,
                format!(
                    "{{\"a\": 1, \"{IDS}\": {{\"OPEN_VSWITCH\": \"{id}\", \"OPENSTACK_OVN\": \"{id}\"}}}}"
                )
            );
            assert!(logged.is_empty());
        }
    }

    #[test]
    fn other_ids_stay() {
        let caps = format!("{{\"{IDS}\": {{\"LINUX_BRIDGE\": \"x\", \"OPEN_VSWITCH\": \"old\"}}}}");
        let (result, once, _) = after(&caps, [(0, ""), (0, "h"), (0, "")]);
        result.unwrap();
        let expected = "\"LINUX_BRIDGE\": \"x\", \"OPEN_VSWITCH\": \"h\", \"OPENSTACK_OVN\": \"h\"";
        assert!(once.contains(expected), "{once}");
        assert_eq!(after(&once, [(0, ""), (0, "h"), (0, "")]).1, once);
    }

    #[test]
    fn nothing_known_is_no_failure() {
        for answers in [[(3, ""), (0, "x"), (0, "y")], [(0, ""), (1, ""), (1, "")]] {
            let (result, caps, logged) = after("not even JSON", answers);
            result.unwrap();
            assert_eq!((caps.as_str(), logged.len()), ("not even JSON", 1));
        }
        // Not installed.
        run(&mut Context::for_test()).unwrap();
    }

    #[test]
    fn failures_let_others_go_on() {
        let list = format!("{{\"{IDS}\": []}}");
        for (caps, answer) in [("[]", "h"), ("", "h"), (list.as_str(), "h"), ("{}", "")] {
            let (result, after, _) = after(caps, [(0, ""), (0, answer), (0, "h")]);
            assert_eq!(result.unwrap_err().exit_code(), 1, "{caps}");
            assert_eq!(after, caps);
        }
    }
}
