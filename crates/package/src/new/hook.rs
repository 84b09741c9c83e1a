// SPDX-License-Identifier: Apache-2.0
//! A new hook package.

use super::template::Values;
use super::{NewError, make_dir, write};
use crate::samples::Sample;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use virt_hooks_contract::{
    Catalogue, Manifest, Output, PayloadKind, Point, Properties, Subject, check_name, env,
};
use virt_hooks_engine::MANIFEST;

/// The value of the property in examples and cases.
const EXAMPLE: &str = "Mail server";

/// What a hook is written in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    /// A script for bash.
    #[default]
    Bash,
    /// A script for Python 3, with the module `hooking`.
    Python,
    /// A program in Rust, without dependencies.
    Rust,
    /// A program in Go, without dependencies.
    Go,
    /// A script for Perl, without modules.
    Perl,
}

impl Language {
    /// How its scripts' names end, and the templates of a hook that changes a domain and of one that does not; `None`
    /// where one program is built for all points.
    fn script(self) -> Option<(&'static str, &'static str, &'static str)> {
        match self {
            Self::Bash => Some((
                "sh",
                include_str!("../../templates/edit.bash"),
                include_str!("../../templates/note.bash"),
            )),
            Self::Python => Some((
                "py",
                include_str!("../../templates/edit.python"),
                include_str!("../../templates/note.python"),
            )),
            Self::Perl => Some((
                "pl",
                include_str!("../../templates/edit.perl"),
                include_str!("../../templates/note.perl"),
            )),
            Self::Rust | Self::Go => None,
        }
    }

    /// The command that builds a package of this name; it makes the executable `hook` in its directory.
    pub fn build_command(self, name: &str) -> Option<String> {
        match self {
            Self::Rust => Some(format!("cargo build --release && cp target/release/{name} hook")),
            Self::Go => Some("CGO_ENABLED=0 go build -o hook .".to_owned()),
            _ => None,
        }
    }
}

/// Makes the package `name` in the directory `parent`, with a hook for each of `points`, and says where it is.
///
/// # Errors
/// A name that cannot be one, a point that does not exist, a directory that is there, or one that cannot be written.
pub fn hook(
    name: &str,
    points: &[String],
    language: Language,
    parent: &Path,
    catalogue: &Catalogue,
) -> Result<PathBuf, NewError> {
    check_name(name).map_err(NewError::Name)?;
    let mut known: Vec<&Point> = Vec::new();
    for point in points {
        let found = catalogue.get(point).ok_or_else(|| NewError::UnknownPoint {
            name: point.escape_debug().to_string(),
            meant: catalogue.nearest(point).map(|m| format!(", did you mean \"{m}\"?")).unwrap_or_default(),
        })?;
        if !known.iter().any(|p| p.name == found.name) {
            known.push(found);
        }
    }
    let plan = Plan::of(name, &known, language);
    let manifest = plan.values.fill(include_str!("../../templates/hook.toml.in"));
    Manifest::parse(MANIFEST, &manifest).map_err(|e| NewError::Unusable(e.to_string()))?;

    make_dir(parent)?;
    let dir = parent.join(name);
    match fs::create_dir(&dir) {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => return Err(NewError::Exists(dir)),
        Err(source) => return Err(NewError::Write { path: dir, source }),
    }
    if let Err(e) = plan.write(&dir, &manifest) {
        // Half a package is worse than none; the error tells what to mend before the next try.
        let _ = fs::remove_dir_all(&dir);
        return Err(e);
    }
    Ok(dir)
}

struct Plan<'a> {
    points: &'a [&'a Point],
    language: Language,
    property: Option<String>,
    values: Values,
}

/// Whether a new hook changes the payload here: a domain that is acted upon.
fn edits(point: &Point) -> bool {
    point.payload == PayloadKind::Xml && point.output == Output::Used && point.subject == Subject::Vm
}

