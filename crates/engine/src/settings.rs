// SPDX-License-Identifier: Apache-2.0
//! How an engine is set up.

use crate::discover::Hook;
use crate::users;
use std::collections::HashMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::time::Duration;
use virt_hooks_contract::{Config, Point, User};
use virt_hooks_spawn::Credentials;

/// What an engine knows before the first event.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Directories with one sub-directory per hook point, the lowest layer first: a file of a later one
    /// overrides the same name in an earlier one.
    pub layers: Vec<PathBuf>,
    /// Where payload files live while an event runs; made when it is missing.
    pub run_dir: PathBuf,
    /// The directory added to `PYTHONPATH`, with the module `hooking`.
    pub python_dir: Option<PathBuf>,
    /// The user that hooks of agent points run as; `None`: the engine's own. Only for an engine that runs as root.
    pub hook_user: Option<Credentials>,
    /// What the environment says of that user, in place of what it says of the engine's: `HOME` and the like.
    pub hook_user_environment: Vec<(Vec<u8>, Vec<u8>)>,
    /// The largest payload a hook may leave, in bytes.
    pub payload_limit: u64,
    /// How many bytes of a hook's standard error are kept.
    pub stderr_limit: usize,
    /// How many bytes of a hook's standard output are kept.
    pub stdout_limit: usize,
    /// From TERM to KILL.
    pub grace: Duration,
    /// The deadline of every hook, in place of its point's.
    pub timeout: Option<Duration>,
    /// Deadlines by point.
    pub point_timeouts: HashMap<String, Duration>,
    /// Deadlines by hook file name.
    pub hook_timeouts: HashMap<OsString, Duration>,
    /// Custom properties whose values are secrets, beside those whose name says so.
    pub secret_properties: Vec<String>,
    /// Where installed hook packages keep their manifests, `<name>/hook.toml`; `None`: there are none to follow.
    pub packages_dir: Option<PathBuf>,
    /// Whether only properties that an installed package declares reach hooks.
    pub strict: bool,
    /// The environment hooks inherit, as names and values.
    pub environment: Vec<(Vec<u8>, Vec<u8>)>,
}

/// A configuration that cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// `hook_user` names nobody.
    #[error("hook_user: {0}")]
    HookUser(String),
}

impl Settings {
    /// Defaults with these layers and this run directory, and the environment of this process.
    pub fn new(layers: Vec<PathBuf>, run_dir: impl Into<PathBuf>) -> Self {
        Self {
            layers,
            run_dir: run_dir.into(),
            python_dir: None,
            hook_user: None,
            hook_user_environment: Vec::new(),
            payload_limit: 64 << 20,
            stderr_limit: 64 << 10,
            stdout_limit: 16 << 10,
            grace: Duration::from_secs(5),
            timeout: None,
            point_timeouts: HashMap::new(),
            hook_timeouts: HashMap::new(),
            secret_properties: Vec::new(),
            packages_dir: None,
            strict: false,
            environment: std::env::vars_os().map(|(n, v)| (n.into_vec(), v.into_vec())).collect(),
        }
    }

    /// Takes over what a configuration file says, layers and directories excepted: those have other
    /// sources too, and whoever knows them sets them.
    ///
    /// # Errors
    /// `hook_user` names nobody.
    pub fn apply(&mut self, config: &Config) -> Result<(), SettingsError> {
        if let Some(user) = &config.hook_user {
            let (user, environment) = users::lookup(user).map_err(SettingsError::HookUser)?;
            // Nobody else can become somebody else: the hooks of others run as themselves.
            if rustix::process::geteuid().is_root() {
                self.hook_user = Some(user);
                self.hook_user_environment = environment;
            }
        }
        self.payload_limit = config.payload_limit.unwrap_or(self.payload_limit);
        if let Some(n) = config.stderr_limit {
            self.stderr_limit = usize::try_from(n).unwrap_or(usize::MAX / 8).min(usize::MAX / 8);
        }
        self.grace = config.grace.unwrap_or(self.grace);
        self.timeout = config.timeout.or(self.timeout);
        let timeouts = |(name, timeout): (&String, Option<Duration>)| timeout.map(|t| (name.clone(), t));
        self.point_timeouts.extend(config.points.iter().map(|(n, c)| (n, c.timeout)).filter_map(timeouts));
        self.hook_timeouts.extend(
            config.hooks.iter().map(|(n, c)| (n, c.timeout)).filter_map(timeouts).map(|(n, t)| (n.into(), t)),
        );
        self.strict = config.strict;
        self.secret_properties.extend(config.secret_properties.iter().cloned());
        Ok(())
    }

    /// Who hooks of `point` run as, where not as the engine does.
    pub fn user_of(&self, point: &Point) -> Option<&Credentials> {
        self.hook_user.as_ref().filter(|_| point.user == User::Agent)
    }

    /// How long a hook may take: what its own setting says, else its point's, else that of all, else its package,
    /// else the table of points.
    pub(crate) fn deadline(&self, point: &Point, hook: &Hook) -> Duration {
        self.hook_timeouts
            .get(hook.name())
            .or_else(|| self.point_timeouts.get(&*point.name))
            .copied()
            .or(self.timeout)
            .or_else(|| hook.described()?.timeout)
            .unwrap_or(point.deadline)
    }
}
