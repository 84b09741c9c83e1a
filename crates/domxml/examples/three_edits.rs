// SPDX-License-Identifier: Apache-2.0
//! How long three edits of a usual domain take, from bytes to bytes: an attribute set, an element
//! with a namespace of its own added, a text set. Prints the median and the lower and upper tenth.
//!
//! `cargo run --release -p virt-hooks-domxml --example three_edits`
#![allow(clippy::print_stdout, reason = "a benchmark reports on standard output")]

use std::error::Error;
use std::hint::black_box;
use std::time::{Duration, Instant};
use virt_hooks_domxml::{Document, check};

const DOMAIN: &[u8] = include_bytes!("../testdata/domain-12k.xml");
const ROUNDS: usize = 5_000;

fn three_edits(source: &[u8]) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut domain = Document::parse(source)?;
    let interface = domain.interface_by_mac("52:54:00:1A:2B:31").ok_or("no such interface")?;
    let link = domain.child(interface, "link").ok_or("no link")?;
    domain.set_attribute(link, "state", "down")?;
    domain.append_qemu_arguments(&["-snapshot"])?;
    let memory = domain.find("memory").ok_or("no memory")?;
    domain.set_text(memory, "4194304")?;
    Ok(domain.into_bytes())
}

fn report(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |part: usize| times.get(times.len() * part / 10).copied().unwrap_or_default();
    println!("{what}: median {:?}, 10 % {:?}, 90 % {:?}", at(5), at(1), at(9));
}

fn measured<T>(mut work: impl FnMut() -> T) -> Vec<Duration> {
    let timed = |_| {
        let start = Instant::now();
        black_box(work());
        start.elapsed()
    };
    (0..ROUNDS).map(timed).collect()
}

fn main() -> Result<(), Box<dyn Error>> {
    let edited = three_edits(DOMAIN)?;
    println!("{} bytes in, {} bytes out", DOMAIN.len(), edited.len());
    report("three edits", measured(|| three_edits(black_box(DOMAIN)).map(|out| out.len()).ok()));
    report("parse only ", measured(|| Document::parse(black_box(DOMAIN)).is_ok()));
    report("check only ", measured(|| check(black_box(DOMAIN)).is_ok()));
    Ok(())
}
