// SPDX-License-Identifier: Apache-2.0
//! Where a package can be used: what its manifest says, and what its scripts give away.
//!
//! Facts on KubeVirt are those of release 1.9: a hook runs in a container of the VM's pod, two or three times for one
//! start, and without the host.

use super::edit;
use crate::author::PackageDir;
use crate::cases::{self, Cases, Status};
use crate::doctor::{Finding, Kind, Severity, quote};
use std::path::{Path, PathBuf};
use virt_hooks_contract::{Manifest, Origin, Point, RunAs, Subject, Support};
use virt_hooks_engine::{Host, MANIFEST};

/// Where a package is to be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// In a KubeVirt cluster.
    Kubevirt,
    /// On plain libvirt.
    Libvirt,
    /// Under VDSM.
    Vdsm,
}

impl Target {
    fn name(self) -> &'static str {
        match self {
            Self::Kubevirt => "KubeVirt",
            Self::Libvirt => "plain libvirt",
            Self::Vdsm => "VDSM",
        }
    }

    fn declared(self, manifest: &Manifest) -> Option<Support> {
        let p = &manifest.portability;
        match self {
            Self::Kubevirt => p.kubevirt,
            Self::Libvirt => p.libvirt,
            Self::Vdsm => p.vdsm,
        }
    }
}

/// How a point is served in a KubeVirt cluster; `None`: not at all.
fn in_kubevirt(point: &str) -> Option<Severity> {
    match point {
        "before_vm_start" => Some(Severity::Hint),
        "after_vm_start"
        | "before_vm_destroy"
        | "after_vm_destroy"
        | "before_vm_migrate_source"
        | "before_vm_migrate_destination"
        | "after_vm_migrate_destination"
        | "before_device_create" => Some(Severity::Warning),
        _ => None,
    }
}

/// What a script has in it, on which of the targets it matters, how much, what it is and why it matters.
struct Sign {
    words: &'static [&'static str],
    targets: &'static [Target],
    severity: Severity,
    what: &'static str,
    why: &'static str,
}

use Target::{Kubevirt, Libvirt, Vdsm};

const SIGNS: &[Sign] = &[
    Sign {
        words: &["import vdsm", "from vdsm"],
        targets: &[Kubevirt, Libvirt],
        severity: Severity::Broken,
        what: "imports modules of VDSM",
        why: "there is no VDSM: of its modules only hooking is there",
    },
    Sign {
        words: &["vdsm-client", "vdsClient", "localhost:54321"],
        targets: &[Kubevirt, Libvirt],
        severity: Severity::Broken,
        what: "asks VDSM",
        why: "there is no VDSM to answer",
    },
    Sign {
        words: &["sudo "],
        targets: &[Kubevirt],
        severity: Severity::Broken,
        what: "uses sudo",
        why: "the container of a hook has no sudo and no way to become root",
    },
    Sign {
        words: &["/rhev/", "/etc/vdsm", "/var/lib/vdsm", "/run/vdsm", "/usr/libexec/vdsm", "/var/log/vdsm"],
        targets: &[Kubevirt, Libvirt],
        severity: Severity::Warning,
        what: "uses paths that only VDSM's hosts have",
        why: "what lies there under VDSM is elsewhere, or nowhere",
    },
    Sign {
        words: &["/sys/", "/dev/", "/etc/libvirt", "/var/lib/libvirt", "/var/log/", "/proc/sys/"],
        targets: &[Kubevirt],
        severity: Severity::Warning,
        what: "uses paths of the host",
        why: "a hook sees its own container, not the host: what it makes there is lost, or has to be on a volume of the pod",
    },
    Sign {
        words: &["virsh ", "systemctl ", "import libvirt", "qemu:///system"],
        targets: &[Kubevirt],
        severity: Severity::Broken,
        what: "talks to services of the host",
        why: "the container of a hook reaches neither the host's libvirt nor its systemd",
    },
    Sign {
        words: &["ovirt.org/vm", "ovirt-vm:", "ovirt-tune"],
        targets: &[Kubevirt, Libvirt],
        severity: Severity::Warning,
        what: "reads oVirt's metadata of a VM",
        why: "VMs that oVirt did not make have none",
    },
    Sign {
        words: &[".iteritems(", ".has_key(", "print \"", "except Exception, ", "import commands"],
        targets: &[Kubevirt, Libvirt, Vdsm],
        severity: Severity::Broken,
        what: "is written for Python 2",
        why: "it fails when it comes to that line",
    },
    Sign {
        words: &["_hook_point", "_hook_event_id", "_hook_reason", "_hook_attempt"],
        targets: &[Vdsm],
        severity: Severity::Warning,
        what: "reads variables that VDSM does not set",
        why: "under VDSM they are missing: have a value for that",
    },
];

