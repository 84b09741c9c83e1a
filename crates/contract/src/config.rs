// SPDX-License-Identifier: Apache-2.0
//! `/etc/virt-hooks/config.toml`.

use crate::toml_error::TomlError;
use crate::units::{deserialize_duration, deserialize_size};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// The configuration of a host. Every key may be left out; without a file all are.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Directories with one sub-directory per hook point. A later one overrides an earlier one. Left out:
    /// `/usr/libexec/vdsm/hooks`, then `/etc/virt-hooks/hooks`.
    pub hooks_dirs: Option<Vec<PathBuf>>,
    /// Where payload files live while an event runs. Left out: `/run/virt-hooks`, or a directory of the user's own.
    pub run_dir: Option<PathBuf>,
    /// Where records are kept. Left out: `/var/lib/virt-hooks`.
    pub state_dir: Option<PathBuf>,
    /// Where this host's own hook points are described. Left out: `/etc/virt-hooks/points.d`.
    pub points_dir: Option<PathBuf>,
    /// The directory that holds `<vm id>/launchflags`. Left out: `/run/vdsm`, as under VDSM.
    pub launch_flags_dir: Option<PathBuf>,
    /// The directory with the Python module `hooking`. Left out: `/usr/share/virt-hooks/python`.
    pub python_dir: Option<PathBuf>,
    /// Where installed hook packages keep their manifests, `<name>/hook.toml`. Left out:
    /// `/usr/share/virt-hooks/packages`.
    pub packages_dir: Option<PathBuf>,
    /// Whether only custom properties that an installed package declares reach hooks.
    #[serde(default)]
    pub strict: bool,
    /// The user that hooks of agent points run as when the engine runs as root; unset: the engine's own.
    pub hook_user: Option<String>,
    /// The largest payload a hook may leave, such as `"16MiB"`. Left out: `"64MiB"`.
    #[serde(default, deserialize_with = "deserialize_size")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub payload_limit: Option<u64>,
    /// How much of a hook's standard error is kept, such as `"16KiB"`: half from its head, half from its tail. Left out:
    /// `"64KiB"`.
    #[serde(default, deserialize_with = "deserialize_size")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub stderr_limit: Option<u64>,
    /// The deadline of every hook, such as `"30s"`, in place of the points' own.
    #[serde(default, deserialize_with = "deserialize_duration")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub timeout: Option<Duration>,
    /// How long a hook has between TERM and KILL once its deadline has passed. Left out: `"5s"`.
    #[serde(default, deserialize_with = "deserialize_duration")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub grace: Option<Duration>,
    /// Names of custom properties whose values are secrets, beside those whose name says so.
    #[serde(default)]
    pub secret_properties: Vec<String>,
    /// Settings of the agent.
    #[serde(default)]
    pub agent: AgentConfig,
    /// Whether a VM may only be started in a way that honours what hooks make of its XML: a plain `virsh start`
    /// is refused where hooks would change it.
    #[serde(default)]
    pub require_agent: bool,
    /// Settings of libvirt's own hook script.
    #[serde(default)]
    pub libvirt_hook: LibvirtHookConfig,
    /// Settings per hook point.
    #[serde(default)]
    pub points: BTreeMap<String, PointConfig>,
    /// Settings per hook, by file name (`50_smbios`).
    #[serde(default)]
    pub hooks: BTreeMap<String, HookConfig>,
}

/// Settings of the agent.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AgentConfig {
    /// Where it listens, and where the command looks for it. Left out: `/run/virt-hooks/agent.sock`.
    pub socket: Option<PathBuf>,
    /// The mode of the socket, in octal, such as `"0660"`. Left out: `"0600"`, or `"0660"` where there is a group.
    pub socket_mode: Option<String>,
    /// The group whose members may use it, beside root.
    pub socket_group: Option<String>,
    /// Which libvirt it serves, as a URI.
    pub connect: Option<String>,
    /// How long hooks have to end when it is stopped, such as `"2m"`. Left out: `"60s"`.
    #[serde(default, deserialize_with = "deserialize_duration")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub stop_timeout: Option<Duration>,
}

/// Settings of libvirt's own hook script. libvirt waits for it without end, and whoever asked libvirt for
/// something waits too.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct LibvirtHookConfig {
    /// How long all hooks of one call may take together, such as `"1m"`. Left out: `"2m"`.
    #[serde(default, deserialize_with = "deserialize_duration")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub deadline: Option<Duration>,
    /// The same where a VM arrives by migration: its source waits with a running VM. Left out: `"30s"`.
    #[serde(default, deserialize_with = "deserialize_duration")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub migrate_deadline: Option<Duration>,
}

/// Settings of one hook point.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PointConfig {
    /// The deadline of each hook at this point.
    #[serde(default, deserialize_with = "deserialize_duration")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub timeout: Option<Duration>,
}

/// Settings of one hook.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct HookConfig {
    /// The deadline of this hook, at every point.
    #[serde(default, deserialize_with = "deserialize_duration")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub timeout: Option<Duration>,
}

impl Config {
    /// Reads a configuration; `file` only names it in errors.
    ///
    /// # Errors
    /// Not TOML, an unknown key, or a value of the wrong type: with file, line, column and the key.
    pub fn parse(file: &str, text: &str) -> Result<Self, TomlError> {
        toml::from_str(text).map_err(|e| TomlError::new(file, text, &e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        Config::parse("config.toml", text).unwrap_err().to_string()
    }

    #[test]
    fn a_whole_configuration() {
        let c = Config::parse(
            "config.toml",
            "hooks_dirs = [\"/a\", \"/b\"]\npayload_limit = \"1MiB\"\ngrace = \"2s\"\n\
             [points.before_vm_start]\ntimeout = \"30s\"\n[hooks.50_smbios]\ntimeout = \"1s\"\n",
        )
        .unwrap();
        assert_eq!(c.payload_limit, Some(1 << 20));
        assert_eq!(c.points["before_vm_start"].timeout, Some(Duration::from_secs(30)));
        assert_eq!(c.hooks["50_smbios"].timeout, Some(Duration::from_secs(1)));
    }

    #[test]
    fn an_empty_file_is_all_defaults() {
        assert_eq!(Config::parse("config.toml", "").unwrap(), Config::default());
    }

    #[test]
    fn mistakes_are_placed_and_named() {
        assert_eq!(
            error("\n[points.before_vm_start]\ntimout = \"30s\"\n"),
            "config.toml:3:1: unknown key \"timout\": did you mean \"timeout\"?"
        );
        assert_eq!(
            error("run_dir = 7\n"),
            "config.toml:1:11: key \"run_dir\": invalid type: integer `7`, expected path string"
        );
        assert_eq!(
            error("grace = \"soon\"\n").split(": ").take(3).collect::<Vec<_>>().join(": "),
            "config.toml:1:9: key \"grace\": \"soon\" is not a duration like \"30s\""
        );
        assert!(error("hooks_dirs = [\n").starts_with("config.toml:"));
        assert!(error("zzzzzzzzz = 1\n").contains("known here are hooks_dirs, run_dir"));
    }
}
