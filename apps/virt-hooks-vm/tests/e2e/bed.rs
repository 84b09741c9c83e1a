// SPDX-License-Identifier: Apache-2.0
//! A host in a directory, with hooks, and the executable run on it.

use crate::Result;
use crate::traces::{self, Seen};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use virt_hooks_libvirt::Connection;
use virt_hooks_testhost::{Daemon, GuestOptions, Host, Qemu};

pub(crate) const UUID: &str = "6f0c2a3e-1111-4222-8333-444455556666";
/// How long anything may take before a test gives it up.
const PATIENCE: Duration = Duration::from_secs(120);

/// The points that fire when a VM without custom devices starts, and those when it goes.
pub(crate) const START: [&str; 2] = ["before_vm_start", "after_vm_start"];
pub(crate) const DESTROY: [&str; 2] = ["before_vm_destroy", "after_vm_destroy"];
/// All of them, with those of devices.
pub(crate) const ALL: [&str; 8] = [
    "before_device_create",
    "before_vm_start",
    "after_vm_start",
    "after_device_create",
    "before_device_destroy",
    "before_vm_destroy",
    "after_vm_destroy",
    "after_device_destroy",
];

/// Where `virt-hooks` is, if it was built.
pub(crate) fn command() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_virt-hooks-vm")).with_file_name("virt-hooks")
}

/// Where `virt-hooksd` is, if it was built.
pub(crate) fn agent() -> PathBuf {
    command().with_file_name("virt-hooksd")
}

/// Where the executable with all bundled hooks is, if it was built.
pub(crate) fn bundled() -> PathBuf {
    command().with_file_name("virt-hooks-bundled")
}

pub(crate) struct Bed {
    root: PathBuf,
    uri: String,
    // In the order they must go.
    daemon: Option<Daemon>,
    host: Option<Host>,
    _directory: Option<TempDir>,
}

impl Bed {
    /// On libvirt's embedded driver.
    pub(crate) fn embedded() -> Result<Self> {
        let host = host()?;
        Self {
            root: host.root().to_owned(),
            uri: host.uri(),
            daemon: None,
            host: Some(host),
            _directory: None,
        }
        .furnished()
    }

    /// On a daemon, which keeps definitions of VMs and serves several clients.
    pub(crate) fn with_daemon() -> Result<Self> {
        let host = host()?;
        let daemon = Daemon::start(&host)?;
        let (root, uri) = (host.root().to_owned(), daemon.uri());
        Self { root, uri, daemon: Some(daemon), host: Some(host), _directory: None }.furnished()
    }

    /// On a daemon that calls `virt-hooks` as its hook script. libvirt passes no variables on, so that a script says where
    /// things lie here.
    pub(crate) fn with_hook_script() -> Result<Self> {
        let host = host()?;
        let root = host.root().to_owned();
        let mut bed =
            Self { root, uri: String::new(), daemon: None, host: None, _directory: None }.furnished()?;
        for driver in ["qemu", "network"] {
            let directory = Daemon::hooks_directory(&host).join(format!("{driver}.d"));
            bed.command_that_knows_its_places(&directory, "50-virt-hooks", driver)?;
        }
        let daemon = Daemon::start(&host)?;
        bed.uri = daemon.uri();
        bed.daemon = Some(daemon);
        bed.host = Some(host);
        Ok(bed)
    }

    /// Writes a script that runs the command for a driver of libvirt's, on this bed.
    pub(crate) fn command_that_knows_its_places(&self, directory: &Path, name: &str, driver: &str) -> Result {
        let mut script = self.exports();
        script.push_str(&format!("exec '{}' libvirt-hook --driver {driver} -- \"$@\"", command().display()));
        executable(directory, name, &script)
    }

    /// Lines of a shell that say where things lie here.
    pub(crate) fn exports(&self) -> String {
        let line = |(name, path): (&str, PathBuf)| format!("export {name}='{}'\n", path.display());
        self.variables().into_iter().map(line).collect()
    }

    /// Where libvirt's own hook scripts lie.
    pub(crate) fn hook_scripts(&self) -> PathBuf {
        Daemon::hooks_directory(self.host.as_ref().expect("a host with VMs"))
    }

    /// What to connect to.
    pub(crate) fn uri(&self) -> &str {
        &self.uri
    }

