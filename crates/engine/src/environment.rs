// SPDX-License-Identifier: Apache-2.0
//! The environment of an event's hooks (VDSM contract, environment).

use crate::event::{CustomProperties, Event};
use crate::packages::{Package, Packages};
use crate::select::defaults;
use crate::settings::Settings;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use virt_hooks_contract::{PayloadKind, env};
use virt_hooks_spawn::Environment;

/// The kernel's limit for one variable, with its name, `=` and NUL: a longer one would keep every hook from starting.
const LONGEST: usize = 128 << 10;

/// Where a variable comes from; a later one wins.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    Default,
    Parameter,
    Vm,
    Engine,
}

/// What installed packages say about properties.
pub(crate) struct Declared {
    /// What hooks find where a property is not set.
    defaults: CustomProperties,
    /// The only ones that may be passed on; `None`: all may.
    names: Option<BTreeSet<String>>,
}

impl Declared {
    /// For an event whose hooks are of these packages.
    pub(crate) fn of(event: &Event<'_>, settings: &Settings, all: &Packages, own: &[Arc<Package>]) -> Self {
        Self { defaults: defaults(event, own), names: settings.strict.then(|| all.declared()) }
    }

    fn allows(&self, name: &[u8]) -> bool {
        // Not a property: VDSM's own parameter of two points.
        name == b"FROM_SNAPSHOT"
            || self
                .names
                .as_ref()
                .is_none_or(|names| std::str::from_utf8(name).is_ok_and(|n| names.contains(n)))
    }
}

/// Builds the environment all hooks of an event share, and says what was left out.
pub(crate) fn build(
    event: &Event<'_>,
    settings: &Settings,
    payload: Option<&Path>,
    event_id: &str,
    declared: &Declared,
    warnings: &mut Vec<String>,
) -> Environment {
    let attempt = event.attempt.to_string();
    let python = python_path(settings);
    let mut set: BTreeMap<&[u8], (Source, &[u8])> = BTreeMap::new();
    add(&mut set, Source::Default, &declared.defaults, declared, warnings);
    if let Some(parameters) = event.parameters {
        add(&mut set, Source::Parameter, parameters, declared, warnings);
    }
    if let Some(vm) = event.vm {
        add(&mut set, Source::Vm, &vm.properties, declared, warnings);
    }
    let mut own = |name: &'static str, value: &'_ [u8]| -> Option<(&'static [u8], Vec<u8>)> {
        if value.contains(&0) {
            warnings.push(format!("{name} holds a NUL and is not passed on"));
            return None;
        }
        Some((name.as_bytes(), value.to_vec()))
    };
    let mut owned = Vec::with_capacity(8);
    owned.extend(event.vm.filter(|vm| !vm.id.is_empty()).and_then(|vm| own(env::VM_ID, vm.id.as_bytes())));
    owned.extend(python.as_deref().and_then(|p| own(env::PYTHONPATH, p)));
    let variable = if event.point.payload == PayloadKind::Json { env::JSON } else { env::DOMXML };
    owned.extend(payload.and_then(|p| own(variable, p.as_os_str().as_bytes())));
    owned.extend(own(env::POINT, event.point.name.as_bytes()));
    owned.extend(own(env::EVENT_ID, event_id.as_bytes()));
    owned.extend(event.reason.and_then(|r| own(env::REASON, r.as_bytes())));
    owned.extend(own(env::ATTEMPT, attempt.as_bytes()));
    owned.extend(event.launch_flags.and_then(|p| own(env::LAUNCH_FLAGS, p.as_os_str().as_bytes())));
    owned.extend(event.variables.iter().filter_map(|(name, value)| own(name, value.as_bytes())));
    for (name, value) in &owned {
        set.insert(name, (Source::Engine, value));
    }

    let size = settings.environment.iter().map(|(n, v)| n.len() + v.len() + 2).sum::<usize>()
        + set.iter().map(|(n, (_, v))| n.len() + v.len() + 2).sum::<usize>();
    let mut environment = Environment::with_capacity(settings.environment.len() + set.len(), size);
    // HOME and the like are those of whom the hooks run as.
    let own = match settings.user_of(event.point) {
        Some(_) => settings.hook_user_environment.as_slice(),
        None => &[],
    };
    let inherited = settings.environment.iter().filter(|(n, _)| !own.iter().any(|(o, _)| o == n));
    for (name, value) in inherited.chain(own) {
        // What an outer event said to its hook must not pass for ours (E15).
        if !name.starts_with(b"_hook_") && !set.contains_key(name.as_slice()) {
            let _ = environment.push(name, value);
        }
    }
    for (name, (_, value)) in set {
        let _ = environment.push(name, value);
    }
    environment
}

fn add<'a>(
    set: &mut BTreeMap<&'a [u8], (Source, &'a [u8])>,
    source: Source,
    properties: &'a CustomProperties,
    declared: &Declared,
    warnings: &mut Vec<String>,
) {
    for (name, value) in properties.iter() {
        let shown = || String::from_utf8_lossy(name).escape_debug().to_string();
        if name.is_empty() || name.contains(&0) || name.contains(&b'=') {
            warnings.push(format!(
                "property \"{}\" has a name no variable can have and is not passed on",
                shown()
            ));
        } else if value.contains(&0) {
            warnings.push(format!("property \"{}\" holds a NUL and is not passed on", shown()));
        } else if name.len() + value.len() + 2 > LONGEST {
            warnings.push(format!(
                "property \"{}\" is longer than a variable can be ({LONGEST} bytes) and is not passed on",
                shown()
            ));
        } else if env::is_protected(name) {
            warnings.push(format!(
                "property \"{}\" would set a protected variable and is not passed on",
                shown()
            ));
        } else if !declared.allows(name) {
            warnings.push(format!(
                "property \"{}\" is declared by no installed package and is not passed on (strict)",
                shown()
            ));
        } else {
            match set.entry(name) {
                Entry::Vacant(e) => {
                    e.insert((source, value));
                }
                Entry::Occupied(mut e) => {
                    if e.get().0 == Source::Parameter && e.get().0 < source && e.get().1 != value {
                        warnings.push(format!(
                            "property \"{}\" of the VM takes the place of the device's or the call's",
                            shown()
                        ));
                    }
                    e.insert((source, value));
                }
            }
        }
    }
}

/// What was there, then our directory; never an empty element, which would mean the current directory (E16).
fn python_path(settings: &Settings) -> Option<Vec<u8>> {
    let inherited =
        settings.environment.iter().find(|(n, _)| n == env::PYTHONPATH.as_bytes()).map(|(_, v)| v.as_slice());
    let own = settings.python_dir.as_ref().map(|p| p.as_os_str().as_bytes());
    let elements: Vec<&[u8]> =
        inherited.iter().flat_map(|v| v.split(|&b| b == b':')).chain(own).filter(|e| !e.is_empty()).collect();
    (!elements.is_empty()).then(|| elements.join(&b':'))
}
