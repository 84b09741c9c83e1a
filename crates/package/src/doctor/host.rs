// SPDX-License-Identifier: Apache-2.0
//! What hooks need of the host beside themselves: directories, configuration, the user, `hooking`.

use super::file::{File, State};
use super::finding::{Finding, Kind, Severity};
use super::quote;
use super::runner::{EXECUTE, Runner};
use super::survey::Survey;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use virt_hooks_contract::nearest;
use virt_hooks_engine::{HostError, SettingsError};

/// Why a host could not even be looked at, as a finding: what keeps every hook from running.
pub fn explain(error: &HostError) -> Finding {
    let (kind, path, mend) = match error {
        HostError::Root { path, .. } => (
            Kind::NoHooksDirectory,
            path.clone(),
            format!("ls -ld {} # it has to be the directory of an image", quote::path(path)),
        ),
        HostError::Read { path, .. } => (
            Kind::ConfigUnusable,
            path.clone(),
            format!("ls -ld {} # it has to exist and be readable", quote::path(path)),
        ),
        HostError::Toml(e) => {
            let path = PathBuf::from(&e.file);
            let mend = format!("${{EDITOR:-vi}} +{} {}", e.line, quote::path(&path));
            (Kind::ConfigUnusable, path, mend)
        }
        HostError::Settings { path, source: SettingsError::HookUser(_) } => (
            Kind::HookUserMissing,
            path.clone(),
            format!(
                "useradd --system --shell /usr/sbin/nologin USER # USER: as hook_user in {} says",
                quote::path(path)
            ),
        ),
        HostError::NotOurs(path) => (
            Kind::ConfigUnusable,
            path.clone(),
            format!("rm -r {} # after a look at who made it", quote::path(path)),
        ),
        HostError::NoHooksDirectory(path) | HostError::NoLayers(path, _) => {
            (Kind::NoHooksDirectory, path.clone(), format!("mkdir -p {}", quote::path(path)))
        }
    };
    let why = match kind {
        Kind::NoHooksDirectory => "there is nowhere to look for hooks, so none runs",
        Kind::HookUserMissing => "no event can be fired while it is unknown who hooks run as",
        _ => "no event can be fired with a configuration that cannot be followed",
    };
    Finding::new(Severity::Broken, kind, &path).what(error.to_string()).why(why).mend(mend)
}

pub(super) fn check(survey: &Survey<'_>, out: &mut Vec<Finding>) {
    out.extend(survey.host.check_layers().err().map(|e| explain(&e)));
    run_directory(survey, out);
    out.extend(hooking(survey));
    configuration(survey, out);
}

fn run_directory(survey: &Survey<'_>, out: &mut Vec<Finding>) {
    let dir = &survey.host.settings.run_dir;
    let runs = survey.points.iter().filter(|p| p.files.iter().any(|f| f.state == State::Runs));
    let runners: Vec<&Runner> = runs.map(|p| &p.runner).collect();
    if runners.is_empty() {
        return;
    }
    let quoted = quote::path(dir);
    let unusable = |what: String, mend: String| {
        Finding::new(Severity::Broken, Kind::RunDirectoryUnusable, dir)
            .what(what)
            .why("each event writes its payload there; without it no hook runs")
            .mend(mend)
    };
    // It is made at the first event: until then what matters is the nearest directory there is.
    let Some((place, meta)) = dir.ancestors().find_map(|d| Some((d, std::fs::metadata(d).ok()?))) else {
        return;
    };
    let make = format!("install -d -m 711 {quoted}");
    if !meta.is_dir() {
        out.push(unusable(
            format!("cannot be used: {} is not a directory", place.display()),
            format!("rm {} && {make}", quote::path(place)),
        ));
        return;
    }
    if rustix::fs::access(place, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK).is_err() {
        out.push(unusable(
            format!("cannot be written to: {} does not let this user", place.display()),
            format!("sudo install -d -m 711 -o \"$(id -un)\" {quoted}"),
        ));
        return;
    }
    if place != dir {
        return;
    }
    if let Some(runner) = runners.iter().find(|r| !r.may(EXECUTE, &meta)) {
        out.push(unusable(
            format!("cannot be passed by user {}, who runs hooks", runner.uid()),
            format!("chmod 711 {quoted}"),
        ));
    }
    let own = rustix::process::geteuid().as_raw();
    if meta.mode() & 0o022 != 0 || (meta.uid() != 0 && meta.uid() != own) {
        out.push(
            Finding::new(Severity::Warning, Kind::RunDirectoryOpen, dir)
                .what(format!("belongs to user {} with mode {:04o}", meta.uid(), meta.mode() & 0o7777))
                .why("payloads hold passwords and decide what a VM is; only their engine should be able to put things there")
                .mend(format!("chown root: {quoted} && chmod 711 {quoted}")),
        );
    }
    const TMPFS_MAGIC: i64 = 0x0102_1994;
    #[expect(clippy::unnecessary_cast, reason = "the type differs between architectures")]
    let tmpfs = rustix::fs::statfs(dir).is_ok_and(|s| s.f_type as i64 == TMPFS_MAGIC);
    if !tmpfs {
        out.push(
            Finding::new(Severity::Hint, Kind::RunDirectoryOnDisk, dir)
                .what("is not on a tmpfs")
                .why("payloads hold passwords; on a disk they can be read long after the event")
                .mend(format!(
                    "mount -t tmpfs -o mode=711,size=256m tmpfs {quoted} # or another run_dir in {}",
                    quote::path(&survey.host.config_path)
                )),
        );
    }
}