    /// Where things lie, as the command's environment says it.
    fn variables(&self) -> [(&'static str, PathBuf); 7] {
        [
            ("VIRT_HOOKS_HOOKS_DIR", self.path("hooks")),
            ("VIRT_HOOKS_RUN_DIR", self.path("payloads")),
            ("VIRT_HOOKS_CONFIG", self.path("config.toml")),
            ("VIRT_HOOKS_POINTS_DIR", self.path("points.d")),
            ("VIRT_HOOKS_PACKAGES_DIR", self.path("packages")),
            ("VIRT_HOOKS_STATE_DIR", self.path("state")),
            ("VIRT_HOOKS_LAUNCH_FLAGS_DIR", self.path("flags")),
        ]
    }

    /// Runs `virsh` with arguments, to its end.
    pub(crate) fn virsh(&self, arguments: &[&str]) -> Result<Done> {
        Running::of(Command::new("virsh").args(["-c", &self.uri]).args(arguments).stdin(Stdio::null()))?
            .wait()
    }

    /// Runs the executable with arguments, to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Result<Done> {
        Running::of(&mut self.command_of(Path::new(env!("CARGO_BIN_EXE_virt-hooks-vm")), arguments))?.wait()
    }

    /// Runs the command itself with arguments, to its end.
    pub(crate) fn run_command(&self, arguments: &[&str]) -> Result<Done> {
        Running::of(&mut self.command_of(&command(), arguments))?.wait()
    }

