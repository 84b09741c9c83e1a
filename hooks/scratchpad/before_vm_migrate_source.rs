// SPDX-License-Identifier: Apache-2.0
//! Refuses the migration of a VM whose scratch disks are files of this host.

use virt_hooks_sdk::{Context, Failure};

pub(crate) fn run(hook: &mut Context) -> Result<(), Failure> {
    match hook.env("scratchpad") {
        Some(_) => Err(Failure::stop("scratchpad: a VM with scratch disks cannot migrate")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_value_refuses() {
        for value in ["", "0", "1G,/tmp/a"] {
            assert!(run(&mut Context::for_test().with_env("scratchpad", value)).unwrap_err().stops());
        }
        run(&mut Context::for_test()).unwrap();
    }
}
