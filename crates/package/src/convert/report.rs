// SPDX-License-Identifier: Apache-2.0
//! The conversion itself: annotations, hooks, and what to know about each.

use super::annotation::{self, ALL_TOGETHER};
use super::known::counterpart;
use super::{Machine, Source};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use virt_hooks_contract::{Scope, Support, env};
use virt_hooks_engine::Package;

/// How to convert.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Names of devices in KubeVirt, by their names in oVirt or their MAC addresses.
    pub rename: BTreeMap<String, String>,
    /// Properties that hold secrets, beside those whose names or packages say so.
    pub secrets: Vec<String>,
}

/// Whether a hook goes along.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// As it is.
    Portable,
    /// With care.
    PortableWithCare,
    /// Its manifest does not say.
    Unknown,
    /// Nothing there does what it does.
    NoCounterpart,
}

impl Verdict {
    /// The words for it.
    pub fn words(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::PortableWithCare => "portable with care",
            Self::Unknown => "unknown",
            Self::NoCounterpart => "no counterpart",
        }
    }

    fn of(package: &Package) -> Self {
        match package.manifest.portability.kubevirt {
            Some(Support::Yes) => Self::Portable,
            Some(Support::Care) => Self::PortableWithCare,
            Some(Support::No) => Self::NoCounterpart,
            None => Self::Unknown,
        }
    }
}

/// What became of a VM.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Conversion {
    /// Its name in oVirt.
    pub vm: Option<String>,
    /// What it was read from.
    pub source: Source,
    /// Annotations for `spec.template.metadata.annotations` of the VM. Values are whole, secrets too.
    pub annotations: BTreeMap<String, String>,
    /// Hook packages to have in the cluster.
    pub install: Vec<String>,
    /// All hook packages that read one of the properties.
    pub hooks: Vec<HookReport>,
    /// Each property.
    pub properties: Vec<PropertyReport>,
    /// What to look at, in a line each.
    pub warnings: Vec<String>,
}

/// Without the annotations' values.
impl std::fmt::Debug for Conversion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Conversion")
            .field("vm", &self.vm)
            .field("annotations", &self.annotations.keys().collect::<Vec<_>>())
            .field("install", &self.install)
            .field("hooks", &self.hooks)
            .field("properties", &self.properties)
            .field("warnings", &self.warnings)
            .finish_non_exhaustive()
    }
}

/// What becomes of the hooks of one package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HookReport {
    /// The package.
    pub package: String,
    /// Whether it goes along.
    pub verdict: Verdict,
    /// Why, or what to take care of; from its manifest.
    pub why: String,
    /// The hook points it is at.
    pub points: Vec<String>,
    /// Which of the VM's properties it reads: `NAME`, or `DEVICE.NAME`.
    pub reads: Vec<String>,
}

/// What becomes of one property.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PropertyReport {
    /// The device it is of, by its name in KubeVirt; `None`: the VM.
    pub device: Option<String>,
    /// Its name.
    pub name: String,
    /// Its value, or `***` where it is a secret.
    pub value: String,
    /// Whether it is one.
    pub secret: bool,
    /// Its annotation; `None`: it cannot be carried over, and `remarks` say why.
    pub annotation: Option<String>,
    /// The packages that declare it.
    pub packages: Vec<String>,
    /// What to know, in a line each.
    pub remarks: Vec<String>,
}

impl PropertyReport {
    /// `NAME`, or `DEVICE.NAME`.
    pub fn label(&self) -> String {
        match &self.device {
            Some(device) => format!("{device}.{}", self.name),
            None => self.name.clone(),
        }
    }
}

/// Converts a VM, as the manifests of `packages` say.
pub fn convert(machine: &Machine, packages: &[Arc<Package>], options: &Options) -> Conversion {
    let mut conversion = Conversion {
        vm: machine.name.clone(),
        source: machine.source,
        annotations: BTreeMap::new(),
        install: Vec::new(),
        hooks: Vec::new(),
        properties: Vec::new(),
        warnings: machine.remarks.clone(),
    };
    let mut renamed = BTreeSet::new();
    for (name, value) in &machine.properties {
        conversion.carry(packages, options, None, name, value);
    }
    for device in &machine.devices {
        let mac = device.mac.as_ref().map(|m| m.to_ascii_lowercase());
        let new = options
            .rename
            .iter()
            .find(|(from, _)| **from == device.name || Some(from.to_ascii_lowercase()) == mac);
        if let Some((from, _)) = new {
            renamed.insert(from.clone());
        }
        let name = new.map_or(&device.name, |(_, to)| to);
        for (property, value) in &device.properties {
            conversion.carry(packages, options, Some(name), property, value);
        }
    }
    for from in options.rename.keys().filter(|from| !renamed.contains(*from)) {
        conversion.warnings.push(format!("no device {from} here: it was not given another name"));
    }
    conversion.judge(packages);
    conversion.conclude();
    conversion
}

