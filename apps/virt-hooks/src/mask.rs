// SPDX-License-Identifier: Apache-2.0
//! `enable`, `disable`: masks in the administrator's layer.

use crate::cli::{Disable, Enable, Locations};
use crate::environ::Environ;
use crate::failure::Failure;
use crate::list::directories;
use crate::render::{Style, count, paint, printable};
use crate::shelf::{alone, tell_interrupted};
use crate::streams::Streams;
use std::path::{Path, PathBuf};
use virt_hooks_contract::{Point, exit};
use virt_hooks_engine::{Engine, SkipReason};
use virt_hooks_package::shelf::{Mask, Switch, switch_all};

pub(crate) fn disable(
    disable: &Disable,
    locations: &Locations,
    environ: &Environ,
    streams: &mut Streams<'_>,
) -> Result<u8, Failure> {
    each(&disable.hook, disable.dry_run, locations, environ, Switch::Off, streams)
}

pub(crate) fn enable(
    enable: &Enable,
    locations: &Locations,
    environ: &Environ,
    streams: &mut Streams<'_>,
) -> Result<u8, Failure> {
    each(&enable.hook, enable.dry_run, locations, environ, Switch::On, streams)
}

fn each(
    hook: &str,
    dry_run: bool,
    locations: &Locations,
    environ: &Environ,
    to: Switch,
    streams: &mut Streams<'_>,
) -> Result<u8, Failure> {
    let (verb, done, word) = match to {
        Switch::Off => ("disable", "disabled", "put"),
        Switch::On => ("enable", "enabled", "remove"),
    };
    let host = locations.host(environ)?;
    let root = locations.package_root()?;
    let transaction = if dry_run {
        tell_interrupted(host.settings.packages_dir.as_deref(), streams);
        None
    } else {
        alone(&root, streams)?
    };
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
    // Looked at first: all of them are switched, or none.
    let masks = meant
        .into_iter()
        .map(|(point, file)| Ok((Mask::look(&root, layer, &point, &file, to)?, format!("{point}/{file}"))))
        .collect::<Result<Vec<_>, Failure>>()?;
    if !dry_run {
        let all: Vec<Mask> = masks.iter().map(|(mask, _)| mask.clone()).collect();
        match &transaction {
            // Whoever is killed on the way has switched none: the next change undoes it.
            Some(transaction) => {
                let changes: Vec<_> = all
                    .iter()
                    .filter_map(|mask| mask.change(target(&mask.path, locations.root.as_deref())))
                    .collect();
                transaction.apply(&changes)?;
            }
            None => switch_all(&all)?,
        }
    }
    let mut changes = 0;
    for (mask, name) in &masks {
        let path = mask.path.display();
        if !mask.changes() {
            streams.say(&format!("{}\n", printable(&format!("{name} is {done} already"))));
            continue;
        }
        changes += 1;
        if dry_run {
            streams.print(format!("{}\n", printable(&format!("{word} {path}"))).as_bytes())?;
            continue;
        }
        let line = format!("{}: {name} ({path})", paint(done, Style::Good, streams.errors_look));
        streams.say(&format!("{}\n", printable(&line)));
    }
    if dry_run {
        streams.say(&format!("would {verb} {}: {}\n", printable(hook), count(changes, "change")));
    }
    Ok(exit::command::PROCEED)
}

/// A place as it is called below the root it lies in.
fn target(path: &Path, root: Option<&Path>) -> PathBuf {
    match root.and_then(|root| path.strip_prefix(std::path::absolute(root).ok()?).ok()) {
        Some(below) => Path::new("/").join(below),
        None => path.to_owned(),
    }
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
