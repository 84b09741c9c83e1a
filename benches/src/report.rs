// SPDX-License-Identifier: Apache-2.0
//! Findings as tables, with the bars they are held against.

use crate::campaign::{
    BIG_ENGINE, CLI, CLI_LIMIT, CROWDS, Cell, ENGINE, Findings, POSIX, RUN_PARTS, VFORK, crowd,
};
use crate::edits::Edits;
use crate::participant::Slice;
use crate::round::Rounds;
use crate::stage::Kind;
use crate::stats::Spread;
use crate::table::{NONE, Table, ratio, time};

/// Something that must not be exceeded.
struct Bar {
    what: &'static str,
    value: String,
    bar: &'static str,
    met: Option<bool>,
}

/// All tables, bars first.
pub(crate) fn tables(f: &Findings, edits: &Edits) -> Vec<Table> {
    let mut all = vec![bars(f, edits), cells("Static hooks", f, Kind::Static)];
    all.extend([
        cells("Shell hooks", f, Kind::Sh),
        cells("One hook that changes the payload", f, Kind::Editing),
    ]);
    all.push(threads(f));
    all.extend(cli(f));
    all
}

fn ns(s: &Slice) -> f64 {
    s.event_ns
}

fn bars(f: &Findings, edits: &Edits) -> Table {
    let mut table = Table::new("Bars", ["what", "measured", "bar", ""]);
    let against = |cells: &dyn Fn(&&Cell) -> bool, what, bar, limit| {
        let worst = f.cells.iter().filter(|c| c.hooks > 0).filter(cells);
        let worst = worst.filter_map(|c| Some((c.rounds.ratio(ENGINE, POSIX, ns)?, c)));
        let worst = worst.max_by(|a, b| a.0.median.total_cmp(&b.0.median));
        let value = worst.map_or(NONE.into(), |(r, c)| {
            format!("{} at {} hooks, {}", ratio(Some(r)), c.hooks, size(c.payload))
        });
        Bar { what, value, bar, met: worst.map(|(r, _)| r.median <= limit) }
    };
    let small = 64 << 10;
    let mut all = vec![
        against(
            &|c| c.kind == Kind::Static && c.payload <= small,
            "1-100 static hooks, up to 64 KiB, worst cell, times the posix_spawn loop",
            "1.00x",
            1.00,
        ),
        against(
            &|c| c.kind == Kind::Sh && c.payload <= small,
            "sh hooks, up to 64 KiB, worst cell, times the posix_spawn loop",
            "1.10x",
            1.10,
        ),
        against(
            &|c| c.kind == Kind::Static && c.payload == 16 << 20,
            "16 MiB payload, static hooks, worst cell, times the posix_spawn loop",
            "1.00x",
            1.00,
        ),
    ];
    let read = f.cells.iter().find(|c| c.kind == Kind::Static && c.hooks == 1 && c.payload == 16 << 20);
    let read = read.and_then(|c| c.rounds.spread(ENGINE, |s| s.read_bytes));
    all.push(Bar {
        what: "bytes read per event, 16 MiB unchanged, one hook (with what exec reads)",
        value: read.map_or(NONE.into(), |r| format!("{:.0}", r.median)),
        bar: "4096",
        met: read.map(|r| r.median <= 4096.0),
    });
    all.push(from_ratio(
        "1 GiB process with 32 threads, 5 static hooks, times a small one",
        f.big.ratio(BIG_ENGINE, ENGINE, ns),
        "1.05x",
        |r| r <= 1.05,
    ));
    let none = f.no_hooks.spread(ENGINE, ns);
    all.push(Bar {
        what: "a point without hooks, two layers, one missing",
        value: none.map_or(NONE.into(), |s| {
            format!("{}, {} times the loop", spread_time(s), ratio(f.no_hooks.ratio(ENGINE, POSIX, ns)))
        }),
        bar: "5 µs",
        met: none.map(|s| s.median <= 5_000.0),
    });
    let per_second = |s: &Slice| s.events_per_second;
    all.push(from_ratio(
        "64 events at once, 3 hooks each, times 8 at once (events/s)",
        f.crowd.ratio(crowd(ENGINE, 64), crowd(ENGINE, 8), per_second),
        "at least 0.95x",
        |r| r >= 0.95,
    ));
    all.extend(command_bars(f));
    all.push(Bar {
        what: "three edits of a 12 KiB domain in the SDK",
        value: format!(
            "{}, {}",
            spread_time(edits.micros.times(1e3)),
            if edits.rest_kept { "every other byte kept" } else { "OTHER BYTES CHANGED" }
        ),
        bar: "75 µs",
        met: Some(edits.micros.median <= 75.0 && edits.rest_kept),
    });
    for bar in all {
        let met = bar.met.map_or("not measured", |met| if met { "met" } else { "NOT met" });
        table.row([bar.what.into(), bar.value, bar.bar.into(), met.into()]);
    }
    table
}

