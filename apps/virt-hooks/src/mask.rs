// SPDX-License-Identifier: Apache-2.0
//! `enable`, `disable`: masks in the administrator's layer.

use crate::cli::{Disable, Enable, Locations};
use crate::environ::Environ;
use crate::failure::Failure;
use crate::list::directories;
use crate::render::{Style, paint, printable};
use crate::streams::Streams;
use std::path::{Path, PathBuf};
use virt_hooks_contract::{Point, exit};
use virt_hooks_engine::{Engine, SkipReason};
use virt_hooks_package::shelf::{Mask, ShelfError, mask, unmask};

pub(crate) fn disable(
    disable: &Disable,
    locations: &Locations,
    environ: &Environ,
    streams: &mut Streams<'_>,
) -> Result<u8, Failure> {
    each(&disable.hook, locations, environ, "disabled", mask, streams)
}

pub(crate) fn enable(
    enable: &Enable,
    locations: &Locations,
    environ: &Environ,
    streams: &mut Streams<'_>,
) -> Result<u8, Failure> {
    each(&enable.hook, locations, environ, "enabled", unmask, streams)
}

fn each(
    hook: &str,
    locations: &Locations,
    environ: &Environ,
    done: &str,
    change: fn(&Path, &str, &str) -> Result<Mask, ShelfError>,
    streams: &mut Streams<'_>,
) -> Result<u8, Failure> {
    let host = locations.host(environ)?;
    let layers = host.settings.layers.clone();
    let [_, .., layer] = layers.as_slice() else {
        return Err(Failure::usage(
            "there is one layer of hooks only: a mask needs a second, the administrator's, above it (--hooks-dir twice)",
        ));
    };
    let engine = Engine::new(host.settings);
    let meant = meant(hook, &engine, &layers)?;
    if meant.is_empty() {
        return Err(Failure::usage(format!(
            "\"{}\" is neither an installed package nor a hook; \"virt-hooks list\" shows what there is",
            hook.escape_debug()
        )));
    }
    for (point, file) in meant {
        let name = format!("{point}/{file}");
        let line = match change(layer, &point, &file)? {
            Mask::Changed(path) => {
                format!("{}: {name} ({})", paint(done, Style::Good, streams.errors_look), path.display())
            }
            Mask::Same(_) => format!("{name} is {done} already"),
        };
        streams.say(&format!("{}\n", printable(&line)));
    }
    Ok(exit::command::PROCEED)
}

/// The hooks, by point and file, that a word means: those of a package, those of this file name, or one.
fn meant(word: &str, engine: &Engine, layers: &[PathBuf]) -> Result<Vec<(String, String)>, Failure> {
    let mut all = Vec::new();
    for point in directories(layers)? {
        let chain = engine.chain(&Point::unknown(&point))?;
        let masked =
            chain.skipped.iter().filter(|s| matches!(s.reason, SkipReason::Masked(_))).map(|s| &s.path);
        for path in chain.hooks.iter().map(|h| &h.path).chain(masked) {
            let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            all.push((point.clone(), file));
        }
    }
    let (packages, _) = engine.packages().all();
    let package = packages.iter().find(|p| p.name() == word);
    all.retain(|(point, file)| match (package, word.split_once('/')) {
        (Some(package), _) => package.manifest.hook(point, file).is_some(),
        (None, Some((p, f))) => p == point && f == file,
        (None, None) => file == word,
    });
    Ok(all)
}
