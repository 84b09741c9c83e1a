// SPDX-License-Identifier: Apache-2.0
//! The bundled hooks on real VMs: what each of them does is read back from libvirt, QEMU or the host.

use crate::bed::{Bed, Done, Running, UUID, bundled, command, until};
use crate::traces::{entries, files_below, points};
use crate::{Needs, Result, tests};
use serde_json::{Value, json};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use virt_hooks_testhost::GuestOptions;

tests! {
    Bundled qemucmdline_gives_qemu_its_arguments_as_they_are,
    Bundled smbios_strings_reach_the_firmware,
    Bundled cpuflags_are_those_of_the_processor,
    Bundled log_firmware_has_what_the_firmware_says,
    Bundled diskunmap_lets_the_discards_of_scsi_disks_through,
    Bundled httpsisoboot_adds_a_drive_whose_server_qemu_asks,
    Bundled extnet_names_a_network_that_libvirt_looks_for,
    Bundled a_hook_that_cannot_read_its_property_is_a_veto,
    Bundled four_of_them_act_on_one_vm,
    BundledSpice spiceoptions_are_those_of_the_display,
    BundledApart log_console_has_what_the_guest_writes,
    BundledApart nestedvt_asks_for_what_the_hosts_module_allows,
    BundledApart faqemu_makes_a_vm_of_kvm_one_that_is_emulated,
    BundledApart fakevmstats_makes_statistics_up,
    BundledApart macbind_plugs_a_nic_into_another_bridge,
    BundledImages scratchpad_gives_a_disk_and_takes_it_away,
    BundledImages checkimages_refuses_a_damaged_image,
}

const QEMU_IMG: &str = "/usr/bin/qemu-img";

/// What a test of bundled hooks misses, beside QEMU and libvirt: one word and one line.
pub(crate) fn missing(needs: Needs) -> Option<(String, String)> {
    let (apart, images) = match needs {
        Needs::DaemonSpice => return no_spice(),
        Needs::Bundled | Needs::BundledSpice => (false, false),
        Needs::BundledApart => (true, false),
        Needs::BundledImages => (true, true),
        _ => return None,
    };
    let not = |word: &str, line: String| Some((word.to_owned(), line));
    if let Some(part) = [bundled(), command()].iter().find(|part| !part.is_file()) {
        let line =
            format!("{} is missing; `cargo build -p virt-hooks-bundled -p virt-hooks`", part.display());
        return not(&part.file_name().unwrap_or_default().to_string_lossy(), line);
    }
    if apart && !runs("unshare", &["-m", "-n", "mount", "-t", "sysfs", "sysfs", "/sys"]) {
        return not("unshare", "no right to make namespaces with `unshare -m -n`; run as root".to_owned());
    }
    if apart && !runs("ip", &["-V"]) {
        return not("ip", "ip is missing; install iproute2".to_owned());
    }
    if images && !Path::new(QEMU_IMG).is_file() {
        return not("qemu-img", format!("{QEMU_IMG} is missing; install qemu-utils"));
    }
    if needs == Needs::BundledSpice { no_spice() } else { None }
}

fn no_spice() -> Option<(String, String)> {
    let line = "QEMU has no SPICE; install qemu-system-modules-spice".to_owned();
    (!has_spice()).then(|| ("spice".to_owned(), line))
}

