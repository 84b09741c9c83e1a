// SPDX-License-Identifier: Apache-2.0
//! How vhostmd gives its metrics to guests, as its configuration says.

use virt_hooks_sdk::{Context, Document, Failure};

const FILE: &str = "/etc/vhostmd/vhostmd.conf";

/// The ways that are switched on.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Transports {
    /// The file that is a disk for guests.
    pub(super) disk: Option<String>,
    /// Whether guests have a channel.
    pub(super) channel: bool,
}

/// Reads the configuration.
pub(super) fn read(hook: &Context) -> Result<Transports, Failure> {
    let text = hook.host().read(FILE).map_err(|error| Failure::go_on(error.to_string()))?;
    let text = text.ok_or_else(|| {
        Failure::go_on(format_args!("sap_agent: {FILE} is missing, install and configure vhostmd"))
    })?;
    parse(hook, &text)
}

fn parse(hook: &Context, text: &str) -> Result<Transports, Failure> {
    let broken = |why: &str| Failure::go_on(format_args!("sap_agent: {FILE}: {why}"));
    let text = without_doctype(text).ok_or_else(|| broken("its document type declaration does not end"))?;
    let conf = Document::parse(text).map_err(|error| broken(&Failure::from(error).to_string()))?;
    let below = |top, name| conf.descendants(top).skip(1).find(|&e| conf.name(e) == name);
    let globals = conf.first_named("vhostmd").and_then(|vhostmd| below(vhostmd, "globals"));
    let globals = globals.ok_or_else(|| broken("expected globals in vhostmd"))?;
    let mut transports = Transports::default();
    for transport in conf.all_named_below(globals, "transport") {
        match conf.text(transport).trim() {
            "virtio" => transports.channel = true,
            "vbd" => {
                let path = below(globals, "disk").and_then(|disk| below(disk, "path"));
                let path = path.map(|path| conf.text(path).trim().to_owned()).unwrap_or_default();
                transports.disk = Some(if path.is_empty() { "/dev/shm/vhostmd0".to_owned() } else { path });
            }
            other => {
                hook.log(format_args!("sap_agent: {FILE}: transport {other:?} is not known and left out"));
            }
        }
    }
    Ok(transports)
}

/// The document without its document type declaration, which vhostmd's own file has and no parser of payloads takes;
/// none if it has no end.
fn without_doctype(text: &str) -> Option<String> {
    let mut at = 0;
    loop {
        let rest = text.get(at..)?;
        let blanks = rest.len() - rest.trim_start().len();
        at += blanks;
        let rest = rest.trim_start();
        if rest.starts_with("<!DOCTYPE") {
            let end = at + end_of_doctype(rest)?;
            return Some([text.get(..at)?, text.get(end..)?].concat());
        }
        let end = if rest.starts_with("<?") {
            "?>"
        } else if rest.starts_with("<!--") {
            "-->"
        } else {
            return Some(text.to_owned());
        };
        at += rest.find(end)? + end.len();
    }
}

fn end_of_doctype(text: &str) -> Option<usize> {
    let (mut quote, mut depth) = (None, 0_usize);
    for (at, byte) in text.bytes().enumerate() {
        if let Some(open) = quote {
            quote = (byte != open).then_some(open);
            continue;
        }
        match byte {
            b'"' | b'\'' => quote = Some(byte),
            b'[' => depth += 1,
            b']' => depth = depth.saturating_sub(1),
            b'>' if depth == 0 => return Some(at + 1),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> (Result<Transports, Failure>, usize) {
        let hook = Context::for_test();
        let found = parse(&hook, text);
        (found, hook.logged().len())
    }

    const HEAD: &str =
        "<?xml version='1.0'?>\n<!-- <!DOCTYPE --><!DOCTYPE vhostmd SYSTEM \"a>b\" [<!ELEMENT x ANY>]>";

    #[test]
    fn ways_are_read() {
        let conf = |globals: &str| of(&format!("{HEAD}<vhostmd><globals>{globals}</globals></vhostmd>"));
        let ways = |disk: Option<&str>, channel| Transports { disk: disk.map(str::to_owned), channel };
        for (globals, expected, told) in [
            ("", ways(None, false), 0),
            ("<transport> virtio </transport>", ways(None, true), 0),
            ("<transport>vbd</transport>", ways(Some("/dev/shm/vhostmd0"), false), 0),
            ("<disk><path> /x </path></disk><transport>vbd</transport>", ways(Some("/x"), false), 0),
            ("<disk><path>/x</path></disk><transport>xenstore</transport>", ways(None, false), 1),
        ] {
            let (found, logged) = conf(globals);
            assert_eq!((found.unwrap(), logged), (expected, told), "{globals}");
        }
    }

    #[test]
    fn broken_files_are_told() {
        for text in ["", "<x/>", "<vhostmd/>", "<!DOCTYPE x", "<!--", "<vhostmd><globals></vhostmd>"] {
            let failure = of(text).0.unwrap_err();
            assert!(
                failure.message().starts_with("sap_agent: /etc/vhostmd/vhostmd.conf") && !failure.stops()
            );
        }
    }
}
