// SPDX-License-Identifier: Apache-2.0
//! Every hook of the executable with property values and payloads that nobody should send.
//!
//! Whatever comes, a hook ends by itself and in time, with an exit code that it chose and a few lines that say
//! why; and it changes the payload only where it succeeds.
//!
//! All hooks take part, those too that act on the host (`fcoe`, `vhostmd`, `localdisk`, `openstacknet`, `vmfex_dev`,
//! `fileinject`, `ethtool_options`, `extra_ipv4_addrs`, `scratchpad`): the tests run in namespaces of their own, where
//! the host's network is not, the root's file system is read-only, `/etc`, `/run` and `/var` are empty and `PATH`
//! names an empty directory. A service manager cannot be reached from there, as its socket is in `/run`, and
//! sudo refuses without `/etc/sudoers`. Where such namespaces cannot be made, all is ignored.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test binary")]

mod apart;

use libtest_mimic::{Arguments, Failed, Trial};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;
use virt_hooks_contract::{Catalogue, Manifest, ManifestProperty, PayloadKind, Scope, Subject};
use virt_hooks_sdk::Document;
use virt_hooks_sdk::serde_json::{self, Value, json};

const PLACE: &str = "set -e
    mount -o remount,bind,ro /
    for dir in /run /var /etc; do mount -t tmpfs tmpfs $dir; done
    mount -t sysfs sysfs /sys
    mount -t tmpfs tmpfs /sys/module
    mkdir /run/empty /run/tmp /run/vdsm
    ip link add em1 type bridge || :";

const VM: &str = "b5622e62-5d1a-4c69-af78-7f70d629869d";
/// How long a hook may take, not optimised and on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(180);
/// What it may write to standard error; an engine keeps more, but people read no more.
const LINES: usize = 32;
const STDERR: usize = 16 << 10;

/// Hooks that open their payload whatever the environment holds, and why.
const ALWAYS_OPEN: &[(&str, &str, &str)] = &[
    ("ethtool_options", "after_network_setup", "the property is the network's, in the payload"),
    ("extra_ipv4_addrs", "after_network_setup", "the property is the network's, in the payload"),
    ("fcoe", "before_network_setup", "the property is the network's, in the payload"),
];

type Test = fn(&Hook) -> Result<(), Failed>;

/// A hook at a point.
#[derive(Clone)]
struct Hook {
    package: String,
    point: String,
    file: String,
    kind: PayloadKind,
    subject: Subject,
    properties: Vec<ManifestProperty>,
}

fn hooks() -> Vec<Hook> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../hooks");
    let catalogue = Catalogue::built_in();
    let mut hooks = Vec::new();
    for entry in fs::read_dir(root).unwrap() {
        let file = entry.unwrap().path().join("hook.toml");
        let Ok(text) = fs::read_to_string(&file) else { continue };
        let manifest = Manifest::parse(&file.to_string_lossy(), &text).unwrap();
        for point in &manifest.point {
            let known = catalogue.get(&point.name).unwrap();
            hooks.push(Hook {
                package: manifest.name.clone(),
                point: point.name.clone(),
                file: point.file.clone(),
                kind: known.payload,
                subject: known.subject,
                properties: manifest.property.clone(),
            });
        }
    }
    hooks.sort_by(|a, b| (&a.package, &a.point).cmp(&(&b.package, &b.point)));
    hooks
}

