// SPDX-License-Identifier: Apache-2.0
//! An rpm, format 4: EL 8 and later, Fedora, openSUSE and Debian's rpm read it.
//!
//! Written here, and not with the crate `rpm`: that brings thirty crates (three families of hashes, numbers of any
//! size, parsers) for what is a table of values behind which a cpio archive lies.

use super::archive::gzip;
use super::cpio;
use super::error::BuildError;
use super::parcel::{Dependencies, Item, ItemKind, Parcel};
use super::rpm_header::Header;
use super::scripts::{self, Scripts};
use super::sign::Key;
use crate::build::layout::Role;
use sha2::{Digest, Sha256};
use std::path::Path;
use virt_hooks_contract::hexadecimal;

/// Number of SHA-256 among rpm's digests.
const SHA256: u32 = 8;
/// What tells packages of one version apart; here there is one.
const RELEASE: &str = "1";
const SHELL: &str = "/bin/sh";

// Flags of a dependency.
const LESS: u32 = 1 << 1;
const GREATER: u32 = 1 << 2;
const EQUAL: u32 = 1 << 3;
const OF_RPMLIB: u32 = 1 << 24;
const FOR_POST: u32 = 1 << 10;
const FOR_PREUN: u32 = 1 << 11;
const FOR_POSTUN: u32 = 1 << 12;
const OF_CONFIG: u32 = 1 << 28;

// Flags of a file.
const CONFIG: u32 = 1;
const DOC: u32 = 1 << 1;
const NO_REPLACE: u32 = 1 << 4;
const LICENCE: u32 = 1 << 7;

/// A name, flags and a version: how rpm writes every relation between packages.
type Relation = (String, u32, String);
/// Tags of the three lists that relations are kept in: names, flags, versions.
type RelationTags = (u32, u32, u32);
const PROVIDES: RelationTags = (1047, 1112, 1113);
const REQUIRES: RelationTags = (1049, 1048, 1050);
const CONFLICTS: RelationTags = (1054, 1053, 1055);
const RECOMMENDS: RelationTags = (5046, 5048, 5047);
const SUGGESTS: RelationTags = (5049, 5051, 5050);

/// Name of the file, and what is in it.
pub(super) fn build(parcel: &Parcel, key: Option<&Key>) -> Result<(String, Vec<u8>), BuildError> {
    let machine = parcel.machine()?;
    let whole = format!("{}-{}-{RELEASE}", parcel.name, parcel.version);
    let archive = cpio::archive(&parcel.items, parcel.time);
    let payload =
        gzip(&archive).map_err(BuildError::file("compress the files of", Path::new(&parcel.name)))?;
    let mut header = Header::main();
    describe(&mut header, parcel, machine.rpm());
    relations(&mut header, parcel, machine.rpm());
    files(&mut header, parcel);
    header
        .text(1124, "cpio")
        .text(1125, "gzip")
        .text(1126, "9")
        .texts(5092, [hex(&payload)])
        .numbers(5093, [SHA256])
        .texts(5097, [hex(&archive)]);
    let header = header.finish();
    let mut signature = Header::signature();
    signature
        .numbers(1000, [size(parcel, header.len() + payload.len())?])
        .numbers(1007, [size(parcel, archive.len())?])
        .text(273, &hex(&header));
    if let Some(key) = key {
        let signed = key.sign(&header)?;
        // rpm keeps signatures by RSA in one place, and all others in the next.
        signature.bytes(if signed.is_rsa { 268 } else { 267 }, &signed.packet);
    }
    let mut out = lead(&whole, machine.rpm_number());
    out.extend_from_slice(&signature.finish());
    out.resize(out.len().next_multiple_of(8), 0);
    out.extend_from_slice(&header);
    out.extend_from_slice(&payload);
    Ok((format!("{whole}.{}.rpm", machine.rpm()), out))
}

