// SPDX-License-Identifier: Apache-2.0
//! Custom properties as oVirt's engine is told of them: the values of three keys of `engine-config`.
//!
//! oVirt administration guide, custom properties: `name=pattern` pairs with `;` between them; those of devices in groups
//! `{type=TYPE;prop={…}}`, one for each kind of device.

use std::fmt;
use virt_hooks_contract::{Manifest, ManifestProperty, Scope};

/// A key of `engine-config`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineKey {
    /// `UserDefinedVMProperties`.
    Vm,
    /// `CustomDeviceProperties`.
    Device,
    /// `UserDefinedNetworkCustomProperties`.
    Network,
}

impl EngineKey {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Vm, Self::Device, Self::Network];

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Vm => "UserDefinedVMProperties",
            Self::Device => "CustomDeviceProperties",
            Self::Network => "UserDefinedNetworkCustomProperties",
        }
    }
}

/// The value of a key: properties by group; there is one group without a name but for devices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EngineConfig(Vec<(String, Vec<(String, String)>)>);

impl EngineConfig {
    /// Reads the present value of a key.
    ///
    /// # Errors
    /// It is not written as the key wants it: what, in one line.
    pub fn parse(key: EngineKey, text: &str) -> Result<Self, String> {
        let text = text.trim();
        if key != EngineKey::Device {
            let pairs = pairs(text)?;
            return Ok(Self(if pairs.is_empty() { Vec::new() } else { vec![(String::new(), pairs)] }));
        }
        let mut groups = Vec::new();
        for group in split(text) {
            let inner = group.strip_prefix("{type=").and_then(|g| g.strip_suffix("}}"));
            let Some((kind, properties)) = inner.and_then(|g| g.split_once(";prop={")) else {
                return Err(format!(
                    "\"{}\" is not a group like {{type=interface;prop={{name=pattern}}}}",
                    group.escape_debug()
                ));
            };
            groups.push((kind.to_owned(), self::pairs(properties)?));
        }
        Ok(Self(groups))
    }

    /// Adds what these packages declare for a key; a name that is there gets the package's pattern. Says what was other.
    pub fn add<'m>(
        &mut self,
        key: EngineKey,
        packages: impl IntoIterator<Item = &'m Manifest>,
    ) -> Vec<String> {
        let mut said = Vec::new();
        let scope = match key {
            EngineKey::Vm => Scope::Vm,
            EngineKey::Device => Scope::Device,
            EngineKey::Network => Scope::Network,
        };
        for manifest in packages {
            for property in manifest.property.iter().filter(|p| p.scope == scope) {
                for kind in kinds(key, manifest) {
                    said.extend(self.set(kind, property, &manifest.name));
                }
            }
        }
        said
    }

    fn set(&mut self, kind: &str, property: &ManifestProperty, package: &str) -> Option<String> {
        // What is between two patterns of this list cannot be in one.
        let pattern = property.value_pattern();
        let group = match self.0.iter().position(|(k, _)| k == kind) {
            Some(at) => at,
            None => {
                self.0.push((kind.to_owned(), Vec::new()));
                self.0.len() - 1
            }
        };
        let pairs = &mut self.0[group].1;
        match pairs.iter_mut().find(|(name, _)| *name == property.name) {
            Some((_, present)) if *present == pattern => None,
            Some((name, present)) => {
                let said = format!("{name} had the pattern {present}: it gets that of package {package}");
                *present = pattern;
                Some(said)
            }
            None => {
                let semicolon = pattern.contains(';');
                pairs.push((property.name.clone(), pattern));
                semicolon.then(|| format!("{}: oVirt cannot read a pattern with \";\" in it", property.name))
            }
        }
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|(_, pairs)| pairs.is_empty())
    }
}

/// As `engine-config` takes it.
impl fmt::Display for EngineConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (kind, pairs)) in self.0.iter().enumerate() {
            let separator = if n > 0 { ";" } else { "" };
            let pairs: Vec<String> =
                pairs.iter().map(|(name, pattern)| format!("{name}={pattern}")).collect();
            let pairs = pairs.join(";");
            match kind.as_str() {
                "" => write!(f, "{separator}{pairs}")?,
                kind => write!(f, "{separator}{{type={kind};prop={{{pairs}}}}}")?,
            }
        }
        Ok(())
    }
}

