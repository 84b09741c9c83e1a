// SPDX-License-Identifier: Apache-2.0
//! The units under a service manager of their own: a systemd as process 1 of its namespaces, with a root directory that
//! is thrown away, and the agent, its hooks and its socket where they are on a host.

use crate::bed::{Bed, Done, Running, UUID, agent, command, until};
use crate::{Result, has, tests};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

tests! {
    Systemd the_units_start_serve_and_stop_the_agent,
}

pub(crate) const SYSTEMD: &str = "/usr/lib/systemd/systemd";
/// Where the machine that is made for systemd has what is installed.
const PREFIX: &str = "/usr/local";

/// What is missing to run a systemd.
pub(crate) fn missing() -> Option<(String, String)> {
    let tools = ["unshare", "nsenter", "mount", "pivot_root"];
    if !Path::new(SYSTEMD).is_file() || !has("systemctl") || !tools.into_iter().all(has) {
        return Some(("systemd".to_owned(), format!("{SYSTEMD} or util-linux is missing; install systemd")));
    }
    if cgroups().is_none() {
        return Some(("cgroup2".to_owned(), "no cgroup2 file system is mounted".to_owned()));
    }
    None
}

/// Where control groups of version 2 are.
fn cgroups() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let mut fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    fields.find(|f| f.get(2) == Some(&"cgroup2")).map(|f| PathBuf::from(f[1]))
}

