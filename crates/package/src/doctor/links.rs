// SPDX-License-Identifier: Apache-2.0
//! Links that do not lead to a hook, and things that are no files.

use super::file::{File, State};
use super::finding::{Finding, Kind, Severity};
use super::quote;
use super::survey::Survey;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

pub(super) fn check(survey: &Survey<'_>, out: &mut Vec<Finding>) {
    for files in &survey.points {
        let visible = files.files.iter().filter(|f| f.state != State::Hidden);
        out.extend(visible.filter_map(|f| judge(f, survey)).map(|f| f.at(files.name())));
    }
}

fn judge(file: &File, survey: &Survey<'_>) -> Option<Finding> {
    let meta = match (&file.link, &file.meta) {
        (Some(target), Err(e)) => return Some(broken_link(file, target, e, survey)),
        (_, Ok(meta)) => meta,
        (None, Err(_)) => return None,
    };
    if meta.is_file() || file.state == State::Mask {
        return None;
    }
    if meta.is_dir() {
        let target = file.link.as_ref()?;
        return Some(
            Finding::new(Severity::Broken, Kind::LinkToDirectory, &file.path)
                .what(format!("does not run: it is a link to the directory {}", target.display()))
                .why("a hook is one executable file; what is in a directory below a hook point is not run")
                .mend(format!(
                    "ln -sfn {}/FILE {1} # FILE: the hook in it",
                    quote::path(target),
                    quote::path(&file.path)
                )),
        );
    }
    let kind = meta.file_type();
    let word = if kind.is_fifo() {
        "a FIFO"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    };
    Some(
        Finding::new(Severity::Warning, Kind::NotAFile, &file.path)
            .what(format!("does not run: it is {word}"))
            .why("a hook is an executable file")
            .mend(format!("rm {}", quote::path(&file.path))),
    )
}

fn broken_link(file: &File, target: &Path, error: &std::io::Error, survey: &Survey<'_>) -> Finding {
    let rm = format!("rm {} # or put back what it led to", quote::path(&file.path));
    if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) {
        return Finding::new(Severity::Broken, Kind::LinkLoop, &file.path)
            .what(format!("does not run: the link to {} leads back to itself", target.display()))
            .why("there is no file at its end")
            .mend(rm);
    }
    let here = survey
        .host
        .settings
        .layers
        .iter()
        .filter_map(|layer| Some(layer.join(file.path.parent()?.file_name()?).join(target.file_name()?)))
        .find(|p| *p != file.path && p.is_file());
    let mend = match here {
        Some(path) => format!("ln -sfn {} {}", quote::path(&path), quote::path(&file.path)),
        None => rm,
    };
    Finding::new(Severity::Broken, Kind::DanglingLink, &file.path)
        .what(format!(
            "does not run: the link leads to {}, which cannot be found ({error})",
            target.display()
        ))
        .why("a link to nothing is passed over in silence by VDSM, and so is its hook")
        .mend(mend)
}
