// SPDX-License-Identifier: Apache-2.0
//! Where things lie on a host: flags before environment before configuration before defaults.

use crate::payload::make_run_dir;
use crate::settings::{Settings, SettingsError};
use std::ffi::OsString;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use virt_hooks_contract::{AgentConfig, Catalogue, Config, LibvirtHookConfig, TomlError};

/// The prefix this was built for.
const PREFIX: &str = match option_env!("VIRT_HOOKS_PREFIX") {
    Some(p) => p,
    None => "/usr",
};
const ADMIN_HOOKS: &str = "/etc/virt-hooks/hooks";
const CONFIG: &str = "/etc/virt-hooks/config.toml";
const POINTS: &str = "/etc/virt-hooks/points.d";
const STATE: &str = "/var/lib/virt-hooks";
const RUN: &str = "/run/virt-hooks";
const LAUNCH_FLAGS: &str = "/run/vdsm";
const AGENT_SOCKET: &str = "/run/virt-hooks/agent.sock";

/// What was said on a command line.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `--hooks-dir`, in order; they take the place of all other layers.
    pub hooks_dirs: Vec<PathBuf>,
    /// `--config`.
    pub config: Option<PathBuf>,
    /// `--run-dir`.
    pub run_dir: Option<PathBuf>,
    /// `--state-dir`.
    pub state_dir: Option<PathBuf>,
    /// `--root`: an image whose own places are meant, whatever the environment says.
    pub root: Option<PathBuf>,
}

/// What is known about a host before the first event.
#[derive(Clone, Debug)]
pub struct Host {
    /// All hook points.
    pub catalogue: Catalogue,
    /// How to set up an engine.
    pub settings: Settings,
    /// Where records are kept.
    pub state_dir: PathBuf,
    /// The directory of `<vm id>/launchflags`.
    pub launch_flags_dir: PathBuf,
    /// Where an agent listens.
    pub agent_socket: PathBuf,
    /// Settings of the agent.
    pub agent: AgentConfig,
    /// The configuration file, which need not exist.
    pub config_path: PathBuf,
    /// The directory of this host's own hook points, which need not exist.
    pub points_dir: PathBuf,
    /// Whether a start that cannot honour what hooks make of the XML is refused.
    pub require_agent: bool,
    /// Settings of libvirt's own hook script.
    pub libvirt_hook: LibvirtHookConfig,
    /// What in the configuration has no effect, in a line each.
    pub warnings: Vec<String>,
    named_layers: bool,
}