/// Against the C program, and against the same with another libc where there is one.
fn command_bars(f: &Findings) -> Vec<Bar> {
    let what = "`virt-hooks fire`, one event, one hook, times a static C program";
    let cli = match &f.cli {
        Ok(cli) => cli,
        Err(why) => return vec![Bar { what, value: format!("not measured: {why}"), bar: "1.2x", met: None }],
    };
    let one = cli.by_hooks.iter().find(|(hooks, _)| *hooks == 1).map(|(_, rounds)| rounds);
    let against =
        |what, to| from_ratio(what, one.and_then(|rounds| rounds.ratio(CLI, to, ns)), "1.2x", |r| r <= 1.2);
    let mut bars = vec![against(what, CLI_LIMIT)];
    bars.extend(cli.other.map(|other| {
        against("`virt-hooks fire`, the same, times a static C program with the compiler's own libc", other)
    }));
    bars
}

fn from_ratio(
    what: &'static str,
    spread: Option<Spread>,
    bar: &'static str,
    holds: impl Fn(f64) -> bool,
) -> Bar {
    Bar { what, value: ratio(spread), bar, met: spread.map(|s| holds(s.median)) }
}

fn spread_time(s: Spread) -> String {
    format!("{} ({}-{})", time(s.median), time(s.p10), time(s.p90))
}

fn size(bytes: usize) -> String {
    if bytes < 1 << 20 { format!("{} KiB", bytes >> 10) } else { format!("{} MiB", bytes >> 20) }
}

fn event_time(rounds: &Rounds, of: usize) -> String {
    rounds.spread(of, ns).map_or(NONE.into(), |s| time(s.median))
}

fn cells(title: &str, f: &Findings, kind: Kind) -> Table {
    let head = [
        "payload",
        "hooks",
        "posix_spawn loop",
        "engine",
        "engine / posix_spawn",
        "vfork / posix_spawn",
        "run-parts / posix_spawn",
    ];
    let mut table = Table::new(format!("{title}: one event"), head);
    for c in f.cells.iter().filter(|c| c.kind == kind) {
        table.row([
            size(c.payload),
            c.hooks.to_string(),
            event_time(&c.rounds, POSIX),
            event_time(&c.rounds, ENGINE),
            ratio(c.rounds.ratio(ENGINE, POSIX, ns)),
            ratio(c.rounds.ratio(VFORK, POSIX, ns)),
            ratio(c.rounds.ratio(RUN_PARTS, POSIX, ns)),
        ]);
    }
    table
}

fn threads(f: &Findings) -> Table {
    let head = [
        "events at once",
        "posix_spawn loop",
        "engine",
        "engine / posix_spawn",
        "engine / engine at 8",
        "vfork / posix_spawn",
    ];
    let mut table = Table::new("Many events at once, three static hooks each: events per second", head);
    let per_second = |s: &Slice| s.events_per_second;
    for n in CROWDS {
        let rate = |who| {
            f.crowd.spread(crowd(who, n), per_second).map_or(NONE.into(), |s| format!("{:.0}", s.median))
        };
        let to = |a, b| ratio(f.crowd.ratio(a, b, per_second));
        table.row([
            n.to_string(),
            rate(POSIX),
            rate(ENGINE),
            to(crowd(ENGINE, n), crowd(POSIX, n)),
            to(crowd(ENGINE, n), crowd(ENGINE, 8)),
            to(crowd(VFORK, n), crowd(POSIX, n)),
        ]);
    }
    table
}

fn cli(f: &Findings) -> Option<Table> {
    let all = f.cli.as_ref().ok()?;
    let mut table = Table::new(
        "The command as a whole process, 12 KiB, static hooks",
        [
            "hooks",
            "C program",
            "virt-hooks fire",
            "virt-hooks / C",
            "virt-hooks / C with the compiler's own libc",
            "run-parts / C",
        ],
    );
    for (hooks, rounds) in &all.by_hooks {
        table.row([
            hooks.to_string(),
            event_time(rounds, CLI_LIMIT),
            event_time(rounds, CLI),
            ratio(rounds.ratio(CLI, CLI_LIMIT, ns)),
            ratio(all.other.and_then(|other| rounds.ratio(CLI, other, ns))),
            ratio(all.run_parts.and_then(|run_parts| rounds.ratio(run_parts, CLI_LIMIT, ns))),
        ]);
    }
    Some(table)
}
