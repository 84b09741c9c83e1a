// SPDX-License-Identifier: Apache-2.0
//! Installed packages: manifests that cannot be followed, hooks that are gone, installations that were cut off.

use super::finding::{Finding, Kind, Severity};
use super::quote;
use super::survey::Survey;
use crate::shelf::transaction::{JOURNAL, interrupted};
use virt_hooks_contract::Manifest;
use virt_hooks_engine::{MANIFEST, Packages, find_cycle};

pub(super) fn check(survey: &Survey<'_>, out: &mut Vec<Finding>) {
    // They are about the host, not about a point.
    let Some(dir) = survey.host.settings.packages_dir.clone().filter(|_| survey.all) else { return };
    let (packages, problems) = Packages::new(Some(dir.clone())).all();
    for problem in problems {
        let place = problem.split(MANIFEST).next().filter(|p| p.starts_with('/')).unwrap_or_default();
        let path = if place.is_empty() { dir.clone() } else { format!("{place}{MANIFEST}").into() };
        let said = problem.strip_prefix(&*path.to_string_lossy()).unwrap_or(&problem).trim_start_matches(':');
        out.push(
            Finding::new(Severity::Broken, Kind::PackageManifest, &path)
                .what(format!("cannot be followed: {said}"))
                .why("its hooks run all the same, but without the order, deadline, conditions and checks that it asks for")
                .mend(format!("virt-hooks check {} # then install the package again", quote::path(path.parent().unwrap_or(&dir)))),
        );
    }
    for package in &packages {
        let manifest = &package.manifest;
        let file = package.dir.join(MANIFEST);
        for said in manifest.against(&survey.host.catalogue) {
            out.push(
                Finding::new(Severity::Warning, Kind::PackageUnfit, &file)
                    .what(format!("does not go with this host: {said}"))
                    .why("what it says there has no effect")
                    .mend(format!("virt-hooks check {}", quote::path(&package.dir))),
            );
        }
        for point in &manifest.point {
            let there = survey
                .host
                .settings
                .layers
                .iter()
                .any(|l| l.join(&point.name).join(&point.file).symlink_metadata().is_ok());
            if !there {
                out.push(
                    Finding::new(Severity::Broken, Kind::PackageHookMissing, &file)
                        .what(format!(
                            "has a hook {} at {} that is in no hooks directory",
                            point.file, point.name
                        ))
                        .why("the package is installed, and that hook does not run")
                        .mend(format!(
                            "virt-hooks verify {} # then install the package again",
                            manifest.name
                        )),
                );
            }
        }
    }
    let manifests: Vec<&Manifest> = packages.iter().map(|p| &p.manifest).collect();
    for point in survey.host.catalogue.iter() {
        if let Some(hooks) = find_cycle(&point.name, &manifests) {
            out.push(
                Finding::new(Severity::Broken, Kind::PackageOrder, &dir)
                    .what(format!("has packages whose hooks {} of {} wait for each other", hooks.join(", "), point.name))
                    .why("no order suits them all, so that none of them runs, and where the point can veto it does")
                    .mend("virt-hooks remove one of them, or change after or before in its hook.toml"),
            );
        }
    }
    if interrupted(&dir).unwrap_or(false) {
        out.push(
            Finding::new(Severity::Broken, Kind::InterruptedInstall, &dir.join(JOURNAL))
                .what("is left of an installation or a removal that was cut off")
                .why("some files of the package may be new and others old")
                .mend("virt-hooks verify --recover"),
        );
    }
}
