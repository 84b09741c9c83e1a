// SPDX-License-Identifier: Apache-2.0
//! Files in the wrong place, and files of one layer that stand for those of another.

use super::file::{File, State};
use super::finding::{Finding, Kind, Severity};
use super::quote;
use super::survey::{Survey, UnknownDirectory};
use std::ffi::OsStr;
use std::path::Path;
use virt_hooks_contract::{Catalogue, nearest};
use virt_hooks_engine::SkipReason;

pub(super) fn check(survey: &Survey<'_>, out: &mut Vec<Finding>) {
    let catalogue = &survey.host.catalogue;
    out.extend(survey.unknown.iter().map(|d| unknown_directory(d, catalogue)));
    if survey.all {
        let wanted = |f: &&File| f.state == State::Elsewhere && f.has_execute_bit();
        out.extend(survey.stray.iter().filter(wanted).map(|f| stray(f, catalogue)));
    } else {
        for files in &survey.points {
            let known = catalogue.get(files.name()).is_some();
            if !known && !survey.unknown.iter().any(|d| d.name == files.name()) {
                out.push(unknown_name(files.name(), survey));
            }
        }
    }
    for files in &survey.points {
        for file in &files.files {
            let lower = || files.files.iter().find(|f| f.name() == file.name() && f.layer < file.layer);
            let finding = match &file.state {
                State::Skipped(SkipReason::Overridden(by)) => {
                    Finding::new(Severity::Hint, Kind::Overridden, &file.path)
                        .what(format!("does not run: {} takes its place", by.display()))
                        .why("a file of a higher layer overrides the one of that name below it")
                        .mend(format!("rm {} # to have this one run again", quote::path(by)))
                }
                State::Skipped(SkipReason::Masked(by)) => Finding::new(
                    Severity::Hint,
                    Kind::Masked,
                    &file.path,
                )
                .what(format!("does not run: masked by {}", by.display()))
                .why("a link to /dev/null in a higher layer switches off the hook of that name below it")
                .mend(format!("rm {} # to have it run again", quote::path(by))),
                State::Mask if lower().is_none() => {
                    Finding::new(Severity::Warning, Kind::MaskWithoutHook, &file.path)
                        .what("masks nothing: no lower layer has a hook of that name at this point")
                        .why("the hook it was meant for still runs, or has gone")
                        .mend(mask_mend(file, survey))
                }
                State::Skipped(SkipReason::NotExecutable) => match original(file, files.name(), survey) {
                    Some((original, point)) => {
                        Finding::new(Severity::Warning, Kind::MisplacedCopy, &file.path)
                            .what(format!(
                                "is a copy of {}, which runs at {point}, but is not executable",
                                original.display()
                            ))
                            .why(format!("nothing of it runs here; it was probably meant for {point} alone"))
                            .mend(format!(
                                "rm {0} # or, if it belongs here too: chmod 755 {0}",
                                quote::path(&file.path)
                            ))
                    }
                    None => continue,
                },
                _ => continue,
            };
            out.push(finding.at(files.name()));
        }
    }
}

/// The hook of another point of which `file` is a copy without the permission to run.
pub(super) fn original<'a>(file: &File, point: &str, survey: &'a Survey<'_>) -> Option<(&'a Path, &'a str)> {
    let size = file.regular()?.len();
    if size == 0 {
        return None;
    }
    survey.points.iter().filter(|p| p.name() != point).find_map(|p| {
        p.files
            .iter()
            .filter(|f| f.state == State::Runs && f.regular().is_some_and(|m| m.len() == size))
            .find(|f| f.content.head == file.content.head)
            .map(|f| (f.path.as_path(), p.name()))
    })
}

fn mask_mend(mask: &File, survey: &Survey<'_>) -> String {
    let rm = format!("rm {}", quote::path(&mask.path));
    let name = mask.shown_name();
    let lower = survey.points.iter().filter(|p| mask.path.parent().is_some_and(|d| d.ends_with(p.name())));
    let names = lower.flat_map(|p| p.files.iter()).filter(|f| f.layer < mask.layer).map(File::shown_name);
    let names: Vec<String> = names.collect();
    match nearest(&name, names.iter().map(String::as_str)) {
        Some(meant) => {
            format!("mv {} {}", quote::path(&mask.path), quote::path(&mask.path.with_file_name(meant)))
        }
        None => rm,
    }
}

fn unknown_directory(dir: &UnknownDirectory, catalogue: &Catalogue) -> Finding {
    let nearest = catalogue.nearest(&dir.name);
    let hooks = match dir.executables {
        0 => "nothing executable in it".to_owned(),
        1 => "1 executable in it".to_owned(),
        n => format!("{n} executables in it"),
    };
    let severity = match (dir.executables, nearest) {
        (0, None) => Severity::Hint,
        (0, Some(_)) | (_, None) => Severity::Warning,
        (_, Some(_)) => Severity::Broken,
    };
    let finding = Finding::new(severity, Kind::UnknownPoint, &dir.path)
        .at(&dir.name)
        .why("hooks run only from a directory named exactly after their hook point");
    match nearest {
        Some(meant) => {
            let right = dir.path.with_file_name(meant);
            let mend = if dir.executables == 0 {
                format!("rmdir {}", quote::path(&dir.path))
            } else {
                format!(
                    "mkdir -p {1} && mv {0}/* {1}/ && rmdir {0}",
                    quote::path(&dir.path),
                    quote::path(&right)
                )
            };
            finding.what(format!("is no hook point ({hooks}): did you mean {meant}?")).mend(mend)
        }
        None => finding.what(format!("is no hook point ({hooks}), and none has a name like it")).mend(
            "virt-hooks points # lists those there are; a file in /etc/virt-hooks/points.d adds one"
                .to_owned(),
        ),
    }
}

fn unknown_name(name: &str, survey: &Survey<'_>) -> Finding {
    let root = survey.host.settings.layers.first().map_or(Path::new("/"), |l| l.as_path());
    let finding = Finding::new(Severity::Broken, Kind::UnknownPoint, &root.join(name))
        .at(name)
        .why("there is neither a hook point nor a directory of that name");
    match survey.host.catalogue.nearest(name) {
        Some(meant) => finding
            .what(format!("is no hook point: did you mean {meant}?"))
            .mend(format!("virt-hooks doctor {meant}")),
        None => finding.what("is no hook point").mend("virt-hooks points # lists those there are"),
    }
}

fn stray(file: &File, catalogue: &Catalogue) -> Finding {
    // Sources of VDSM's hooks are named after their point: before_vm_start.py.
    let stem = file.path.file_stem().and_then(OsStr::to_str).unwrap_or_default();
    let stem = stem.trim_start_matches(|c: char| c.is_ascii_digit() || c == '_');
    let finding = Finding::new(Severity::Broken, Kind::StrayFile, &file.path)
        .why("a hook runs only from the directory of a hook point");
    match catalogue.get(stem).map(|p| &*p.name).or_else(|| catalogue.nearest(stem)) {
        Some(point) => {
            let right = file.path.with_file_name(point);
            finding
                .what(format!("lies beside the directories of the hook points: did you mean {point}/?"))
                .mend(format!("mkdir -p {1} && mv {0} {1}/", quote::path(&file.path), quote::path(&right)))
        }
        None => finding.what("lies beside the directories of the hook points, not in one").mend(format!(
            "mv {} {}/POINT/ # POINT: see virt-hooks points",
            quote::path(&file.path),
            quote::path(file.path.parent().unwrap_or(Path::new("/")))
        )),
    }
}
