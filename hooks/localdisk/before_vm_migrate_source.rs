// SPDX-License-Identifier: Apache-2.0
//! Refuses the migration of a VM whose disks are on this host only.

use virt_hooks_sdk::{Context, Failure};

pub(crate) fn run(hook: &mut Context) -> Result<(), Failure> {
    match hook.env("localdisk") {
        Some(_) => Err(Failure::stop("localdisk: a VM with local disks cannot migrate")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_value_refuses() {
        for value in ["", "lvm", "no"] {
            assert!(run(&mut Context::for_test().with_env("localdisk", value)).unwrap_err().stops());
        }
        run(&mut Context::for_test()).unwrap();
    }
}
