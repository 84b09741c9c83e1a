// SPDX-License-Identifier: Apache-2.0
//! Whether a domain is one that libvirt's schema allows.

use crate::tool::{ask, find};
use std::io::Write;
use std::path::Path;

/// Where libvirt installs its schemas.
const SCHEMAS: &[&str] = &["/usr/share/libvirt/schemas", "/usr/local/share/libvirt/schemas"];
/// How many of the schema's complaints are told.
const TOLD: usize = 10;

/// What the schema says of a payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Validity {
    /// It is allowed.
    Valid,
    /// It is not, and why, in lines.
    Invalid(Vec<String>),
    /// Nobody can say, and why.
    Unknown(String),
}

/// Checks a domain against libvirt's schema, where both it and `xmllint` are installed.
pub fn validate(payload: &[u8]) -> Validity {
    let unknown = |why: &str| Validity::Unknown(why.to_owned());
    let root = match virt_hooks_domxml::check(payload) {
        Ok(shape) => shape.root.to_owned(),
        Err(e) => return Validity::Invalid(vec![e.to_string()]),
    };
    if root != "domain" {
        return Validity::Unknown(format!("libvirt has no schema for a <{root}> alone"));
    }
    let Some(schema) = SCHEMAS.iter().map(|dir| Path::new(dir).join("domain.rng")).find(|f| f.is_file())
    else {
        return unknown("libvirt's schemas are not installed here");
    };
    if find("xmllint").is_none() {
        return unknown("xmllint is not installed here: it comes with libxml2-utils, or libxml2");
    }
    match against(&schema, payload) {
        Some(validity) => validity,
        None => unknown("xmllint gave no answer"),
    }
}

fn against(schema: &Path, payload: &[u8]) -> Option<Validity> {
    // In a file of its own, that nobody else can read: it may hold secrets.
    let mut file = tempfile::Builder::new().suffix(".xml").tempfile().ok()?;
    file.write_all(payload).ok()?;
    let schema = schema.to_str()?;
    let said = ask("xmllint", &["--noout", "--nonet", "--relaxng", schema], file.path())?;
    if said.good {
        return Some(Validity::Valid);
    }
    let place = format!("{}:", file.path().display());
    let lines = said.text.lines().filter_map(|line| line.strip_prefix(&place)).filter_map(|line| {
        // LINE: element NAME: Relax-NG validity error : MESSAGE
        let (number, rest) = line.split_once(':')?;
        let message = rest.split_once(" : ").map_or(rest, |(_, message)| message);
        Some(format!("line {number}: {}", message.trim()))
    });
    Some(Validity::Invalid(lines.take(TOLD).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_schema_is_said() {
        assert!(matches!(validate(b"<disk/>"), Validity::Unknown(why) if why.contains("<disk>")));
        assert!(matches!(validate(b"<domain>"), Validity::Invalid(_)));
    }
}