pub(super) fn check(
    package: &PackageDir,
    hooks: &[(Point, PathBuf, Vec<PathBuf>)],
    host: &Host,
    (target, program): (Target, Option<&Path>),
    out: &mut Vec<Finding>,
) {
    let manifest = &package.manifest;
    let path = package.dir.join(MANIFEST);
    declared(manifest, &path, target, out);
    for hook in &manifest.point {
        let point = host.catalogue.get(&hook.name);
        out.extend(point.and_then(|point| served(point, &path, target)));
    }
    privileges(manifest, &path, target, out);
    let mut files: Vec<&PathBuf> = hooks.iter().map(|(_, file, _)| file).collect();
    files.extend(hooks.iter().flat_map(|(_, _, beside)| beside));
    files.sort();
    files.dedup();
    for file in files {
        signs(file, target, out);
    }
    if target == Kubevirt {
        several_times(package, host, program, out);
    }
}

fn finding(severity: Severity, path: &Path) -> Finding {
    let kind = if severity == Severity::Broken { Kind::NotPortable } else { Kind::PortableWithCare };
    Finding::new(severity, kind, path)
}

fn declared(manifest: &Manifest, path: &Path, target: Target, out: &mut Vec<Finding>) {
    let note = manifest.portability.note.as_deref().unwrap_or("the manifest does not say why").trim();
    let (severity, what) = match target.declared(manifest) {
        Some(Support::No) => (Severity::Broken, "cannot be used"),
        Some(Support::Care) => (Severity::Warning, "can be used with care"),
        Some(Support::Yes) | None => return,
    };
    out.push(
        finding(severity, path)
            .what(format!("says that the package {what} on {}", target.name()))
            .why(note.split_whitespace().collect::<Vec<_>>().join(" "))
            .mend("virt-hooks points # shows what else there is"),
    );
}

fn served(point: &Point, path: &Path, target: Target) -> Option<Finding> {
    let name = &*point.name;
    let (severity, what, why) = match target {
        Kubevirt => match in_kubevirt(name) {
            Some(Severity::Hint) => return None,
            Some(_) => (
                Severity::Warning,
                "is served in another way",
                "KubeVirt has a hook for it on the node only, or it is run for each device while the domain is defined",
            ),
            None => (Severity::Broken, "has no counterpart", "nothing in KubeVirt ever comes to this point"),
        },
        Libvirt if point.origin == Origin::Vdsm && point.subject == Subject::Host => {
            (Severity::Broken, "has no counterpart", "libvirt does not tell when such things happen")
        }
        Libvirt => return None,
        Vdsm if point.origin == Origin::Vdsm => return None,
        Vdsm => (Severity::Broken, "is none of VDSM's", "VDSM never comes to this point"),
    };
    Some(
        finding(severity, path)
            .at(name)
            .what(format!("{name} {what} on {}", target.name()))
            .why(why)
            .mend(format!("virt-hooks points {name}")),
    )
}

