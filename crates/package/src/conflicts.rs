// SPDX-License-Identifier: Apache-2.0
//! Hooks of one chain that write the same place.

use std::collections::BTreeMap;
use virt_hooks_domxml::{Difference, Document, compare};
use virt_hooks_engine::Outcome;

/// A place that more than one hook wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The place, such as `/domain/cpu/@mode`.
    pub path: String,
    /// Who wrote it, in the order of the chain, and what was there afterwards; `None`: nothing. The last one counts.
    pub writers: Vec<(String, Option<String>)>,
}

/// The places that more than one hook of a chain wrote; a hook that removes or replaces an element writes all that is in
/// it. Only documents of XML are looked into.
pub fn conflicts(outcome: &Outcome) -> Vec<Conflict> {
    let mut written: BTreeMap<String, Vec<(usize, String, Option<String>)>> = BTreeMap::new();
    for (at, run) in outcome.runs.iter().enumerate() {
        let Some((before, after)) = run.documents() else { continue };
        let (Ok(before), Ok(after)) = (Document::parse(before), Document::parse(after)) else { continue };
        let hook = run.hook.name().to_string_lossy().into_owned();
        for Difference { path, after, .. } in compare(&before, &after) {
            written.entry(path).or_default().push((at, hook.clone(), after));
        }
    }
    let mut all: Vec<Conflict> = Vec::new();
    for (path, own) in &written {
        let mut writers = own.clone();
        // Who wrote the element around it wrote it too.
        for (above, theirs) in &written {
            if path != above && path.starts_with(&format!("{above}/")) {
                let others = theirs.iter().filter(|t| own.iter().all(|o| o.0 != t.0));
                writers.extend(others.map(|(at, hook, _)| (*at, hook.clone(), None)));
            }
        }
        writers.sort_by_key(|w| w.0);
        if writers.iter().any(|w| w.0 != writers[0].0) {
            let writers = writers.into_iter().map(|(_, hook, after)| (hook, after)).collect();
            all.push(Conflict { path: path.clone(), writers });
        }
    }
    all
}