fn runs(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Whether QEMU lists the options of SPICE, with which it ends in an error.
fn has_spice() -> bool {
    let listed = Command::new("qemu-system-x86_64").args(["-spice", "help"]).stdin(Stdio::null()).output();
    listed
        .is_ok_and(|said| [said.stdout, said.stderr].concat().windows(17).any(|w| w == b"image-compression"))
}

/// A running VM.
struct Vm {
    /// As libvirt tells it.
    live: String,
    arguments: Vec<String>,
    pid: i32,
}

impl Vm {
    /// Whether QEMU has these arguments, one after the other.
    fn has(&self, arguments: &[&str]) -> bool {
        self.arguments.windows(arguments.len()).any(|window| window == arguments)
    }

    /// The value of the first of QEMU's options with this name.
    fn option(&self, name: &str) -> &str {
        let at = self.arguments.iter().position(|argument| argument == name);
        at.and_then(|at| self.arguments.get(at + 1))
            .unwrap_or_else(|| panic!("no {name}: {:?}", self.arguments))
    }
}

const NAME: &str = "guest";

/// A bed with bundled hooks of `before_vm_start`, and spies behind them.
fn bed(hooks: &[&str]) -> Result<Bed> {
    let bed = Bed::embedded()?;
    for hook in hooks {
        bed.bundled_hook("before_vm_start", hook)?;
    }
    bed.spy(&["before_vm_start", "after_vm_start", "after_vm_destroy"])?;
    Ok(bed)
}

/// The arguments of `virt-hooks-vm` that start a VM with properties.
fn start(bed: &Bed, options: GuestOptions, properties: &[&str]) -> Result<Vec<String>> {
    let xml = bed.file("guest.xml", &bed.xml(NAME, options))?;
    let properties = properties.iter().flat_map(|property| ["-p", property]);
    Ok(["vm", "start", "--xml", &xml].into_iter().chain(properties).map(str::to_owned).collect())
}

/// Starts a VM, to see it run or not.
fn try_start(bed: &Bed, options: GuestOptions, properties: &[&str]) -> Result<Done> {
    let arguments = start(bed, options, properties)?;
    Running::of(&mut bed.command_of(&executable(), &strs(&arguments)))?.wait()
}

fn executable() -> PathBuf {
    command().with_file_name("virt-hooks-vm")
}

fn strs(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

/// The VM that was started.
fn vm(bed: &Bed) -> Vm {
    let live = bed.seen().into_iter().find(|seen| seen.point == "after_vm_start").expect("it runs").payload;
    let qemu = bed.process(NAME).expect("QEMU runs");
    Vm { live, arguments: qemu.arguments, pid: qemu.pid }
}

fn started(bed: &Bed, options: GuestOptions, properties: &[&str]) -> Result<Vm> {
    try_start(bed, options, properties)?.expect(0);
    Ok(vm(bed))
}

fn end(bed: Bed) -> Result {
    bed.vm(&["destroy", NAME])?.expect(0);
    bed.finish()
}

/// A command that sees `/run` and `/var/log` of the test's own, and what a script adds to that.
fn apart(bed: &Bed, script: &str, command: &Command) -> Result<Command> {
    let (run, log) = (bed.path("host-run"), bed.path("host-log"));
    fs::create_dir_all(run.join("vdsm/vdsm.conf.d"))?;
    fs::create_dir_all(log.join("libvirt/qemu"))?;
    let script = format!(
        "set -e\nmount --bind '{}' /run\nmount --bind '{}' /var/log\n{script}\nexec \"$@\"",
        run.display(),
        log.display()
    );
    let mut apart = Command::new("unshare");
    apart.args(["-m", "-n", "sh", "-c", &script, "sh"]).arg(command.get_program()).args(command.get_args());
    apart.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?)))).stdin(Stdio::null());
    Ok(apart)
}

/// As [`started`], apart from the host.
fn started_apart(bed: &Bed, script: &str, options: GuestOptions, properties: &[&str]) -> Result<Vm> {
    let arguments = start(bed, options, properties)?;
    let command = bed.command_of(&executable(), &strs(&arguments));
    Running::of(&mut apart(bed, script, &command)?)?.wait()?.expect(0);
    Ok(vm(bed))
}

/// A file as a process sees it.
fn seen_by(pid: i32, path: &str) -> PathBuf {
    Path::new("/proc").join(pid.to_string()).join("root").join(path.trim_start_matches('/'))
}

fn qemucmdline_gives_qemu_its_arguments_as_they_are() -> Result {
    let bed = bed(&["50_qemucmdline"])?;
    let property = r#"qemu_cmdline=["-fw_cfg", "name=opt/virt-hooks/test,string=$(two words);"]"#;
    let vm = started(&bed, GuestOptions::default(), &[property])?;
    assert!(vm.has(&["-fw_cfg", "name=opt/virt-hooks/test,string=$(two words);"]), "{:?}", vm.arguments);
    assert!(vm.live.contains("<qemu:arg value='-fw_cfg'/>"), "{}", vm.live);
    end(bed)
}