impl Conversion {
    fn carry(
        &mut self,
        packages: &[Arc<Package>],
        options: &Options,
        device: Option<&str>,
        name: &str,
        value: &str,
    ) {
        let scope = if device.is_some() { Scope::Device } else { Scope::Vm };
        let declares = |package: &&Arc<Package>, scope: Scope| {
            package.manifest.property.iter().any(|p| p.name == name && p.scope == scope)
        };
        let declaring: Vec<_> = packages.iter().filter(|p| declares(p, scope)).collect();
        let said_secret =
            |package: &Arc<Package>| package.manifest.property.iter().any(|p| p.name == name && p.secret);
        let secret = env::names_a_secret(name)
            || options.secrets.iter().any(|s| s == name)
            || packages.iter().any(said_secret);
        let mut remarks = Vec::new();
        let annotation = annotation::name(device, name)
            .and_then(|annotation| annotation::check_value(value).map(|()| annotation))
            .map_err(|why| remarks.push(format!("not carried over: {why}")))
            .ok();
        if secret && annotation.is_some() {
            remarks.push(
                "its value looks like a secret, and whoever may read the VM may read its annotations"
                    .to_owned(),
            );
        }
        if declaring.is_empty() {
            let elsewhere = packages.iter().find(|p| p.manifest.property.iter().any(|q| q.name == name));
            remarks.push(match (counterpart(scope, name), elsewhere) {
                (Some(there), _) => format!("oVirt's own, not a hook's; in KubeVirt: {there}"),
                (None, Some(package)) => {
                    format!("package {} declares it, but not for {}", package.name(), of(scope))
                }
                (None, None) => {
                    "no hook package here declares it: hooks are not given it unless one does".to_owned()
                }
            });
        }
        // The driver refuses a start over a value that no package with the property allows.
        let objections: Vec<String> = declaring
            .iter()
            .filter_map(|package| {
                let said = package.objection(name, value.as_bytes())?;
                Some(if secret {
                    format!("package {} does not allow its value", package.name())
                } else {
                    said
                })
            })
            .collect();
        if !declaring.is_empty() && objections.len() == declaring.len() {
            remarks.push(format!("VMs with it will not start: {}", objections.join("; ")));
        }
        let report = PropertyReport {
            device: device.map(str::to_owned),
            name: name.to_owned(),
            value: if secret { "***".to_owned() } else { value.to_owned() },
            secret,
            annotation: annotation.clone(),
            packages: declaring.iter().map(|p| p.name().to_owned()).collect(),
            remarks,
        };
        if let Some(annotation) = annotation
            && self.annotations.insert(annotation, value.to_owned()).is_some_and(|before| before != value)
        {
            self.warnings
                .push(format!("{} is there twice, with two values: the last one counts", report.label()));
        }
        self.properties.push(report);
    }

    fn judge(&mut self, packages: &[Arc<Package>]) {
        for package in packages {
            let mut reads: Vec<String> = self
                .properties
                .iter()
                .filter(|p| p.packages.iter().any(|name| name == package.name()))
                .map(PropertyReport::label)
                .collect();
            reads.dedup();
            if reads.is_empty() {
                continue;
            }
            let note = package.manifest.portability.note.as_deref().unwrap_or_default();
            let mut why = note.split_whitespace().collect::<Vec<_>>().join(" ");
            let verdict = Verdict::of(package);
            if verdict == Verdict::Unknown {
                why = "its hook.toml has no kubevirt in [portability]: try it on a copy of the VM first"
                    .to_owned();
            }
            let mut points: Vec<String> = package.manifest.point.iter().map(|p| p.name.clone()).collect();
            points.dedup();
            if !matches!(verdict, Verdict::NoCounterpart) {
                self.install.push(package.name().to_owned());
            }
            self.hooks.push(HookReport { package: package.name().to_owned(), verdict, why, points, reads });
        }
        self.hooks.sort_by(|a, b| (a.verdict, &a.package).cmp(&(b.verdict, &b.package)));
        self.install.sort();
    }

    fn conclude(&mut self) {
        let size: usize = self.annotations.iter().map(|(n, v)| n.len() + v.len()).sum();
        if size > ALL_TOGETHER {
            self.warnings.push(format!(
                "the annotations have {size} bytes together, and Kubernetes takes {ALL_TOGETHER} at most: shorten values"
            ));
        }
        for property in &self.properties {
            let label = property.label();
            self.warnings.extend(property.remarks.iter().map(|remark| format!("{label}: {remark}")));
        }
    }
}

fn of(scope: Scope) -> &'static str {
    match scope {
        Scope::Vm => "VMs",
        Scope::Device => "devices",
        Scope::Network => "networks",
    }
}
