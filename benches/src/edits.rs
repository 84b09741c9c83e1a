// SPDX-License-Identifier: Apache-2.0
//! Three edits of a usual domain of 12 KiB, from bytes to bytes: an attribute set, an element with a
//! namespace of its own added, a text set; as `three_edits` among the examples of `virt-hooks-domxml`.

use crate::error::BenchError;
use crate::stats::Spread;
use std::hint::black_box;
use std::time::Instant;
use virt_hooks_domxml::Document;

const DOMAIN: &[u8] = include_bytes!("../../crates/domxml/testdata/domain-12k.xml");
/// Enough for steady caches and branch predictors, in half a second.
const TIMES: usize = 5_000;

/// What was found.
pub(crate) struct Edits {
    /// Time of the three edits, in microseconds.
    pub(crate) micros: Spread,
    /// Whether every line but those edited came back byte for byte.
    pub(crate) rest_kept: bool,
}

fn edit(source: &[u8]) -> Result<Vec<u8>, String> {
    let line = |e: &dyn std::error::Error| e.to_string();
    let mut domain = Document::parse(source).map_err(|e| line(&e))?;
    let interface = domain.interface_by_mac("52:54:00:1A:2B:31").ok_or("no such interface")?;
    let link = domain.child(interface, "link").ok_or("no link")?;
    domain.set_attribute(link, "state", "down").map_err(|e| line(&e))?;
    domain.append_qemu_arguments(&["-snapshot"]).map_err(|e| line(&e))?;
    let memory = domain.find("memory").ok_or("no memory")?;
    domain.set_text(memory, "4194304").map_err(|e| line(&e))?;
    Ok(domain.into_bytes())
}

pub(crate) fn measure() -> Result<Edits, BenchError> {
    let failed = |said| BenchError::Failed { program: "editing a domain".into(), said };
    let edited = edit(DOMAIN).map_err(failed)?;
    let mut times = Vec::with_capacity(TIMES);
    for _ in 0..TIMES {
        let started = Instant::now();
        black_box(edit(black_box(DOMAIN)).map_err(failed)?);
        times.push(started.elapsed().as_nanos() as f64 / 1e3);
    }
    let micros = Spread::of(times).ok_or_else(|| failed("no times".into()))?;
    Ok(Edits { micros, rest_kept: lines_lost(DOMAIN, &edited) == 3 })
}

/// How many lines of `before` are not in `after` in the same order: all but the longest common sequence.
fn lines_lost(before: &[u8], after: &[u8]) -> usize {
    let after: Vec<&[u8]> = after.split(|&b| b == b'\n').collect();
    let mut lines = 0;
    let mut common = vec![0; after.len() + 1];
    for line in before.split(|&b| b == b'\n') {
        lines += 1;
        let mut diagonal = 0;
        for (at, other) in after.iter().enumerate() {
            let above = common[at + 1];
            common[at + 1] = if line == *other { diagonal + 1 } else { above.max(common[at]) };
            diagonal = above;
        }
    }
    lines - common[after.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_edited_lines_differ() {
        let edited = edit(DOMAIN).unwrap();
        // <domain>, for the namespace; <link>; <memory>. Lines added are not lost.
        assert_eq!(lines_lost(DOMAIN, &edited), 3);
        assert_eq!(lines_lost(b"a\nb\nc", b"a\nx\nc"), 1);
        assert_eq!(lines_lost(b"a\nb", b"a\nnew\nb"), 0);
    }
}