/// Why a host's set-up cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// A file or directory that was named, or is there, cannot be read.
    #[error("read {}: {source}", path.display())]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A file has a mistake in it.
    #[error(transparent)]
    Toml(#[from] TomlError),
    /// The configuration cannot be followed.
    #[error("{}: {source}", path.display())]
    Settings {
        /// The configuration file.
        path: PathBuf,
        /// What is wrong with it.
        source: SettingsError,
    },
    /// Somebody else made the run directory in a place anybody may write to.
    #[error("run directory {} is not private to this user: remove it, or give another with --run-dir", .0.display())]
    NotOurs(PathBuf),
    /// The root that was named is missing, or is no directory.
    #[error("--root {}: {source}: give the directory of an image, or make one to try things in", path.display())]
    Root {
        /// What was named.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A hooks directory that was named is missing.
    #[error("hooks directory {} does not exist: create it, or give another with --hooks-dir", .0.display())]
    NoHooksDirectory(PathBuf),
    /// None of the default hooks directories is there.
    #[error("no hooks directory on this host: neither {} nor {} exists; install virt-hooks, or give one with --hooks-dir", .0.display(), .1.display())]
    NoLayers(PathBuf, PathBuf),
}

impl Host {
    /// Finds out about the host. `variable` looks up an environment variable.
    ///
    /// # Errors
    /// A file that matters cannot be read or has a mistake in it.
    pub fn load(
        overrides: Overrides,
        variable: &dyn Fn(&str) -> Option<OsString>,
    ) -> Result<Self, HostError> {
        let root = overrides.root;
        if let Some(root) = &root {
            // Each file of it would be missing, and that be taken for a host without hooks.
            let listed = std::fs::read_dir(root).map(|_| ());
            listed.map_err(|source| HostError::Root { path: root.clone(), source })?;
        }
        // The places of an image are its own: what is set here for this host means others.
        let variable = |name: &str| if root.is_some() { None } else { variable(name) };
        let at = |place: PathBuf| match &root {
            Some(root) => root.join(place.strip_prefix("/").unwrap_or(&place)),
            None => place,
        };
        let path = |name: &str| variable(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let named = overrides.config.or_else(|| path("VIRT_HOOKS_CONFIG"));
        let config_path = named.clone().unwrap_or_else(|| at(CONFIG.into()));
        let config = read_config(&config_path, named.is_some())?;

        let layers = match (overrides.hooks_dirs, variable("VIRT_HOOKS_HOOKS_DIR").filter(|v| !v.is_empty()))
        {
            (dirs, _) if !dirs.is_empty() => Some(dirs),
            (_, Some(list)) => Some(std::env::split_paths(&list).collect()),
            _ => config.hooks_dirs.clone().map(|dirs| dirs.into_iter().map(&at).collect()),
        };
        let named_layers = layers.is_some();
        let layers = layers.unwrap_or_else(|| vec![at(vendor_hooks()), at(ADMIN_HOOKS.into())]);
        let run_dir = overrides
            .run_dir
            .or_else(|| path("VIRT_HOOKS_RUN_DIR"))
            .or_else(|| config.run_dir.clone().map(&at));
        // The agent is root's: its socket lies at the same place for all users.
        let agent_socket = path("VIRT_HOOKS_AGENT_SOCKET")
            .or_else(|| config.agent.socket.clone().map(&at))
            .or_else(|| run_dir.as_ref().map(|dir| dir.join("agent.sock")))
            .unwrap_or_else(|| at(AGENT_SOCKET.into()));
        let run_dir = match run_dir {
            Some(dir) => dir,
            None if root.is_some() => at(RUN.into()),
            None => default_run_dir(path("XDG_RUNTIME_DIR"))?,
        };
        let mut settings = Settings::new(layers, run_dir);
        settings
            .apply(&config)
            .map_err(|source| HostError::Settings { path: config_path.clone(), source })?;
        settings.python_dir = Some(
            path("VIRT_HOOKS_PYTHON_DIR")
                .or_else(|| config.python_dir.clone().map(&at))
                .unwrap_or_else(|| Path::new(PREFIX).join("share/virt-hooks/python")),
        );
        settings.packages_dir = Some(
            path("VIRT_HOOKS_PACKAGES_DIR")
                .or_else(|| config.packages_dir.clone().map(&at))
                .unwrap_or_else(|| at(Path::new(PREFIX).join("share/virt-hooks/packages"))),
        );
        let points = path("VIRT_HOOKS_POINTS_DIR").or_else(|| config.points_dir.clone().map(&at));
        let points_named = points.is_some();
        let points_dir = points.unwrap_or_else(|| at(POINTS.into()));
        let catalogue = read_points(&points_dir, points_named)?;
        let warnings = config
            .points
            .keys()
            .filter(|name| {
                catalogue.get(name).is_none() && !settings.layers.iter().any(|l| l.join(name).is_dir())
            })
            .map(|name| {
                let meant =
                    catalogue.nearest(name).map(|m| format!(": did you mean \"{m}\"?")).unwrap_or_default();
                format!("{}: no hook point \"{}\"{meant}", config_path.display(), name.escape_debug())
            })
            .collect();
        Ok(Self {
            catalogue,
            settings,
            state_dir: overrides
                .state_dir
                .or_else(|| path("VIRT_HOOKS_STATE_DIR"))
                .or_else(|| config.state_dir.clone().map(&at))
                .unwrap_or_else(|| if root.is_some() { at(STATE.into()) } else { default_state_dir(&path) }),
            launch_flags_dir: path("VIRT_HOOKS_LAUNCH_FLAGS_DIR")
                .or_else(|| config.launch_flags_dir.clone().map(&at))
                .unwrap_or_else(|| at(LAUNCH_FLAGS.into())),
            agent_socket,
            agent: config.agent,
            config_path,
            points_dir,
            require_agent: config.require_agent,
            libvirt_hook: config.libvirt_hook,
            warnings,
            named_layers,
        })
    }

    /// Checks that the hooks directories are there: a misspelt one would skip every hook in silence.
    ///
    /// # Errors
    /// One that was named is missing; or none of the defaults exists.
    pub fn check_layers(&self) -> Result<(), HostError> {
        self.layers().check()
    }

    /// Its hooks directories, to be checked later too.
    pub fn layers(&self) -> Layers {
        Layers { layers: self.settings.layers.clone(), named: self.named_layers }
    }
}

/// The hooks directories of a host.
#[derive(Clone, Debug)]
pub struct Layers {
    layers: Vec<PathBuf>,
    /// Whether somebody named them, and did not mean the defaults.
    named: bool,
}

impl Layers {
    /// As [`Host::check_layers`].
    ///
    /// # Errors
    /// One that was named is missing; or none of the defaults exists.
    pub fn check(&self) -> Result<(), HostError> {
        let layers = &self.layers;
        if self.named {
            return match layers.iter().find(|l| !l.is_dir()) {
                Some(missing) => Err(HostError::NoHooksDirectory(missing.clone())),
                None => Ok(()),
            };
        }
        match layers.as_slice() {
            [vendor, admin] if !vendor.is_dir() && !admin.is_dir() => {
                Err(HostError::NoLayers(vendor.clone(), admin.clone()))
            }
            _ => Ok(()),
        }
    }
}

fn vendor_hooks() -> PathBuf {
    Path::new(PREFIX).join("libexec/vdsm/hooks")
}

fn read_config(path: &Path, named: bool) -> Result<Config, HostError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Config::parse(&path.to_string_lossy(), &text)?),
        Err(e) if e.kind() == io::ErrorKind::NotFound && !named => Ok(Config::default()),
        Err(source) => Err(HostError::Read { path: path.to_owned(), source }),
    }
}