/// Enters a control group, leaves a root directory with the host's programs, and becomes systemd. The arguments: the
/// directory of the test, the control group, the two programs.
const BOOT: &str = r#"set -e
bed=$1 programs=$3
read -r pid rest </proc/self/stat
echo "$pid" >"$bed/systemd.pid"
mount --make-rprivate /
root=$bed/machine
mkdir "$root"
mount -t tmpfs -o mode=755 machine "$root"
cd "$root"
mkdir -p usr proc sys dev run tmp var/lib/virt-hooks etc/systemd/system etc/virt-hooks/hooks ".$bed"
for link in bin sbin lib lib64; do [ ! -e "/$link" ] || ln -s "usr/$link" "$link"; done
ln -s /run var/run
mount --bind -o ro /usr usr
mount -t tmpfs -o mode=755 local usr/local
mkdir -p usr/local/bin usr/local/libexec/virt-hooks
cp "$programs/virt-hooks" "$programs/virt-hooks-vm" usr/local/bin/
cp "$programs/virt-hooksd" usr/local/libexec/virt-hooks/
cp /etc/passwd /etc/group etc/
cp "$bed"/units/* etc/systemd/system/
echo 0123456789abcdef0123456789abcdef >etc/machine-id
echo ID=test >etc/os-release
mount --bind "$bed" ".$bed"
mount --bind "$bed/hooks" etc/virt-hooks/hooks
mount --bind "$bed/run" run
mkdir -p run/libvirt
mount --bind "$bed/daemon/run" run/libvirt
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 dev dev
for node in null zero full random urandom tty; do : >"dev/$node"; mount --bind "/dev/$node" "dev/$node"; done
mkdir dev/pts dev/shm old
pivot_root . old
umount -l /old
exec env -i container=test PATH=/usr/local/bin:/usr/bin:/usr/sbin "$4" --system --unit=test.target \
    --log-target=console --show-status=no
"#;

/// A machine of systemd's. Dropping it ends everything in it.
struct Machine {
    process: Option<Running>,
    init: Pid,
    group: PathBuf,
}

impl Machine {
    fn boot(bed: &Bed) -> Result<Self> {
        let group = cgroups().ok_or("cgroup2")?.join(format!("virt-hooks-test-{}", std::process::id()));
        fs::create_dir(&group)?;
        let log = bed.path("systemd.log");
        let enter = "echo $$ >\"$2/cgroup.procs\" && exec unshare --mount --pid --uts --ipc --cgroup --fork --kill-child \
                     sh -c \"$0\" sh \"$@\"";
        let mut command_line = Command::new("sh");
        command_line.args(["-c", enter, BOOT]).args([bed.root(), &group]);
        command_line.arg(command().parent().ok_or("a directory")?).arg(SYSTEMD);
        let process = Running::saying(command_line.stdin(Stdio::null()), Path::new("/dev/null"), &log)?;
        let pid = bed.path("systemd.pid");
        until("systemd has a process id", || fs::read_to_string(&pid).is_ok_and(|p| p.ends_with('\n')));
        let init = Pid::from_raw(fs::read_to_string(pid)?.trim().parse()?).ok_or("a process")?;
        let machine = Self { process: Some(process), init, group };
        until("systemd answers", || {
            machine.run("systemctl", &["is-active", "test.target"]).is_ok_and(|done| done.succeeded())
        });
        Ok(machine)
    }

    /// Asks the service manager: what it says.
    fn systemctl(&self, arguments: &[&str]) -> Result<String> {
        Ok(self.run("systemctl", arguments)?.expect(0).stdout.trim().to_owned())
    }

    /// Runs a program of the machine to its end.
    fn run(&self, program: &str, arguments: &[&str]) -> Result<Done> {
        let target = self.init.as_raw_nonzero().to_string();
        let mut entering = Command::new("nsenter");
        entering.args(["--target", &target, "--mount", "--pid", "--cgroup", program]).args(arguments);
        Running::of(entering.env_clear().env("PATH", "/usr/local/bin:/usr/bin").stdin(Stdio::null()))?.wait()
    }

    fn end(&mut self) -> Result {
        let Some(process) = self.process.take() else { return Ok(()) };
        // Process 1 takes all others of its namespace along.
        kill_process(self.init, Signal::KILL)?;
        drop(process);
        until("its control groups are empty", || remove_groups(&self.group).is_ok());
        Ok(())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Whoever wants to know calls `end`.
        let _ = self.end();
    }
}

fn remove_groups(group: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(group)?.flatten().filter(|e| e.path().is_dir()) {
        remove_groups(&entry.path())?;
    }
    fs::remove_dir(group)
}

/// The units as they are installed, and a target that has but the socket.
fn install(bed: &Bed) -> Result {
    let units = bed.path("units");
    fs::create_dir(&units)?;
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/systemd");
    for name in ["virt-hooksd.service", "virt-hooksd.socket"] {
        fs::write(units.join(name), fs::read_to_string(from.join(name))?.replace("@PREFIX@", PREFIX))?;
    }
    // What a host brings up first is not there, and not missed.
    for name in ["sysinit.target", "basic.target", "shutdown.target"] {
        fs::write(units.join(name), "[Unit]\nDefaultDependencies=no\n")?;
    }
    let target = "[Unit]\nDefaultDependencies=no\nWants=virt-hooksd.socket\nAfter=virt-hooksd.socket\n";
    Ok(fs::write(units.join("test.target"), target)?)
}

/// The points of the agent so far, with who ran them.
fn told(bed: &Bed) -> Vec<String> {
    let text = fs::read_to_string(bed.path("told")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

const START: &str = "before_vdsm_start 0";
const STOP: &str = "after_vdsm_stop 0";

fn the_units_start_serve_and_stop_the_agent() -> Result {
    let bed = Bed::with_daemon()?;
    assert!(agent().is_file());
    fs::create_dir(bed.path("run"))?;
    symlink(bed.path("run/virt-hooks"), bed.path("payloads"))?;
    install(&bed)?;
    for point in ["before_vdsm_start", "after_vdsm_stop"] {
        bed.hook(
            point,
            "50_tell",
            &format!("echo \"$_hook_point $(id -u)\" >>'{}'", bed.path("told").display()),
        )?;
    }
    bed.count(&[
        "before_vm_start",
        "after_vm_start",
        "before_vm_pause",
        "after_vm_pause",
        "after_vm_destroy",
    ])?;
    let mut machine = Machine::boot(&bed)?;
    let active = |unit: &str| machine.systemctl(&["show", "--value", "--property=ActiveState", unit]);
    assert_eq!(
        (active("virt-hooksd.socket")?, active("virt-hooksd.service")?),
        ("active".into(), "inactive".into())
    );
    assert!(told(&bed).is_empty());

    // Whoever asks first starts it.
    let socket = bed.path("payloads/agent.sock");
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&socket)?.permissions());
    assert_eq!(mode & 0o777, 0o600);
    let vm = |arguments: &[&str]| machine.run("virt-hooks-vm", &[&["vm"], arguments].concat());
    vm(&["start", "--xml", &bed.plain("served")?])?.expect(0);
    assert_eq!(active("virt-hooksd.service")?, "active");
    assert_eq!(told(&bed), [START], "as root");
    assert_eq!(bed.counted(UUID), ["before_vm_start", "after_vm_start"]);
    // Root outside has no process id where the agent is, and is root all the same.
    let listed = bed.vm(&["list"])?.expect(0);
    assert!(listed.stdout.contains("served"), "{listed:?}");

    // A crash has its point, and the agent comes back by itself; the VM never noticed.
    machine.systemctl(&["kill", "--kill-who=main", "--signal=KILL", "virt-hooksd.service"])?;
    until("it is back", || {
        told(&bed).len() >= 3 && active("virt-hooksd.service").is_ok_and(|a| a == "active")
    });
    assert_eq!(told(&bed), [START, STOP, START]);
    vm(&["pause", "served"])?.expect(0);
    assert_eq!(bed.counted(UUID)[2..], ["before_vm_pause", "after_vm_pause"]);

    // A stop in order, with the VM left alone; what it does meanwhile is told of later.
    machine.systemctl(&["stop", "virt-hooksd.socket", "virt-hooksd.service"])?;
    assert_eq!(told(&bed), [START, STOP, START, STOP]);
    assert!(!socket.exists());
    assert!(bed.qemu("served").is_some());
    bed.virsh(&["destroy", "served"])?.expect(0);
    machine.systemctl(&["start", "virt-hooksd.service"])?;
    assert_eq!(bed.wait_for_count(UUID, 5)[4..], ["after_vm_destroy"]);
    machine.systemctl(&["stop", "virt-hooksd.socket", "virt-hooksd.service"])?;
    assert_eq!(told(&bed)[4..], [START, STOP]);
    machine.end()?;
    bed.finish()
}
