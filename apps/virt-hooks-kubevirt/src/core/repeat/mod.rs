// SPDX-License-Identifier: Apache-2.0
//! Calls that repeat.
//!
//! KubeVirt asks for the domain two or three times for each start, each time with another mixture of the
//! original and of the last answer: edits of devices come back, with addresses libvirt gave them; others do not.
//! Hooks written for one run would edit twice. So the last answer of each VM is kept with what it was made of,
//! and before the hooks run again, what they did is undone wherever it is still there.

mod matching;
mod node;
mod store;
mod transfer;

pub(crate) use store::{Store, write_whole};

use transfer::{Strange, transfer};
use virt_hooks_domxml::Document;

/// What hooks were given last, and what they left.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Last {
    /// What they were given.
    pub(crate) given: String,
    /// What they left.
    pub(crate) left: String,
}

/// What to do with a document that may hold edits of the last run.
#[derive(Debug)]
pub(crate) enum Repeat {
    /// Run the hooks on this: what they did is undone.
    Run(Document),
    /// The edits cannot be told from what others made of them. This has each of them once: do not run the hooks.
    Keep(Document, String),
}

impl Last {
    /// Takes the edits of the last run back.
    pub(crate) fn undo(&self, doc: &Document) -> Repeat {
        // Both were documents once; one from a damaged file has nothing to undo.
        let (Ok(given), Ok(left)) =
            (Document::parse(self.given.as_str()), Document::parse(self.left.as_str()))
        else {
            return Repeat::Run(doc.clone());
        };
        let mut undone = doc.clone();
        match transfer(&left, &given, &mut undone, Strange::Refused) {
            Ok(()) => Repeat::Run(undone),
            Err(obstacle) => {
                let mut kept = doc.clone();
                let why = match transfer(&given, &left, &mut kept, Strange::Kept) {
                    Ok(()) => obstacle.to_string(),
                    // As far as it went: the hooks must not run on their own edits.
                    Err(second) => format!("{obstacle}; {second}"),
                };
                Repeat::Keep(kept, why)
            }
        }
    }
}

#[cfg(test)]
mod tests;