/// What used to be the header: only its first bytes are looked at.
fn lead(name: &str, machine: u16) -> Vec<u8> {
    let mut lead = vec![0xed, 0xab, 0xee, 0xdb, 3, 0, 0, 0];
    lead.extend_from_slice(&machine.to_be_bytes());
    let mut field = [0; 66];
    for (place, byte) in field.iter_mut().take(65).zip(name.bytes()) {
        *place = byte;
    }
    lead.extend_from_slice(&field);
    // Linux; a signature that is a header.
    lead.extend_from_slice(&[0, 1, 0, 5]);
    lead.resize(96, 0);
    lead
}

fn describe(header: &mut Header, parcel: &Parcel, machine: &str) {
    header
        .texts(100, ["C".to_owned()])
        .text(1000, &parcel.name)
        .text(1001, &parcel.version)
        .text(1002, RELEASE)
        .translated(1004, &parcel.summary)
        .translated(1005, parcel.description.trim())
        .numbers(1006, [parcel.time])
        .text(1007, "localhost")
        .text(1014, &parcel.licence)
        .text(1015, &parcel.maintainer)
        .translated(1016, "System Environment/Base")
        .text(1021, "linux")
        .text(1022, machine)
        .text(1044, &format!("{}-{}-{RELEASE}.src.rpm", parcel.name, parcel.version))
        .text(1064, "4.18.0")
        .numbers(1080, [noon(parcel.time)])
        .texts(1081, [format!("{} - {}", parcel.maintainer, whole(parcel))])
        .texts(1082, [format!("- Package version {}", parcel.version)])
        .text(1132, &format!("{machine}-linux-gnu"))
        .text(5062, "utf-8");
    if let Some(url) = &parcel.url {
        header.text(1020, url);
    }
    let Scripts { after_install, before_remove, after_remove } = scripts::rpm(&parcel.items);
    for (script, text, program) in
        [(1024, after_install, 1086), (1025, before_remove, 1087), (1026, after_remove, 1088)]
    {
        if !text.is_empty() {
            header.text(script, &text).text(program, SHELL);
        }
    }
}

/// Version and release.
fn whole(parcel: &Parcel) -> String {
    format!("{}-{RELEASE}", parcel.version)
}

/// Changes are dated by the day, at noon.
fn noon(time: u32) -> u32 {
    const DAY: u32 = 86_400;
    (time - time % DAY).saturating_add(DAY / 2)
}

fn relations(header: &mut Header, parcel: &Parcel, machine: &str) {
    let Dependencies { requires, recommends, suggests, conflicts } = &parcel.rpm;
    let version = whole(parcel);
    let mut provided = vec![(parcel.name.clone(), EQUAL, version.clone())];
    if machine != "noarch" {
        provided.push((format!("{}({})", parcel.name, machine.replace('_', "-")), EQUAL, version.clone()));
    }
    let configs = parcel.items.iter().any(|i| i.role == Role::Configuration);
    let mut required: Vec<Relation> = requires.iter().map(|r| relation(r)).collect();
    if configs {
        let name = format!("config({})", parcel.name);
        provided.push((name.clone(), EQUAL | OF_CONFIG, version.clone()));
        required.push((name, EQUAL | OF_CONFIG, version));
    }
    let scripts = scripts::rpm(&parcel.items);
    for (script, flag) in [
        (&scripts.after_install, FOR_POST),
        (&scripts.before_remove, FOR_PREUN),
        (&scripts.after_remove, FOR_POSTUN),
    ] {
        if !script.is_empty() {
            required.push((SHELL.to_owned(), flag, String::new()));
        }
    }
    for (feature, since) in
        [("CompressedFileNames", "3.0.4-1"), ("FileDigests", "4.6.0-1"), ("PayloadFilesHavePrefix", "4.0-1")]
    {
        required.push((format!("rpmlib({feature})"), LESS | EQUAL | OF_RPMLIB, since.to_owned()));
    }
    let of = |list: &[String]| list.iter().map(|r| relation(r)).collect::<Vec<_>>();
    put(header, PROVIDES, provided);
    put(header, REQUIRES, required);
    put(header, CONFLICTS, of(conflicts));
    put(header, RECOMMENDS, of(recommends));
    put(header, SUGGESTS, of(suggests));
}

