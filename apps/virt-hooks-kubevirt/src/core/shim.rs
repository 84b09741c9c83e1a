// SPDX-License-Identifier: Apache-2.0
//! Hooks in the style of KubeVirt's own sidecar-shim: documents in arguments, the result on standard output.

use super::cancel::Cancel;
use super::driver::{LARGEST_ANSWER, given_up};
use super::refusal::Refusal;
use crate::log;
use std::ffi::{CString, OsStr};
use std::fs;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;
use tempfile::NamedTempFile;
use virt_hooks_contract::{PayloadKind, env};
use virt_hooks_domxml::secrets::{mask, mask_values};
use virt_hooks_engine::{Settings, Vm, check_payload, make_run_dir};
use virt_hooks_spawn::{Environment, Finished, Launcher, Limits, Status, signal_name};

/// The kernel takes less than this for one argument, its end included (`MAX_ARG_STRLEN`).
const ARGUMENT: usize = 128 << 10;
/// How long one hook may take, where nothing else says; the time for the call ends it sooner.
const DEADLINE: Duration = Duration::from_secs(600);
/// How much of a hook's standard error goes into an error text.
const QUOTED: usize = 2 << 10;

/// The executables of a directory in that style.
pub struct Shim {
    pub(crate) domain: Vec<PathBuf>,
    pub(crate) cloud_init: Vec<PathBuf>,
    launcher: OnceLock<Launcher>,
}

/// Why a directory of such hooks cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ShimError {
    /// It cannot be read.
    #[error("read {}: {source}", path.display())]
    Read {
        /// What.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Nothing in it has one of the names.
    #[error("{} has neither onDefineDomain nor preCloudInitIso: name the hook so, or put several in a directory of that name", .0.display())]
    Nothing(PathBuf),
    /// A file that is meant to run cannot.
    #[error("{} is not executable: chmod +x it, or mount it with mode 0755", .0.display())]
    NotExecutable(PathBuf),
}

impl Shim {
    /// Finds `onDefineDomain` and `preCloudInitIso` in a directory: each an executable, or a directory of
    /// executables that run in the order of their names.
    ///
    /// # Errors
    /// There is none of them, or one cannot be run.
    pub fn find(dir: &Path) -> Result<Self, ShimError> {
        let domain = executables(&dir.join("onDefineDomain"))?;
        let cloud_init = executables(&dir.join("preCloudInitIso"))?;
        if domain.is_empty() && cloud_init.is_empty() {
            return Err(ShimError::Nothing(dir.to_owned()));
        }
        Ok(Self { domain, cloud_init, launcher: OnceLock::new() })
    }

    /// Runs `onDefineDomain --vmi JSON --domain XML`.
    pub(crate) fn define_domain(
        &self,
        domain: Vec<u8>,
        vmi: &[u8],
        vm: &Vm,
        settings: &Settings,
        cancel: &Cancel,
    ) -> Result<Vec<u8>, Refusal> {
        let call = Call { option: "--domain", file: "virt_hooks_domain_file", kind: PayloadKind::Xml };
        self.run_all(&self.domain, &call, domain, vmi, vm, settings, cancel)
    }

    /// Runs `preCloudInitIso --vmi JSON --cloud-init JSON`.
    pub(crate) fn pre_cloud_init_iso(
        &self,
        data: Vec<u8>,
        vmi: &[u8],
        vm: &Vm,
        settings: &Settings,
        cancel: &Cancel,
    ) -> Result<Vec<u8>, Refusal> {
        let call =
            Call { option: "--cloud-init", file: "virt_hooks_cloud_init_file", kind: PayloadKind::Json };
        self.run_all(&self.cloud_init, &call, data, vmi, vm, settings, cancel)
    }

