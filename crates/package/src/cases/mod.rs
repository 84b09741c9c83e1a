// SPDX-License-Identifier: Apache-2.0
//! Runs the cases of hook packages: a payload and properties go in, and what comes out is compared with what the
//! author, or another system, says should.

mod bless;
mod case;
mod compare;
mod error;
mod fakes;
mod junit;
mod own;
mod recorded;
mod run;
mod xml;

#[cfg(test)]
mod tests;

pub use error::CasesError;
pub use junit::junit;
pub use run::{CaseResult, Status};

use crate::author::PackageDir;
use crate::stage::Stage;
use case::Loaded;
use fakes::Fakes;
use run::Ready;
use std::num::NonZeroUsize;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use virt_hooks_contract::Catalogue;
use virt_hooks_engine::{Host, Settings};

/// The file that makes a directory a case.
const CASE: &str = "case.toml";
/// The calls of commands that are expected.
const CALLS: &str = "calls.txt";
/// How long a hook may take in a case that does not say it: nobody waits at a test as at the start of a VM.
const DEADLINE: Duration = Duration::from_secs(60);

/// How cases are run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options<'a> {
    /// What runs where a package has sources only: called by the name of each hook.
    pub program: Option<&'a Path>,
    /// Writes down what hooks do as what is expected of them.
    pub bless: bool,
    /// How many cases run at the same time; left out, one per CPU.
    pub jobs: Option<NonZeroUsize>,
    /// Only cases whose names have this in them.
    pub only: Option<&'a str>,
    /// Whether each case is run a second time whatever the manifest says.
    pub always_twice: bool,
    /// When this becomes readable the hooks that run are ended, and no other is started.
    pub cancel: Option<BorrowedFd<'a>>,
}

/// The cases of some packages, set up to run.
pub struct Cases<'a> {
    options: Options<'a>,
    /// The results of cases that are not run, and the others, in the order of packages and names.
    slots: Vec<Slot>,
    // Hold the hooks as long as they may run.
    _stages: Vec<Stage>,
}

enum Slot {
    Done(CaseResult),
    Ready(Box<Ready>),
}

impl<'a> Cases<'a> {
    /// Reads the cases of the packages in `dirs` and sets up their hooks. Everything that is wrong with a case itself
    /// is found here, before the first hook runs.
    ///
    /// # Errors
    /// A package or a case cannot be read or has a mistake in it, a hook cannot be executed, or there is no case.
    pub fn load(dirs: &[PathBuf], host: &Host, options: Options<'a>) -> Result<Self, CasesError> {
        let (mut slots, mut stages) = (Vec::new(), Vec::new());
        for dir in dirs {
            let package = PackageDir::load(dir)?;
            let mut loaded = own::load(&package, &host.catalogue)?;
            loaded.extend(recorded::load(&package, &host.catalogue)?);
            if loaded.is_empty() {
                return Err(CasesError::None(dir.clone()));
            }
            let stage = Stage::new()?;
            stage.add_package(&package, options.program)?;
            let settings = Settings {
                // A case says what it needs; what an administrator set for hooks is not a part of it.
                hook_user: None,
                hook_user_environment: Vec::new(),
                strict: false,
                ..stage.settings(&host.settings)
            };
            for one in loaded {
                match one {
                    Loaded::Skipped { package, name, reason } => {
                        if options.only.is_none_or(|only| name.contains(only)) {
                            let status = Status::Skipped(reason);
                            slots.push(Slot::Done(CaseResult {
                                package,
                                name,
                                status,
                                duration: Duration::ZERO,
                            }));
                        }
                    }
                    Loaded::Case(mut case) => {
                        if options.only.is_some_and(|only| !case.name.contains(only)) {
                            continue;
                        }
                        case.twice |= options.always_twice;
                        let fakes = match &case.commands {
                            Some(bin) => {
                                let place = stage.path().join("cases").join(&case.name);
                                Some(Fakes::set_up(place, bin)?)
                            }
                            None => None,
                        };
                        slots.push(Slot::Ready(Box::new(Ready {
                            case: *case,
                            fakes,
                            settings: settings.clone(),
                        })));
                    }
                }
            }
            stages.push(stage);
        }
        Ok(Self { options, slots, _stages: stages })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Runs them, several at the same time, and says how each ended, in the order of packages and names.
    pub fn run(self) -> Vec<CaseResult> {
        let jobs = self.options.jobs.or_else(|| std::thread::available_parallelism().ok());
        let jobs = jobs.map_or(1, NonZeroUsize::get).min(self.slots.len());
        let next = AtomicUsize::new(0);
        let results: Mutex<Vec<(usize, CaseResult)>> = Mutex::default();
        std::thread::scope(|scope| {
            for _ in 0..jobs {
                scope.spawn(|| {
                    while let Some((at, slot)) = {
                        let at = next.fetch_add(1, Ordering::Relaxed);
                        self.slots.get(at).map(|slot| (at, slot))
                    } {
                        let result = match slot {
                            Slot::Done(result) => result.clone(),
                            Slot::Ready(ready) => ready.run(self.options.bless, self.options.cancel),
                        };
                        results.lock().unwrap_or_else(PoisonError::into_inner).push((at, result));
                    }
                });
            }
        });
        let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
        results.sort_by_key(|(at, _)| *at);
        results.into_iter().map(|(_, result)| result).collect()
    }
}

/// Whether a package in `dir` has cases, as far as its directory tells.
pub(crate) fn has_cases(package: &PackageDir, catalogue: &Catalogue) -> Result<bool, CasesError> {
    Ok(!own::load(package, catalogue)?.is_empty() || !recorded::load(package, catalogue)?.is_empty())
}