    /// On libvirt's own test driver, whose VMs live in the process that starts them: for what needs no VM.
    pub(crate) fn without_vms() -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("vh-").tempdir()?;
        let root = directory.path().to_owned();
        let uri = "test:///default".to_owned();
        Self { root, uri, daemon: None, host: None, _directory: Some(directory) }.furnished()
    }

    /// Ends the daemon; its VMs go on.
    pub(crate) fn stop_daemon(&mut self) -> Result {
        Ok(self.daemon.take().expect("a daemon").stop()?)
    }

    /// Kills the daemon; its VMs go on.
    pub(crate) fn kill_daemon(&mut self) -> Result {
        Ok(self.daemon.take().expect("a daemon").kill()?)
    }

    /// Starts the agent, and waits until it serves.
    pub(crate) fn start_agent(&self) -> Result<Agent> {
        let agent = self.begin_agent()?;
        until("the agent serves", || self.has_agent() && self.vm(&["list"]).is_ok_and(|done| done.code == 0));
        Ok(agent)
    }

    /// Starts the agent.
    pub(crate) fn begin_agent(&self) -> Result<Agent> {
        let arguments = ["--stop-timeout", "60s"];
        Ok(Agent { running: Running::of(&mut self.command_of(&agent(), &arguments))? })
    }

    /// Whether an agent listens.
    pub(crate) fn has_agent(&self) -> bool {
        std::os::unix::net::UnixStream::connect(self.path("payloads/agent.sock")).is_ok()
    }

    /// Has hooks note, in a line each, that they ran at these points.
    pub(crate) fn count(&self, points: &[&str]) -> Result {
        let note =
            format!("echo \"$_hook_point $vmId $_hook_reason\" >>'{}'", self.path("counted").display());
        points.iter().try_for_each(|point| self.hook(point, "90_count", &note))
    }

    /// What those hooks noted since the last call, about one VM, in order: the points.
    pub(crate) fn counted(&self, uuid: &str) -> Vec<String> {
        let text = fs::read_to_string(self.path("counted")).unwrap_or_default();
        let lines = text.lines().filter_map(|line| line.split_once(' '));
        lines.filter(|(_, rest)| rest.starts_with(uuid)).map(|(point, _)| point.to_owned()).collect()
    }

    /// Waits until those hooks noted so many points about a VM, and gives them.
    pub(crate) fn wait_for_count(&self, uuid: &str, count: usize) -> Vec<String> {
        until(&format!("{count} points about {uuid}"), || self.counted(uuid).len() >= count);
        self.counted(uuid)
    }

    /// Starts the daemon again, at the same place.
    pub(crate) fn start_daemon(&mut self) -> Result {
        self.daemon = Some(Daemon::start(self.host.as_ref().expect("a host with VMs"))?);
        Ok(())
    }

    fn furnished(self) -> Result<Self> {
        for name in ["hooks", "seen", "points.d"] {
            fs::create_dir(self.path(name))?;
        }
        fs::write(self.path("config.toml"), "")?;
        Ok(self)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Another libvirt, by its URI.
    pub(crate) fn set_uri(&mut self, uri: String) {
        self.uri = uri;
    }

    /// A connection of the test's own; only where there is a daemon.
    pub(crate) fn connect(&self) -> Result<Connection> {
        assert!(self.daemon.is_some(), "this process must not open the embedded driver");
        Ok(Connection::open(Some(&self.uri))?)
    }

    /// The XML of a VM.
    pub(crate) fn xml(&self, name: &str, options: GuestOptions) -> String {
        let options = GuestOptions { uuid: Some(options.uuid.unwrap_or_else(|| UUID.to_owned())), ..options };
        self.host.as_ref().expect("a host with VMs").domain_xml(name, &options)
    }

    /// A file with the XML of a plain VM.
    pub(crate) fn plain(&self, name: &str) -> Result<String> {
        self.file(&format!("{name}.xml"), &self.xml(name, GuestOptions::default()))
    }

    pub(crate) fn file(&self, name: &str, text: &str) -> Result<String> {
        let path = self.path(name);
        fs::write(&path, text)?;
        Ok(path.to_str().unwrap().to_owned())
    }

    /// Installs a shell hook. Another process writes it: a copy of the descriptor, inherited by what another
    /// test starts at that moment, would make the hook "busy".
    pub(crate) fn hook(&self, point: &str, name: &str, body: &str) -> Result {
        executable(&self.path("hooks").join(point), name, body)
    }

    /// Installs a bundled hook under the name it is found by.
    pub(crate) fn bundled_hook(&self, point: &str, name: &str) -> Result {
        let directory = self.path("hooks").join(point);
        fs::create_dir_all(&directory)?;
        Ok(symlink(bundled(), directory.join(name))?)
    }

    /// Has hooks note what they see at these points.
    pub(crate) fn spy(&self, points: &[&str]) -> Result {
        points.iter().try_for_each(|point| self.hook(point, "90_spy", &traces::spy(&self.path("seen"))))
    }

    /// What the spies saw since the last call, in order.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        traces::collect(&self.path("seen"))
    }

    /// The executable, about to run on this host.
    pub(crate) fn command_of(&self, program: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        if let Some(host) = &self.host {
            command.envs(host.environment());
        }
        command
            .arg("--hooks-dir")
            .arg(self.path("hooks"))
            .arg("--run-dir")
            .arg(self.path("payloads"))
            .args(arguments)
            .env("LIBVIRT_DEFAULT_URI", &self.uri)
            .envs(self.variables())
            .stdin(Stdio::null());
        command
    }

    /// Runs `vm` with arguments, to its end.
    pub(crate) fn vm(&self, arguments: &[&str]) -> Result<Done> {
        self.begin(arguments)?.wait()
    }

    /// Begins to run `vm` with arguments.
    pub(crate) fn begin(&self, arguments: &[&str]) -> Result<Running> {
        let all: Vec<&str> = ["vm"].iter().chain(arguments).copied().collect();
        Running::of(&mut self.command_of(Path::new(env!("CARGO_BIN_EXE_virt-hooks-vm")), &all))
    }

    /// Begins to run `vm` with arguments; what it says goes to a file of this name, to be read meanwhile.
    pub(crate) fn begin_saying(&self, arguments: &[&str], file: &str) -> Result<Running> {
        let all: Vec<&str> = ["vm"].iter().chain(arguments).copied().collect();
        let mut command = self.command_of(Path::new(env!("CARGO_BIN_EXE_virt-hooks-vm")), &all);
        Running::saying(&mut command, Path::new("/dev/null"), &self.path(file))
    }

    /// Waits until what goes to that file has these words.
    pub(crate) fn wait_for_words(&self, file: &str, words: &str) {
        let said = || fs::read_to_string(self.path(file)).is_ok_and(|text| text.contains(words));
        until(&format!("{file} says \"{words}\""), said);
    }

    /// Starts a VM and waits until its guest is up, and hears what it is asked.
    pub(crate) fn run_guest(&self, name: &str, xml: &str) -> Result {
        self.vm(&["start", "--xml", &self.file(&format!("{name}.xml"), xml)?])?.expect(0);
        Ok(self.host.as_ref().expect("a host with VMs").wait_for_guest(name, PATIENCE)?)
    }

    /// The state of a VM as `vm list` says it; `None` where there is no such VM.
    pub(crate) fn state(&self, name: &str) -> Result<Option<String>> {
        let done = self.vm(&["list", "--format", "json"])?.expect(0);
        let vms: Value = serde_json::from_str(&done.stdout)?;
        let vm = vms.as_array().unwrap().iter().find(|vm| vm["name"] == name);
        Ok(vm.map(|vm| vm["state"].as_str().unwrap().to_owned()))
    }

    /// Waits until `vm list` works again and says this of a VM.
    pub(crate) fn wait_for_state(&self, name: &str, state: &str) {
        let says = || -> Result<bool> {
            let done = self.vm(&["list"])?;
            let mut lines = done.stdout.lines().map(|l| l.split_whitespace().collect::<Vec<_>>());
            Ok(done.code == 0 && lines.any(|l| l.starts_with(&[name, state])))
        };
        until(&format!("VM {name} is {state}"), || says().unwrap_or(false));
    }

    /// The arguments of the QEMU of a VM, in one line; `None` where it does not run.
    pub(crate) fn qemu(&self, name: &str) -> Option<String> {
        self.process(name).map(|qemu| qemu.arguments.join(" "))
    }

    /// The QEMU of a VM; `None` where it does not run.
    pub(crate) fn process(&self, name: &str) -> Option<Qemu> {
        self.host.as_ref()?.qemus().into_iter().find(|qemu| qemu.name == name)
    }

    /// Waits until the guest of a VM says that it is up.
    pub(crate) fn wait_for_guest(&self, name: &str) -> Result {
        Ok(self.host.as_ref().expect("a host with VMs").wait_for_guest(name, PATIENCE)?)
    }

    /// Waits until a hook made this file.
    pub(crate) fn wait_for(&self, name: &str) {
        let path = self.path(name);
        until(&format!("{} is there", path.display()), || path.exists());
    }

    /// Removes what a killed process left of its payloads, as the next one does a minute later.
    pub(crate) fn tidy_payloads(&self) -> Result {
        let begun = Instant::now();
        let run = self.path("payloads");
        let stale =
            || traces::entries(&run).into_iter().any(|path| path.file_name().is_some_and(|n| n.len() == 32));
        while stale() {
            assert!(begun.elapsed() < PATIENCE, "stale payloads stay: {:?}", traces::entries(&run));
            // Each run of the command looks for them.
            self.vm(&["list", "--no-agent"])?.expect(0);
        }
        Ok(())
    }

    /// No operation left anything: no lock, no payload, no launch flags.
    pub(crate) fn assert_tidy(&self) {
        let run = self.path("payloads");
        assert_eq!(traces::files_below(&run), Vec::<PathBuf>::new(), "in the run directory");
        let mut left = traces::entries(&run);
        left.sort();
        assert_eq!(left, traces::only_locks(&run));
        assert_eq!(traces::entries(&self.path("flags")), Vec::<PathBuf>::new(), "launch flags");
    }

    /// Ends the host: nothing is left of it, and nothing had to be forced.
    pub(crate) fn finish(mut self) -> Result {
        self.assert_tidy();
        drop(self.daemon.take());
        if let Some(host) = self.host.take() {
            let cleanup = host.cleanup()?;
            assert!(cleanup.killed.is_empty(), "still running: {:?}", cleanup.killed);
            assert!(!self.root.exists());
        }
        assert_eq!(traces::processes_about(&self.root), Vec::<String>::new());
        Ok(())
    }
}