    #[expect(clippy::too_many_arguments, reason = "what one run needs, handed on as it is")]
    fn run_all(
        &self,
        hooks: &[PathBuf],
        call: &Call,
        mut document: Vec<u8>,
        vmi: &[u8],
        vm: &Vm,
        settings: &Settings,
        cancel: &Cancel,
    ) -> Result<Vec<u8>, Refusal> {
        let secrets = secrets(vm, settings);
        for hook in hooks {
            let name = hook.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if cancel.is_set() {
                return Err(given_up(&name, "not started", cancel.why()));
            }
            let trouble = |e: io::Error| Refusal::Trouble(format!("{name}: prepare its documents: {e}"));
            let vmi = Argument::new(vmi, &settings.run_dir).map_err(trouble)?;
            let given = Argument::new(&document, &settings.run_dir).map_err(trouble)?;
            let long = vmi.is_long || given.is_long;
            let environment =
                environment(settings, vm, &[("virt_hooks_vmi_file", &vmi), (call.file, &given)]);
            let option = CString::new(call.option).unwrap_or_default();
            let arguments = [c"--vmi".to_owned(), vmi.text, option, given.text];
            let finished = self
                .run(hook, &arguments, &environment, settings, cancel)
                .map_err(|e| Refusal::Trouble(format!("{name}: {e}")))?;
            document = result(&name, &finished, (call.kind, long), &secrets, cancel)?;
        }
        Ok(document)
    }

    fn run(
        &self,
        hook: &Path,
        arguments: &[CString],
        environment: &Environment,
        settings: &Settings,
        cancel: &Cancel,
    ) -> Result<Finished, virt_hooks_spawn::SpawnError> {
        let launcher = match self.launcher.get() {
            Some(launcher) => launcher,
            None => {
                let made = Launcher::new()?;
                self.launcher.get_or_init(|| made)
            }
        };
        let own = settings.hook_timeouts.get(hook.file_name().unwrap_or_default()).copied();
        let limits = Limits {
            deadline: own.or(settings.timeout).unwrap_or(DEADLINE),
            grace: settings.grace,
            stdout: LARGEST_ANSWER,
            stderr: settings.stderr_limit,
            cancel: Some(cancel.as_fd()),
        };
        let program = CString::new(hook.as_os_str().as_bytes()).unwrap_or_default();
        launcher.run_with_arguments(&program, arguments, environment, None, &limits, None)
    }
}

/// One of the two forms.
struct Call {
    option: &'static str,
    /// The variable with the path of the document.
    file: &'static str,
    kind: PayloadKind,
}

/// A document as an argument and as a file.
struct Argument {
    text: CString,
    is_long: bool,
    /// Removed when the hook has ended.
    file: NamedTempFile,
}

impl Argument {
    /// One that is too long for an argument is named there by its file: `@/path`.
    fn new(document: &[u8], run_dir: &Path) -> io::Result<Self> {
        make_run_dir(run_dir)?;
        let mut file = tempfile::Builder::new().prefix("shim-").tempfile_in(run_dir)?;
        file.write_all(document)?;
        let is_long = document.len() >= ARGUMENT;
        let text = match is_long {
            true => [b"@", file.path().as_os_str().as_bytes()].concat(),
            false => document.to_vec(),
        };
        // Neither XML nor JSON that was accepted holds a NUL.
        let text = CString::new(text).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
        Ok(Self { text, is_long, file })
    }
}

fn environment(settings: &Settings, vm: &Vm, files: &[(&str, &Argument)]) -> Environment {
    let mut set: std::collections::BTreeMap<&[u8], &[u8]> =
        settings.environment.iter().map(|(n, v)| (n.as_slice(), v.as_slice())).collect();
    set.extend(vm.properties.iter().filter(|(n, _)| !env::is_protected(n)));
    set.insert(env::VM_ID.as_bytes(), vm.id.as_bytes());
    for (name, argument) in files {
        set.insert(name.as_bytes(), argument.file.path().as_os_str().as_bytes());
    }
    let mut environment = Environment::default();
    for (name, value) in set {
        // What no variable can hold is left out.
        let _ = environment.push(name, value);
    }
    environment
}

/// Values of properties that must not show. One of fewer than four bytes would blank half of any text.
fn secrets(vm: &Vm, settings: &Settings) -> Vec<Vec<u8>> {
    let is_secret = |name: &[u8]| {
        let name = String::from_utf8_lossy(name);
        env::names_a_secret(&name) || settings.secret_properties.iter().any(|s| *s == name)
    };
    let all = vm.properties.iter().filter(|(name, value)| value.len() >= 4 && is_secret(name));
    all.map(|(_, value)| value.to_vec()).collect()
}