fn read_points(dir: &Path, named: bool) -> Result<Catalogue, HostError> {
    let mut catalogue = Catalogue::built_in();
    let unreadable = |path: &Path, source| HostError::Read { path: path.to_owned(), source };
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound && !named => return Ok(catalogue),
        Err(e) => return Err(unreadable(dir, e)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(|e| unreadable(dir, e))?.path();
        if path.extension().is_some_and(|e| e == "toml") {
            files.push(path);
        }
    }
    files.sort();
    for path in files {
        let text = std::fs::read_to_string(&path).map_err(|e| unreadable(&path, e))?;
        catalogue.add(&path.to_string_lossy(), &text)?;
    }
    Ok(catalogue)
}

/// Root's records are the host's; others keep their own.
fn default_state_dir(path: &dyn Fn(&str) -> Option<PathBuf>) -> PathBuf {
    if rustix::process::geteuid().is_root() {
        return STATE.into();
    }
    path("XDG_STATE_HOME")
        .or_else(|| path("HOME").map(|home| home.join(".local/state")))
        .map_or_else(|| STATE.into(), |state| state.join("virt-hooks"))
}

/// A tmpfs where there is one: payloads hold secrets and live for moments.
fn default_run_dir(runtime: Option<PathBuf>) -> Result<PathBuf, HostError> {
    let uid = rustix::process::geteuid().as_raw();
    let shared = || Some(Path::new("/dev/shm")).filter(|d| is_tmpfs(d)).and_then(|d| private_in(d, uid).ok());
    if uid == 0 {
        let own = || PathBuf::from(RUN);
        return Ok(if is_tmpfs(Path::new("/run")) { own() } else { shared().unwrap_or_else(own) });
    }
    match runtime.map(|d| d.join("virt-hooks")).or_else(shared) {
        Some(dir) => Ok(dir),
        None => private_in(&std::env::temp_dir(), uid),
    }
}

