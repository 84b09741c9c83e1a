// SPDX-License-Identifier: Apache-2.0
//! The book holds together: each link leads to a page and a heading that are there, and mdBook builds it.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use libtest_mimic::{Arguments, Failed, Trial};
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

fn main() -> ExitCode {
    let mdbook =
        Command::new("mdbook").arg("--version").stdout(Stdio::null()).status().is_ok_and(|s| s.success());
    let why = if mdbook { "" } else { " (skipped: mdbook is not installed)" };
    let trials = vec![
        Trial::test("links_lead_somewhere", links_lead_somewhere),
        Trial::test("broken_links_are_found", broken_links_are_found),
        Trial::test("headings_become_anchors", headings_become_anchors),
        Trial::test("dead_ends_of_built_pages_are_found", dead_ends_are_found),
        Trial::test(format!("mdbook_builds_it{why}"), mdbook_builds_it).with_ignored_flag(!mdbook),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// The pages whose links are followed: the book, and those beside it that lead into it.
fn pages(root: &Path) -> Vec<PathBuf> {
    let listed = |dir: PathBuf| fs::read_dir(dir).unwrap().map(|e| e.unwrap().path());
    let all =
        listed(root.join("docs/book/src")).chain(listed(root.join("docs"))).chain(listed(root.to_owned()));
    let mut pages: Vec<PathBuf> = all.filter(|p| p.extension().is_some_and(|e| e == "md")).collect();
    pages.sort();
    pages
}

fn links_lead_somewhere() -> Result<(), Failed> {
    let root = xtask::root();
    let pages = pages(&root);
    let broken: Vec<String> = pages.iter().flat_map(|page| broken_links(page)).collect();
    if broken.is_empty() { Ok(()) } else { Err(broken.join("\n").into()) }
}

/// Each with its page and line.
fn broken_links(page: &Path) -> Vec<String> {
    let text = fs::read_to_string(page).unwrap();
    let in_book = page.parent().unwrap().ends_with("docs/book/src");
    let mut broken = Vec::new();
    for (line, link) in links(&text) {
        if ["https://", "http://", "mailto:"].iter().any(|s| link.starts_with(s)) {
            continue;
        }
        let (file, anchor) = link.split_once('#').map_or((link, None), |(file, anchor)| (file, Some(anchor)));
        let target = if file.is_empty() { page.to_owned() } else { page.parent().unwrap().join(file) };
        let wrong = if !target.exists() {
            "leads nowhere"
        } else if in_book && (file.contains('/') || target.is_dir()) {
            "leads out of the book"
        } else if anchor.is_some_and(|a| !anchors(&fs::read_to_string(&target).unwrap()).contains_key(a)) {
            "leads to no heading"
        } else {
            continue;
        };
        broken.push(format!("{}:{line}: {link} {wrong}", page.display()));
    }
    broken
}

/// The lines of a page that are not in a fenced block, from 1.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut in_block = false;
    text.lines().enumerate().filter_map(move |(n, line)| {
        let fence = line.starts_with("```");
        in_block ^= fence;
        (!in_block && !fence).then_some((n + 1, line))
    })
}

/// The targets of a page's links.
fn links(text: &str) -> Vec<(usize, &str)> {
    let mut links = Vec::new();
    for (n, line) in prose(text) {
        // What is literal is no link.
        for part in line.split('`').step_by(2) {
            let targets = part.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0));
            links.extend(targets.map(|t| (n, t)));
        }
    }
    links
}

/// The anchors of a page's headings, and their lines.
fn anchors(text: &str) -> BTreeMap<String, usize> {
    let mut anchors = BTreeMap::new();
    let mut seen: HashMap<String, usize> = HashMap::new();
    for (n, line) in prose(text) {
        let Some((marks, heading)) = line.split_once(' ') else { continue };
        if marks.is_empty() || marks.bytes().any(|b| b != b'#') {
            continue;
        }
        let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        let slug: String =
            kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect();
        let times = seen.entry(slug.clone()).or_default();
        anchors.insert(if *times == 0 { slug } else { format!("{slug}-{times}") }, n);
        *times += 1;
    }
    anchors
}