fn privileges(manifest: &Manifest, path: &Path, target: Target, out: &mut Vec<Finding>) {
    let mut add = |severity, what: String, why: &str| {
        out.push(finding(severity, path).what(what).why(why).mend(edit(path)));
    };
    match target {
        Kubevirt => {
            if !manifest.sudo.is_empty() {
                let what = format!("runs {} through sudo", manifest.sudo.join(", "));
                add(Severity::Broken, what, "the container of a hook has no sudo and no way to become root");
            }
            let root = manifest.privileges.run_as == Some(RunAs::Root);
            if root || !manifest.privileges.capabilities.is_empty() {
                let what = "must run as root, or needs capabilities".to_owned();
                add(
                    Severity::Broken,
                    what,
                    "the container of a hook runs as an ordinary user without capabilities",
                );
            }
            if !manifest.commands.is_empty() {
                let what = format!("runs {}", manifest.commands.join(", "));
                add(Severity::Warning, what, "the image with the hook has to have these commands");
            }
            if !manifest.file.is_empty() {
                let what = format!("installs {} beside its hooks", count(manifest.file.len()));
                add(Severity::Warning, what, "in a container nothing reads units, rules and the like");
            }
        }
        Vdsm => {
            let more = manifest.when.is_some() || !manifest.after.is_empty() || !manifest.before.is_empty();
            let per_point = manifest.point.iter().any(|p| p.timeout.is_some() || p.failure.is_some());
            if more || per_point {
                let what = "asks for an order, a deadline, a policy or a choice of VMs".to_owned();
                add(
                    Severity::Warning,
                    what,
                    "VDSM runs every executable file by its name, and reads no manifest",
                );
            }
            if manifest.property.iter().any(|p| p.default.is_some()) {
                let what = "has defaults for properties".to_owned();
                add(Severity::Warning, what, "VDSM sets no variable for a property that is not set");
            }
        }
        Libvirt => {}
    }
}

fn count(files: usize) -> String {
    if files == 1 { "a file".to_owned() } else { format!("{files} files") }
}

fn signs(path: &Path, target: Target, out: &mut Vec<Finding>) {
    // A binary has all sorts of words in it.
    let Ok(text) = std::fs::read_to_string(path) else { return };
    if text.contains('\0') {
        return;
    }
    let lines: Vec<(usize, &str)> = text
        .lines()
        .enumerate()
        .map(|(n, line)| (n + 1, line))
        .filter(|(_, line)| !line.trim_start().starts_with('#'))
        .collect();
    for sign in SIGNS.iter().filter(|s| s.targets.contains(&target)) {
        let meant = |line: &str| {
            let allowed =
                line.contains("from vdsm.hook import hooking") || line.contains("from vdsm import hooking");
            !allowed && sign.words.iter().any(|w| has_word(line, w))
        };
        if let Some((n, line)) = lines.iter().find(|(_, line)| meant(line)) {
            out.push(
                finding(sign.severity, path)
                    .what(format!(
                        "line {n} {}: {}",
                        sign.what,
                        line.trim().chars().take(80).collect::<String>()
                    ))
                    .why(sign.why)
                    .mend(format!("${{EDITOR:-vi}} +{n} {}", quote::path(path))),
            );
        }
    }
}

/// Whether a line has a word in it that is not the tail of another. `/dev/null` and its like are everywhere.
fn has_word(line: &str, word: &str) -> bool {
    let line = line.replace("/dev/null", "").replace("/dev/stderr", "").replace("/dev/stdin", "");
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        word.starts_with('.') || !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
    })
}

/// KubeVirt defines a domain two or three times for one start, each time from what the hooks made of it before.
fn several_times(package: &PackageDir, host: &Host, program: Option<&Path>, out: &mut Vec<Finding>) {
    let path = package.dir.join(MANIFEST);
    let why = "KubeVirt runs hooks two or three times for one start, on what they left before";
    if !package.manifest.idempotent {
        out.push(
            Finding::new(Severity::Broken, Kind::NotIdempotent, &path)
                .what("says that running the hooks on their own output changes more")
                .why(why)
                .mend(edit(&path)),
        );
        return;
    }
    let options = cases::Options { program, always_twice: true, ..cases::Options::default() };
    // What keeps the cases from running is told elsewhere.
    let Ok(cases) = Cases::load(std::slice::from_ref(&package.dir), host, options) else { return };
    for result in cases.run() {
        if let Status::Failed(wrong) = result.status
            && let Some(said) = wrong.iter().find(|w| w.starts_with("run again"))
        {
            out.push(
                Finding::new(Severity::Broken, Kind::NotIdempotent, &path)
                    .what(format!("case {}: {}", result.name, said.lines().next().unwrap_or_default()))
                    .why(why)
                    .mend(format!("virt-hooks test {}", quote::path(&package.dir))),
            );
        }
    }
}
