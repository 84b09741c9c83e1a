// SPDX-License-Identifier: Apache-2.0
//! Explains why a hook does not run, or will fail when it does.
//!
//! [`examine`] looks at a host as the engine would find it and changes nothing. Which file runs is the
//! engine's own answer ([`virt_hooks_engine::Engine::chain`]); what is added here is why a file is not
//! among those, what would go wrong with one that is, and the command that mends it. One module has one
//! kind of question; each gets the files found by `survey` and adds to the findings.

mod content;
mod file;
mod finding;
mod host;
mod interpreter;
mod labels;
mod layers;
mod libvirt;
mod links;
mod machine;
mod names;
mod owners;
mod packages;
mod permissions;
mod program;
pub(crate) mod quote;
mod runner;
mod survey;
mod text;

#[cfg(test)]
mod tests;

pub use finding::{Finding, Kind, Severity, is_broken};
pub use host::explain;
pub use text::render;

use machine::Machine;
use std::path::PathBuf;
use survey::Survey;
use virt_hooks_contract::Point;
use virt_hooks_engine::Host;

/// What is wrong, or odd, with the hooks of `points`, and with the host as far as they need it; with no
/// points, of all there are. The worst comes first.
///
/// Files are read, at most their beginning, and never changed; nothing is run. What cannot be read is a
/// finding of its own.
pub fn examine(host: &Host, points: &[String]) -> Vec<Finding> {
    examine_on(host, points, &Machine::default())
}

/// What is wrong with hooks as a package has them, before they are installed: each with its point, its file, and the
/// files beside it. Where they lie, and whose they are, is the author's business.
pub(crate) fn examine_sources(host: &Host, hooks: &[(Point, PathBuf, Vec<PathBuf>)]) -> Vec<Finding> {
    const ELSEWHERE: &[Kind] = &[Kind::OrderSurprise, Kind::ForeignOwner, Kind::NoexecMount];
    let mut findings = Vec::new();
    let survey = Survey::of_sources(host, hooks);
    names::check(&survey, &mut findings);
    links::check(&survey, &mut findings);
    permissions::check(&survey, &mut findings);
    owners::check(&survey, &mut findings);
    content::check(&survey, &Machine::default(), &mut findings);
    findings.retain(|f| !ELSEWHERE.contains(&f.kind) && hooks.iter().any(|(_, path, _)| f.path == *path));
    findings.extend(host::hooking(&survey));
    findings
}

/// The worst first, then by file.
pub(crate) fn sort(findings: &mut Vec<Finding>) {
    findings.sort_by(|a, b| {
        (a.severity, &a.point, &a.path, a.kind).cmp(&(b.severity, &b.point, &b.path, b.kind))
    });
    findings.dedup();
}

fn examine_on(host: &Host, points: &[String], machine: &Machine) -> Vec<Finding> {
    let mut findings = Vec::new();
    let survey = Survey::of(host, points, &mut findings);
    host::check(&survey, &mut findings);
    layers::check(&survey, &mut findings);
    names::check(&survey, &mut findings);
    links::check(&survey, &mut findings);
    permissions::check(&survey, &mut findings);
    owners::check(&survey, &mut findings);
    content::check(&survey, machine, &mut findings);
    labels::check(&survey, machine, &mut findings);
    libvirt::check(&survey, machine, &mut findings);
    packages::check(&survey, &mut findings);
    sort(&mut findings);
    findings
}