/// Kinds of devices that a package's hooks see; oVirt gives properties to interfaces and disks.
fn kinds(key: EngineKey, manifest: &Manifest) -> Vec<&'static str> {
    if key != EngineKey::Device {
        return vec![""];
    }
    let at = |word: &str| manifest.point.iter().any(|p| p.name.contains(word));
    match (at("_nic_") || at("_device_") || at("update_device"), at("disk")) {
        (false, true) => vec!["disk"],
        (true, true) => vec!["interface", "disk"],
        _ => vec!["interface"],
    }
}

fn pairs(text: &str) -> Result<Vec<(String, String)>, String> {
    split(text)
        .into_iter()
        .map(|pair| match pair.split_once('=') {
            Some((name, pattern)) if !name.trim().is_empty() => {
                Ok((name.trim().to_owned(), pattern.to_owned()))
            }
            _ => Err(format!("\"{}\" is not a pair like name=pattern", pair.escape_debug())),
        })
        .collect()
}

/// The parts between semicolons that are outside of braces, brackets and parentheses.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut from, mut escaped) = (Vec::new(), 0_usize, 0, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '{' | '[' | '(' => depth += 1,
            '}' | ']' | ')' => depth = depth.saturating_sub(1),
            ';' if depth == 0 => {
                parts.push(&text[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[from..]);
    parts.into_iter().filter(|p| !p.trim().is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(point: &str, scope: &str) -> Manifest {
        let text = format!(
            "manifest = 1\nname = \"mine\"\nversion = \"1\"\nsummary = \"s\"\ndescription = \"d\"\nlicence = \"MIT\"\n\
             [[point]]\nname = \"{point}\"\norder = 50\n[[property]]\nname = \"size\"\nscope = \"{scope}\"\n\
             description = \"d\"\npattern = \"^[0-9]+$\"\nexample = \"4\"\n"
        );
        Manifest::parse("hook.toml", &text).unwrap()
    }

    #[test]
    fn properties_of_vms_join_those_that_are_there() {
        let mut config = EngineConfig::parse(EngineKey::Vm, "sap_agent=^(true|false)$;a=[;]").unwrap();
        let m = manifest("before_vm_start", "vm");
        assert!(config.add(EngineKey::Vm, [&m]).is_empty());
        assert_eq!(config.to_string(), "sap_agent=^(true|false)$;a=[;];size=^[0-9]+$");
        let mut config = EngineConfig::parse(EngineKey::Vm, "size=.*").unwrap();
        assert_eq!(
            config.add(EngineKey::Vm, [&m]),
            ["size had the pattern .*: it gets that of package mine"]
        );
        assert!(config.add(EngineKey::Device, [&m]).is_empty());
        assert_eq!(config.to_string(), "size=^[0-9]+$");
    }

    #[test]
    fn properties_of_devices_go_by_their_kind() {
        let present = "{type=interface;prop={SecurityGroups=^(?:a|b{2})$}}";
        let mut config = EngineConfig::parse(EngineKey::Device, present).unwrap();
        config.add(EngineKey::Device, [&manifest("before_nic_hotplug", "device")]);
        assert_eq!(config.to_string(), "{type=interface;prop={SecurityGroups=^(?:a|b{2})$;size=^[0-9]+$}}");
        config.add(EngineKey::Device, [&manifest("before_disk_hotplug", "device")]);
        assert!(config.to_string().ends_with(";{type=disk;prop={size=^[0-9]+$}}"), "{config}");
    }

    #[test]
    fn what_is_no_value_of_a_key_is_told() {
        assert!(EngineConfig::parse(EngineKey::Vm, "nonsense").unwrap_err().contains("name=pattern"));
        assert!(EngineConfig::parse(EngineKey::Device, "a=b").unwrap_err().contains("{type=interface"));
        assert!(EngineConfig::parse(EngineKey::Network, " ").unwrap().is_empty());
    }
}
