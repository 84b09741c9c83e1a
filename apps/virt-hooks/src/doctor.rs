// SPDX-License-Identifier: Apache-2.0
//! `doctor`: why hooks do not run, or will fail.

use crate::cli::{Doctor, Format, Locations};
use crate::environ::Environ;
use crate::failure::Failure;
use crate::points;
use crate::streams::Streams;
use virt_hooks_contract::exit;
use virt_hooks_package::doctor::{examine, explain, is_broken, render};

pub(crate) fn run(
    doctor: &Doctor,
    locations: &Locations,
    environ: &Environ,
    streams: &mut Streams<'_>,
) -> Result<u8, Failure> {
    // What keeps other commands from their work is what this one is asked about.
    let findings = match locations.load(environ) {
        Ok(host) => {
            for name in &doctor.point {
                let is_there = host.settings.layers.iter().any(|l| l.join(name).is_dir());
                if host.catalogue.get(name).is_none() && !is_there {
                    return Err(points::unknown(name, &host.catalogue));
                }
            }
            match host.check_layers() {
                Ok(()) => examine(&host, &doctor.point),
                Err(e) => vec![explain(&e)],
            }
        }
        Err(e) => vec![explain(&e)],
    };
    let out = match doctor.format {
        Format::Text => render(&findings, streams.output_look.colour),
        Format::Json => {
            let json = serde_json::to_string_pretty(&findings);
            json.map_err(|e| Failure::unusable(format!("write the findings: {e}")))? + "\n"
        }
    };
    streams.print(out.as_bytes())?;
    Ok(if is_broken(&findings) { exit::command::VETO } else { exit::command::PROCEED })
}
