// SPDX-License-Identifier: Apache-2.0
//! `hook.toml(5)` and `virt-hooks-config.toml(5)`, and their chapters of the book: every key, from the doc comments of the
//! types that read these files, by way of their JSON Schema.

use crate::sheet::{Markdown, Roff, Sheet};
use schemars::schema_for;
use serde_json::Value;
use virt_hooks_contract::{Config, Manifest};

/// A file that people write.
pub(crate) struct File {
    /// The name of its man page, in section 5. `config.toml` alone would clash with other programs' pages.
    pub(crate) manual: &'static str,
    about: &'static str,
    title: &'static str,
    source: &'static str,
    text: &'static [&'static str],
    example: &'static str,
    schema: Value,
    see_also: &'static [(&'static str, u8)],
}

/// `hook.toml`.
pub(crate) fn manifest() -> File {
    File {
        manual: "hook.toml",
        about: "what a hook package says of itself",
        title: "hook.toml",
        source: "crates/contract/src/manifest",
        text: &[
            "A hook package is a directory with hooks and a file `hook.toml`. It is installed as \
             `/usr/share/virt-hooks/packages/NAME/hook.toml`, and holds for the hooks of the package wherever they lie. \
             A hook without one runs all the same, as under VDSM.",
            "The file is TOML. An unknown key or a value of the wrong type is an error that names the line and the key \
             that was probably meant. `virt-hooks new hook` writes one, `virt-hooks check` looks at it, and editors complete it with \
             the JSON Schema in `/usr/share/virt-hooks/schema/hook.schema.json`.",
        ],
        example: include_str!("../../hooks/cpuflags/hook.toml"),
        schema: schema_for!(Manifest).to_value(),
        see_also: &[
            ("virt-hooks-check", 1),
            ("virt-hooks-new-hook", 1),
            ("virt-hooks-package", 1),
            ("virt-hooks", 8),
        ],
    }
}

/// `config.toml`.
pub(crate) fn config() -> File {
    File {
        manual: "virt-hooks-config.toml",
        about: "the configuration of virt-hooks on a host",
        title: "config.toml",
        source: "crates/contract/src/config.rs",
        text: &[
            "`/etc/virt-hooks/config.toml` sets what is not to be as usual on a host. There need not be such a file, and every \
             key may be left out. `--config` and `VIRT_HOOKS_CONFIG` name another one; options and variables win over keys.",
            "The file is TOML. An unknown key or a value of the wrong type is an error that names the line and the key \
             that was probably meant: no hook runs with a configuration that is understood in part. Times are written like \
             `\"30s\"` or `\"1m 30s\"`, sizes like `\"64KiB\"`.",
        ],
        example: include_str!("config-example.toml"),
        schema: schema_for!(Config).to_value(),
        see_also: &[("virt-hooks", 1), ("virt-hooks-doctor", 1), ("hook.toml", 5), ("virt-hooks", 8)],
    }
}

impl File {
    /// The man page.
    pub(crate) fn page(&self) -> String {
        let mut page = Roff::new(&self.manual.to_uppercase(), 5, self.manual, self.about);
        page.section("Description");
        self.body(&mut page);
        page.see_also(self.see_also);
        page.text
    }

    /// The chapter.
    pub(crate) fn chapter(&self) -> String {
        let mut page = Markdown::new(self.title, self.source);
        self.body(&mut page);
        page.text
    }

    fn body(&self, page: &mut dyn Sheet) {
        for text in self.text {
            page.paragraph(text);
        }
        page.section("Keys");
        table(page, &self.schema, &self.schema, "");
        page.section("Example");
        page.example("toml", self.example);
    }
}

/// The keys of a table, then the tables in it.
fn table(page: &mut dyn Sheet, root: &Value, schema: &Value, path: &str) {
    let required: Vec<&str> = list(schema, "required").iter().filter_map(Value::as_str).collect();
    let mut inner = Vec::new();
    for (name, key) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let kind = Kind::of(root, key);
        let mut says = vec![kind.words(&join(path, name))];
        if required.contains(&name.as_str()) {
            says.push("required".to_owned());
        }
        let default = key
            .get("default")
            .filter(|d| matches!(d, Value::Bool(_) | Value::Number(_)))
            .map(ToString::to_string);
        says.extend(default.or_else(|| text_default(key)).map(|d| format!("`{d}` where left out")));
        let mut text = format!("{}. {}", says.join(", "), about(key));
        if let Kind::Word(of) = kind {
            for word in list(of, "oneOf") {
                if let Some(word_text) = word.get("const").and_then(Value::as_str) {
                    text.push_str(&format!(" `\"{word_text}\"`: {}", about(word)));
                }
            }
        }
        page.item(name, text.trim_end());
        if let Some((header, of)) = kind.table(&join(path, name)) {
            inner.push((header, of));
        }
    }
    for (header, of) in inner {
        page.subsection(&header);
        page.paragraph(&about(of));
        table(page, root, of, header.trim_matches(['[', ']']));
    }
}