/// Hostile values of a property; its example too, so that more than the first check is reached.
fn values(example: &str) -> Vec<OsString> {
    let mut values: Vec<OsString> = [
        "",
        ";",
        "$(touch X)",
        "`touch X`",
        "a\nb\n",
        "../",
        "../../../../etc/passwd",
        "-h",
        "{}",
        "{'a': {'a': {'a': 'a'}}}",
        "[[[[",
        "%s%n\u{1}\u{7f}\u{202e}",
    ]
    .map(OsString::from)
    .to_vec();
    values.push("A".repeat(100 << 10).into());
    values.push("[".repeat(100 << 10).into());
    for item in ["1,", "+a,", "-a ", "1:", "1G,/a:", "{}^", "{'a': 'b'}^"] {
        values.push(item.repeat((100 << 10) / item.len()).into());
    }
    let pairs: Vec<String> = (0..3_000).map(|n| format!("'x{n}': '{n}'")).collect();
    values.push(format!("{{{}}}", pairs.join(",")).into());
    let pairs: Vec<String> = (0..3_000).map(|n| format!("'x{n}':{{}}")).collect();
    values.push(format!("{{{}}}", pairs.join(",")).into());
    values.push(OsString::from_vec(b"a\xff\xfe".to_vec()));
    values.push(example.into());
    for end in [";$(touch X)", "\ntouch X", "/../../X"] {
        values.push(format!("{example}{end}").into());
    }
    values.push([example.as_bytes(), b"\xff"].concat().into_os_string());
    values
}

trait IntoOsString {
    fn into_os_string(self) -> OsString;
}

impl IntoOsString for Vec<u8> {
    fn into_os_string(self) -> OsString {
        OsString::from_vec(self)
    }
}

/// A device of each kind that a hook looks for.
fn devices(n: usize) -> String {
    format!(
        "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/nonexistent/{n}'/>\
         <target dev='sd{n}' bus='scsi'/><boot order='{n}'/></disk>\
         <interface type='bridge'><mac address='00:1a:4a:16:01:51'/><source bridge='b{n}'/><virtualport/></interface>\
         <graphics type='spice'/><serial type='pty'/>\
         <hostdev><source><address domain='0x0000' bus='0x3b' slot='0x00' function='0x{n:x}'/></source></hostdev>"
    )
}

/// XML payloads, the first of them good.
fn xml(subject: Subject, many: bool) -> Vec<Vec<u8>> {
    let all = |count: usize| (0..count).map(devices).collect::<String>();
    let domain = |inner: &str| {
        format!(
            "<domain type='kvm'><name>vm</name><uuid>{VM}</uuid><cpu><model>qemu64</model></cpu>\
             <os><type arch='x86_64'>hvm</type></os>{inner}</domain>"
        )
    };
    let interface = |inner: &str| {
        format!(
            "<interface type='bridge'><mac address='00:1a:4a:16:01:51'/>{inner}<link state='up'/></interface>"
        )
    };
    let mut payloads =
        vec![domain(&format!("<devices>{}</devices>", all(1))), interface("<source bridge='b'/>")];
    if subject == Subject::Device {
        payloads.swap(0, 1);
    }
    payloads.extend([
        domain(""),
        domain("<devices/>"),
        "<domain/>".to_owned(),
        "<network><name>n</name></network>".to_owned(),
        "<x:domain xmlns:x='urn:x' x:type='kvm'><x:devices><x:disk/></x:devices></x:domain>".to_owned(),
        "<domain xmlns='urn:y'><name/><devices><disk xmlns='urn:z'/></devices></domain>".to_owned(),
        String::new(),
        "{}".to_owned(),
        "<domain><devices>".to_owned(),
        "<!DOCTYPE d [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;'>]><domain>&b;</domain>".to_owned(),
        "<a>".repeat(10_000) + &"</a>".repeat(10_000),
    ]);
    if many {
        let odd = "<disk device='disk'/><disk device='disk'><target dev='a' bus='scsi'/></disk><interface/><hostdev/>";
        payloads.push(domain(&format!("<devices>{}</devices>", odd.repeat(2_500))));
        payloads.push(domain(&format!("<devices>{}</devices>", "<boot order='x'/>".repeat(10_000))));
        // Of five kinds, 2,000 of each.
        payloads.push(domain(&format!("<devices>{}</devices>", all(2_000))));
        payloads.push(interface(&"<source bridge='b'/><filterref filter='f'/>".repeat(5_000)));
    }
    payloads.into_iter().map(String::into_bytes).chain([b"<domain>\xff\xfe</domain>".to_vec()]).collect()
}