fn broken_links_are_found() -> Result<(), Failed> {
    let dir = tempfile::tempdir()?;
    let src = dir.path().join("docs/book/src");
    fs::create_dir_all(&src)?;
    fs::write(dir.path().join("README.md"), "x")?;
    fs::write(src.join("b.md"), "# B\n\n## A [heading] of `it`\n")?;
    let page = src.join("a.md");
    let good = "[b](b.md), [h](b.md#a-heading-of-it), [w](https://example.org/x), `[no](link.md)`\n\n```text\n[no](link.md)\n```\n";
    fs::write(&page, good)?;
    assert_eq!(broken_links(&page), Vec::<String>::new());
    for (link, wrong) in [
        ("[c](c.md)", "c.md leads nowhere"),
        ("[`c`](c.md)", "c.md leads nowhere"),
        ("[h](b.md#no-heading)", "b.md#no-heading leads to no heading"),
        ("[h](#own)", "#own leads to no heading"),
        ("[r](../../../README.md)", "../../../README.md leads out of the book"),
    ] {
        fs::write(&page, format!("{good}\n{link}\n"))?;
        assert_eq!(broken_links(&page), [format!("{}:7: {wrong}", page.display())]);
    }
    Ok(())
}

fn headings_become_anchors() -> Result<(), Failed> {
    let found = anchors("# One's own\n## `a_b` (c)\n```sh\n# no heading\n```\n## `a_b` (c)\n#no\n");
    assert_eq!(found.into_keys().collect::<Vec<_>>(), ["a_b-c", "a_b-c-1", "ones-own"]);
    Ok(())
}

fn mdbook_builds_it() -> Result<(), Failed> {
    let out = tempfile::tempdir()?;
    let book = xtask::root().join("docs/book");
    let said = Command::new("mdbook").arg("build").arg(&book).arg("--dest-dir").arg(out.path()).output()?;
    let text = String::from_utf8_lossy(&said.stderr).into_owned();
    if !said.status.success() || text.contains("WARN") || text.contains("ERROR") {
        return Err(text.into());
    }
    let index = fs::read_to_string(out.path().join("index.html"))?;
    let summary = fs::read_to_string(book.join("src/SUMMARY.md"))?;
    for (_, chapter) in links(&summary) {
        let page = out.path().join(chapter).with_extension("html");
        assert!(page.is_file(), "{} was not built", page.display());
    }
    let (links, dead) = dead_ends(out.path())?;
    assert!(links > 500, "only {links} links were looked at");
    if !dead.is_empty() {
        return Err(dead.join("\n").into());
    }
    // Ours beside mdBook's, not in place of them.
    for own in ["looks", "file-names"] {
        assert!(index.contains(&format!("\"{own}")), "{own} is not used");
    }
    Ok(())
}

/// How many links within the built book there are, and those that lead to no page or no place in it.
fn dead_ends(out: &Path) -> Result<(usize, Vec<String>), Failed> {
    let mut pages = BTreeMap::new();
    for entry in fs::read_dir(out)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "html") {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            pages.insert(name, fs::read_to_string(&path)?);
        }
    }
    let values = |page: &str, attribute: &str| -> Vec<String> {
        let parts = page.split(attribute).skip(1);
        parts.filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())).collect()
    };
    let ids: HashMap<&String, Vec<String>> = pages.iter().map(|(n, p)| (n, values(p, " id=\""))).collect();
    let (mut count, mut dead) = (0, Vec::new());
    for (name, page) in &pages {
        for link in values(page, " href=\"").into_iter().chain(values(page, " src=\"")) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            count += 1;
            let (file, id) =
                link.split_once('#').map_or((link.as_str(), None), |(f, i)| (f, Some(i.to_owned())));
            let file = if file.is_empty() { name.clone() } else { file.to_owned() };
            let leads = match (ids.get(&file), id) {
                (Some(ids), Some(id)) if !id.is_empty() => ids.contains(&id),
                _ => out.join(&file).exists(),
            };
            if !leads {
                dead.push(format!("{name}: {link}"));
            }
        }
    }
    Ok((count, dead))
}

fn dead_ends_are_found() -> Result<(), Failed> {
    let dir = tempfile::tempdir()?;
    fs::write(
        dir.path().join("a.html"),
        r##"<p id="x"><a href="#x"></a><a href="b.html"></a><a href="b.html#y"></a><a href="https://h/"></a>"##,
    )?;
    fs::write(
        dir.path().join("b.html"),
        r##"<p id="y"><a href="a.html#no"></a><a href="#no"></a><a href="c.html"></a><img src="no.png">"##,
    )?;
    let (links, dead) = dead_ends(dir.path())?;
    assert_eq!(links, 7);
    assert_eq!(dead, ["b.html: a.html#no", "b.html: #no", "b.html: c.html", "b.html: no.png"]);
    Ok(())
}
