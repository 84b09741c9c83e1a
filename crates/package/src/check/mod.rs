// SPDX-License-Identifier: Apache-2.0
//! Looks at a hook package as its author has it, and says what keeps it from working: what the doctor knows of a file,
//! the manifest, what people are told, the scripts, the files that go elsewhere, and where the package can be used.
//!
//! Nothing of the package is run, but for its cases where a target asks whether its hooks may run several times, and
//! what perl runs of a script while it compiles it, where whoever asks says that the package is their own.

mod documents;
mod extra_files;
mod portability;
mod scripts;

#[cfg(test)]
pub(crate) mod tests;

pub use portability::Target;

use crate::author::{Code, PackageDir, PackageError};
use crate::cases;
use crate::doctor::{Finding, Kind, Severity, examine_sources, quote, sort};
use crate::tool;
use std::path::{Path, PathBuf};
use virt_hooks_contract::{Manifest, Point};
use virt_hooks_engine::{Host, MANIFEST, is_backup};

/// How a package is looked at.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options<'a> {
    /// What runs where the package has sources only.
    pub program: Option<&'a Path>,
    /// Where the package is to be used.
    pub target: Option<Target>,
    /// Whether the package is the author's own: then perl may compile its scripts, which runs what is in their `BEGIN`
    /// blocks and in the modules that they use.
    pub own: bool,
}

/// What is wrong, or odd, with the package in `dir`; the worst comes first.
pub fn check(dir: &Path, host: &Host, options: Options<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    match PackageDir::load(dir) {
        Ok(package) => look_at(&package, host, options, &mut findings),
        Err(e) => findings.push(unusable(dir, &e)),
    }
    sort(&mut findings);
    findings
}

fn unusable(dir: &Path, error: &PackageError) -> Finding {
    let path = dir.join(MANIFEST);
    let (what, mend) = match error {
        PackageError::NoManifest(_) => (
            "is missing: this is no hook package".to_owned(),
            "virt-hooks new hook NAME --point POINT".to_owned(),
        ),
        PackageError::Read { source, .. } => {
            (format!("cannot be read: {source}"), format!("ls -l {}", quote::path(&path)))
        }
        PackageError::Manifest(e) => (
            format!("line {}, column {}: {}", e.line, e.column, e.message),
            format!("${{EDITOR:-vi}} +{} {}", e.line, quote::path(&path)),
        ),
    };
    Finding::new(Severity::Broken, Kind::ManifestUnusable, &path)
        .what(what)
        .why(
            "without a manifest that can be read nothing is known of the package, and it cannot be installed",
        )
        .mend(mend)
}

fn look_at(package: &PackageDir, host: &Host, options: Options<'_>, out: &mut Vec<Finding>) {
    let manifest_path = package.dir.join(MANIFEST);
    out.extend(package.manifest.against(&host.catalogue).into_iter().map(|what| {
        Finding::new(Severity::Broken, Kind::ManifestPoint, &manifest_path)
            .what(what)
            .why("the hook would never run, or not as the manifest says")
            .mend(edit(&manifest_path))
    }));
    let hooks = hooks(package, host, options.program, out);
    out.extend(examine_sources(&without_user(host), &hooks));
    helpers(package, &hooks, out);
    commands(&package.manifest, &manifest_path, out);
    documents::check(package, out);
    scripts::check(package, &hooks, options.own, out);
    extra_files::check(package, out);
    cases_of(package, host, out);
    if let Some(target) = options.target {
        portability::check(package, &hooks, host, (target, options.program), out);
    }
}

/// Whoever hooks run as on this host, a package is made for others.
fn without_user(host: &Host) -> Host {
    let mut host = host.clone();
    host.settings.hook_user = None;
    host
}

fn edit(path: &Path) -> String {
    format!("${{EDITOR:-vi}} {}", quote::path(path))
}