fn smbios_strings_reach_the_firmware() -> Result {
    let bed = bed(&["50_smbios"])?;
    let property = "smbios={'serial': 'VH-0042', 'chassis.asset': 'rack 7'}^{'vendor': 'virt-hooks'}";
    let vm = started(&bed, GuestOptions::default(), &[property])?;
    for entry in ["name='serial'>VH-0042<", "name='asset'>rack 7<", "name='vendor'>virt-hooks<"] {
        assert!(vm.live.contains(entry), "{entry}: {}", vm.live);
    }
    assert!(vm.live.contains("<smbios mode='sysinfo'/>"), "{}", vm.live);
    for (block, option) in
        [("type=1", "serial=VH-0042"), ("type=3", "asset=rack 7"), ("type=0", "vendor=virt-hooks")]
    {
        let strings = |argument: &String| {
            let mut parts = argument.split(',');
            parts.next() == Some(block) && parts.any(|part| part == option)
        };
        assert!(vm.arguments.iter().any(strings), "{option}: {:?}", vm.arguments);
    }
    end(bed)
}

/// A processor of a model that QEMU emulates, with this inside.
fn cpu(features: &str) -> GuestOptions {
    let extra = format!(
        "<cpu mode='custom' match='exact' check='none'><model fallback='allow'>qemu64</model>{features}</cpu>"
    );
    GuestOptions { extra, ..GuestOptions::default() }
}

fn cpuflags_are_those_of_the_processor() -> Result {
    let bed = bed(&["50_cpuflags"])?;
    let vm = started(&bed, cpu("<feature name='svm' policy='require'/>"), &["cpuflags=+aes, -svm"])?;
    assert_eq!(vm.live.matches("name='svm'").count(), 1, "{}", vm.live);
    for feature in ["<feature policy='require' name='aes'/>", "<feature policy='disable' name='svm'/>"] {
        assert!(vm.live.contains(feature), "{}", vm.live);
    }
    let flags: Vec<&str> = vm.option("-cpu").split(',').collect();
    assert!(flags.contains(&"aes=on") && flags.contains(&"svm=off"), "{flags:?}");
    end(bed)
}

fn log_firmware_has_what_the_firmware_says() -> Result {
    let bed = bed(&["50_log_firmware"])?;
    // A comma ends an option of QEMU unless it is doubled.
    let directory = bed.path("firm,ware");
    fs::create_dir(&directory)?;
    let property = format!("log_firmware_dir={}", directory.display());
    let vm = started(&bed, GuestOptions::default(), &["log_firmware=on", &property])?;
    let doubled = directory.display().to_string().replace(',', ",,");
    assert!(vm.has(&["-chardev", &format!("file,id=firmware,path={doubled}/{NAME}-firmware.log")]));
    assert!(vm.has(&["-device", "isa-debugcon,iobase=0x402,chardev=firmware"]), "{:?}", vm.arguments);
    let log = directory.join(format!("{NAME}-firmware.log"));
    until("the firmware speaks", || fs::read(&log).is_ok_and(|said| !said.is_empty()));
    end(bed)
}

fn diskunmap_lets_the_discards_of_scsi_disks_through() -> Result {
    let bed = bed(&["50_diskunmap"])?;
    let disk = |name: &str, bus: &str| -> Result<String> {
        let path = bed.file(&format!("{name}.img"), &"\0".repeat(1 << 20))?;
        Ok(format!(
            "<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{path}'/>\
             <target dev='{name}' bus='{bus}'/></disk>"
        ))
    };
    let devices = "<controller type='scsi' model='virtio-scsi'/>".to_owned()
        + &disk("sda", "scsi")?
        + &disk("vda", "virtio")?;
    let vm = started(&bed, GuestOptions { devices, ..GuestOptions::default() }, &["diskunmap=on"])?;
    assert_eq!(vm.live.matches("discard='unmap'").count(), 1, "{}", vm.live);
    // A node for the file, which always may discard, and above it one for what the guest may.
    let drive = |image: &str| {
        let at =
            vm.arguments.iter().position(|argument| argument.contains(image)).expect("the image is open");
        vm.arguments[at + 1..].iter().find(|argument| argument.contains("-format\"")).expect("its format")
    };
    let discards = ["sda.img", "vda.img"].map(|image| drive(image).contains("\"discard\":\"unmap\""));
    assert_eq!(discards, [true, false], "{:?}", vm.arguments);
    end(bed)
}

