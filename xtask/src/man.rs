// SPDX-License-Identifier: Apache-2.0
//! Man pages: section 1 from the grammar of the commands, section 5 from the types of what people write, section 8 from the
//! table of hook points.

use crate::install::DRIVER;
use crate::sheet::{Roff, Sheet};
use crate::{contract, reference};
use clap::Command;
use clap_mangen::Man;
use std::path::Path;
use virt_hooks_contract::Catalogue;

/// A man page.
pub struct Page {
    /// Its file name, the section at its end.
    pub file: String,
    /// The page, in roff.
    pub text: String,
    /// The executable it is about, or that has to do with what it is about.
    pub program: &'static str,
}

/// The command.
pub(crate) const COMMAND: &str = "virt-hooks";
/// The agent as a service.
pub(crate) const AGENT: &str = "virt-hooksd";

/// The day these pages were last gone through; a build of the same sources gives the same pages.
pub(crate) const DATE: &str = "2026-11-25";

/// All pages, for a host where things lie below `prefix`.
pub fn pages(catalogue: &Catalogue, prefix: &Path) -> Vec<Page> {
    let contract = contract::page(catalogue, &prefix.to_string_lossy());
    let mut pages = vec![Page { file: "virt-hooks.8".to_owned(), text: contract, program: COMMAND }];
    for file in [reference::manifest(), reference::config()] {
        pages.push(Page { file: format!("{}.5", file.manual), text: file.page(), program: COMMAND });
    }
    let mut grammar = |mut command: Command, program, section| {
        command.build();
        verbs(&command, program, section, &mut pages);
    };
    grammar(virt_hooks::command(), COMMAND, "1");
    grammar(virt_hooks_kubevirt::command(), DRIVER, "1");
    grammar(virt_hooksd::command(), AGENT, "8");
    if let Some(agent) = pages.iter_mut().find(|p| p.file == "virt-hooksd.8") {
        agent.text.push_str(&agent_files());
    }
    pages
}

/// The page of a command, and of each verb it has.
fn verbs(command: &Command, program: &'static str, section: &str, pages: &mut Vec<Page>) {
    let man = Man::new(command.clone()).manual("virt-hooks").source(source()).date(DATE).section(section);
    let mut text = Vec::new();
    // Writing to memory cannot fail.
    let _ = man.render(&mut text);
    pages.push(Page { file: man.get_filename(), text: tidy(&String::from_utf8_lossy(&text)), program });
    for verb in command.get_subcommands().filter(|c| !c.is_hide_set()) {
        verbs(verb, program, section, pages);
    }
}

/// What the grammar of the agent does not say.
fn agent_files() -> String {
    let mut page = Roff::default();
    page.section("Files");
    page.item("/etc/virt-hooks/config.toml", "Its table `[agent]` has the same settings.");
    page.item(
        "/run/virt-hooks/agent.sock",
        "Where operations are asked for, in the protocol varlink: `io.virthooks.Agent`.",
    );
    page.item(
        "virt-hooksd.service, virt-hooksd.socket",
        "The units of systemd. With the socket's unit systemd listens, and its mode counts.",
    );
    page.section("Signals");
    page.item("TERM, INT, HUP", "Takes no more operations, waits for the hooks that run, and ends.");
    page.see_also(&[
        ("virt-hooks", 1),
        ("virt-hooks-vm", 1),
        ("virt-hooks-config.toml", 5),
        ("virt-hooks", 8),
    ]);
    page.text
}

/// Without the breaks beside empty lines, of which mandoc says that they do nothing.
fn tidy(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let is_empty = |n: Option<usize>| n.and_then(|n| lines.get(n)).is_some_and(|l| l.is_empty());
    let mut tidy = String::with_capacity(text.len());
    for (n, line) in lines.iter().enumerate() {
        if *line == ".br" && (is_empty(n.checked_sub(1)) || is_empty(Some(n + 1))) {
            continue;
        }
        // An empty line is a paragraph of its own in other macro sets.
        tidy.push_str(if line.is_empty() { ".sp" } else { line });
        tidy.push('\n');
    }
    tidy
}

fn source() -> String {
    format!("virt-hooks {}", env!("CARGO_PKG_VERSION"))
}