fn text_default(key: &Value) -> Option<String> {
    let text = key.get("default")?.as_str().filter(|t| !t.is_empty())?;
    Some(format!("\"{text}\""))
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn about(schema: &Value) -> String {
    schema.get("description").and_then(Value::as_str).unwrap_or_default().replace('\n', " ")
}

fn list<'s>(schema: &'s Value, key: &str) -> &'s [Value] {
    schema.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// What the value of a key is.
enum Kind<'s> {
    Plain(&'static str),
    Texts,
    /// One of some words.
    Word(&'s Value),
    Table(&'s Value),
    Tables(&'s Value),
    /// A table of tables, by names that people choose.
    Named(&'s Value),
}

impl<'s> Kind<'s> {
    fn of(root: &'s Value, key: &'s Value) -> Self {
        let key = resolve(root, key);
        if !list(key, "oneOf").is_empty() {
            return Self::Word(key);
        }
        if key.get("properties").is_some() {
            return Self::Table(key);
        }
        let word = match key.get("type") {
            Some(Value::Array(types)) => types.iter().filter_map(Value::as_str).find(|t| *t != "null"),
            Some(one) => one.as_str(),
            None => None,
        };
        match word {
            Some("array") => match key.get("items").map(|i| resolve(root, i)) {
                Some(items) if items.get("properties").is_some() => Self::Tables(items),
                _ => Self::Texts,
            },
            Some("object") => match key.get("additionalProperties").filter(|v| v.is_object()) {
                Some(values) => Self::Named(resolve(root, values)),
                None => Self::Plain("table"),
            },
            Some("boolean") => Self::Plain("true or false"),
            Some("integer" | "number") => Self::Plain("number"),
            _ => Self::Plain("text"),
        }
    }

    fn words(&self, path: &str) -> String {
        match self {
            Self::Plain(word) => (*word).to_owned(),
            Self::Texts => "list of texts".to_owned(),
            Self::Word(_) => "one of some words".to_owned(),
            Self::Table(_) => format!("table `[{path}]`"),
            Self::Tables(_) => format!("tables `[[{path}]]`"),
            Self::Named(_) => format!("tables `[{path}.NAME]`"),
        }
    }

    fn table(&self, path: &str) -> Option<(String, &'s Value)> {
        match self {
            Self::Table(of) => Some((format!("[{path}]"), of)),
            Self::Tables(of) => Some((format!("[[{path}]]"), of)),
            Self::Named(of) => Some((format!("[{path}.NAME]"), of)),
            Self::Plain(_) | Self::Texts | Self::Word(_) => None,
        }
    }
}

/// What a reference stands for, and what may be left out when it is there.
fn resolve<'s>(root: &'s Value, schema: &'s Value) -> &'s Value {
    let there = list(schema, "anyOf").iter().find(|s| s.get("type").and_then(Value::as_str) != Some("null"));
    let schema = there.unwrap_or(schema);
    let name = schema.get("$ref").and_then(Value::as_str).and_then(|r| r.strip_prefix("#/$defs/"));
    name.and_then(|n| root.get("$defs")?.get(n)).unwrap_or(schema)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every key of a schema, by its name.
    fn keys(schema: &Value) -> Vec<&str> {
        let own = schema.get("properties").and_then(Value::as_object);
        let more = schema.get("$defs").and_then(Value::as_object).into_iter().flatten().map(|(_, s)| s);
        own.into_iter().flatten().map(|(name, _)| name.as_str()).chain(more.flat_map(keys)).collect()
    }

    #[test]
    fn every_key_is_told_and_described() {
        for file in [manifest(), config()] {
            let chapter = file.chapter();
            let all = keys(&file.schema);
            assert!(all.len() > 15, "{all:?}");
            for key in all {
                let line = chapter.lines().find(|l| l.starts_with(&format!("- `{key}`: ")));
                let line = line.unwrap_or_else(|| panic!("{}: {key} is missing", file.title));
                assert!(line.contains(". "), "{line} has no description");
            }
        }
    }

    #[test]
    fn kinds_defaults_and_words_are_told() {
        let chapter = manifest().chapter();
        for line in [
            "- `name`: text, required. The package, and its directory: lower-case letters, digits, `_`, `-`.",
            "- `idempotent`: true or false, `true` where left out. Whether running it on its own output changes nothing more.",
            "### [[when.metadata]]",
            "- `mode`: text, `\"0644\"` where left out. Its mode, in octal.",
        ] {
            assert!(chapter.contains(&format!("\n{line}\n")), "{line}\n{chapter}");
        }
        assert!(
            chapter.contains("one of some words. On plain libvirt. `\"yes\"`: As it is. `\"care\"`:"),
            "{chapter}"
        );
        let chapter = config().chapter();
        assert!(
            chapter.contains("\n### [points.NAME]\n") && chapter.contains("tables `[points.NAME]`"),
            "{chapter}"
        );
    }

    #[test]
    fn the_examples_are_read() {
        Manifest::parse("hook.toml", manifest().example).unwrap();
        assert_ne!(Config::parse("config.toml", config().example).unwrap(), Config::default());
    }
}