fn httpsisoboot_adds_a_drive_whose_server_qemu_asks() -> Result {
    let bed = bed(&["50_httpsisoboot"])?;
    // Nobody listens there; a QEMU without curl refuses all the more.
    let property = "httpsisoboot=https://localhost:1/images/disk.iso?version=2";
    let done = try_start(&bed, GuestOptions::default(), &[property])?.expect(4);
    let why = done.error();
    assert!(["https", "curl", "localhost", "onnect"].iter().any(|word| why.contains(word)), "{why}");
    assert_eq!((bed.process(NAME).is_none(), bed.state(NAME)?), (true, None));
    let seen = bed.seen();
    assert_eq!(points(&seen), ["before_vm_start", "after_vm_destroy"]);
    for event in &seen {
        assert!(event.payload.contains(r#"protocol="https" name="/images/disk.iso?version=2""#), "{event:?}");
        assert!(event.payload.contains(r#"<host name="localhost" port="1"/>"#), "{event:?}");
    }
    bed.finish()
}

fn extnet_names_a_network_that_libvirt_looks_for() -> Result {
    let bed = bed(&[])?;
    bed.bundled_hook("before_device_create", "50_extnet")?;
    let options = GuestOptions {
        devices: "<interface type='bridge'><source bridge='of-the-profile'/><alias name='ua-a'/></interface>"
            .into(),
        metadata: "<v:vm xmlns:v='http://virt-hooks.io/vm/1.0'><v:device alias='ua-a'><v:custom>\
             <v:property name='extnet'>no-such-net</v:property></v:custom></v:device></v:vm>"
            .into(),
        ..GuestOptions::default()
    };
    // Where no daemon for networks runs, libvirt cannot reach that: its refusal all the same.
    let done = try_start(&bed, options, &[])?.expect(4);
    let error = done.error();
    assert!(error.contains("network") && !error.contains("was lost"), "{}", done.stderr);
    let seen = bed.seen();
    assert_eq!(points(&seen), ["before_vm_start", "after_vm_destroy"]);
    let payload = &seen[0].payload;
    assert!(payload.contains("<interface type='network'>"), "{payload}");
    assert!(
        payload.contains("<source network='no-such-net'/>") && !payload.contains("of-the-profile"),
        "{payload}"
    );
    assert_eq!(bed.state(NAME)?, None);
    bed.finish()
}

fn a_hook_that_cannot_read_its_property_is_a_veto() -> Result {
    let bed = bed(&["50_qemucmdline"])?;
    let done = try_start(&bed, GuestOptions::default(), &["qemu_cmdline=-device edu"])?.expect(1);
    assert!(done.error().contains("50_qemucmdline: exit code 2: qemu_cmdline: expected a JSON array"));
    assert_eq!(bed.state(NAME)?, None);
    assert_eq!(points(&bed.seen()), ["after_vm_destroy"]);
    bed.finish()
}

fn four_of_them_act_on_one_vm() -> Result {
    let bed = bed(&["50_cpuflags", "50_log_firmware", "50_qemucmdline", "50_smbios"])?;
    let directory = format!("log_firmware_dir={}", bed.root().display());
    let vm = started(
        &bed,
        cpu(""),
        &[
            "cpuflags=-svm",
            "log_firmware=on",
            &directory,
            r#"qemu_cmdline=["-fw_cfg","name=opt/a,string=b"]"#,
            "smbios={'serial': '7'}",
        ],
    )?;
    assert!(vm.has(&["-fw_cfg", "name=opt/a,string=b"]), "{:?}", vm.arguments);
    assert!(vm.has(&["-device", "isa-debugcon,iobase=0x402,chardev=firmware"]), "{:?}", vm.arguments);
    assert!(vm.has(&["-smbios", "type=1,serial=7"]) && vm.option("-cpu").contains("svm=off"));
    end(bed)
}

fn spiceoptions_are_those_of_the_display() -> Result {
    let bed = bed(&["50_spiceoptions"])?;
    let devices = format!(
        "<graphics type='spice'><listen type='socket' socket='{}'/><jpeg compression='auto'/></graphics>",
        bed.path("spice.sock").display()
    );
    let property = "spiceoptions={'image': {'compression': 'quic'}, 'jpeg': {'compression': 'never'}, 'mouse': {'mode': 'server'}}";
    let vm = started(&bed, GuestOptions { devices, ..GuestOptions::default() }, &[property])?;
    for element in ["<image compression='quic'/>", "<jpeg compression='never'/>", "<mouse mode='server'/>"] {
        assert!(vm.live.contains(element), "{}", vm.live);
    }
    let spice: Vec<&str> = vm.option("-spice").split(',').collect();
    for option in ["image-compression=quic", "jpeg-wan-compression=never", "agent-mouse=off"] {
        assert!(spice.contains(&option), "{spice:?}");
    }
    end(bed)
}

fn log_console_has_what_the_guest_writes() -> Result {
    let bed = bed(&["50_log_console"])?;
    let vm = started_apart(&bed, "", GuestOptions::default(), &["log_console=on"])?;
    let path = format!("/var/log/libvirt/qemu/{NAME}-console.log");
    assert!(vm.live.contains(&format!("<log file='{path}' append='on'/>")), "{}", vm.live);
    let log = bed.path("host-log").join(path.trim_start_matches("/var/log/"));
    until("the guest speaks", || fs::read(&log).is_ok_and(|said| !said.is_empty()));
    end(bed)
}

fn nestedvt_asks_for_what_the_hosts_module_allows() -> Result {
    let bed = bed(&["50_nestedvt"])?;
    // An emulated processor can do what AMD's have.
    let script = "mount -t tmpfs tmpfs /sys/module\nmkdir -p /sys/module/kvm_amd/parameters\n\
        echo 1 >/sys/module/kvm_amd/parameters/nested";
    let vm = started_apart(&bed, script, cpu("<feature name='svm' policy='disable'/>"), &[])?;
    assert!(vm.live.contains("<feature policy='require' name='svm'/>"), "{}", vm.live);
    assert!(vm.option("-cpu").split(',').any(|flag| flag == "svm=on"), "{:?}", vm.arguments);
    end(bed)
}

/// Has `vdsm.conf` of the test's own host say so.
fn configure(bed: &Bed, line: &str) -> Result {
    let directory = bed.path("host-run/vdsm/vdsm.conf.d");
    fs::create_dir_all(&directory)?;
    Ok(fs::write(directory.join("99_test.conf"), format!("[vars]\n{line}\n"))?)
}

fn faqemu_makes_a_vm_of_kvm_one_that_is_emulated() -> Result {
    let bed = bed(&["10_faqemu"])?;
    configure(&bed, "fake_kvm_support = true\nfake_kvm_memory = 20480")?;
    let options = GuestOptions {
        extra: "<cpu mode='host-passthrough' migratable='on'/>".into(),
        ..GuestOptions::default()
    };
    let xml = bed.xml(NAME, options);
    let xml =
        bed.file("kvm.xml", &xml.replace("type='qemu'", "type='kvm'").replace("unit='MiB'", "unit='KiB'"))?;
    let command = bed.command_of(&executable(), &["vm", "start", "--xml", &xml]);
    Running::of(&mut apart(&bed, "", &command)?)?.wait()?.expect(0);
    let vm = vm(&bed);
    assert!(vm.live.contains("<domain type='qemu'") && !vm.live.contains("host-passthrough"), "{}", vm.live);
    assert!(vm.arguments.join(" ").contains("accel tcg") || vm.option("-machine").contains("accel=tcg"));
    assert!(vm.live.contains("<memory unit='KiB'>20480</memory>"), "{}", vm.live);
    end(bed)
}

fn fakevmstats_makes_statistics_up() -> Result {
    let bed = Bed::embedded()?;
    bed.bundled_hook("after_get_all_vm_stats", "10_fakevmstats")?;
    configure(&bed, "fake_vmstats_enable = true")?;
    let given = json!([
        {"status": "Up", "vmId": UUID, "memUsage": "?", "network": {"vnet0": {"rxErrors": "?"}}},
        {"status": "Down", "vmId": "other", "memUsage": "?"}
    ]);
    let payload = bed.file("stats.json", &given.to_string())?;
    let fire = bed.command_of(&command(), &["fire", "after_get_all_vm_stats", "--payload", &payload]);
    let done = Running::of(&mut apart(&bed, "", &fire)?)?.wait()?.expect(0);
    let stats: Value = serde_json::from_str(&done.stdout)?;
    let number = |value: &Value| value.as_str().unwrap_or_default().parse::<u64>();
    assert!(number(&stats[0]["memUsage"])? <= 100, "{stats}");
    assert!(number(&stats[0]["network"]["vnet0"]["rxErrors"])? <= 62, "{stats}");
    assert_eq!(stats[0]["guestFQDN"], format!("{}.fakefqdn.com", UUID.replace('-', "")));
    assert_eq!(stats[1], given[1], "it is not up");
    bed.finish()
}

fn macbind_plugs_a_nic_into_another_bridge() -> Result {
    let bed = bed(&["50_macbind"])?;
    let devices = "<interface type='bridge'><mac address='52:54:00:00:00:0a'/><source bridge='of-the-profile'/></interface>";
    let script = "mount -t sysfs sysfs /sys\nip link add vhlab type bridge\nip link set vhlab up";
    let options = GuestOptions { devices: devices.into(), ..GuestOptions::default() };
    let vm = started_apart(&bed, script, options, &["macbind={'52:54:00:00:00:0A': 'vhlab'}"])?;
    assert!(
        vm.live.contains("<source bridge='vhlab'/>") && !vm.live.contains("of-the-profile"),
        "{}",
        vm.live
    );
    let ports = entries(&seen_by(vm.pid, "/sys/class/net/vhlab/brif"));
    let names: Vec<_> = ports.iter().filter_map(|port| port.file_name().and_then(OsStr::to_str)).collect();
    assert!(
        matches!(names.as_slice(), [one] if vm.live.contains(&format!("<target dev='{one}'/>"))),
        "{names:?}"
    );
    end(bed)
}

fn scratchpad_gives_a_disk_and_takes_it_away() -> Result {
    let bed = bed(&["50_scratchpad"])?;
    bed.bundled_hook("after_vm_destroy", "50_scratchpad")?;
    let image = bed.path("scratch image");
    let path = image.to_str().unwrap();
    let vm = started_apart(&bed, "", GuestOptions::default(), &[&format!("scratchpad=3M,{path}")])?;
    assert!(
        vm.live.contains(&format!("<source file='{path}'"))
            && vm.live.contains("<target dev='vda' bus='virtio'/>")
    );
    assert!(vm.arguments.iter().any(|argument| argument.contains(path)), "{:?}", vm.arguments);
    let metadata = fs::metadata(&image)?;
    assert_eq!(metadata.len(), 3 << 20);
    assert!(metadata.blocks() * 512 < 3 << 20, "space is not reserved");
    let records = bed.path("host-run/vdsm").join(UUID).join("scratchpad");
    assert_eq!(entries(&records).len(), 1);

    let destroy = bed.command_of(&executable(), &["vm", "destroy", NAME]);
    Running::of(&mut apart(&bed, "", &destroy)?)?.wait()?.expect(0);
    assert!(!image.exists() && !records.exists());
    assert_eq!(files_below(&bed.path("host-run/vdsm")), Vec::<PathBuf>::new());
    bed.finish()
}

fn checkimages_refuses_a_damaged_image() -> Result {
    let bed = bed(&["60_checkimages"])?;
    let image = bed.path("disk.qcow2");
    let path = image.to_str().unwrap();
    let made = Command::new(QEMU_IMG).args(["create", "-q", "-f", "qcow2", path, "1M"]).status()?;
    assert!(made.success());
    let options = || GuestOptions {
        devices: format!(
            "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='{path}'/>\
             <target dev='vda' bus='virtio'/></disk>"
        ),
        ..GuestOptions::default()
    };
    let vm = started(&bed, options(), &["checkimages=true"])?;
    assert!(vm.live.contains(path), "{}", vm.live);
    bed.vm(&["destroy", NAME])?.expect(0);
    bed.seen();

    let mut bytes = fs::read(&image)?;
    // Its first entry points nowhere.
    let table = usize::try_from(u64::from_be_bytes(bytes[40..48].try_into()?))?;
    bytes[table..table + 8].copy_from_slice(&0x8000_0000_0000_0200_u64.to_be_bytes());
    fs::write(&image, bytes)?;
    let done = try_start(&bed, options(), &["checkimages=true"])?.expect(1);
    let why = format!("checkimages: image {path} did not pass qemu-img check");
    assert!(done.error().contains(&why), "{}", done.stderr);
    assert_eq!((bed.process(NAME).is_none(), points(&bed.seen())), (true, vec!["after_vm_destroy"]));
    bed.finish()
}
