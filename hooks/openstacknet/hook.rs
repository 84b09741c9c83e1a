// SPDX-License-Identifier: Apache-2.0
//! Takes the tap of a Neutron port from the dummy bridge, for the Linux bridge agent to find.

use super::port::{self, Plugin};
use virt_hooks_sdk::{Command, Context, Failure};

pub(crate) fn run(hook: &mut Context) -> Result<(), Failure> {
    if !port::is_openstack(hook)? || port::plugin(hook)? != Some(Plugin::LinuxBridge) {
        return Ok(());
    }
    let tap = port::tap(&port::id(hook)?);
    let command = Command::new("/usr/sbin/ip").args(["link", "set", &tap, "nomaster"]).sudo();
    match hook.execute(&command).and_then(|output| output.success(&command)) {
        Ok(_) => Ok(()),
        Err(error) => {
            let failure = Failure::from(error);
            Err(Failure::stop(format!("vnic_id: take {tap:?} from its bridge: {failure}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use virt_hooks_sdk::Output;

    fn hook(properties: &[(&str, &str)]) -> Context {
        properties.iter().fold(Context::for_test(), |hook, (name, value)| hook.with_env(name, value))
    }

    const BRIDGE: [(&str, &str); 3] =
        [("provider_type", "OPENSTACK_NETWORK"), ("plugin_type", "LINUX_BRIDGE"), ("vnic_id", "x';rm -rf /")];

    #[test]
    fn one_argument_whatever_is_in_it() {
        let mut hook = hook(&BRIDGE).with_commands(|command| {
            assert_eq!(command.argv(), ["/usr/sbin/ip", "link", "set", "tapx';rm -rf /", "nomaster"]);
            assert!(command.is_sudo());
            Ok(Output::exited(0, ""))
        });
        run(&mut hook).unwrap();
    }

    #[test]
    fn a_failure_is_told() {
        let mut hook =
            hook(&BRIDGE).with_commands(|_| Ok(Output::exited(1, "").with_stderr("Cannot find device\n")));
        let failure = run(&mut hook).unwrap_err();
        assert!(failure.stops() && failure.message().contains("Cannot find device"), "{}", failure.message());
        assert!(run(&mut super::tests::hook(&BRIDGE)).unwrap_err().stops());
    }

    #[test]
    fn nothing_to_do() {
        // A command would fail the test: there are none.
        for properties in [
            &[][..],
            &[("provider_type", "EXTERNAL_NETWORK")],
            &[("provider_type", ""), BRIDGE[1], BRIDGE[2]],
            &[BRIDGE[1], BRIDGE[2]],
            &[BRIDGE[0], ("plugin_type", "OPEN_VSWITCH"), BRIDGE[2]],
            &[BRIDGE[0], ("plugin_type", "other"), BRIDGE[2]],
        ] {
            run(&mut hook(properties)).unwrap();
        }
    }

    #[test]
    fn properties_that_are_missing() {
        for (properties, said) in [(&BRIDGE[..1], "plugin_type"), (&BRIDGE[..2], "vnic_id")] {
            let failure = run(&mut hook(properties)).unwrap_err();
            assert!(failure.stops() && failure.message().starts_with(said));
        }
    }
}
