// SPDX-License-Identifier: Apache-2.0
//! The book: every command in it is run, chapter by chapter, each in a directory of its own, and what it is said to print is
//! compared. Blocks that change a host (`sh,needs-libvirt`) run on one that is thrown away; where that cannot be they
//! count as ignored. Commands in the text are held against the grammar.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod chapter;
mod host;

#[path = "../cli/case.rs"]
#[allow(dead_code, reason = "other tests use the rest of it")]
mod case;

use case::{Case, python};
use chapter::{Block, Use, blocks, is_as_shown, mentioned, scripts_that_need, session};
use libtest_mimic::{Arguments, Failed, Trial};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// What a block that runs elsewhere is marked with, the chapter, and the test that runs it.
const ELSEWHERE: (&str, &str, &str) =
    ("cluster", "kubevirt.md", "apps/virt-hooks-kubevirt/tests/book/main.rs");
/// What a block may be marked with: it changes the host's libvirt, or the host.
const NEEDS: &[&str] = &["libvirt", "root"];

fn main() -> ExitCode {
    let chapters = chapters();
    let mut trials = vec![
        Trial::test("the_summary_lists_every_chapter", the_summary_lists_every_chapter),
        Trial::test("output_is_compared_line_by_line", output_is_compared_line_by_line),
        Trial::test("blocks_are_told_apart", blocks_are_told_apart),
        Trial::test("what_runs_elsewhere_is_run_there", what_runs_elsewhere_is_run_there),
    ];
    let missing = host::missing();
    for name in chapters {
        let page =
            fs::read_to_string(source().join(&name)).expect("SUMMARY.md names chapters that are there");
        let marked = |b: &Block| !b.needs.is_empty() && !runs_elsewhere(&name, b);
        for block in blocks(&page).unwrap_or_default().into_iter().filter(marked) {
            let title = format!("{name}:{} on a host to throw away", block.line);
            let (title, ignored) = match &missing {
                Some(why) => (format!("{title} (skipped: {why})"), true),
                None => (title, false),
            };
            let (name, page) = (name.clone(), page.clone());
            let test = move || on_a_host(&name, &page, &block);
            trials.push(Trial::test(title, test).with_ignored_flag(ignored));
        }
        trials.push(Trial::test(name.clone(), move || work_through(&name, &page)));
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/book/src")
}

/// The chapters, in their order.
fn chapters() -> Vec<String> {
    let summary = fs::read_to_string(source().join("SUMMARY.md")).expect("the book has a SUMMARY.md");
    let links = summary.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0.to_owned()));
    links.collect()
}

fn the_summary_lists_every_chapter() -> Result<(), Failed> {
    let mut there: Vec<String> = fs::read_dir(source())?
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .filter(|n| n != "SUMMARY.md")
        .collect();
    there.sort();
    let mut listed = chapters();
    listed.sort();
    assert_eq!(listed, there);
    Ok(())
}

/// Does what the chapter says.
fn work_through(name: &str, page: &str) -> Result<(), Failed> {
    let place = |line: usize| format!("{name}:{line}");
    let blocks =
        blocks(page).map_err(|line| format!("{}: a block must say what it is, and end", place(line)))?;
    let reader = Reader::new();
    for block in &blocks {
        if runs_elsewhere(name, block) {
            continue;
        }
        if let Some(unknown) = block.needs.iter().find(|n| !NEEDS.contains(&n.as_str())) {
            return Err(format!("{}: needs-{unknown} is not known", place(block.line)).into());
        }
        if block.needs.is_empty() {
            reader.does(block).map_err(|e| format!("{}: {e}", place(block.line)))?;
        }
    }
    for (line, command) in mentioned(page) {
        check_grammar(command).map_err(|e| format!("{}: `{command}`: {e}", place(line)))?;
    }
    Ok(())
}

