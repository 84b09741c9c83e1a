// SPDX-License-Identifier: Apache-2.0
//! Names and values of annotations, by Kubernetes' rules and the driver's.

use virt_hooks_contract::env;

/// In front of a property of the VM.
pub const VM_PREFIX: &str = "hooks.virt-hooks.io/";
/// In front of the name of a device, a dot, and its property.
pub const DEVICE_PREFIX: &str = "device.hooks.virt-hooks.io/";
/// What Kubernetes allows for all annotations of an object together, names included.
pub(super) const ALL_TOGETHER: usize = 256 << 10;
/// The longest value the driver hands on.
const LONGEST_VALUE: usize = 64 << 10;
/// The longest name after the prefix.
const LONGEST_NAME: usize = 63;

/// The annotation for a property of the VM, or of a device; or why there can be none.
pub(super) fn name(device: Option<&str>, property: &str) -> Result<String, String> {
    if env::is_protected(property.as_bytes()) {
        return Err("no hook is ever given a variable of this name".to_owned());
    }
    let (prefix, name) = match device {
        None => (VM_PREFIX, property.to_owned()),
        Some(device) => {
            // The first dot ends the name of the device.
            let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
            if device.is_empty() || !device.chars().all(good) {
                return Err(format!(
                    "a device of KubeVirt cannot be called \"{}\": give it a name of letters, digits, \"-\" and \"_\" \
                     with --rename",
                    device.escape_debug()
                ));
            }
            (DEVICE_PREFIX, format!("{device}.{property}"))
        }
    };
    if name.len() > LONGEST_NAME {
        return Err(format!(
            "\"{}\" has {} characters, and the name of an annotation {LONGEST_NAME} at most",
            name.escape_debug(),
            name.len()
        ));
    }
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let ends = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_alphanumeric());
    let (first, last) = (name.bytes().next(), name.bytes().next_back());
    if !name.bytes().all(inner) || !ends(first) || !ends(last) {
        return Err(format!(
            "\"{}\" cannot name an annotation: letters, digits, \"-\", \"_\" and \".\", a letter or digit first and last",
            name.escape_debug()
        ));
    }
    Ok(format!("{prefix}{name}"))
}

/// What is wrong with a value, whatever property it is of.
pub(super) fn check_value(value: &str) -> Result<(), String> {
    if value.contains('\0') {
        return Err("its value holds a NUL, which no variable can".to_owned());
    }
    if value.len() > LONGEST_VALUE {
        return Err(format!(
            "its value has {} bytes, and the driver takes {LONGEST_VALUE} at most",
            value.len()
        ));
    }
    Ok(())
}
