// SPDX-License-Identifier: Apache-2.0
//! Custom properties from the annotations of a VMI.
//!
//! Who owns a VM sets its annotations, and is not trusted: only names that an installed hook package declares
//! are given to hooks, and only with values that match its pattern.

use super::refusal::Refusal;
use super::vmi::Vmi;
use regex_lite::Regex;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use virt_hooks_contract::{Manifest, Scope, TomlError, env};
use virt_hooks_engine::CustomProperties;

/// In front of a property of the VM.
pub const VM_PREFIX: &str = "hooks.virt-hooks.io/";
/// In front of the name of a device, a dot, and its property.
pub const DEVICE_PREFIX: &str = "device.hooks.virt-hooks.io/";

/// The longest value, in bytes: half of what one variable can hold.
const LONGEST: usize = 64 << 10;
/// How many bytes all together may have: what Kubernetes allows for all annotations.
const TOGETHER: usize = 256 << 10;

/// Why the installed packages cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PackagesError {
    /// A directory or a manifest cannot be read.
    #[error("read {}: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A manifest has a mistake in it.
    #[error(transparent)]
    Manifest(#[from] TomlError),
    /// A pattern is none.
    #[error("{}: property {name}: the pattern is no regular expression: {source}", path.display())]
    Pattern {
        /// The manifest.
        path: PathBuf,
        /// The property.
        name: String,
        /// What is wrong with it.
        source: regex_lite::Error,
    },
}

/// Names that installed packages declare, with the patterns of their values.
#[derive(Debug, Default)]
pub struct Declared {
    vm: BTreeMap<String, Vec<Pattern>>,
    device: BTreeMap<String, Vec<Pattern>>,
}

#[derive(Debug)]
struct Pattern {
    whole: Regex,
    text: String,
}

/// What hooks are given.
#[derive(Debug, Default)]
pub struct Properties {
    /// Of the VM.
    pub vm: CustomProperties,
    /// By the name of a disk or interface in the VMI.
    pub devices: BTreeMap<String, CustomProperties>,
    /// What is not given to them, and why, in a line each.
    pub ignored: Vec<String>,
}

impl Declared {
    /// Reads the manifests below a directory of packages. A directory that is not there declares nothing.
    ///
    /// # Errors
    /// One cannot be read or has a mistake in it: without it a hook would silently do nothing.
    pub fn read(packages: &Path) -> Result<Self, PackagesError> {
        let mut declared = Self::default();
        for (path, manifest) in manifests(packages)? {
            for property in manifest.property {
                let whole = Regex::new(&format!("^(?:{})$", property.pattern)).map_err(|source| {
                    PackagesError::Pattern { path: path.clone(), name: property.name.clone(), source }
                })?;
                let names = match property.scope {
                    Scope::Vm => &mut declared.vm,
                    Scope::Device => &mut declared.device,
                    // Of hosts: no VM has one.
                    Scope::Network => continue,
                };
                names.entry(property.name).or_default().push(Pattern { whole, text: property.pattern });
            }
        }
        Ok(declared)
    }

    /// Whether no package declares any.
    pub fn is_empty(&self) -> bool {
        self.vm.is_empty() && self.device.is_empty()
    }

