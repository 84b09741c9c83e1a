// SPDX-License-Identifier: Apache-2.0
//! Stops vhostmd when no VM needs it any more.

use virt_hooks_sdk::{Context, Failure};

pub(crate) fn run(hook: &mut Context) -> Result<(), Failure> {
    if !hook.flag("sap_agent").map_err(|error| Failure::go_on(error.to_string()))? {
        return Ok(());
    }
    super::service::stop(hook)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::rc::Rc;
    use virt_hooks_sdk::Output;

    #[test]
    fn only_a_vm_with_the_property_stops_it() {
        let host = tempfile::tempdir().unwrap();
        for (value, expected) in [("true", true), ("1", true), ("0", false), ("", false)] {
            std::fs::create_dir_all(host.path().join("run/vdsm/vhostmd/a")).unwrap();
            let stopped = Rc::new(Cell::new(false));
            let seen = Rc::clone(&stopped);
            let hook = Context::for_test().with_host(host.path()).with_env("sap_agent", value);
            let mut hook = hook.with_env("vmId", "a").with_commands(move |_| {
                seen.set(true);
                Ok(Output::exited(0, ""))
            });
            run(&mut hook).unwrap();
            assert_eq!(stopped.get(), expected, "{value}");
        }
    }
}