/// JSON payloads, the first of them good; properties of networks are in some.
fn json(hook: &Hook, values: &[(&ManifestProperty, &OsStr)], many: bool) -> Vec<Vec<u8>> {
    let of_networks: Vec<_> = values.iter().filter(|(p, _)| p.scope == Scope::Network).collect();
    let text = |value: &OsStr| Value::from(value.to_string_lossy().into_owned());
    let custom: serde_json::Map<String, Value> =
        of_networks.iter().map(|(p, value)| (p.name.clone(), text(value))).collect();
    let network = json!({"nic": "em1", "bridged": false, "custom": custom});
    let setup = |networks: Value| json!({"request": {"networks": networks, "bondings": {}, "options": {}}});
    let disk =
        json!({"device": "disk", "imageID": VM, "volumeID": VM, "format": "cow", "path": "/nonexistent"});
    let stats = json!([{"vmId": VM, "status": "Up", "disks": {"vda": {}}, "network": {"vnet0": {}}}]);
    let good = match hook.point.as_str() {
        "after_disk_prepare" => disk,
        "after_get_all_vm_stats" => stats,
        "after_network_setup" | "before_network_setup" => setup(json!({"net": network})),
        _ => json!({"network": {"em1": {"state": "up"}}}),
    };
    let mut payloads = vec![
        good,
        json!({}),
        json!([]),
        json!("text"),
        json!(5),
        json!(null),
        json!([null, 1, "a", [], {}]),
        json!({"request": 5}),
        json!({"request": {"networks": []}}),
        setup(json!({"n": 5, "o": null, "p": {"custom": 1}, "q": {"custom": {}, "nic": ["a"]}})),
        setup(json!({"../../X": network, "$(touch X)": network, "": network})),
        setup(
            json!({"a": {"bonding": "../../etc", "custom": custom}, "b": {"nic": "-h;", "custom": custom}}),
        ),
        setup(json!({"a": {"nic": "em1", "vlan": -1e300, "custom": custom}})),
        json!({"network": "em1", "path": 1, "imageID": [], "volumeID": {}, "format": null}),
        json!([{"status": "Up", "vmId": 5, "disks": [], "network": 1, "memoryStats": "x"}]),
    ];
    if many {
        // Of their NICs there is one: a command for each of so many addresses is work that was asked for.
        let network = |n: usize| json!({"nic": format!("em{n}"), "custom": custom});
        let networks: serde_json::Map<String, Value> =
            (0..10_000).map(|n| (format!("net{n}"), network(n))).collect();
        payloads.push(setup(networks.into()));
        payloads.push(setup((0..10_000).map(|n| (format!("net{n}"), json!({"custom": 1}))).collect()));
        payloads.push((0..10_000).map(|n| json!({"status": "Up", "vmId": n.to_string()})).collect());
    }
    let mut payloads: Vec<Vec<u8>> = payloads.iter().map(|value| value.to_string().into_bytes()).collect();
    payloads.push(Vec::new());
    payloads.push(b"{\"request\": ".to_vec());
    payloads.push("[".repeat(100_000).into_bytes());
    // A network's property that is no UTF-8 is a payload that is none.
    payloads.push(b"{\"request\": {\"networks\": {\"n\": {\"custom\": {\"x\": \"\xff\"}}}}}".to_vec());
    payloads
}

/// A directory with a hook installed in it.
struct Place {
    _directory: tempfile::TempDir,
    link: PathBuf,
    work: PathBuf,
    payload: PathBuf,
}

impl Place {
    fn new(hook: &Hook) -> Self {
        let directory = tempfile::tempdir_in("/run/tmp").unwrap();
        let point = directory.path().join(&hook.point);
        let work = directory.path().join("work");
        fs::create_dir(&point).unwrap();
        fs::create_dir(&work).unwrap();
        let link = point.join(&hook.file);
        symlink(env!("CARGO_BIN_EXE_virt-hooks-bundled"), &link).unwrap();
        Self { payload: work.join("payload"), link, work, _directory: directory }
    }

    fn command(&self, hook: &Hook) -> Command {
        let mut command = Command::new(&self.link);
        command.env_clear().env("PATH", "/run/empty").env("vmId", VM).current_dir(&self.work);
        command.env("_hook_launch_flags", self.link.with_extension("flags"));
        let variable = if hook.kind == PayloadKind::Json { "_hook_json" } else { "_hook_domxml" };
        command.env(variable, &self.payload);
        command
    }
}

