// SPDX-License-Identifier: Apache-2.0
//! `vmfex_dev` with a libvirt of the test's own, in the place of the host's.

use super::{Place, answers, tool};
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const LIBVIRTD: &str = "/usr/sbin/libvirtd";
const HOOK: &str = "before_device_create/50_vmfex";
const PASSWORD: &str = "not-a-secret";

/// Why no libvirt can be started here, in one line.
pub(crate) fn missing() -> Option<String> {
    if !Path::new(LIBVIRTD).is_file() || !answers("virsh", "--version") {
        return Some(format!("{LIBVIRTD} or virsh is missing; install libvirt-daemon and libvirt-clients"));
    }
    let drivers = ["/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib/aarch64-linux-gnu", "/usr/lib"];
    let has =
        |dir: &&str| Path::new(dir).join("libvirt/connection-driver/libvirt_driver_network.so").is_file();
    let reason = "libvirt's network driver is missing; install libvirt-daemon-driver-network";
    if drivers.iter().any(has) { None } else { Some(reason.to_owned()) }
}

/// Also why nobody can be made known to it, in one line.
pub(crate) fn no_sasl() -> Option<String> {
    missing().or_else(|| {
        let reason = "saslpasswd2 is missing; install sasl2-bin and libsasl2-modules";
        (!Path::new("/usr/sbin/saslpasswd2").is_file()).then(|| reason.to_owned())
    })
}

/// A daemon whose directories are this test's alone, and a host with NICs of its own.
struct Daemon(Child);

const PLACES: [&str; 5] =
    ["/etc/libvirt", "/var/lib/libvirt", "/var/cache/libvirt", "/var/log", "/sys/devices"];

impl Daemon {
    fn start(configuration: &str) -> Self {
        // What is written to /etc is this namespace's alone.
        let layer = "mkdir -p /run/tmp/etc/up /run/tmp/etc/work && mount -t overlay overlay \
                     -o lowerdir=/etc,upperdir=/run/tmp/etc/up,workdir=/run/tmp/etc/work /etc";
        tool("sh", &["-c", layer]);
        for place in PLACES.iter().filter(|place| Path::new(place).is_dir()) {
            tool("mount", &["-t", "tmpfs", "tmpfs", place]);
        }
        fs::write("/etc/libvirt/libvirtd.conf", configuration).unwrap();
        let mut command = Command::new(LIBVIRTD);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        Self(child)
    }

    /// Until it answers by this URI.
    fn wait(&mut self, uri: &str) {
        let end = Instant::now() + Duration::from_secs(120);
        loop {
            let mut command = Command::new("virsh");
            command.args(["-c", uri, "net-list"]).stdin(Stdio::null()).stdout(Stdio::null());
            if command.stderr(Stdio::null()).status().unwrap().success() {
                return;
            }
            assert!(self.0.try_wait().unwrap().is_none(), "libvirtd ended by itself");
            assert!(Instant::now() < end, "libvirtd does not answer");
            // It tells nobody when it is ready but systemd.
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
        for place in PLACES.iter().chain(&["/etc"]) {
            let _ = Command::new("umount").args(["-q", place]).stderr(Stdio::null()).status();
        }
    }
}

/// NICs of the host that no VM uses.
fn set_functions(names: &[&str]) {
    let _ = fs::remove_dir_all("/sys/devices/pci0000:00");
    for name in names {
        let directory = Path::new("/sys/devices/pci0000:00/0000:00:01.0/net").join(name);
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("address"), "00:00:00:00:00:00\n").unwrap();
    }
}

fn pool_follows_the_functions(uri: &str) {
    let virsh = |arguments: &[&str]| tool("virsh", &[&["-c", uri], arguments].concat());
    let xml = "<interface type='bridge'><source bridge='b'/><filterref filter='x'/></interface>";
    let place = Place::new(xml);
    fs::create_dir_all("/run/vdsm").unwrap();
    let run = || {
        fs::write(&place.payload, xml).unwrap();
        place.run(HOOK, Some(("vmfex", "Prod VLAN 20")))
    };

    set_functions(&[]);
    assert!(run().expect(2).stderr.contains("no function is free"));
    assert_eq!(place.text(), xml);

    for functions in [&["enp6s0f1", "enp6s0f2"][..], &["enp6s0f2", "enp6s0f3"]] {
        set_functions(functions);
        let done = run().expect(0);
        assert!(done.stderr.contains("made direct-pool"), "{}", done.stderr);
        let pool = virsh(&["net-dumpxml", "direct-pool"]);
        let found: Vec<_> = pool.split("<interface dev='").skip(1).map(|s| &s[..8]).collect();
        assert_eq!(found, functions, "{pool}");
        assert!(pool.contains("mode='passthrough'"), "{pool}");
        let info = virsh(&["net-info", "direct-pool"]);
        let is = |what: &str| info.lines().any(|l| l.starts_with(what) && l.ends_with("yes"));
        assert!(is("Active:") && is("Persistent:") && is("Autostart:"), "{info}");
        assert!(place.text().contains("<source network='direct-pool'/>"), "{}", place.text());
        // The second run finds it as it has to be.
        assert_eq!(run().expect(0).stderr, "");
    }

    // Defined and not started, as after a start that failed half-way.
    virsh(&["net-destroy", "direct-pool"]);
    run().expect(0);
    assert!(virsh(&["net-list", "--name"]).contains("direct-pool"));
    virsh(&["net-destroy", "direct-pool"]);
    virsh(&["net-undefine", "direct-pool"]);
}

pub(crate) fn vmfex_dev_keeps_a_pool() {
    let uri = "qemu:///system";
    let mut daemon = Daemon::start("auth_unix_rw = \"none\"\n");
    daemon.wait(uri);
    pool_follows_the_functions(uri);
}

pub(crate) fn vmfex_dev_logs_in_as_vdsm_does() {
    let mut daemon = Daemon::start("auth_unix_rw = \"sasl\"\n");
    fs::create_dir_all("/etc/sasl2").unwrap();
    fs::write("/etc/sasl2/libvirt.conf", "mech_list: scram-sha-1\nsasldb_path: /etc/libvirt/passwd.db\n")
        .unwrap();
    let add =
        format!("echo {PASSWORD} | saslpasswd2 -p -c -a libvirt -u ovirt -f /etc/libvirt/passwd.db vdsm");
    tool("sh", &["-c", &add]);
    let login = format!(
        "[credentials-t]\nauthname=vdsm@ovirt\npassword={PASSWORD}\n[auth-libvirt-localhost]\ncredentials=t\n"
    );
    fs::write("/run/tmp/auth", login).unwrap();
    let uri = "qemu:///system?authfile=/run/tmp/auth";
    daemon.wait(uri);

    // Without the password libvirt refuses, and the hook says so.
    set_functions(&["enp6s0f1"]);
    fs::create_dir_all("/run/vdsm").unwrap();
    let place = Place::new("<interface type='bridge'><source bridge='b'/></interface>");
    let done = place.run(HOOK, Some(("vmfex", "p"))).expect(2);
    assert!(done.stderr.starts_with("vmfex: ") && done.stderr.contains("uthentication"), "{}", done.stderr);

    fs::create_dir_all("/etc/pki/vdsm/keys").unwrap();
    fs::write("/etc/pki/vdsm/keys/libvirt_password", PASSWORD).unwrap();
    pool_follows_the_functions(uri);
    assert!(!Path::new("/run/vdsm/hook-vmfex.auth").exists());
}
