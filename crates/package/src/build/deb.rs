// SPDX-License-Identifier: Apache-2.0
//! A deb, format 2.0 (deb(5)): an `ar` archive with a control archive and a data archive.

use super::archive::{Tar, gzip};
use super::error::BuildError;
use super::layout::Role;
use super::parcel::{Item, ItemKind, Parcel};
use super::scripts;
use super::text::{date, year};
use md5::{Digest, Md5};
use std::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};

/// Name of the file, and what is in it.
pub(super) fn build(parcel: &Parcel) -> Result<(String, Vec<u8>), BuildError> {
    let machine = parcel.machine()?.deb();
    let make = || {
        let mut items = parcel.items.clone();
        documents(parcel, &mut items)?;
        items.sort_by(|a, b| a.target.cmp(&b.target));
        let control = control_archive(parcel, &items, machine)?;
        let mut data = Tar::new(parcel.time);
        data.tree(&items)?;
        let data = gzip(&data.finish()?)?;
        let mut out = b"!<arch>\n".to_vec();
        for (name, content) in
            [("debian-binary", &b"2.0\n"[..]), ("control.tar.gz", &control), ("data.tar.gz", &data)]
        {
            out.extend_from_slice(
                format!(
                    "{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n",
                    parcel.time,
                    0,
                    0,
                    100_644,
                    content.len()
                )
                .as_bytes(),
            );
            out.extend_from_slice(content);
            if content.len() % 2 == 1 {
                out.push(b'\n');
            }
        }
        Ok(out)
    };
    let content = make().map_err(BuildError::file("archive the files of", Path::new(&parcel.name)))?;
    Ok((format!("{}_{}_{machine}.deb", parcel.name, parcel.version), content))
}

/// What Debian's policy wants in each package: who may do what with it, and what changed.
fn documents(parcel: &Parcel, items: &mut Vec<Item>) -> io::Result<()> {
    let dir = PathBuf::from("/usr/share/doc").join(&parcel.name);
    let mut add = |name: &str, content: Vec<u8>| {
        let kind = ItemKind::File { content, mode: 0o644 };
        items.push(Item { target: dir.join(name), kind, role: Role::Document });
    };
    let source = parcel.url.as_ref().map(|url| format!("Source: {url}\n")).unwrap_or_default();
    let licence = if parcel.licence == "Apache-2.0" {
        "On Debian systems the text of this licence is in /usr/share/common-licenses/Apache-2.0."
    } else {
        "The name is that of the SPDX list of licences, https://spdx.org/licenses/."
    };
    // Other terms that come along, such as those of the code of others in an executable.
    let terms = parcel.items.iter().filter(|i| i.role == Role::Licence && !i.target.ends_with("LICENSE"));
    let terms: Vec<String> = terms.map(|i| i.place().to_string()).collect();
    let comment = match terms.as_slice() {
        [] => String::new(),
        files => format!("Comment: Terms of code of others are in {}\n", files.join(", ")),
    };
    let copyright = format!(
        "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\
         {source}\nFiles: *\nCopyright: {} {}\nLicense: {}\n {licence}\n{comment}",
        year(parcel.time),
        parcel.maintainer,
        parcel.licence
    );
    add("copyright", copyright.into_bytes());
    let changes = format!(
        "{} ({}) unstable; urgency=medium\n\n  * Package version {}.\n\n -- {}  {}\n",
        parcel.name,
        parcel.version,
        parcel.version,
        parcel.maintainer,
        date(parcel.time)
    );
    add("changelog.gz", gzip(changes.as_bytes())?);
    Ok(())
}

fn control_archive(parcel: &Parcel, items: &[Item], machine: &str) -> io::Result<Vec<u8>> {
    let mut tar = Tar::new(parcel.time);
    tar.tree(&[])?;
    tar.file("./control", control(parcel, items, machine).as_bytes(), 0o644)?;
    let files = || items.iter().filter(|i| matches!(i.kind, ItemKind::File { .. }));
    let configs: String =
        files().filter(|i| i.role == Role::Configuration).map(|i| format!("{}\n", i.place())).collect();
    if !configs.is_empty() {
        tar.file("./conffiles", configs.as_bytes(), 0o644)?;
    }
    let mut sums = String::new();
    for item in files().filter(|i| i.role != Role::Configuration) {
        for byte in Md5::digest(item.content()) {
            let _ = write!(sums, "{byte:02x}");
        }
        let _ = writeln!(sums, "  {}", item.place().trim_start_matches('/'));
    }
    tar.file("./md5sums", sums.as_bytes(), 0o644)?;
    let scripts = scripts::deb(&parcel.items);
    for (name, body) in [
        ("postinst", scripts.after_install),
        ("postrm", scripts.after_remove),
        ("prerm", scripts.before_remove),
    ] {
        if !body.is_empty() {
            tar.file(&format!("./{name}"), format!("#!/bin/sh\nset -e\n{body}").as_bytes(), 0o755)?;
        }
    }
    gzip(&tar.finish()?)
}

fn control(parcel: &Parcel, items: &[Item], machine: &str) -> String {
    let size: usize = items
        .iter()
        .map(|i| match &i.kind {
            ItemKind::File { content, .. } => content.len().div_ceil(1024),
            ItemKind::Directory | ItemKind::Link(_) => 1,
        })
        .sum();
    let mut text = format!(
        "Package: {}\nVersion: {}\nArchitecture: {machine}\nMaintainer: {}\nInstalled-Size: {size}\n",
        parcel.name, parcel.version, parcel.maintainer
    );
    let deb = &parcel.deb;
    for (field, list) in [
        ("Depends", &deb.requires),
        ("Recommends", &deb.recommends),
        ("Suggests", &deb.suggests),
        ("Conflicts", &deb.conflicts),
    ] {
        if !list.is_empty() {
            let _ = writeln!(text, "{field}: {}", list.join(", "));
        }
    }
    text.push_str("Section: admin\nPriority: optional\n");
    if let Some(url) = &parcel.url {
        let _ = writeln!(text, "Homepage: {url}");
    }
    let _ = writeln!(text, "Description: {}", parcel.summary);
    for line in parcel.description.trim().lines() {
        // A line of a blank ends a paragraph; one that begins with a dot is kept for the future.
        let line = line.trim_end();
        let _ = match line {
            "" => writeln!(text, " ."),
            _ if line.starts_with('.') => writeln!(text, "  {line}"),
            _ => writeln!(text, " {line}"),
        };
    }
    text
}