/// Runs a hook to its end, which must come in time.
fn finish(command: &mut Command) -> Result<Output, String> {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let child = child.map_err(|error| format!("start it: {error}"))?;
    let pid = child.id();
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || sender.send(child.wait_with_output()));
    match receiver.recv_timeout(PATIENCE) {
        Ok(output) => output.map_err(|error| error.to_string()),
        Err(_) => {
            // Nobody has waited for it, so the number is still its own.
            let _ = Command::new("sh").args(["-c", &format!("kill -KILL {pid}")]).status();
            Err(format!("it did not end within {PATIENCE:?}"))
        }
    }
}

/// What is wrong with how a hook ended; its exit code, if nothing.
fn judge(place: &Place, hook: &Hook, payload: &[u8], output: &Output) -> Result<i32, String> {
    let stderr = String::from_utf8_lossy(&output.stderr);
    let code = match output.status.code() {
        Some(code @ 0..=2) => code,
        Some(code) => return Err(format!("exit code {code}: {stderr}")),
        None => return Err(format!("signal {:?}: {stderr}", output.status.signal())),
    };
    if stderr.contains("panicked") || stderr.lines().count() > LINES || stderr.len() > STDERR {
        let start: String = stderr.chars().take(2_000).collect();
        return Err(format!("{} lines, {} bytes: {start}", stderr.lines().count(), stderr.len()));
    }
    if code != 0 && stderr.trim().is_empty() {
        return Err(format!("exit code {code} without a word"));
    }
    if !output.stdout.is_empty() {
        return Err(format!("standard output: {}", String::from_utf8_lossy(&output.stdout)));
    }
    let names: Vec<_> = fs::read_dir(&place.work).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    if names != ["payload"] {
        return Err(format!("left behind: {names:?}"));
    }
    let after = fs::read(&place.payload).unwrap();
    if after == payload {
        return Ok(code);
    }
    if code != 0 {
        return Err(format!("exit code {code}, and the payload was changed: {stderr}"));
    }
    let sound = match hook.kind {
        PayloadKind::Xml => Document::parse(after).is_ok(),
        PayloadKind::Json => serde_json::from_slice::<Value>(&after).is_ok(),
        PayloadKind::None => false,
    };
    if sound { Ok(code) } else { Err("it changed the payload to what nobody can read".to_owned()) }
}

