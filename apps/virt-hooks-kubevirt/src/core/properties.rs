// SPDX-License-Identifier: Apache-2.0
//! Custom properties from the annotations of a VMI.
//!
//! Who owns a VM sets its annotations, and is not trusted: only names that an installed hook package declares
//! are given to hooks, and only with values that match its pattern.

use super::refusal::Refusal;
use super::vmi::Vmi;
use std::collections::BTreeMap;
use virt_hooks_contract::{ManifestProperty, Scope, ValueCheck, env};
use virt_hooks_engine::{CustomProperties, Packages};

pub use virt_hooks_package::convert::{DEVICE_PREFIX, VM_PREFIX};

/// The longest value, in bytes: half of what one variable can hold.
const LONGEST: usize = 64 << 10;
/// How many bytes all together may have: what Kubernetes allows for all annotations.
const TOGETHER: usize = 256 << 10;

/// Why the installed packages cannot be used: a line for each that is spoilt.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("hook packages: {}", .0.join("; "))]
pub struct PackagesError(Vec<String>);

/// Names that installed packages declare, with what their values are checked with.
#[derive(Debug, Default)]
pub struct Declared {
    vm: BTreeMap<String, Vec<Rule>>,
    device: BTreeMap<String, Vec<Rule>>,
}

#[derive(Debug)]
struct Rule {
    property: ManifestProperty,
    check: ValueCheck,
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
    /// What the manifests of all installed packages declare. Nothing, where there is no directory of packages.
    ///
    /// # Errors
    /// One cannot be read or has a mistake in it: without it a hook would silently do nothing.
    pub fn read(packages: &Packages) -> Result<Self, PackagesError> {
        let (all, problems) = packages.all();
        if !problems.is_empty() {
            return Err(PackagesError(problems));
        }
        let mut declared = Self::default();
        for property in all.iter().flat_map(|p| &p.manifest.property) {
            let names = match property.scope {
                Scope::Vm => &mut declared.vm,
                Scope::Device => &mut declared.device,
                // Of hosts: no VM has one.
                Scope::Network => continue,
            };
            let check = property
                .check()
                .map_err(|why| PackagesError(vec![format!("property {}: {why}", property.name)]))?;
            names.entry(property.name.clone()).or_default().push(Rule { property: property.clone(), check });
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
            let Some(rules) = known.get(name) else {
                let kind = if device.is_some() { "device" } else { "VM" };
                properties.ignored.push(format!(
                    "annotation {annotation}: no installed hook package declares this {kind} property"
                ));
                continue;
            };
            check(annotation, value, rules)?;
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

fn check(annotation: &str, value: &str, rules: &[Rule]) -> Result<(), Refusal> {
    let refuse = |why: String| Err(Refusal::Malformed(format!("annotation {annotation}: {why}")));
    if value.len() > LONGEST {
        return refuse(format!("its value has {} bytes; {LONGEST} at most", value.len()));
    }
    if value.contains('\0') {
        return refuse("its value holds a NUL".to_owned());
    }
    // Of two packages with a property of that name, one that allows the value is enough.
    let objections: Vec<String> =
        rules.iter().map_while(|r| r.property.objection(&r.check, value.as_bytes())).collect();
    if objections.len() < rules.len() {
        return Ok(());
    }
    refuse(objections.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    const MANIFEST: &str = "manifest = 1\nname = \"p\"\nversion = \"1\"\nsummary = \"s\"\ndescription = \"d\"\nlicence = \"MIT\"\n\
        [[point]]\nname = \"before_vm_start\"\nfile = \"50_p\"\n";

    fn read(dir: &Path) -> Result<Declared, PackagesError> {
        Declared::read(&Packages::new(Some(dir.to_owned())))
    }

    /// Name, scope, pattern, example.
    fn declared(properties: &[(&str, &str, &str, &str)]) -> Declared {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("p")).unwrap();
        fs::write(dir.path().join("stray"), "").unwrap();
        fs::create_dir(dir.path().join("empty")).unwrap();
        let mut text = MANIFEST.to_owned();
        for (name, scope, pattern, example) in properties {
            text += &format!(
                "[[property]]\nname = \"{name}\"\nscope = \"{scope}\"\npattern = '{pattern}'\nexample = '{example}'\ndescription = 'd'\n"
            );
        }
        fs::write(dir.path().join("p/hook.toml"), text).unwrap();
        read(dir.path()).unwrap()
    }

    fn of(declared: &Declared, annotations: &serde_json::Value) -> Result<Properties, Refusal> {
        let json = serde_json::json!({"metadata": {"uid": "u", "annotations": annotations}});
        declared.of(&Vmi::parse(serde_json::to_vec(&json).unwrap()).unwrap())
    }

    fn pairs(p: &CustomProperties) -> Vec<(&str, &str)> {
        p.iter().map(|(n, v)| (std::str::from_utf8(n).unwrap(), std::str::from_utf8(v).unwrap())).collect()
    }

    #[test]
    fn declared_ones_are_given_and_others_are_told_of() {
        let d = declared(&[
            ("smbios", "vm", r"^\{.*\}$", "{}"),
            ("queues", "device", "[0-9]+", "1"),
            ("net", "network", ".*", ""),
        ]);
        let p = of(
            &d,
            &serde_json::json!({
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
        let d = declared(&[("n", "vm", "[0-9]+|x", "x"), ("long", "vm", "(?s).*", "")]);
        let refused = |value: String| {
            let name = if value.len() > 9 || value.contains('\0') { "long" } else { "n" };
            of(&d, &serde_json::json!({ format!("hooks.virt-hooks.io/{name}"): value }))
                .unwrap_err()
                .to_string()
        };
        assert!(of(&d, &serde_json::json!({"hooks.virt-hooks.io/n": "12"})).is_ok());
        assert_eq!(
            refused("12x".into()),
            "annotation hooks.virt-hooks.io/n: property n: \"12x\" does not match [0-9]+|x; an example is \"x\""
        );
        assert!(refused("1\n".into()).contains("does not match"));
        assert!(refused("a".repeat(LONGEST + 1)).contains("65536 at most"));
        assert!(refused("a\0".into()).contains("NUL"));
        let many = declared(&[
            ("a", "vm", "a*", ""),
            ("b", "vm", "a*", ""),
            ("c", "vm", "a*", ""),
            ("d", "vm", "a*", ""),
            ("e", "vm", "a*", ""),
        ]);
        let long = "a".repeat(LONGEST);
        let all =
            ["a", "b", "c", "d", "e"].map(|n| (format!("hooks.virt-hooks.io/{n}"), long.clone().into()));
        let json = serde_json::Value::Object(all.into_iter().collect());
        assert!(of(&many, &json).unwrap_err().to_string().contains("256 KiB"));
    }

    #[test]
    fn a_spoilt_package_is_not_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        assert!(read(&dir.path().join("none")).unwrap().is_empty());
        fs::create_dir(dir.path().join("p")).unwrap();
        fs::write(dir.path().join("p/hook.toml"), "nonsense").unwrap();
        let said = read(dir.path()).unwrap_err().to_string();
        assert!(said.starts_with("hook packages: ") && said.contains("p/hook.toml:1"), "{said}");
    }
}
