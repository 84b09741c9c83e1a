// SPDX-License-Identifier: Apache-2.0
//! What an event would do: a dry run.

use crate::chain::Engine;
use crate::discover::{Hook, Skipped};
use crate::environment::{self, Declared};
use crate::event::Event;
use crate::outcome::Trouble;
use crate::secrets::{MASK, Secrets, is_secret};
use crate::select::{objections, packages_of};
use std::path::PathBuf;
use std::time::Duration;
use virt_hooks_contract::{Failure, env};

/// A hook that would run.
#[derive(Clone, Debug)]
pub struct PlannedHook {
    /// The hook.
    pub hook: Hook,
    /// How long it might take.
    pub deadline: Duration,
}

/// What an event would do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The hooks, in order.
    pub hooks: Vec<PlannedHook>,
    /// Files that would not run.
    pub skipped: Vec<Skipped>,
    /// The environment they would share; values of secrets are masked.
    pub environment: Vec<(String, String)>,
    /// What would be dropped, in a line each.
    pub warnings: Vec<String>,
    /// Values of properties that the hooks' packages do not allow, in a line each: at a point that vetoes no hook
    /// would run.
    pub objections: Vec<String>,
    /// What a failing hook would do.
    pub failure: Failure,
    /// The user id they would run as, where not the caller's.
    pub user: Option<u32>,
}

impl Engine {
    /// What [`Engine::fire`] would do; runs and writes nothing.
    ///
    /// # Errors
    /// A directory is there but cannot be listed.
    pub fn plan(&self, event: &Event<'_>) -> Result<Plan, Trouble> {
        let chain = self.chain_of(event)?;
        let mut warnings = chain.problems;
        let packages = packages_of(&chain.hooks);
        let objections = objections(event, &packages);
        let declared = Declared::of(event, &self.settings, self.packages(), &packages);
        let file: PathBuf = self.settings.run_dir.join("<event id>").join("payload");
        let secret_names = self.packages().secrets();
        let secrets = Secrets::of(event, &self.settings, &secret_names);
        let environment =
            environment::build(event, &self.settings, Some(&file), "<event id>", &declared, &mut warnings)
                .iter()
                .map(|(name, value)| {
                    let shown = if is_secret(name, &self.settings, &secret_names)
                        && name != env::PYTHONPATH.as_bytes()
                    {
                        MASK.to_owned()
                    } else {
                        secrets.mask(value)
                    };
                    (String::from_utf8_lossy(name).into_owned(), shown)
                })
                .collect();
        let hooks = chain
            .hooks
            .into_iter()
            .map(|hook| PlannedHook { deadline: self.deadline(event, &hook), hook })
            .collect();
        Ok(Plan {
            hooks,
            skipped: chain.skipped,
            environment,
            warnings,
            objections,
            failure: event.failure(),
            user: self.settings.user_of(event.point).map(|c| c.uid),
        })
    }
}