/// Configuration of the host that switches hooks on.
fn configure(values: &[(&ManifestProperty, &OsStr)]) {
    let write = |path: &str, bytes: &[u8]| {
        fs::create_dir_all(Path::new(path).parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    };
    write("/etc/vdsm/vdsm.conf", b"[vars]\nfake_kvm_support = true\nfake_vmstats_enable = yes\n");
    write("/sys/module/kvm_intel/parameters/nested", b"Y\n");
    write("/etc/fcoe/cfg-ethx", b"FCOE_ENABLE=\"yes\"\nDCB_REQUIRED=\"yes\"\nAUTO_VLAN=\"yes\"\n");
    write(
        "/etc/vhostmd/vhostmd.conf",
        b"<vhostmd><globals><disk><path>/dev/shm/x</path></disk><transport>vbd</transport>\
          <transport>virtio</transport></globals></vhostmd>",
    );
    // Where the host keeps its networks, whose properties one hook looks up.
    let mut network = b"{\"nic\": \"em1\", \"custom\": {".to_vec();
    for (n, (property, value)) in values.iter().filter(|(p, _)| p.scope == Scope::Network).enumerate() {
        let comma = if n > 0 { ", " } else { "" };
        network.extend_from_slice(format!("{comma}\"{}\": ", property.name).as_bytes());
        match value.to_str() {
            Some(text) => network.extend_from_slice(Value::from(text).to_string().as_bytes()),
            None => network.extend_from_slice(&[b"\"", value.as_bytes(), b"\""].concat()),
        }
    }
    network.extend_from_slice(b"}}");
    write("/var/lib/vdsm/persistence/netconf/nets/net", &network);
}

/// A host without any of that.
fn unconfigure() {
    for directory in ["/etc", "/sys/module", "/var"] {
        for entry in fs::read_dir(directory).unwrap() {
            fs::remove_dir_all(entry.unwrap().path()).unwrap();
        }
    }
}

fn run(hook: &Hook, values: &[(&ManifestProperty, &OsStr)], many: bool) -> Result<Vec<i32>, Failed> {
    let place = Place::new(hook);
    configure(values);
    let payloads = match hook.kind {
        PayloadKind::Xml => xml(hook.subject, many),
        PayloadKind::Json => json(hook, values, many),
        PayloadKind::None => vec![Vec::new()],
    };
    let mut codes = Vec::new();
    for payload in payloads {
        fs::write(&place.payload, &payload).unwrap();
        let mut command = place.command(hook);
        // One that is not UTF-8 is a variable all the same.
        command.envs(
            values.iter().filter(|(p, _)| p.scope != Scope::Network).map(|(p, value)| (&p.name, value)),
        );
        let judged = finish(&mut command).and_then(|output| judge(&place, hook, &payload, &output));
        codes.push(judged.map_err(|wrong| {
            let short = |bytes: &[u8]| String::from_utf8_lossy(bytes).chars().take(300).collect::<String>();
            let values: Vec<_> =
                values.iter().map(|(p, v)| format!("{}={}", p.name, short(v.as_bytes()))).collect();
            format!("{}\nwith {values:?}\nand the payload {}", wrong, short(&payload))
        })?);
    }
    Ok(codes)
}

fn hostile(hook: &Hook) -> Result<(), Failed> {
    let examples: Vec<(&ManifestProperty, &OsStr)> =
        hook.properties.iter().map(|p| (p, OsStr::new(p.example.as_str()))).collect();
    // With the examples, and all payloads; where there are no properties, that is all.
    run(hook, &examples, true)?;
    for (n, property) in hook.properties.iter().enumerate() {
        // A variable cannot hold more than 128 KiB; what comes in the payload can.
        let long = ["A", "1,", "-a "].map(|piece| OsString::from(piece.repeat((1 << 20) / piece.len())));
        let long = long.into_iter().filter(|_| property.scope == Scope::Network);
        for value in values(&property.example).into_iter().chain(long) {
            let mut given = examples.clone();
            given[n].1 = &value;
            run(hook, &given, false)?;
        }
    }
    Ok(())
}

/// Without its properties, and without a host that switches it on, a hook does not even open the payload.
fn absent(hook: &Hook) -> Result<(), Failed> {
    unconfigure();
    let place = Place::new(hook);
    let output = finish(&mut place.command(hook))?;
    let opens =
        ALWAYS_OPEN.iter().any(|(package, point, _)| (*package, *point) == (&hook.package, &hook.point));
    let stderr = String::from_utf8_lossy(&output.stderr);
    match (output.status.code(), opens) {
        (Some(0), false) | (Some(1 | 2), true) => {}
        (code, _) => return Err(format!("exit code {code:?}, opens the payload: {opens}: {stderr}").into()),
    }
    let left: Vec<_> = fs::read_dir(&place.work).unwrap().collect();
    if left.is_empty() { Ok(()) } else { Err(format!("left behind: {left:?}").into()) }
}

fn main() {
    let mut arguments = Arguments::from_args();
    // They share the files in /etc and /var.
    arguments.test_threads = Some(1);
    let missing = apart::enter(PLACE, arguments.list).err();
    if let Some(reason) = &missing {
        eprintln!("all tests are ignored: {reason}");
    }
    let kinds: [(&str, Test); 2] = [("hostile", hostile), ("absent", absent)];
    let trials = hooks().into_iter().flat_map(|hook| {
        let is_missing = missing.is_some();
        kinds.map(|(kind, test)| {
            let hook = hook.clone();
            let needs = if is_missing { "::needs_unshare" } else { "" };
            let name = format!("{kind}::{}::{}{needs}", hook.package, hook.point);
            Trial::test(name, move || test(&hook)).with_ignored_flag(is_missing)
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit();
}
