// SPDX-License-Identifier: Apache-2.0
//! Names in a hook's environment.

/// Path of the payload file of an XML point.
pub const DOMXML: &str = "_hook_domxml";
/// Path of the payload file of a JSON point.
pub const JSON: &str = "_hook_json";
/// UUID of the VM, where an event is about one.
pub const VM_ID: &str = "vmId";
/// Name of the hook point (virt-hooks).
pub const POINT: &str = "_hook_point";
/// Identity of the event: the same for every hook of one chain (virt-hooks).
pub const EVENT_ID: &str = "_hook_event_id";
/// Why the operation happens, where the driver knows (virt-hooks).
pub const REASON: &str = "_hook_reason";
/// Which attempt at the operation this is, from 1 (virt-hooks).
pub const ATTEMPT: &str = "_hook_attempt";
/// Path of the launch flags file, where there is one (virt-hooks; the file itself is VDSM's).
pub const LAUNCH_FLAGS: &str = "_hook_launch_flags";
/// Which side of a migration this is: `source` or `destination` (virt-hooks).
pub const ROLE: &str = "_hook_role";
/// The sequence that an event of several sequences belongs to: `start`, `restore`, `migration` (virt-hooks).
pub const FLOW: &str = "_hook_flow";
/// The number of virtual CPUs asked for (virt-hooks).
pub const CPUS: &str = "_hook_cpus";
/// Where Python looks for `hooking`.
pub const PYTHONPATH: &str = "PYTHONPATH";

/// Names a custom property cannot set: they would change which program runs or what it loads, or
/// forge what only the engine may say.
const PROTECTED: &[&str] = &[
    "vmId",
    "PATH",
    "IFS",
    "ENV",
    "BASH_ENV",
    "SHELLOPTS",
    "BASHOPTS",
    "GCONV_PATH",
    "GLIBC_TUNABLES",
    "PERL5LIB",
    "PERL5OPT",
    "RUBYLIB",
    "RUBYOPT",
    "NODE_OPTIONS",
];
const PROTECTED_PREFIXES: &[&str] = &["LD_", "PYTHON", "BASH_FUNC_", "_hook_"];

/// Whether a custom property of this name must not reach a hook.
pub fn is_protected(name: &[u8]) -> bool {
    PROTECTED.iter().any(|p| p.as_bytes() == name)
        || PROTECTED_PREFIXES.iter().any(|p| name.starts_with(p.as_bytes()))
}

/// Whether `name` can name a custom property on a command line: letters, digits, `_`, `-`, `.`.
///
/// oVirt allows letters, digits and `_`; the other two are seen in the wild.
pub fn is_property_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
}

/// Whether the name of a property says that its value is a secret.
pub fn names_a_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["passw", "secret", "token", "ticket", "credential", "private_key", "apikey", "api_key"]
        .iter()
        .any(|word| name.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for n in [
            "PATH",
            "LD_PRELOAD",
            "PYTHONPATH",
            "PYTHONSTARTUP",
            "_hook_domxml",
            "_hook_json",
            "IFS",
            "BASH_FUNC_x%%",
        ] {
            assert!(is_protected(n.as_bytes()), "{n}");
        }
        for n in ["smbios", "PATHX", "LC_ALL", "vmid"] {
            assert!(!is_protected(n.as_bytes()), "{n}");
        }
        assert!(is_property_name("qemu_cmdline") && is_property_name("a.b-c") && is_property_name("1x"));
        assert!(!is_property_name("") && !is_property_name("a b") && !is_property_name("é"));
        assert!(names_a_secret("vncPassword") && !names_a_secret("smbios"));
    }
}