impl<'a> Plan<'a> {
    fn of(name: &str, points: &'a [&'a Point], language: Language) -> Self {
        let scope = if points.iter().any(|p| p.properties == Properties::Vm) {
            Some("vm")
        } else {
            points.iter().any(|p| p.properties == Properties::Device).then_some("device")
        };
        let property = scope.map(|_| property_name(name));
        let any_edits = points.iter().any(|p| edits(p));
        let all_edit = points.iter().all(|p| edits(p));
        let names: Vec<&str> = points.iter().map(|p| &*p.name).collect();
        let (summary, meaning) = match (any_edits, scope) {
            (true, _) => ("Give a VM the title that its property says", "The title"),
            (false, Some("vm")) => ("Say what the property of a VM says", "What is said"),
            (false, Some(_)) => ("Say what the property of a device says", "What is said"),
            (false, None) => ("Say that a hook point was reached", ""),
        };
        let mut v = Values::default();
        v.text("name", name);
        v.text("summary", summary);
        v.text("meaning", meaning);
        v.text("description", format!("{summary}. Change this into what the hook is to do."));
        v.text("points", names.join(", "));
        v.text("first", names.first().copied().unwrap_or_default());
        v.text("scope", scope.unwrap_or_default());
        v.text("of", if scope == Some("device") { "device" } else { "VM" });
        let option = if scope == Some("device") { "--device-property" } else { "-p" };
        let with = |p: &String| format!(" {option} {p}='{EXAMPLE}'");
        v.text("with", property.as_ref().map(with).unwrap_or_default());
        v.text("property", property.clone().unwrap_or_default());
        v.text("build", language.build_command(name).unwrap_or_default());
        v.text("point-tables", point_tables(points, language));
        let quoted: Vec<String> =
            points.iter().filter(|p| edits(p)).map(|p| format!("\"{}\"", p.name)).collect();
        v.text("edits", quoted.join(", "));
        v.flag("property", property.is_some());
        v.flag("edits", any_edits);
        v.flag("only-edits", all_edit);
        v.flag("notes", !all_edit);
        v.flag("mixed", any_edits && !all_edit);
        v.flag("build", language.script().is_none());
        Self { points, language, property, values: v }
    }

    fn write(mut self, dir: &Path, manifest: &str) -> Result<(), NewError> {
        write(&dir.join(MANIFEST), manifest)?;
        write(&dir.join("README.md"), &self.values.fill(include_str!("../../templates/README.md.in")))?;
        for point in self.points {
            self.write_cases(dir, point)?;
        }
        let fill = |template| self.values.fill(template);
        match self.language {
            Language::Rust => {
                write(&dir.join("main.rs"), &fill(include_str!("../../templates/hook.rust")))?;
                write(&dir.join("Cargo.toml"), &fill(include_str!("../../templates/Cargo.toml.in")))?;
                write(&dir.join(".gitignore"), "/target\n/hook\n")
            }
            Language::Go => {
                write(&dir.join("main.go"), &fill(include_str!("../../templates/hook.go")))?;
                write(&dir.join("go.mod"), &fill(include_str!("../../templates/go.mod.in")))?;
                write(&dir.join(".gitignore"), "/hook\n")
            }
            _ => self.write_scripts(dir),
        }
    }

    fn write_scripts(&mut self, dir: &Path) -> Result<(), NewError> {
        let Some((extension, edit, note)) = self.language.script() else { return Ok(()) };
        for point in self.points {
            self.values.text("point", &*point.name);
            // At a point without properties there is nothing to wait for.
            self.values.flag("property", point.properties != Properties::None);
            let path = dir.join(format!("{}.{extension}", point.name));
            write(&path, &self.values.fill(if edits(point) { edit } else { note }))?;
            fs::set_permissions(&path, Permissions::from_mode(0o755))
                .map_err(|source| NewError::Write { path, source })?;
        }
        Ok(())
    }

    /// A case with the property and one without.
    fn write_cases(&self, dir: &Path, point: &Point) -> Result<(), NewError> {
        let sample = Sample::for_point(point);
        let cases = dir.join("tests");
        let property = self.property.as_ref().filter(|_| point.properties != Properties::None);
        let changes = edits(point);
        let case = |name: &str, toml: String, expected: Option<String>| -> Result<(), NewError> {
            let case = cases.join(name);
            make_dir(&case)?;
            write(&case.join("case.toml"), &toml)?;
            if let Some(sample) = sample {
                let extension = sample.kind.word();
                write(&case.join(format!("payload.{extension}")), sample.text)?;
                if let Some(expected) = expected {
                    write(&case.join(format!("expected.{extension}")), &expected)?;
                }
            }
            Ok(())
        };
        let mut toml = format!("point = \"{}\"\n", point.name);
        let unset = toml.clone();
        let expected = sample
            .filter(|_| changes)
            .map(|s| s.text.replacen("</name>", &format!("</name>\n  <title>{EXAMPLE}</title>"), 1));
        if !changes {
            let said = if property.is_some() { EXAMPLE } else { "called at" };
            // A program that serves all points has nothing to say without the property.
            if property.is_some() || self.property.is_none() || self.language.script().is_some() {
                toml.push_str(&format!("stderr = \"{said}\"\n"));
            }
        }
        if let Some(property) = property {
            let table =
                if point.properties == Properties::Device { "device-properties" } else { "properties" };
            toml.push_str(&format!("\n[{table}]\n{property} = \"{EXAMPLE}\"\n"));
            case(&format!("{}-unset", point.name), unset, None)?;
        }
        case(&point.name, toml, expected)
    }
}

fn point_tables(points: &[&Point], language: Language) -> String {
    points
        .iter()
        .map(|p| {
            let source = if language.script().is_none() { "source = \"hook\"\n" } else { "" };
            format!("\n[[point]]\nname = \"{}\"\norder = 50\n{source}", p.name)
        })
        .collect::<String>()
        .trim_end()
        .to_owned()
}

/// The property a package of this name begins with: a name that is a variable in every language.
fn property_name(package: &str) -> String {
    let name = package.replace('-', "_");
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic());
    if starts_well && !env::is_protected(name.as_bytes()) { name } else { format!("property_{name}") }
}
