// SPDX-License-Identifier: Apache-2.0
//! Runs ethtool on the NICs of networks that ask for it.

use crate::shared::messages::shown;
use crate::shared::network_request::{for_each_with, is_interface_name};
use virt_hooks_sdk::serde_json::{Map, Value};
use virt_hooks_sdk::{Command, CommandError, Context, Failure};

const PROPERTY: &str = "ethtool_opts";

pub(crate) fn run(hook: &mut Context) -> Result<(), Failure> {
    for_each_with(hook, PROPERTY, set_up)
}

/// Does what one network asks for; says why it could not.
fn set_up(hook: &mut Context, name: &str, network: &Map<String, Value>, options: &str) -> Result<(), String> {
    let commands = split(options);
    if commands.is_empty() {
        return Ok(());
    }
    let nics = nics(hook, network)?;
    for words in commands {
        let [option, device, arguments @ ..] = words.as_slice() else {
            let word = words.first().copied().unwrap_or_default();
            return Err(format!("expected a device after {}", shown(word)));
        };
        let targets: Vec<&str> = match *device {
            "*" => nics.iter().map(String::as_str).collect(),
            _ if nics.is_empty() => return Err("the network has no NICs".to_owned()),
            device if nics.iter().any(|nic| nic == device) => vec![device],
            device => {
                let nics = nics.join(", ");
                return Err(format!("{} is not a NIC of the network, which has {nics}", shown(device)));
            }
        };
        for nic in targets {
            ethtool(hook, name, [*option, nic].into_iter().chain(arguments.iter().copied()))?;
        }
    }
    Ok(())
}

/// Splits the text into commands. One begins at a `-` that does not begin a number.
fn split(options: &str) -> Vec<Vec<&str>> {
    let mut commands: Vec<Vec<&str>> = Vec::new();
    for word in options.split_whitespace() {
        let begins = word
            .strip_prefix('-')
            .and_then(|rest| rest.chars().next())
            .is_some_and(|c| c == '-' || c.is_alphabetic());
        match commands.last_mut() {
            Some(command) if !begins => command.push(word),
            _ => commands.push(vec![word]),
        }
    }
    commands
}

/// The physical NICs of the network: those in its bond now, or its only one.
fn nics(hook: &Context, network: &Map<String, Value>) -> Result<Vec<String>, String> {
    let name = |key: &str| match network.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(name)) if is_interface_name(name) => Ok(Some(name.as_str())),
        Some(_) => Err(format!("\"{key}\" of the network is no name of an interface")),
    };
    if let Some(bond) = name("bonding")? {
        let file = format!("/sys/class/net/{bond}/bonding/slaves");
        let text = hook.host().read(file).map_err(|e| e.to_string())?;
        return Ok(text.unwrap_or_default().split_whitespace().map(str::to_owned).collect());
    }
    Ok(name("nic")?.into_iter().map(str::to_owned).collect())
}

