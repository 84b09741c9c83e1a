// SPDX-License-Identifier: Apache-2.0
//! `docs/writing-hooks.md`: every command in it is run, in its order, in one directory.

use crate::case::{Case, python};
use std::fs;
use std::path::Path;
use std::process::Command;

/// The blocks of the page that a reader types: those marked `sh`, and files marked with their names.
fn blocks(page: &str) -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(info) = line.strip_prefix("```").filter(|i| !i.is_empty()) else { continue };
        let text: String = lines.by_ref().take_while(|l| *l != "```").map(|l| format!("{l}\n")).collect();
        blocks.push((info.to_owned(), text));
    }
    blocks
}

#[test]
fn every_command_of_the_page_works() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/writing-hooks.md");
    let page = fs::read_to_string(page).unwrap();
    let case = Case::new();
    let dir = case.path(".");
    let bin = Path::new(env!("CARGO_BIN_EXE_virt-hooks")).parent().unwrap().to_owned();
    let mut commands = 0;
    for (info, text) in blocks(&page) {
        if let Some(file) = info.split_once("file=").map(|(_, file)| file.trim()) {
            let path = dir.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            // What is there keeps its mode.
            fs::write(path, text).unwrap();
            continue;
        }
        if info != "sh" {
            continue;
        }
        let output = Command::new("sh")
            .args(["-eu", "-c", &text])
            .current_dir(&dir)
            .env_clear()
            .envs(case.command().get_envs().filter_map(|(n, v)| Some((n, v?))))
            .env("PATH", format!("{}:/usr/bin:/bin", bin.display()))
            .env("VIRT_HOOKS_PYTHON_DIR", python())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{text}\n{}{said}", String::from_utf8_lossy(&output.stdout));
        commands += text.lines().filter(|l| l.starts_with("virt-hooks ")).count();
    }
    assert!(commands > 8, "{commands}");
}
