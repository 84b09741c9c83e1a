// SPDX-License-Identifier: Apache-2.0
//! `new`: a hook package or a hook point to begin with.

use crate::cli::{Locations, New, NewCommand};
use crate::environ::Environ;
use crate::failure::Failure;
use crate::render::printable;
use crate::streams::Streams;
use std::fmt::Write;
use std::path::Path;
use virt_hooks_contract::exit;
use virt_hooks_package::new::{self, Language};

pub(crate) fn run(
    new: &New,
    locations: &Locations,
    environ: &Environ,
    streams: &mut Streams<'_>,
) -> Result<u8, Failure> {
    let host = locations.host(environ)?;
    let mut out = String::new();
    match &new.what {
        NewCommand::Hook(hook) => {
            let language = Language::from(hook.lang);
            let dir = new::hook(&hook.name, &hook.points, language, &hook.dir, &host.catalogue)?;
            let dir = shown(&dir);
            let _ = writeln!(out, "made {dir}");
            if let Some(build) = language.build_command(&hook.name) {
                let _ = writeln!(out, "build it: (cd {dir} && {build})");
            }
            let point = &hook.points[0];
            let _ = writeln!(
                out,
                "next: virt-hooks check {dir}; virt-hooks test {dir}; virt-hooks try {dir} --point {point}"
            );
        }
        NewCommand::Point(point) => {
            let dir = point.dir.as_ref().unwrap_or(&host.points_dir);
            let made = new::point(&point.name, point.payload.into(), dir, &host.catalogue)?;
            let _ = writeln!(out, "made {}", shown(&made.entry));
            let mut fire = format!("virt-hooks fire {}", point.name);
            if let Some(sample) = &made.sample {
                let _ = writeln!(out, "made {}", shown(sample));
                let _ = write!(fire, " --payload {}", shown(sample));
            }
            let _ = writeln!(out, "next: {fire}");
        }
    }
    streams.print(out.as_bytes())?;
    Ok(exit::command::PROCEED)
}

fn shown(path: &Path) -> String {
    let path = path.strip_prefix(".").unwrap_or(path);
    printable(&path.to_string_lossy()).into_owned()
}