fn ethtool<'a>(
    hook: &mut Context,
    network: &str,
    arguments: impl Iterator<Item = &'a str>,
) -> Result<(), String> {
    let installed = ["/usr/sbin/ethtool", "/sbin/ethtool", "/usr/bin/ethtool"];
    let program = installed.into_iter().find(|path| hook.host().path(path).exists()).unwrap_or("ethtool");
    let command = Command::new(program).args(arguments);
    match hook.execute(&command).and_then(|output| output.success(&command)) {
        Ok(_) => Ok(()),
        Err(CommandError::Start { program, source }) => Err(format!("run {program}: {source}")),
        Err(error) => {
            let command = command.to_string();
            hook.log(format!("{PROPERTY} of network {}: {}: {error}", shown(network), shown(&command)));
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::rc::Rc;
    use virt_hooks_sdk::Output;
    use virt_hooks_sdk::serde_json::json;

    /// What came of the hook, the commands it ran and what it logged.
    fn outcome(networks: &Value) -> (Result<(), Failure>, Vec<String>, Vec<String>) {
        let host = tempfile::tempdir().unwrap();
        for (bond, slaves) in [("bond0", "em1 em2\n"), ("bond1", "\n")] {
            let dir = host.path().join("sys/class/net").join(bond).join("bonding");
            std::fs::create_dir_all(&dir).unwrap();
            std::fs::write(dir.join("slaves"), slaves).unwrap();
        }
        let ran = Rc::new(RefCell::new(Vec::new()));
        let seen = Rc::clone(&ran);
        let payload = json!({"request": {"networks": networks, "bondings": {}, "options": {}}}).to_string();
        let mut hook = Context::for_test().with_json(payload.clone()).with_host(host.path()).with_commands(
            move |command| {
                seen.borrow_mut().push(command.to_string());
                let refused = command.argv().iter().any(|word| word == "lro");
                Ok(Output::exited(if refused { 80 } else { 0 }, "").with_stderr("Cannot set device\n"))
            },
        );
        let result = run(&mut hook);
        assert_eq!(hook.json_text(), payload);
        let ran = ran.borrow().clone();
        (result, ran, hook.logged())
    }

    fn nic(options: &str) -> Value {
        json!({"nic": "em1", "custom": {"ethtool_opts": options}})
    }

    fn commands(network: &Value) -> Vec<String> {
        let (result, ran, _) = outcome(&json!({"red": network}));
        result.unwrap();
        ran
    }

    fn reason(network: &Value) -> String {
        let failure = outcome(&json!({"red": network})).0.unwrap_err();
        assert_eq!(failure.exit_code(), 2);
        failure.message().to_owned()
    }

    #[test]
    fn commands_in_a_row() {
        assert_eq!(
            commands(&nic("--coalesce em1 rx-usecs 14  -K * rx on")),
            ["ethtool --coalesce em1 rx-usecs 14", "ethtool -K em1 rx on"]
        );
        assert_eq!(commands(&nic("-s em1 msglvl -5 -")), ["ethtool -s em1 msglvl -5 -"]);
        assert!(commands(&nic("   ")).is_empty());
    }

    #[test]
    fn bonds_have_the_nics_the_kernel_says() {
        let bond = |bond: &str, options: &str| json!({"bonding": bond, "custom": {"ethtool_opts": options}});
        assert_eq!(commands(&bond("bond0", "-K * rx on")), ["ethtool -K em1 rx on", "ethtool -K em2 rx on"]);
        assert!(commands(&bond("bond1", "-K * rx on")).is_empty());
        assert!(reason(&bond("bond9", "-K em1 rx on")).ends_with("the network has no NICs"));
        assert!(reason(&bond("../bond0", "-K em1 rx on")).contains("\"bonding\""));
    }

    #[test]
    fn others_are_left_alone() {
        for network in [
            json!({"nic": "em1"}),
            json!({"nic": "em1", "custom": {"other": "x"}}),
            json!({"remove": false, "nic": "em1", "custom": {"ethtool_opts": "-K em1 rx on"}}),
            json!({"custom": {"ethtool_opts": "-K * rx on"}}),
        ] {
            assert!(commands(&network).is_empty(), "{network}");
        }
    }

    #[test]
    fn a_mistake_keeps_no_other_network_waiting() {
        let networks =
            json!({"a": nic("-K em7 rx on"), "b": nic("-K em1 rx on -A"), "c": nic("-K em1 tx on")});
        let (result, ran, logged) = outcome(&networks);
        assert_eq!(ran, ["ethtool -K em1 rx on", "ethtool -K em1 tx on"]);
        assert_eq!(
            logged,
            ["ethtool_opts of network \"a\": \"em7\" is not a NIC of the network, which has em1"]
        );
        assert_eq!(
            result.unwrap_err().message(),
            "ethtool_opts of network \"b\": expected a device after \"-A\""
        );
    }

    #[test]
    fn what_ethtool_refuses_is_told_only() {
        let (result, ran, logged) = outcome(&json!({"red": nic("-K em1 lro on -K em1 rx on")}));
        result.unwrap();
        assert_eq!(ran.len(), 2);
        assert_eq!(logged.len(), 1);
        assert!(
            logged[0].contains("-K em1 lro on") && logged[0].ends_with("Cannot set device"),
            "{}",
            logged[0]
        );
    }

    #[test]
    fn bad_input() {
        assert!(reason(&json!({"custom": null})).contains("\"custom\""));
        assert!(reason(&json!({"nic": "em1", "custom": {"ethtool_opts": 5}})).contains("expected text"));
        assert!(reason(&json!({"nic": "-x", "custom": {"ethtool_opts": "-K * a"}})).contains("\"nic\""));
        let long = reason(&nic(&format!("-K {} rx", "x".repeat(1 << 20))));
        assert!(long.len() < 300);
        assert_eq!(commands(&nic("-K em1 $(reboot);\n../x")), ["ethtool -K em1 '$(reboot);' ../x"]);
        for payload in ["[]", "{}", "{\"request\": {\"networks\": []}}", "no JSON"] {
            let failure = run(&mut Context::for_test().with_json(payload)).unwrap_err();
            assert_eq!(failure.exit_code(), 2, "{payload}");
        }
    }

    #[test]
    fn without_ethtool() {
        let payload = json!({"request": {"networks": {"red": nic("-K em1 rx on")}}}).to_string();
        let failure = run(&mut Context::for_test().with_json(payload)).unwrap_err();
        assert!(failure.message().contains("run ethtool"), "{}", failure.message());
    }

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config { failure_persistence: None, ..proptest::test_runner::Config::with_cases(64) })]
        /// Values of the grammar, and the commands they are.
        #[test]
        fn each_option_is_a_command(given in proptest::collection::vec(("--?[a-zA-Z][a-z-]{0,8}", proptest::bool::ANY, proptest::collection::vec("[a-z0-9/:]{1,6}|-[0-9]{1,3}", 0..4)), 1..5)) {
            let words: Vec<Vec<String>> = given.iter().map(|(option, any, flags)| {
                let nic = if *any { "*" } else { "em1" };
                [option.clone(), nic.to_owned()].into_iter().chain(flags.iter().filter(|f| *f != "lro").cloned()).collect()
            }).collect();
            let options = words.iter().map(|command| command.join("  ")).collect::<Vec<_>>().join(" ");
            let (result, ran, logged) = outcome(&json!({"n": nic(&options)}));
            let wanted: Vec<String> = words.iter().map(|command| format!("ethtool {}", command.join(" ").replace('*', "em1"))).collect();
            proptest::prop_assert_eq!((result, ran, logged), (Ok(()), wanted, Vec::new()));
        }
    }
}