pub(super) fn hooking(survey: &Survey<'_>) -> Option<Finding> {
    let settings = &survey.host.settings;
    let (point, hook) = survey
        .points
        .iter()
        .flat_map(|p| p.files.iter().map(move |f| (p, f)))
        .find(|(_, f)| f.state == State::Runs && f.imports("hooking"))?;
    let inherited = settings.environment.iter().find(|(n, _)| n == b"PYTHONPATH").map(|(_, v)| v.as_slice());
    let inherited: Vec<PathBuf> = std::env::split_paths(OsStr::from_bytes(inherited.unwrap_or_default()))
        .filter(|d| !d.as_os_str().is_empty())
        .collect();
    let has = |dir: &Path| dir.join("hooking/__init__.py").is_file() || dir.join("hooking.py").is_file();
    if settings.python_dir.iter().chain(&inherited).any(|d| has(d)) {
        return None;
    }
    let dir = settings.python_dir.clone().unwrap_or_else(|| PathBuf::from("/usr/share/virt-hooks/python"));
    Some(
        Finding::new(Severity::Broken, Kind::HookingMissing, &dir)
            .at(point.name())
            .what(format!("has no module \"hooking\", which {} imports", hook.path.display()))
            .why("every hook that imports it ends with a ModuleNotFoundError")
            .mend(format!(
                "make install # or say where it is: python_dir in {}",
                quote::path(&survey.host.config_path)
            )),
    )
}

fn configuration(survey: &Survey<'_>, out: &mut Vec<Finding>) {
    let host = survey.host;
    let finding = |kind| Finding::new(Severity::Warning, kind, &host.config_path);
    let replace = |from: &str, to: &str| {
        let expression = format!(
            "s/^\\(\\[[a-z]*\\.\"\\{{0,1\\}}\\){}\\(\"\\{{0,1\\}}\\]\\)/\\1{}\\2/",
            literal(from),
            literal(to)
        );
        format!("sed -i {} {}", quote::word(expression.as_bytes()), quote::path(&host.config_path))
    };
    let look = format!("${{EDITOR:-vi}} {}", quote::path(&host.config_path));
    let mut points: Vec<&String> = host.settings.point_timeouts.keys().collect();
    points.sort();
    for name in points {
        let directory = host.settings.layers.iter().any(|l| l.join(name).is_dir());
        if host.catalogue.get(name).is_some() || directory {
            continue;
        }
        let meant = host.catalogue.nearest(name);
        out.push(
            finding(Kind::ConfigUnknownPoint)
                .what(format!(
                    "sets a timeout for the hook point \"{name}\", which does not exist{}",
                    did_you_mean(meant)
                ))
                .why("the setting has no effect")
                .mend(meant.map_or_else(|| look.clone(), |m| replace(name, m))),
        );
    }
    let installed: Vec<String> = if survey.all {
        survey
            .points
            .iter()
            .flat_map(|p| p.files.iter())
            .filter(|f| f.state != State::Mask)
            .map(File::shown_name)
            .collect()
    } else {
        // Only some points were looked at; the hook may be at another.
        return;
    };
    let mut hooks: Vec<String> =
        host.settings.hook_timeouts.keys().map(|n| n.to_string_lossy().into_owned()).collect();
    hooks.sort();
    for name in hooks.iter().filter(|n| !installed.contains(n)) {
        let meant = nearest(name, installed.iter().map(String::as_str));
        out.push(
            finding(Kind::ConfigUnknownHook)
                .what(format!(
                    "sets a timeout for the hook \"{name}\", which is installed at no point{}",
                    did_you_mean(meant)
                ))
                .why("the setting has no effect")
                .mend(meant.map_or_else(|| look.clone(), |m| replace(name, m))),
        );
    }
}

fn did_you_mean(name: Option<&str>) -> String {
    name.map(|n| format!(": did you mean \"{n}\"?")).unwrap_or_default()
}

/// A text as `sed` takes it for itself.
fn literal(text: &str) -> String {
    text.chars().flat_map(|c| "\\/.*[]^$&".contains(c).then_some('\\').into_iter().chain([c])).collect()
}