fn is_tmpfs(path: &Path) -> bool {
    const TMPFS_MAGIC: i64 = 0x0102_1994;
    #[expect(clippy::unnecessary_cast, reason = "the type differs between architectures")]
    rustix::fs::statfs(path).is_ok_and(|s| s.f_type as i64 == TMPFS_MAGIC)
}

/// Makes a directory in a place anybody may write to, and sees that nobody was faster: who owns the run directory
/// can put anything in the place of a payload.
fn private_in(base: &Path, uid: u32) -> Result<PathBuf, HostError> {
    let dir = base.join(format!("virt-hooks-{uid}"));
    let _ = make_run_dir(&dir);
    match std::fs::symlink_metadata(&dir) {
        Ok(m) if m.is_dir() && m.uid() == uid && m.mode() & 0o022 == 0 => Ok(dir),
        Ok(_) => Err(HostError::NotOurs(dir)),
        Err(source) => Err(HostError::Read { path: dir, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn everything_of_an_image_lies_in_it() {
        let image = tempfile::tempdir().unwrap();
        let root = image.path();
        let load = |root: &Path| {
            let overrides = Overrides { root: Some(root.to_owned()), ..Overrides::default() };
            // What is set for this host does not matter.
            Host::load(overrides, &|_| Some("/elsewhere".into()))
        };
        let places = |host: &Host| {
            let mut all = host.settings.layers.clone();
            all.extend(host.settings.packages_dir.clone());
            let more = [
                &host.settings.run_dir,
                &host.state_dir,
                &host.launch_flags_dir,
                &host.agent_socket,
                &host.config_path,
                &host.points_dir,
            ];
            all.extend(more.into_iter().cloned());
            all
        };
        for place in places(&load(root).unwrap()) {
            assert!(place.starts_with(root), "{}", place.display());
        }
        assert_eq!(load(root).unwrap().state_dir, root.join("var/lib/virt-hooks"));
        fs::create_dir_all(root.join("etc/virt-hooks")).unwrap();
        let config = "state_dir = \"/srv/state\"\nrun_dir = \"/srv/run\"\nlaunch_flags_dir = \"/srv/flags\"\n\
                      [agent]\nsocket = \"/srv/socket\"\n";
        fs::write(root.join("etc/virt-hooks/config.toml"), config).unwrap();
        let host = load(root).unwrap();
        assert_eq!(host.state_dir, root.join("srv/state"));
        for place in places(&host) {
            assert!(place.starts_with(root), "{}", place.display());
        }
    }

    #[test]
    fn a_root_that_is_not_there_is_told() {
        let load = |root: &str| {
            let overrides = Overrides { root: Some(root.into()), ..Overrides::default() };
            Host::load(overrides, &|_| None).unwrap_err().to_string()
        };
        assert!(load("/no/such").starts_with("--root /no/such: No such file or directory"));
        assert!(load("/etc/passwd").starts_with("--root /etc/passwd: Not a directory"));
    }

    #[test]
    fn a_planted_run_directory_is_refused() {
        let base = tempfile::tempdir().unwrap();
        let uid = base.path().metadata().unwrap().uid();
        let ours = private_in(base.path(), uid).unwrap();
        assert_eq!(private_in(base.path(), uid).unwrap(), ours);
        fs::set_permissions(&ours, Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(private_in(base.path(), uid), Err(HostError::NotOurs(_))));
        fs::remove_dir(&ours).unwrap();
        std::os::unix::fs::symlink(base.path(), &ours).unwrap();
        let said = private_in(base.path(), uid).unwrap_err().to_string();
        assert!(said.contains("--run-dir"), "{said}");
        // Of another user.
        fs::create_dir(base.path().join("virt-hooks-54321")).unwrap();
        assert!(matches!(private_in(base.path(), 54321), Err(HostError::NotOurs(_))));
    }
}
