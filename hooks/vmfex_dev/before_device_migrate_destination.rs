// SPDX-License-Identifier: Apache-2.0
//! Has the pool ready for a VM that comes in; its XML is that of the source.

use super::hook::PROPERTY;
use super::pool;
use virt_hooks_sdk::{Context, Failure};

pub(crate) fn run(hook: &mut Context) -> Result<(), Failure> {
    if hook.property(PROPERTY)?.is_some() { pool::ensure(hook) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::super::pool::tests::Host;
    use super::*;

    #[test]
    fn the_pool_is_made_and_the_payload_not_read() {
        let host = Host::new(&["enp6s0f1"]);
        run(&mut host.hook().with_env(PROPERTY, "p").with_xml("no xml")).unwrap();
        assert!(host.pool().contains("enp6s0f1"));
    }

    #[test]
    fn without_the_property_nothing_is_done() {
        run(&mut Context::for_test()).unwrap();
    }
}
