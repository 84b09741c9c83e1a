// SPDX-License-Identifier: Apache-2.0
//! `test`: the cases of hook packages.

use crate::cli::{Locations, Place, Test};
use crate::destination::Destination;
use crate::environ::Environ;
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::render::{Style, coloured, count, paint, printable};
use crate::streams::{Look, Streams};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::os::fd::AsFd;
use std::time::Instant;
use virt_hooks_contract::exit;
use virt_hooks_package::cases::{CaseResult, Cases, Options, Status, junit};

pub(crate) fn run(
    test: &Test,
    locations: &Locations,
    environ: &Environ,
    streams: &mut Streams<'_>,
) -> Result<u8, Failure> {
    let host = locations.host(environ)?;
    let to = test.junit.as_ref().map(|place| Destination::prepare("results", place)).transpose()?;
    // From here on an interrupt ends the hooks that run, and their files are removed.
    let interrupt = Interrupt::listen()?;
    let options = Options {
        program: test.program.as_deref(),
        bless: test.bless,
        jobs: test.jobs,
        only: test.case.as_deref(),
        always_twice: false,
        cancel: Some(interrupt.as_fd()),
    };
    let cases = Cases::load(&test.dirs, &host, options)?;
    if cases.is_empty() {
        let text = test.case.as_deref().unwrap_or_default();
        return Err(Failure::usage(format!("no case has \"{}\" in its name", text.escape_debug())));
    }
    let started = Instant::now();
    let results = cases.run();
    let seconds = started.elapsed().as_secs_f64();
    let on_output = test.junit != Some(Place::Standard);
    let look = if on_output { streams.output_look } else { streams.errors_look };
    let text = words(&results, test.verbose, seconds, look);
    if on_output {
        streams.print(text.as_bytes())?;
    } else {
        streams.say(&text);
    }
    if let Some(to) = to {
        to.write(junit(&results).as_bytes(), streams)?;
    }
    if results.iter().any(|r| r.status == Status::Skipped("interrupted".to_owned())) {
        return Err(Failure::unusable("interrupted: not all cases were run"));
    }
    let failed = results.iter().any(|r| matches!(r.status, Status::Failed(_)));
    Ok(if failed { exit::command::VETO } else { exit::command::PROCEED })
}

fn words(results: &[CaseResult], verbose: bool, seconds: f64, look: Look) -> String {
    let mut out = String::new();
    let mut skipped: BTreeMap<&str, usize> = BTreeMap::new();
    let [mut passed, mut failed, mut blessed] = [0_usize; 3];
    for result in results {
        let mut line = |word: &str, style, more: &str| {
            let name = format!("{}/{}", result.package, result.name);
            let _ = writeln!(out, "{} {}{more}", paint(&format!("{word:<8}"), style, look), printable(&name));
        };
        match &result.status {
            Status::Passed => {
                passed += 1;
                if verbose {
                    line("passed", Style::Good, "");
                }
            }
            Status::Blessed => {
                blessed += 1;
                line("written", Style::Odd, "");
            }
            Status::Skipped(reason) => {
                *skipped.entry(reason).or_default() += 1;
                if verbose {
                    line("skipped", Style::Aside, &format!(": {}", printable(reason)));
                }
            }
            Status::Failed(wrong) => {
                failed += 1;
                line("FAILED", Style::Bad, "");
                for part in wrong {
                    let (first, rest) = part.split_once('\n').unwrap_or((part, ""));
                    let _ = writeln!(out, "    {}", printable(first));
                    out.push_str(&coloured(rest, "      ", look));
                }
            }
        }
    }
    if !verbose {
        for (reason, n) in &skipped {
            let _ = writeln!(
                out,
                "{} {}: {}",
                paint("skipped ", Style::Aside, look),
                count(*n, "case"),
                printable(reason)
            );
        }
    }
    let all_skipped: usize = skipped.values().sum();
    let counts: Vec<String> =
        [(passed, "passed"), (failed, "failed"), (blessed, "written"), (all_skipped, "skipped")]
            .into_iter()
            .filter(|(n, _)| *n > 0)
            .map(|(n, word)| format!("{n} {word}"))
            .collect();
    let style = if failed > 0 { Style::Bad } else { Style::Good };
    let _ = writeln!(out, "{}, {seconds:.1} s", paint(&counts.join(", "), style, look));
    out
}