    /// The properties of a VMI.
    ///
    /// # Errors
    /// [`Refusal::Malformed`]: a declared property has a value that its package does not allow, or that no
    /// variable can hold. Leaving it out would start the VM without what it asks for.
    pub fn of(&self, vmi: &Vmi) -> Result<Properties, Refusal> {
        let mut properties = Properties::default();
        let mut together = 0;
        for (annotation, value) in vmi.annotations() {
            let (device, name, known) = if let Some(name) = annotation.strip_prefix(VM_PREFIX) {
                (None, name, &self.vm)
            } else if let Some(rest) = annotation.strip_prefix(DEVICE_PREFIX) {
                let Some((device, name)) =
                    rest.split_once('.').filter(|(d, n)| !d.is_empty() && !n.is_empty())
                else {
                    let form = format!("{DEVICE_PREFIX}<disk or interface>.<property>");
                    properties.ignored.push(format!("annotation {annotation}: not of the form {form}"));
                    continue;
                };
                (Some(device), name, &self.device)
            } else {
                continue;
            };
            if env::is_protected(name.as_bytes()) || !env::is_property_name(name) {
                properties
                    .ignored
                    .push(format!("annotation {annotation}: no custom property can have this name"));
                continue;
            }
            let Some(patterns) = known.get(name) else {
                let kind = if device.is_some() { "device" } else { "VM" };
                properties.ignored.push(format!(
                    "annotation {annotation}: no installed hook package declares this {kind} property"
                ));
                continue;
            };
            check(annotation, value, patterns)?;
            together += value.len();
            if together > TOGETHER {
                return Err(Refusal::Malformed(format!(
                    "annotations {VM_PREFIX}* hold more than {} KiB together: make them shorter",
                    TOGETHER >> 10
                )));
            }
            match device {
                None => properties.vm.set(name, value),
                Some(device) => properties.devices.entry(device.to_owned()).or_default().set(name, value),
            }
        }
        Ok(properties)
    }
}

fn check(annotation: &str, value: &str, patterns: &[Pattern]) -> Result<(), Refusal> {
    let refuse = |why: String| Err(Refusal::Malformed(format!("annotation {annotation}: {why}")));
    if value.len() > LONGEST {
        return refuse(format!("its value has {} bytes; {LONGEST} at most", value.len()));
    }
    if value.contains('\0') {
        return refuse("its value holds a NUL".to_owned());
    }
    if patterns.iter().any(|p| p.whole.is_match(value)) {
        return Ok(());
    }
    let texts: Vec<&str> = patterns.iter().map(|p| p.text.as_str()).collect();
    refuse(format!("its value does not match {}", texts.join(" or ")))
}

