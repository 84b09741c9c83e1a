// SPDX-License-Identifier: Apache-2.0
//! The agent as its unit starts and stops it: with the unit's own lines, as the service manager reads them.

use crate::agent::call;
use crate::bed::{Agent, Bed, Done, command};
use crate::traces::points;
use crate::{Result, tests};
use serde_json::json;
use std::fs;
use std::path::Path;

tests! {
    AgentUnit the_points_of_the_agent_fire_from_its_unit,
    AgentUnit c22_broken_hooks_never_keep_the_agent_from_starting,
    AgentUnit c23_the_point_after_the_agent_fires_after_a_crash_too,
}

/// One command of the unit, and whether its failure counts.
struct Line {
    arguments: Vec<String>,
    counts: bool,
}

impl Line {
    fn of_unit(key: &str) -> Result<Self> {
        let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/systemd/virt-hooksd.service");
        let unit = fs::read_to_string(unit)?;
        let line = unit.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        let line = line.ok_or_else(|| format!("the unit has no {key}"))?;
        let command = line.strip_prefix('-');
        let mut words = command.unwrap_or(line).split_whitespace().map(str::to_owned);
        assert_eq!(words.next().as_deref(), Some("@PREFIX@/bin/virt-hooks"), "{line}");
        Ok(Self { arguments: words.collect(), counts: command.is_none() })
    }

    /// What it does; an error where its failure would stop the unit.
    fn run(&self, bed: &Bed) -> Result<Done> {
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        let done = bed.run_command(&arguments)?;
        if self.counts && !done.succeeded() {
            return Err(format!("the unit would not start: {done:?}").into());
        }
        Ok(done)
    }
}

/// As `systemctl start` does it.
fn start(bed: &Bed) -> Result<(Agent, Done)> {
    assert!(command().is_file());
    let before = Line::of_unit("ExecStartPre")?.run(bed)?;
    Ok((bed.start_agent()?, before))
}

const POINTS: [&str; 2] = ["before_vdsm_start", "after_vdsm_stop"];

fn the_points_of_the_agent_fire_from_its_unit() -> Result {
    let bed = Bed::with_daemon()?;
    bed.spy(&POINTS)?;
    let (agent, _) = start(&bed)?;
    let seen = bed.seen();
    assert_eq!(points(&seen), POINTS[..1]);
    assert_eq!((seen[0].payload.as_str(), seen[0].variable("vmId")), ("", ""));
    agent.stop()?;
    Line::of_unit("ExecStopPost")?.run(&bed)?.expect(0);
    assert_eq!(points(&bed.seen()), POINTS[1..]);
    bed.finish()
}

fn c22_broken_hooks_never_keep_the_agent_from_starting() -> Result {
    let bed = Bed::with_daemon()?;
    // What they say is not lost, either.
    bed.hook("before_vdsm_start", "10_no", "echo 'not today' >&2; exit 2")?;
    let (agent, done) = start(&bed)?;
    assert!(done.stderr.contains("10_no: exit code 2: not today"), "{done:?}");
    agent.stop()?;
    // No directory at all, where one should be.
    fs::remove_dir_all(bed.path("hooks"))?;
    fs::write(bed.path("hooks"), "not a directory")?;
    let (agent, done) = start(&bed)?;
    assert!(!done.succeeded() && done.stderr.contains("hooks"), "{done:?}");
    // Hooks that should run and cannot are a reason to do nothing, until they are back.
    let start = json!({"method": "io.virthooks.Agent.Start", "parameters": {"vm": "nobody"}});
    let refused = call(&bed, &start)?;
    assert_eq!(refused[0]["error"], "io.virthooks.Agent.Failed");
    assert!(refused[0].to_string().contains("hooks"), "{}", refused[0]);
    fs::remove_file(bed.path("hooks"))?;
    fs::create_dir(bed.path("hooks"))?;
    let unknown = call(&bed, &start)?;
    assert!(unknown[0].to_string().contains("nobody"), "{}", unknown[0]);
    let said = agent.stop()?;
    assert!(said.contains("operations are refused until it is there"), "{said}");
    Line::of_unit("ExecStopPost")?.run(&bed)?;
    bed.finish()
}

fn c23_the_point_after_the_agent_fires_after_a_crash_too() -> Result {
    let bed = Bed::with_daemon()?;
    bed.spy(&POINTS)?;
    let (agent, _) = start(&bed)?;
    agent.kill()?;
    Line::of_unit("ExecStopPost")?.run(&bed)?.expect(0);
    assert_eq!(points(&bed.seen()), POINTS);
    // It comes back, and goes as it should.
    let (agent, _) = start(&bed)?;
    agent.stop()?;
    bed.finish()
}