/// Writes a shell script that can be run.
pub(crate) fn executable(directory: &Path, name: &str, body: &str) -> Result {
    fs::create_dir_all(directory)?;
    let mut install = Command::new("install")
        .args(["-m", "755", "/dev/stdin"])
        .arg(directory.join(name))
        .stdin(Stdio::piped())
        .spawn()?;
    install.stdin.take().unwrap().write_all(format!("#!/bin/sh\n{body}\n").as_bytes())?;
    assert!(install.wait()?.success());
    Ok(())
}

fn host() -> Result<Host> {
    Ok(Host::create(Some(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("capabilities")))?)
}

/// Waits for what another process does.
pub(crate) fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// The agent while it runs.
pub(crate) struct Agent {
    running: Running,
}

impl Agent {
    /// The process.
    pub(crate) fn pid(&self) -> u32 {
        self.running.0.as_ref().expect("it runs").id()
    }

    /// Asks it to end, and waits for that: what it wrote to standard error.
    pub(crate) fn stop(self) -> Result<String> {
        self.running.signal(Signal::TERM)?;
        Ok(self.running.wait()?.expect(0).stderr)
    }

    /// Asks it to end.
    pub(crate) fn terminate(&self) -> Result {
        self.running.signal(Signal::TERM)
    }

    /// Waits for its end, which must be a good one: what it wrote to standard error.
    pub(crate) fn wait(self) -> Result<String> {
        Ok(self.running.wait()?.expect(0).stderr)
    }