/// The hooks that can be looked into, with their points and what lies beside them.
fn hooks(
    package: &PackageDir,
    host: &Host,
    program: Option<&Path>,
    out: &mut Vec<Finding>,
) -> Vec<(Point, PathBuf, Vec<PathBuf>)> {
    let mut hooks = Vec::new();
    let manifest_path = package.dir.join(MANIFEST);
    let missing = |path: &Path, point: &str, what: String, mend: String| {
        Finding::new(Severity::Broken, Kind::SourceMissing, path)
            .at(point)
            .what(what)
            .why("the manifest promises a hook at this point, and there is none to install")
            .mend(mend)
    };
    for hook in &package.manifest.point {
        let point = host.catalogue.get(&hook.name).cloned().unwrap_or_else(|| Point::unknown(&hook.name));
        if is_backup(hook.file.as_bytes()) {
            out.push(
                Finding::new(Severity::Broken, Kind::BackupName, &manifest_path)
                    .at(&hook.name)
                    .what(format!("installs the hook as {}, the name of a backup copy", hook.file))
                    .why("copies that editors and package managers leave are never run")
                    .mend(edit(&manifest_path)),
            );
        }
        match (package.code(hook), program) {
            (Code::Runs(path), _) => hooks.push((point, path, package.helpers())),
            (Code::Source(_) | Code::NotBuilt(..), Some(program)) => {
                if !program.is_file() {
                    let what = "is missing, the program that was named".to_owned();
                    out.push(missing(program, &hook.name, what, format!("ls -l {}", quote::path(program))));
                }
                hooks.push((point, program.to_owned(), package.helpers()));
            }
            // Whoever builds it looks at what was built.
            (Code::Source(_), None) => {}
            (Code::NotBuilt(path, how), None) => out.push(
                Finding::new(Severity::Hint, Kind::NotBuilt, &path)
                    .at(&hook.name)
                    .what("is not built yet, and was not looked into")
                    .why("the hook can be tried, tested and installed once it is built")
                    .mend(format!("cd {} # and there: {how}", quote::path(&package.dir))),
            ),
            (Code::Missing(path), _) => out.push(missing(
                &path,
                &hook.name,
                format!("is missing, the hook for {}", hook.name),
                format!("touch {0} && chmod 755 {0} # and write the hook", quote::path(&path)),
            )),
            (Code::Ambiguous(one, other), _) => out.push(missing(
                &one,
                &hook.name,
                format!("and {} could both be the hook at {}", other.display(), hook.name),
                format!("{} # and name one as source", edit(&manifest_path)),
            )),
            (Code::Outside(source), _) => out.push(missing(
                &manifest_path,
                &hook.name,
                format!("names \"{}\" as a source, which is no file of the package", source.escape_debug()),
                edit(&manifest_path),
            )),
        }
    }
    hooks
}

/// Executable files that are neither hooks nor installed elsewhere.
fn helpers(package: &PackageDir, hooks: &[(Point, PathBuf, Vec<PathBuf>)], out: &mut Vec<Finding>) {
    use std::os::unix::fs::MetadataExt;
    for path in package.helpers() {
        let is_hook = hooks.iter().any(|(_, hook, _)| *hook == path);
        if !is_hook && std::fs::metadata(&path).is_ok_and(|m| m.mode() & 0o111 != 0) {
            out.push(
                Finding::new(Severity::Warning, Kind::HelperExecutable, &path)
                    .what("is executable, but is the hook of no point of the manifest")
                    .why("beside the hooks every executable file would be run at each event")
                    .mend(format!("chmod 644 {} # or give it a [[point]] or a [[file]]", quote::path(&path))),
            );
        }
    }
}

fn commands(manifest: &Manifest, path: &Path, out: &mut Vec<Finding>) {
    let mut missing: Vec<&str> = Vec::new();
    for line in manifest.commands.iter().chain(&manifest.sudo) {
        // What sudo may run is said with arguments.
        let command = line.split_whitespace().next().unwrap_or_default();
        let own = manifest.file.iter().any(|f| f.target == command);
        if !own && !missing.contains(&command) && tool::find(command).is_none() {
            missing.push(command);
        }
    }
    out.extend(missing.into_iter().map(|command| {
        Finding::new(Severity::Warning, Kind::CommandMissing, path)
            .what(format!("says that the hooks run {}, which is not installed here", command.escape_debug()))
            .why("on this host they would fail when they come to it")
            .mend(format!("command -v {} # after installing what has it", quote::word(command.as_bytes())))
    }));
}

fn cases_of(package: &PackageDir, host: &Host, out: &mut Vec<Finding>) {
    match cases::has_cases(package, &host.catalogue) {
        Ok(true) => {}
        Ok(false) => out.push(
            Finding::new(Severity::Hint, Kind::NoCases, &package.dir)
                .what("has no cases that say what its hooks do to which payload")
                .why("nobody can tell whether a change of them, or of the host, breaks them")
                .mend(format!("mkdir -p {}", quote::path(&package.dir.join("tests/first")))),
        ),
        Err(e) => out.push(
            Finding::new(Severity::Broken, Kind::CaseUnusable, &package.dir.join("tests"))
                .what(e.to_string())
                .why("none of the package's cases is run as long as one of them cannot be read")
                .mend(format!("virt-hooks test {}", quote::path(&package.dir))),
        ),
    }
}