/// Whether another test has what a block needs.
fn runs_elsewhere(name: &str, block: &Block) -> bool {
    let (need, chapter, _) = ELSEWHERE;
    name == chapter && block.needs == [need]
}

/// The test elsewhere has the chapter, and the chapter has what it runs.
fn what_runs_elsewhere_is_run_there() -> Result<(), Failed> {
    let (need, chapter, test) = ELSEWHERE;
    let page = fs::read_to_string(source().join(chapter))?;
    assert!(!scripts_that_need(&page, need).is_empty(), "{chapter} needs no {need}");
    let test = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(test))?;
    assert!(test.contains(chapter) && test.contains(&format!("scripts_that_need(PAGE, \"{need}\")")));
    Ok(())
}

/// Does what comes before a block in its chapter, and then the block, on a host that is thrown away.
fn on_a_host(name: &str, page: &str, block: &Block) -> Result<(), Failed> {
    let reader = Reader::new();
    for before in blocks(page).unwrap_or_default().iter().take_while(|b| b.line < block.line) {
        if before.needs.is_empty() {
            reader.does(before)?;
        }
    }
    let dir = reader.case.path(".");
    let cargo = PathBuf::from(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    match name {
        "from-libvirt-hooks.md" => {
            let (said, calls) = host::runs(&block.text, &dir, &[])?;
            let history = said.lines().last().unwrap_or_default();
            assert!(history.contains("proceed  before_vm_start  win10  1 hook"), "{said}");
            let expected = [
                "systemctl stop display-manager.service",
                "driverctl --nosave set-override 0000:01:00.0 vfio-pci",
                "driverctl --nosave set-override 0000:01:00.1 vfio-pci",
            ];
            assert_eq!(calls, expected, "{said}");
        }
        "hook-in-rust.md" => {
            // The project the chapter speaks of.
            let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates/sdk");
            let manifest = format!(
                "[package]\nname = \"machine_serial\"\nedition = \"2024\"\n[workspace]\n[dependencies]\nvirt-hooks-sdk = {{ path = \"{}\" }}\n",
                sdk.display()
            );
            fs::create_dir(dir.join("src"))?;
            fs::write(dir.join("Cargo.toml"), manifest)?;
            fs::copy(sdk.join("examples/machine_serial.rs"), dir.join("src/main.rs"))?;
            fs::copy(dir.join("dom.xml"), dir.join("vm.xml"))?;
            let (said, _) = host::runs(&block.text, &dir, &[cargo.parent().unwrap()])?;
            assert!(said.contains("<entry name=\"serial\">A1</entry>"), "{said}");
        }
        _ => return Err(format!("say here what {name} does on a host").into()),
    }
    Ok(())
}

/// Who works through a chapter, in a directory of their own.
struct Reader {
    case: Case,
}

impl Reader {
    fn new() -> Self {
        Self { case: Case::new() }
    }

    fn does(&self, block: &Block) -> Result<(), String> {
        match &block.used {
            Use::File(file) => {
                let path = self.case.path(file);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                // What is there keeps its mode.
                fs::write(path, &block.text).unwrap();
            }
            Use::Script => {
                self.runs(&block.text)?;
            }
            Use::Session => {
                for (command, shown) in
                    session(&block.text).map_err(|l| format!("\"{l}\" comes before any command"))?
                {
                    let said = self.runs(command)?;
                    let output: Vec<&str> = said.lines().collect();
                    if !is_as_shown(&shown, &output) {
                        return Err(format!(
                            "$ {command}\nthe book shows:\n{}\nit said:\n{said}",
                            shown.join("\n")
                        ));
                    }
                }
            }
            Use::Shown => {
                if block.text.lines().any(|l| l.starts_with("$ ") || l.starts_with("virt-hooks ")) {
                    return Err("a block with commands is marked sh or console".to_owned());
                }
            }
        }
        Ok(())
    }

    /// Runs a script, and gives what it said on both streams.
    fn runs(&self, script: &str) -> Result<String, String> {
        let bin = Path::new(env!("CARGO_BIN_EXE_virt-hooks")).parent().unwrap();
        let output = Command::new("sh")
            .args(["-eu", "-c", &format!("exec 2>&1\n{script}")])
            .current_dir(self.case.path("."))
            .env_clear()
            .envs(self.case.command().get_envs().filter_map(|(n, v)| Some((n, v?))))
            .env("PATH", format!("{}:/usr/bin:/bin", bin.display()))
            .env("VIRT_HOOKS_PYTHON_DIR", python())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() { Ok(said) } else { Err(format!("{script}\n{}\n{said}", output.status)) }
    }
}

/// Whether the verbs and options of a command are there. Words in capitals and quotes stand for something.
fn check_grammar(command: &str) -> Result<(), String> {
    let mut verb = virt_hooks::command();
    verb.build();
    for word in command.split_whitespace().skip(1) {
        let option = word.split('=').next().unwrap_or_default();
        if let Some(long) = option.strip_prefix("--").filter(|l| !l.is_empty()) {
            if !verb.get_arguments().any(|a| a.get_long() == Some(long)) {
                return Err(format!("{} has no option --{long}", verb.get_name()));
            }
        } else if let Some(sub) = verb.find_subcommand(word) {
            verb = sub.clone();
        } else if verb.is_subcommand_required_set()
            && word.chars().all(|c| c.is_ascii_lowercase() || c == '-')
        {
            return Err(format!("{} has no verb {word}", verb.get_name()));
        }
    }
    Ok(())
}

fn output_is_compared_line_by_line() -> Result<(), Failed> {
    assert!(is_as_shown(&["a", "...", "d"], &["a", "b", "c", "d"]));
    assert!(is_as_shown(&["a", "..."], &["a"]));
    assert!(is_as_shown(&["2 passed, ... s"], &["2 passed, 0.1 s"]));
    assert!(!is_as_shown(&["2 passed, ... s"], &["2 passed, 1 failed"]));
    assert!(!is_as_shown(&["a"], &["a", "b"]));
    assert!(!is_as_shown(&["a", "b"], &["a"]));
    assert!(!is_as_shown(&["a"], &["ab"]));
    assert!(is_as_shown(&["a...b...c"], &["a1b2c"]) && !is_as_shown(&["a...b...c"], &["a1c2b"]));
    Ok(())
}

fn blocks_are_told_apart() -> Result<(), Failed> {
    let page = "```sh,needs-root\nx\n```\n```console\n$ a\nb\n```\n```toml file=a/b.toml\nc = 1\n```\n```json\n{}\n```\n";
    let found = blocks(page).unwrap();
    assert_eq!(found[0].needs, ["root"]);
    let used: Vec<&Use> = found.iter().map(|b| &b.used).collect();
    assert_eq!(used, [&Use::Script, &Use::Session, &Use::File("a/b.toml".to_owned()), &Use::Shown]);
    assert_eq!(session(&found[1].text).unwrap(), [("a", vec!["b"])]);
    assert_eq!(scripts_that_need(page, "root"), ["x\n"]);
    assert!(scripts_that_need(page, "libvirt").is_empty());
    assert_eq!(blocks("x\n```\n```\n").unwrap_err(), 2);
    assert_eq!(blocks("```sh\nx\n").unwrap_err(), 1);
    assert_eq!(
        mentioned("a `virt-hooks list` b `x`\n```sh\n`virt-hooks no`\n```\n"),
        [(1, "virt-hooks list")]
    );
    check_grammar("virt-hooks fire POINT --dry-run").unwrap();
    assert!(check_grammar("virt-hooks strat").unwrap_err().contains("no verb strat"));
    assert!(check_grammar("virt-hooks vm strat").unwrap_err().contains("vm has no verb strat"));
    assert!(check_grammar("virt-hooks fire --dry").unwrap_err().contains("no option --dry"));
    Ok(())
}