/// `name`, or `name >= 1.2`.
fn relation(text: &str) -> Relation {
    let mut words = text.split_ascii_whitespace();
    let name = words.next().unwrap_or_default().to_owned();
    let flags = words.next().unwrap_or_default().chars().map(|c| match c {
        '<' => LESS,
        '>' => GREATER,
        '=' => EQUAL,
        _ => 0,
    });
    let flags = flags.fold(0, |all, flag| all | flag);
    (name, flags, words.next().unwrap_or_default().to_owned())
}

fn put(header: &mut Header, (names, flags, versions): RelationTags, mut relations: Vec<Relation>) {
    relations.sort();
    header
        .texts(names, relations.iter().map(|r| r.0.clone()))
        .numbers(flags, relations.iter().map(|r| r.1))
        .texts(versions, relations.iter().map(|r| r.2.clone()));
}

fn files(header: &mut Header, parcel: &Parcel) {
    let items = &parcel.items;
    let split = |item: &Item| {
        let (dir, base) = item.place().rsplit_once('/').unwrap_or_default();
        (format!("{dir}/"), base.to_owned())
    };
    let mut dirs: Vec<String> = items.iter().map(|i| split(i).0).collect();
    dirs.sort();
    dirs.dedup();
    let index = |dir: &String| dirs.binary_search(dir).ok().and_then(|n| u32::try_from(n).ok()).unwrap_or(0);
    let sizes: Vec<u32> = items.iter().map(|i| u32::try_from(length(i)).unwrap_or(u32::MAX)).collect();
    let count = u32::try_from(items.len()).unwrap_or(u32::MAX);
    let each = |text: &'static str| items.iter().map(move |_| text.to_owned());
    header
        .numbers(1009, [sizes.iter().fold(0, |all: u32, n| all.saturating_add(*n))])
        .numbers(1028, sizes)
        .shorts(1030, items.iter().map(|i| u16::try_from(cpio::mode(i)).unwrap_or(0)))
        .shorts(1033, items.iter().map(|_| 0))
        .numbers(1034, items.iter().map(|_| parcel.time))
        .texts(1035, items.iter().map(digest))
        .texts(
            1036,
            items.iter().map(|i| match &i.kind {
                ItemKind::Link(to) => to.to_string_lossy().into_owned(),
                ItemKind::Directory | ItemKind::File { .. } => String::new(),
            }),
        )
        .numbers(1037, items.iter().map(|i| flags(i.role)))
        .texts(1039, each("root"))
        .texts(1040, each("root"))
        .numbers(1045, items.iter().map(|_| u32::MAX))
        .numbers(1095, items.iter().map(|_| 1))
        .numbers(1096, 1..=count)
        .texts(1097, each(""))
        .numbers(1116, items.iter().map(|i| index(&split(i).0)))
        .texts(1117, items.iter().map(|i| split(i).1))
        .texts(1118, dirs.clone())
        .numbers(5011, if items.is_empty() { None } else { Some(SHA256) });
}

fn length(item: &Item) -> usize {
    match &item.kind {
        ItemKind::Directory => 0,
        ItemKind::Link(to) => to.as_os_str().len(),
        ItemKind::File { content, .. } => content.len(),
    }
}

fn digest(item: &Item) -> String {
    match &item.kind {
        ItemKind::File { content, .. } => hex(content),
        ItemKind::Directory | ItemKind::Link(_) => String::new(),
    }
}

fn flags(role: Role) -> u32 {
    match role {
        Role::Configuration => CONFIG | NO_REPLACE,
        Role::Document => DOC,
        Role::Licence => DOC | LICENCE,
        Role::Directory | Role::Hook | Role::File | Role::Manifest | Role::Case => 0,
    }
}

fn hex(content: &[u8]) -> String {
    hexadecimal(&Sha256::digest(content))
}

/// Sizes in the signature are of 32 bits.
fn size(parcel: &Parcel, bytes: usize) -> Result<u32, BuildError> {
    u32::try_from(bytes).ok().filter(|n| *n < 1 << 31).ok_or_else(|| BuildError::Unfit {
        package: parcel.name.clone(),
        what: "is larger than 2 GiB, more than an rpm holds".to_owned(),
    })
}