/// The manifests of installed packages, by name.
fn manifests(packages: &Path) -> Result<Vec<(PathBuf, Manifest)>, PackagesError> {
    let unreadable = |path: &Path, source| PackagesError::Read { path: path.to_owned(), source };
    let entries = match fs::read_dir(packages) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(unreadable(packages, e)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(|e| unreadable(packages, e))?.path().join("hook.toml");
        match fs::read_to_string(&path) {
            Ok(text) => {
                let manifest = Manifest::parse(&path.to_string_lossy(), &text)?;
                found.push((path, manifest));
            }
            // A file, or a directory that is no package.
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
            Err(e) => return Err(unreadable(&path, e)),
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "manifest = 1\nname = \"p\"\nsummary = \"s\"\ndescription = \"d\"\nlicence = \"MIT\"\n\
        [[point]]\nname = \"before_vm_start\"\nfile = \"50_p\"\n";

    fn declared(properties: &[(&str, &str, &str)]) -> Declared {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("p")).unwrap();
        fs::write(dir.path().join("stray"), "").unwrap();
        fs::create_dir(dir.path().join("empty")).unwrap();
        let mut text = MANIFEST.to_owned();
        for (name, scope, pattern) in properties {
            text += &format!(
                "[[property]]\nname = \"{name}\"\nscope = \"{scope}\"\npattern = '{pattern}'\nexample = \"\"\ndescription = \"\"\n"
            );
        }
        fs::write(dir.path().join("p/hook.toml"), text).unwrap();
        Declared::read(dir.path()).unwrap()
    }

    fn of(declared: &Declared, annotations: serde_json::Value) -> Result<Properties, Refusal> {
        let json = serde_json::json!({"metadata": {"uid": "u", "annotations": annotations}});
        declared.of(&Vmi::parse(serde_json::to_vec(&json).unwrap()).unwrap())
    }

    fn pairs(p: &CustomProperties) -> Vec<(&str, &str)> {
        p.iter().map(|(n, v)| (std::str::from_utf8(n).unwrap(), std::str::from_utf8(v).unwrap())).collect()
    }

    #[test]
    fn declared_ones_are_given_and_others_are_told_of() {
        let d = declared(&[
            ("smbios", "vm", r"^\{.*\}$"),
            ("queues", "device", "[0-9]+"),
            ("PATH", "vm", ".*"),
            ("net", "network", ".*"),
        ]);
        let p = of(
            &d,
            serde_json::json!({
                "hooks.virt-hooks.io/smbios": "{}", "hooks.virt-hooks.io/queues": "4",
                "device.hooks.virt-hooks.io/net0.queues": "4", "device.hooks.virt-hooks.io/net0": "4",
                "device.hooks.virt-hooks.io/.queues": "4", "hooks.virt-hooks.io/PATH": "/tmp",
                "hooks.virt-hooks.io/LD_PRELOAD": "x", "hooks.virt-hooks.io/PYTHONPATH": "x",
                "hooks.virt-hooks.io/_hook_domxml": "x", "hooks.virt-hooks.io/vmId": "x",
                "hooks.virt-hooks.io/a=b": "x", "hooks.virt-hooks.io/": "x", "hooks.virt-hooks.io/net": "x",
                "other.io/smbios": "x", "kubevirt.io/latest": "x",
            }),
        )
        .unwrap();
        assert_eq!(pairs(&p.vm), [("smbios", "{}")]);
        assert_eq!(p.devices.len(), 1);
        assert_eq!(pairs(&p.devices["net0"]), [("queues", "4")]);
        assert_eq!(p.ignored.len(), 11, "{:#?}", p.ignored);
    }

    #[test]
    fn values_are_matched_whole_and_bounded() {
        let d = declared(&[("n", "vm", "[0-9]+|x"), ("long", "vm", "(?s).*")]);
        let refused = |value: String| {
            let name = if value.len() > 9 || value.contains('\0') { "long" } else { "n" };
            of(&d, serde_json::json!({ format!("hooks.virt-hooks.io/{name}"): value }))
                .unwrap_err()
                .to_string()
        };
        assert!(of(&d, serde_json::json!({"hooks.virt-hooks.io/n": "12"})).is_ok());
        assert_eq!(
            refused("12x".into()),
            "annotation hooks.virt-hooks.io/n: its value does not match [0-9]+|x"
        );
        assert!(refused("1\n".into()).contains("does not match"));
        assert!(refused("a".repeat(LONGEST + 1)).contains("65536 at most"));
        assert!(refused("a\0".into()).contains("NUL"));
        let many = declared(&[
            ("a", "vm", "a*"),
            ("b", "vm", "a*"),
            ("c", "vm", "a*"),
            ("d", "vm", "a*"),
            ("e", "vm", "a*"),
        ]);
        let long = "a".repeat(LONGEST);
        let all =
            ["a", "b", "c", "d", "e"].map(|n| (format!("hooks.virt-hooks.io/{n}"), long.clone().into()));
        let json = serde_json::Value::Object(all.into_iter().collect());
        assert!(of(&many, json).unwrap_err().to_string().contains("256 KiB"));
    }

    #[test]
    fn a_spoilt_package_is_not_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Declared::read(&dir.path().join("none")).unwrap().is_empty());
        fs::create_dir(dir.path().join("p")).unwrap();
        let property =
            "[[property]]\nname = \"n\"\nscope = \"vm\"\npattern = '('\nexample = \"\"\ndescription = \"\"\n";
        fs::write(dir.path().join("p/hook.toml"), format!("{MANIFEST}{property}")).unwrap();
        let said = Declared::read(dir.path()).unwrap_err().to_string();
        assert!(said.contains("p/hook.toml: property n: the pattern is no regular expression"), "{said}");
        fs::write(dir.path().join("p/hook.toml"), "nonsense").unwrap();
        assert!(matches!(Declared::read(dir.path()), Err(PackagesError::Manifest(_))));
    }
}