    /// It ends by itself with this code: what it wrote to standard error.
    pub(crate) fn failed(self, code: i32) -> Result<String> {
        Ok(self.running.wait()?.expect(code).stderr)
    }

    /// Ends it as a crash would.
    pub(crate) fn kill(self) -> Result {
        self.running.signal(Signal::KILL)?;
        assert_eq!(self.running.ended_by()?, Some(Signal::KILL.as_raw()));
        Ok(())
    }
}

/// The executable while it runs. Dropping it ends it, and with it its hooks.
pub(crate) struct Running(Option<Child>);

impl Running {
    /// Begins to run a command.
    pub(crate) fn of(command: &mut Command) -> Result<Self> {
        Ok(Self(Some(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?)))
    }

    /// Begins to run a command; what it says goes to files.
    pub(crate) fn saying(command: &mut Command, stdout: &Path, stderr: &Path) -> Result<Self> {
        let (stdout, stderr) = (fs::File::create(stdout)?, fs::File::create(stderr)?);
        Ok(Self(Some(command.stdout(stdout).stderr(stderr).spawn()?)))
    }

    pub(crate) fn signal(&self, signal: Signal) -> Result {
        Ok(kill_process(Pid::from_child(self.0.as_ref().unwrap()), signal)?)
    }

    /// Waits until a hook of it made this file; it must not end before.
    pub(crate) fn wait_for(&mut self, bed: &Bed, name: &str) -> Result {
        let path = bed.path(name);
        let begun = Instant::now();
        while !path.exists() {
            let ended = self.0.as_mut().unwrap().try_wait()?;
            if ended.is_some() || begun.elapsed() > PATIENCE {
                let output = self.0.take().unwrap().wait_with_output()?;
                return Err(format!("{} is not there: {output:?}", path.display()).into());
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// The signal that ended it, if one did.
    pub(crate) fn ended_by(mut self) -> Result<Option<i32>> {
        Ok(self.0.take().unwrap().wait()?.signal())
    }

    pub(crate) fn wait(mut self) -> Result<Done> {
        let output = self.0.take().unwrap().wait_with_output()?;
        let code = output.status.code().ok_or_else(|| format!("ended by a signal: {output:?}"))?;
        Ok(Done {
            code,
            stdout: String::from_utf8(output.stdout)?,
            stderr: String::from_utf8(output.stderr)?,
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = kill_process(Pid::from_child(&child), Signal::TERM);
            let _ = child.wait();
        }
    }
}

/// The executable after its end.
#[derive(Debug)]
pub(crate) struct Done {
    code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Done {
    /// Whether it ended well.
    pub(crate) fn succeeded(&self) -> bool {
        self.code == 0
    }

    /// Sees that it ended with this code.
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "standard error:\n{}", self.stderr);
        self
    }

    /// Why it ended: the last line on standard error, and the only one of its kind.
    pub(crate) fn error(&self) -> &str {
        let mut errors = self.stderr.lines().filter_map(|line| line.strip_prefix("virt-hooks: "));
        let error = errors.next_back().unwrap_or_else(|| panic!("no error in:\n{}", self.stderr));
        assert!(self.stderr.ends_with(&format!("{error}\n")), "not at the end:\n{}", self.stderr);
        assert_eq!(errors.next(), None, "one error only:\n{}", self.stderr);
        error
    }

    /// As [`Done::error`], and nothing else was written: nothing had begun.
    pub(crate) fn only_error(&self) -> &str {
        let error = self.error();
        assert_eq!((self.stderr.lines().count(), self.stdout.as_str()), (1, ""), "{self:?}");
        error
    }
}
