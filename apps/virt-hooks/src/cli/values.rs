// SPDX-License-Identifier: Apache-2.0
//! Values of options that are more than text.

use clap::builder::{OsStringValueParser, TypedValueParser, ValueParserFactory};
use clap::error::ErrorKind;
use clap::{Arg, Command};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use virt_hooks_contract::env::is_property_name;
use virt_hooks_engine::CustomProperties;

/// A file, or `-`: standard input where something is read, standard output where something is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// `-`.
    Standard,
    /// A file.
    File(PathBuf),
}

impl From<OsString> for Place {
    fn from(text: OsString) -> Self {
        if text == "-" { Self::Standard } else { Self::File(text.into()) }
    }
}

impl ValueParserFactory for Place {
    type Parser = clap::builder::MapValueParser<OsStringValueParser, fn(OsString) -> Self>;

    fn value_parser() -> Self::Parser {
        OsStringValueParser::new().map(Self::from as fn(OsString) -> Self)
    }
}

/// `NAME=VALUE`. The value is any bytes, and may be a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Property {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: Vec<u8>,
}

/// The name only.
impl fmt::Debug for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Property({})", self.name)
    }
}

/// The properties of a command line, as an event takes them.
pub fn custom_properties(given: &[Property]) -> CustomProperties {
    given.iter().map(|p| (p.name.as_str(), p.value.clone())).collect()
}

impl ValueParserFactory for Property {
    type Parser = PropertyParser;

    fn value_parser() -> PropertyParser {
        PropertyParser
    }
}

/// Takes a property apart. Its errors do not show the value, as those of other options do.
#[derive(Clone)]
pub struct PropertyParser;

impl TypedValueParser for PropertyParser {
    type Value = Property;

    fn parse_ref(&self, _: &Command, arg: Option<&Arg>, text: &OsStr) -> Result<Property, clap::Error> {
        let option = match arg.and_then(Arg::get_short) {
            Some(short) => format!("-{short}"),
            None => format!("--{}", arg.and_then(Arg::get_long).unwrap_or("property")),
        };
        let refuse = |message: String| Err(clap::Error::raw(ErrorKind::ValueValidation, message));
        let bytes = text.as_bytes();
        let Some(equals) = bytes.iter().position(|&b| b == b'=') else {
            return refuse(format!("{option} \"{}\": give it as NAME=VALUE", text.display()));
        };
        match std::str::from_utf8(&bytes[..equals]) {
            Ok(name) if is_property_name(name) => {
                Ok(Property { name: name.to_owned(), value: bytes[equals + 1..].to_vec() })
            }
            _ => refuse(format!(
                "{option} \"{}\": not a name for a custom property: use letters, digits, \"_\", \"-\" and \".\"",
                OsStr::from_bytes(&bytes[..equals]).display()
            )),
        }
    }
}

/// The UUID of a VM, as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uuid(String);

impl Uuid {
    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for Uuid {
    type Err = &'static str;

    /// libvirt reads a UUID with and without its dashes, in any letter case.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = |part: &str| part.bytes().all(|b| b.is_ascii_hexdigit());
        let parts: Vec<&str> = text.split('-').collect();
        let lengths: Vec<usize> = parts.iter().map(|p| p.len()).collect();
        if matches!(lengths[..], [32] | [8, 4, 4, 4, 12]) && parts.into_iter().all(digits) {
            Ok(Self(text.to_owned()))
        } else {
            Err("not a UUID like 5d0c6a2e-7a1b-4000-8000-000000000001")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids() {
        for good in ["5d0c6a2e-7a1b-4000-8000-00000000000F", "5d0c6a2e7a1b40008000000000000001"] {
            assert_eq!(good.parse::<Uuid>().unwrap().as_str(), good);
        }
        for bad in
            ["", "web1", "5d0c6a2e-7a1b-4000-8000-00000000000g", "5d0c6a2e7a1b-4000-8000-000000000001-"]
        {
            assert!(bad.parse::<Uuid>().is_err(), "{bad}");
        }
    }
}
