// SPDX-License-Identifier: Apache-2.0
//! The engine as a worker process: reads commands, fires events, answers with times. The protocol is that
//! of `c/limit.c`.

use crate::error::BenchError;
use std::collections::HashMap;
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use virt_hooks_contract::{Catalogue, Verdict};
use virt_hooks_engine::{CustomProperties, Document, Engine, Event, Settings, Vm};

/// One command.
struct Command {
    layers: Vec<PathBuf>,
    point: String,
    payload: PathBuf,
    events: usize,
    threads: usize,
}

impl Command {
    fn parse(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let ["run", layers, point, payload, events, threads] = words[..] else { return None };
        Some(Self {
            layers: layers.split(':').map(PathBuf::from).collect(),
            point: point.to_owned(),
            payload: payload.into(),
            events: events.parse().ok()?,
            threads: threads.parse().ok()?,
        })
    }
}

/// Serves commands until standard input ends, in a process of `mib` resident mebibytes and `idle` threads
/// beside the working ones.
pub(crate) fn serve(mib: usize, idle: usize) -> Result<(), BenchError> {
    let mut resident = vec![0_u8; mib << 20];
    resident.iter_mut().step_by(4096).for_each(|byte| *byte = 1);
    for _ in 0..idle {
        std::thread::spawn(|| {
            loop {
                std::thread::park();
            }
        });
    }
    let run_dir = std::env::var_os("RUN_DIR").map(PathBuf::from);
    let run_dir = run_dir.ok_or_else(|| BenchError::Usage("RUN_DIR is not set".into()))?;
    let catalogue = Catalogue::built_in();
    let mut engines = HashMap::new();
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(BenchError::file("read", Path::new("standard input")))?;
        let command =
            Command::parse(&line).ok_or_else(|| BenchError::Usage(format!("not a command: {line}")))?;
        let engine = engines
            .entry(command.layers.clone())
            .or_insert_with(|| Engine::new(Settings::new(command.layers.clone(), run_dir.clone())));
        let answer = run(engine, &catalogue, &command)?;
        let mut out = std::io::stdout().lock();
        writeln!(out, "{answer}")
            .and_then(|()| out.flush())
            .map_err(BenchError::file("write", Path::new("standard output")))?;
    }
    drop(std::hint::black_box(resident));
    Ok(())
}

fn run(engine: &Engine, catalogue: &Catalogue, command: &Command) -> Result<String, BenchError> {
    let point = catalogue
        .get(&command.point)
        .ok_or_else(|| BenchError::Engine(format!("no point {}", command.point)))?;
    let payload = std::fs::read(&command.payload).map_err(BenchError::file("read", &command.payload))?;
    let payload = Document::from(payload);
    let vm = Vm {
        id: "13070562-2ee7-4092-a746-7975ff5b3993".to_owned(),
        name: Some("bench".to_owned()),
        properties: CustomProperties::from_iter([
            ("smbios", "{'serial': '1234'}"),
            ("macbind", "{'00:1a:4a:60:d1:9a': 'br0'}"),
            ("qemu_cmdline", "[\"-cdrom\",\"/x.iso\"]"),
            ("sap_agent", "true"),
            ("viodiskcache", "writethrough"),
        ]),
    };
    let fire = || {
        let mut event = Event::new(point, payload.clone());
        event.vm = Some(&vm);
        engine.fire(&event)
    };
    let next = AtomicUsize::new(0);
    let start = Barrier::new(command.threads + 1);
    let work = || {
        let mut took = Vec::with_capacity(command.events);
        let mut bad = None;
        // A thread's first event pays for its stack and its share of the heap.
        drop(fire());
        start.wait();
        start.wait();
        while next.fetch_add(1, Ordering::Relaxed) < command.events {
            let t = Instant::now();
            let outcome = fire();
            if outcome.verdict != Verdict::Proceed {
                bad = Some(outcome.error_text());
            }
            // Giving back what the event took is part of it, as in the loops.
            drop(outcome);
            took.push(t.elapsed().as_nanos());
        }
        (took, bad)
    };
    let (wall, read, results) = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..command.threads).map(|_| scope.spawn(work)).collect();
        start.wait();
        let before = bytes_read();
        start.wait();
        let t = Instant::now();
        let results: Vec<_> = threads.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        (t.elapsed().as_nanos(), bytes_read().saturating_sub(before), results)
    });
    let mut answer = format!("ok {wall} {read}");
    for result in results {
        let (took, bad) = result.map_err(|_| BenchError::Engine("a thread of it panicked".into()))?;
        if let Some(text) = bad {
            return Err(BenchError::Engine(text));
        }
        for ns in took {
            answer.push_str(&format!(" {ns}"));
        }
    }
    Ok(answer)
}

/// What this process and the children it has reaped have read so far, in bytes.
fn bytes_read() -> u64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    io.lines().find_map(|l| l.strip_prefix("rchar: ")?.parse().ok()).unwrap_or(0)
}