/// What a hook said, without secrets: neither known values nor anything that is written like one.
fn masked(said: &[u8], secrets: &[Vec<u8>]) -> String {
    let by_value = mask_values(said, secrets);
    String::from_utf8_lossy(&mask(&by_value)).into_owned()
}

/// The document a hook printed.
fn result(
    name: &str,
    finished: &Finished,
    (kind, long): (PayloadKind, bool),
    secrets: &[Vec<u8>],
    cancel: &Cancel,
) -> Result<Vec<u8>, Refusal> {
    let said = masked(&finished.stderr.bytes(), secrets).trim().to_owned();
    for line in said.lines() {
        log::say(&format!("{name}: {line}"));
    }
    let ended = match finished.status {
        Status::Exited(0) => "fine".to_owned(),
        Status::Exited(n) => format!("exit code {n}"),
        Status::Signaled(n) => format!("killed by {}", signal_name(n)),
        Status::Lost => "end unknown".to_owned(),
    };
    log::say(&format!("{name}: {ended} in {} ms", finished.duration.as_millis()));
    let tail = said.get(said.ceil_char_boundary(said.len().saturating_sub(QUOTED))..).unwrap_or_default();
    let tail = if tail.is_empty() { String::new() } else { format!(": {tail}") };
    let hint = match long {
        true => {
            "; a document of 128 KiB or more is passed as @FILE, see virt_hooks_vmi_file and virt_hooks_domain_file"
        }
        false => "",
    };
    if finished.cancelled {
        return Err(given_up(name, &format!("{ended}{tail}"), cancel.why()));
    }
    if finished.timed_out {
        return Err(Refusal::Deadline(format!("{name}: did not end in time: {ended}{tail}")));
    }
    if finished.status != Status::Exited(0) {
        return Err(Refusal::Veto(format!("{name}: {ended}{tail}{hint}")));
    }
    if finished.stdout.dropped() > 0 {
        return Err(Refusal::TooLarge(format!(
            "{name}: printed {} bytes; KubeVirt takes {LARGEST_ANSWER} at most",
            finished.stdout.total()
        )));
    }
    let printed = finished.stdout.bytes();
    if printed.iter().all(u8::is_ascii_whitespace) {
        return Err(Refusal::Veto(format!(
            "{name}: printed nothing: the complete document is expected{tail}{hint}"
        )));
    }
    match check_payload(kind, &printed) {
        Ok(()) => Ok(printed),
        Err(why) => Err(Refusal::Veto(format!("{name}: what it printed is {why}{tail}{hint}"))),
    }
}

/// One executable, or those of a directory by name.
fn executables(path: &Path) -> Result<Vec<PathBuf>, ShimError> {
    let unreadable = |path: &Path, source| ShimError::Read { path: path.to_owned(), source };
    let meta = match fs::metadata(path) {
        Ok(meta) => meta,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(unreadable(path, e)),
    };
    let mut files = Vec::new();
    if meta.is_dir() {
        for entry in fs::read_dir(path).map_err(|e| unreadable(path, e))? {
            let file = entry.map_err(|e| unreadable(path, e))?.path();
            // A mounted ConfigMap has its own entries, which start with two dots.
            let hidden = file.file_name().map_or(b"".as_slice(), OsStr::as_bytes).starts_with(b".");
            if !hidden && fs::metadata(&file).map_err(|e| unreadable(&file, e))?.is_file() {
                files.push(file);
            }
        }
        files.sort_unstable();
    } else {
        files.push(path.to_owned());
    }
    for file in &files {
        let meta = fs::metadata(file).map_err(|e| unreadable(file, e))?;
        if meta.permissions().mode() & 0o111 == 0 {
            return Err(ShimError::NotExecutable(file.clone()));
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_hook_says_shows_no_secret() {
        let mut settings = Settings::new(Vec::new(), "/nonexistent");
        settings.secret_properties.push("pin".to_owned());
        let properties = [("pin", "4711-0815"), ("admin_password", "hunter22"), ("colour", "blue")];
        let vm = Vm { properties: properties.into_iter().collect(), ..Vm::default() };
        let said = masked(b"the pin 4711-0815, hunter22 and blue", &secrets(&vm, &settings));
        assert_eq!(said, "the pin ***, *** and blue");
    }
}
