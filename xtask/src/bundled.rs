// SPDX-License-Identifier: Apache-2.0
//! The chapter on the bundled hooks: from their manifests, and the parts of their READMEs that say what they do.

use crate::error::Error;
use crate::install::hook_packages;
use crate::sheet::{Markdown, Sheet};
use std::fmt::Write;
use std::fs;
use std::path::Path;
use virt_hooks_contract::{Manifest, ManifestProperty, RunAs, Scope, Support};
use virt_hooks_package::build::layout::Package;

/// The parts of a README that are taken over; the others are for those who have the package at hand.
const PARTS: [&str; 4] = ["What it does", "What changes", "Needs", "Gotchas"];

/// The chapter, of the packages below `hooks/`.
///
/// # Errors
/// A package or its README cannot be read.
pub(crate) fn page(root: &Path) -> Result<String, Error> {
    let packages = hook_packages(root)?;
    let mut page = Markdown::new("Bundled hooks", "hooks/*/hook.toml and hooks/*/README.md");
    page.paragraph(&format!(
        "VDSM's {} hooks, written anew. Each does nothing to a VM without its property, unless it says so. What makes it fail and where it \
         differs from VDSM's is in its README, installed as `/usr/share/virt-hooks/packages/NAME/README.md`. `virt-hooks disable NAME` \
         keeps one from running.",
        packages.len()
    ));
    let mut table = String::from("| hook | what it does | properties |\n|---|---|---|\n");
    for package in &packages {
        let m = &package.manifest;
        let names: Vec<String> = m.property.iter().map(|p| format!("`{}`", p.name)).collect();
        let _ = writeln!(table, "| [{0}](#{0}) | {1} | {2} |", m.name, cell(&m.summary), names.join(", "));
    }
    page.block(&table);
    for package in &packages {
        hook(&mut page, package)?;
    }
    Ok(page.text)
}

fn hook(page: &mut Markdown, package: &Package) -> Result<(), Error> {
    let m = &package.manifest;
    page.section(&m.name);
    page.paragraph(&escape(&m.description));
    let points: Vec<String> =
        m.point.iter().map(|p| format!("[{0}](hook-points.md#{0}) as `{1}`", p.name, p.file)).collect();
    let facts = [("Hook points", points.join(", ")), ("Needs", needs(m)), ("Elsewhere", portability(m))];
    let facts = facts.iter().filter(|(_, text)| !text.is_empty());
    let facts: Vec<String> = facts.map(|(label, text)| format!("- **{label}:** {text}")).collect();
    page.block(&facts.join("\n"));
    if !m.property.is_empty() {
        let mut table =
            String::from("| property | of | values | example | what it says |\n|---|---|---|---|---|\n");
        for p in &m.property {
            property(&mut table, p);
        }
        page.block(&table);
    }
    let path = package.dir.join("README.md");
    let readme = fs::read_to_string(&path).map_err(Error::file("read", &path))?;
    for part in PARTS {
        if let Some(text) = section(&readme, part) {
            page.subsection(&format!("{part} ({})", m.name));
            page.block(&text);
        }
    }
    Ok(())
}

fn needs(m: &Manifest) -> String {
    let code = |words: &[String]| words.iter().map(|w| format!("`{w}`")).collect::<Vec<_>>().join(", ");
    let mut needs = Vec::new();
    if !m.commands.is_empty() {
        needs.push(code(&m.commands));
    }
    if !m.sudo.is_empty() {
        needs.push(format!("through sudo {}", code(&m.sudo)));
    }
    if m.privileges.run_as == Some(RunAs::Root) {
        needs.push("root".to_owned());
    }
    if !m.privileges.capabilities.is_empty() {
        needs.push(code(&m.privileges.capabilities));
    }
    needs.join("; ")
}

fn portability(m: &Manifest) -> String {
    let places = [
        ("libvirt", m.portability.libvirt),
        ("KubeVirt", m.portability.kubevirt),
        ("VDSM", m.portability.vdsm),
    ];
    let said = places.iter().filter_map(|(place, support)| {
        let word = match (*support)? {
            Support::Yes => "yes",
            Support::Care => "with care",
            Support::No => "no",
        };
        Some(format!("{place}: {word}"))
    });
    let note = m.portability.note.as_deref().map(escape);
    said.chain(note).collect::<Vec<_>>().join("; ")
}

fn property(table: &mut String, p: &ManifestProperty) {
    let scope = match p.scope {
        Scope::Vm => "VM",
        Scope::Device => "device",
        Scope::Network => "network",
    };
    let _ = writeln!(
        table,
        "| `{}` | {scope} | {} | {} | {} |",
        p.name,
        code_cell(&p.value_pattern()),
        code_cell(&p.example),
        cell(&p.description)
    );
}

/// The text below a heading of a README, its own headings and blocks fit for the chapter.
fn section(readme: &str, heading: &str) -> Option<String> {
    let mut text = String::new();
    let (mut inside, mut in_block) = (false, false);
    for line in readme.lines() {
        let fence = line.strip_prefix("```");
        if !in_block && fence.is_none() && line.starts_with("## ") {
            if inside {
                break;
            }
            inside = line.strip_prefix("## ") == Some(heading);
            continue;
        }
        if inside {
            let demote = if !in_block && line.starts_with("### ") { "#" } else { "" };
            let language = if !in_block && fence == Some("") { "text" } else { "" };
            let _ = writeln!(text, "{demote}{line}{language}");
        }
        in_block ^= fence.is_some();
    }
    Some(text.trim().to_owned()).filter(|t| !t.is_empty())
}

/// Text of a manifest, which is no Markdown.
fn escape(text: &str) -> String {
    text.trim().replace('<', "&lt;")
}

fn cell(text: &str) -> String {
    escape(text).replace('|', "\\|").replace('\n', " ")
}

/// Something literal in a table, where back quotes may be in it.
fn code_cell(text: &str) -> String {
    let text = text.replace('\n', "\\n").replace('|', "\\|");
    if text.contains('`') { format!("`` {text} ``") } else { format!("`{text}`") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_readme_ends_at_the_next_heading() {
        let readme =
            "# x\n\n## What changes\n\nThis:\n\n```\n## no heading\n```\n\n### More\n\n## Gotchas\n\n- a\n";
        assert_eq!(
            section(readme, "What changes").unwrap(),
            "This:\n\n```text\n## no heading\n```\n\n#### More"
        );
        assert_eq!(section(readme, "Gotchas").unwrap(), "- a");
        assert_eq!(section(readme, "Needs"), None);
    }

    #[test]
    fn every_bundled_hook_has_its_section_and_its_properties() {
        let root = crate::root();
        let page = page(&root).unwrap();
        for package in hook_packages(&root).unwrap() {
            let m = package.manifest;
            let (_, section) = page.split_once(&format!("\n## {}\n", m.name)).unwrap();
            let section = section.split("\n## ").next().unwrap();
            assert!(section.contains(&format!("\n### Gotchas ({})\n", m.name)), "{}", m.name);
            for p in &m.property {
                assert!(section.contains(&format!("\n| `{}` |", p.name)), "{}: {}", m.name, p.name);
            }
            for point in &m.point {
                assert!(
                    section.contains(&format!("hook-points.md#{}) as `{}`", point.name, point.file)),
                    "{}",
                    m.name
                );
            }
        }
    }
}
