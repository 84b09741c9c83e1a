// SPDX-License-Identifier: Apache-2.0
//! What lies in the hooks directories, before it is judged.

use super::file::{File, State};
use super::finding::{Finding, Kind, Severity};
use super::quote;
use super::runner::Runner;
use std::collections::{BTreeSet, HashMap};
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use virt_hooks_contract::Point;
use virt_hooks_engine::{Chain, Engine, Host, SkipReason};

/// Everything that was found.
pub(super) struct Survey<'a> {
    pub(super) host: &'a Host,
    pub(super) points: Vec<PointFiles>,
    /// Directories in a layer whose names are no points.
    pub(super) unknown: Vec<UnknownDirectory>,
    /// Files that lie in a layer itself.
    pub(super) stray: Vec<File>,
    /// Whether all points were asked for.
    pub(super) all: bool,
}

/// The files of one point, in the order of their names, in all layers.
pub(super) struct PointFiles {
    pub(super) point: Point,
    pub(super) runner: Runner,
    pub(super) files: Vec<File>,
}

impl PointFiles {
    pub(super) fn name(&self) -> &str {
        &self.point.name
    }

    /// Whether a sibling imports this file as a Python module.
    pub(super) fn imports(&self, file: &File) -> bool {
        file.path.extension() == Some(OsStr::new("py"))
            && file
                .path
                .file_stem()
                .and_then(OsStr::to_str)
                .is_some_and(|module| self.files.iter().any(|f| f.path != file.path && f.imports(module)))
    }

    /// Files that run, and those that should: what is in them matters.
    pub(super) fn hooks(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|f| match f.state {
            State::Runs => true,
            State::Skipped(SkipReason::NotExecutable) => f.looks_like_a_hook() && !self.imports(f),
            _ => false,
        })
    }
}

pub(super) struct UnknownDirectory {
    pub(super) path: PathBuf,
    pub(super) name: String,
    /// How many executable files it holds.
    pub(super) executables: usize,
}

impl<'a> Survey<'a> {
    pub(super) fn of(host: &'a Host, asked: &[String], findings: &mut Vec<Finding>) -> Self {
        let mut survey =
            Self { host, points: Vec::new(), unknown: Vec::new(), stray: Vec::new(), all: asked.is_empty() };
        let mut names: BTreeSet<String> = asked.iter().cloned().collect();
        for (layer, root) in host.settings.layers.iter().enumerate() {
            survey.look_at_layer(root, layer, &mut names, findings);
        }
        let engine = Engine::new(host.settings.clone());
        for name in names {
            let point = host.catalogue.get(&name).cloned().unwrap_or_else(|| Point::unknown(&name));
            survey.look_at_point(&engine, point, findings);
        }
        survey
    }

    /// Hooks that are not installed.
    pub(super) fn of_sources(host: &'a Host, hooks: &[(Point, PathBuf, Vec<PathBuf>)]) -> Self {
        let looked_at = |path: &PathBuf, hook: bool| {
            let runs = std::fs::metadata(path).is_ok_and(|m| m.mode() & 0o111 != 0);
            let state = match (hook, runs) {
                (true, true) => State::Runs,
                (true, false) => State::Skipped(SkipReason::NotExecutable),
                (false, _) => State::Elsewhere,
            };
            File::look(path.clone(), 0, state)
        };
        let points = hooks
            .iter()
            .map(|(point, hook, beside)| PointFiles {
                runner: Runner::of(host, point),
                files: std::iter::once(looked_at(hook, true))
                    .chain(beside.iter().map(|path| looked_at(path, false)))
                    .collect(),
                point: point.clone(),
            })
            .collect();
        Self { host, points, unknown: Vec::new(), stray: Vec::new(), all: false }
    }

    fn look_at_layer(
        &mut self,
        root: &Path,
        layer: usize,
        names: &mut BTreeSet<String>,
        findings: &mut Vec<Finding>,
    ) {
        for path in list(root, findings) {
            let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            if self.host.catalogue.get(&name).is_some() {
                if self.all {
                    names.insert(name);
                }
            } else if !path.is_dir() {
                let state = if name.starts_with('.') { State::Hidden } else { State::Elsewhere };
                self.stray.push(File::look(path, layer, state));
            } else if name.starts_with('.') || name == "__pycache__" {
                // Version control and Python keep their own things there.
            } else if self.all || names.contains(&name) {
                let executables = list(&path, findings)
                    .iter()
                    .filter(|p| std::fs::metadata(p).is_ok_and(|m| m.is_file() && m.mode() & 0o111 != 0))
                    .count();
                self.unknown.push(UnknownDirectory { path, name, executables });
            }
        }
    }

    fn look_at_point(&mut self, engine: &Engine, point: Point, findings: &mut Vec<Finding>) {
        // What cannot be listed is told of below, with its path.
        let chain = engine.chain(&point).unwrap_or_default();
        let states = states(&chain);
        let mut files = Vec::new();
        for (layer, root) in self.host.settings.layers.iter().enumerate() {
            for path in list(&root.join(&*point.name), findings) {
                let state = state_of(&path, &states);
                files.push(File::look(path, layer, state));
            }
        }
        files.sort_by(|a, b| a.name().cmp(b.name()).then(a.layer.cmp(&b.layer)));
        let runner = Runner::of(self.host, &point);
        self.points.push(PointFiles { point, runner, files });
    }
}

fn states(chain: &Chain) -> HashMap<&Path, State> {
    let runs = chain.hooks.iter().map(|h| (h.path.as_path(), State::Runs));
    let skipped = chain.skipped.iter().map(|s| (s.path.as_path(), State::Skipped(s.reason.clone())));
    runs.chain(skipped).collect()
}

fn state_of(path: &Path, states: &HashMap<&Path, State>) -> State {
    if path.file_name().is_some_and(|n| n.as_bytes().starts_with(b".")) {
        return State::Hidden;
    }
    if let Some(state) = states.get(path) {
        return state.clone();
    }
    match std::fs::metadata(path) {
        Ok(m) if m.is_dir() => State::Directory,
        Ok(m) if m.file_type().is_char_device() => State::Mask,
        _ => State::Elsewhere,
    }
}

/// The entries of a directory; none where there is no directory.
fn list(dir: &Path, findings: &mut Vec<Finding>) -> Vec<PathBuf> {
    let read = || -> io::Result<Vec<PathBuf>> {
        let mut paths =
            std::fs::read_dir(dir)?.map(|e| Ok(e?.path())).collect::<io::Result<Vec<PathBuf>>>()?;
        paths.sort();
        Ok(paths)
    };
    match read() {
        Ok(paths) => paths,
        Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(e) => {
            let finding = if e.kind() == io::ErrorKind::NotADirectory {
                Finding::new(Severity::Broken, Kind::UnreadableDirectory, dir)
                    .what("is not a directory")
                    .why("hooks of a point lie in a directory of its name; what is at its place keeps them from running")
                    .mend(format!("mv {0} {1} && mkdir {0}", quote::path(dir), quote::path(&beside(dir))))
            } else {
                Finding::new(Severity::Broken, Kind::UnreadableDirectory, dir)
                    .what(format!("cannot be listed: {e}"))
                    .why("none of its hooks can be found")
                    .mend(format!("chmod 755 {}", quote::path(dir)))
            };
            if !findings.contains(&finding) {
                findings.push(finding);
            }
            Vec::new()
        }
    }
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".was-here");
    path.with_file_name(name)
}
