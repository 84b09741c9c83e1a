// SPDX-License-Identifier: Apache-2.0
//! Pausing, continuing, saving and restoring, by the command alone.

use crate::bed::{ALL, Bed, DESTROY, UUID};
use crate::traces::points;
use crate::{Result, tests};
use serde_json::Value;
use virt_hooks_libvirt::{CreateFlags, State};
use virt_hooks_testhost::GuestOptions;

tests! {
    Qemu pause_and_cont_fire_around_what_happens,
    Qemu a_paused_vm_is_paused_again_without_an_after_point,
    Qemu a_veto_of_a_pause_or_a_cont_changes_nothing,
    Qemu hibernate_and_dehibernate_keep_their_order,
    Qemu c01_from_snapshot_is_text,
    AgentAndScript the_memory_of_a_snapshot_is_restored_as_often_as_wanted,
    AgentAndScript a_snapshot_is_restored_with_the_disks_there_are_now,
    Qemu c12_c13_what_hooks_make_of_the_xml_is_restored,
    Qemu c28_a_pause_vetoed_in_a_hibernation_leaves_the_vm_running,
    Qemu c35_a_vetoed_hibernation_goes_on_and_says_why,
    Qemu c31_a_restore_whose_end_is_vetoed_leaves_no_vm,
    Qemu a_restore_that_is_vetoed_restores_nothing,
    Qemu a_shut_down_fires_once_the_guest_has_gone,
    Daemon c29_metadata_that_hooks_change_holds,
    Daemon a_guest_that_does_not_heed_is_told_of,
}

/// The points of pausing and saving.
pub(crate) const REST: [&str; 8] = [
    "before_vm_pause",
    "after_vm_pause",
    "before_vm_cont",
    "after_vm_cont",
    "before_vm_hibernate",
    "after_vm_hibernate",
    "before_vm_dehibernate",
    "after_vm_dehibernate",
];

/// The points of a VM that comes back from a file.
pub(crate) const RESTORED: [&str; 6] = [
    "before_device_create",
    "before_vm_start",
    "before_vm_dehibernate",
    "before_vm_cont",
    "after_vm_cont",
    "after_vm_dehibernate",
];

/// A NIC with a custom property, and the metadata for it.
pub(crate) fn with_nic() -> GuestOptions {
    GuestOptions {
        metadata: "<v:vm xmlns:v='http://virt-hooks.io/vm/1.0'><v:device devtype='interface' mac_address='52:54:00:00:00:0a'>\
                   <v:custom><v:property name='link'>slow</v:property></v:custom></v:device></v:vm>"
            .into(),
        devices: "<interface type='user'><mac address='52:54:00:00:00:0a'/></interface>".into(),
        ..Default::default()
    }
}

fn started(name: &str, options: GuestOptions) -> Result<Bed> {
    let bed = Bed::embedded()?;
    let xml = bed.file(&format!("{name}.xml"), &bed.xml(name, options))?;
    bed.vm(&["start", "--xml", &xml])?.expect(0);
    bed.spy(&ALL)?;
    bed.spy(&REST)?;
    Ok(bed)
}

fn state(bed: &Bed, name: &str) -> Result<String> {
    Ok(bed.state(name)?.unwrap_or_default())
}

fn image(bed: &Bed) -> String {
    bed.path("saved.img").to_str().unwrap().to_owned()
}

fn pause_and_cont_fire_around_what_happens() -> Result {
    let bed = started("paused", GuestOptions::default())?;
    let done = bed.vm(&["pause", "paused", "--report", "-"])?.expect(0);
    assert!(done.stderr.ends_with("paused: VM paused\n"), "{}", done.stderr);
    let seen = bed.seen();
    assert_eq!(points(&seen), ["before_vm_pause", "after_vm_pause"]);
    assert!(seen.iter().all(|s| s.variable("vmId") == UUID && s.variable("_hook_reason") == "pause"));
    assert!(seen[1].payload.contains(" id='1'"), "live XML: {}", seen[1].payload);
    let report: Value = serde_json::from_str(&done.stdout)?;
    assert_eq!((&report["verb"], &report["result"]), (&"pause".into(), &"done".into()));
    assert_eq!(state(&bed, "paused")?, "paused");

    bed.vm(&["cont", UUID])?.expect(0);
    let seen = bed.seen();
    assert_eq!(points(&seen), ["before_vm_cont", "after_vm_cont"]);
    assert_eq!(state(&bed, "paused")?, "running");
    // Fires its before-point all the same; then libvirt refuses.
    let done = bed.vm(&["cont", "paused"])?.expect(4);
    assert!(done.error().contains("already running"), "{}", done.error());
    assert_eq!(points(&bed.seen()), ["before_vm_cont"]);
    bed.vm(&["destroy", "paused"])?.expect(0);
    bed.seen();
    bed.finish()
}

fn a_paused_vm_is_paused_again_without_an_after_point() -> Result {
    let bed = started("twice", GuestOptions::default())?;
    bed.vm(&["pause", "twice"])?.expect(0);
    bed.seen();
    let done = bed.vm(&["pause", "twice"])?.expect(0);
    assert!(!done.stderr.contains("warning"), "{}", done.stderr);
    assert_eq!(points(&bed.seen()), ["before_vm_pause"]);
    bed.vm(&["destroy", "twice"])?.expect(0);
    bed.seen();
    bed.finish()
}

fn a_veto_of_a_pause_or_a_cont_changes_nothing() -> Result {
    let bed = started("kept", GuestOptions::default())?;
    bed.hook("before_vm_pause", "50_no", "echo 'not now' >&2; exit 2")?;
    let done = bed.vm(&["pause", "kept"])?.expect(1);
    assert!(done.error().starts_with("pause VM kept: vetoed at before_vm_pause: "), "{}", done.error());
    assert!(done.error().contains("50_no: exit code 2: not now"), "{}", done.error());
    assert_eq!(state(&bed, "kept")?, "running");
    assert_eq!(points(&bed.seen()), Vec::<&str>::new(), "the spy comes after the veto");
    bed.hook("before_vm_pause", "50_no", "exit 0")?;
    bed.vm(&["pause", "kept"])?.expect(0);
    bed.hook("before_vm_cont", "50_no", "echo 'stay' >&2; exit 1")?;
    let done = bed.vm(&["cont", "kept"])?.expect(1);
    assert!(done.error().contains("vetoed at before_vm_cont") && done.error().contains("stay"));
    assert_eq!(state(&bed, "kept")?, "paused");
    bed.vm(&["destroy", "kept"])?.expect(0);
    bed.seen();
    bed.finish()
}

fn hibernate_and_dehibernate_keep_their_order() -> Result {
    let bed = started("sleeper", with_nic())?;
    let file = image(&bed);
    bed.vm(&["hibernate", "sleeper", &file])?.expect(0);
    let seen = bed.seen();
    assert_eq!(
        points(&seen),
        [
            "before_vm_pause",
            "after_vm_pause",
            "before_vm_hibernate",
            "after_vm_hibernate",
            "before_device_destroy",
            "before_vm_destroy",
            "after_vm_destroy",
            "after_device_destroy",
        ]
    );
    // C34: what is cleaned up is told why.
    assert!(seen[4..].iter().all(|s| s.variable("_hook_reason") == "hibernate"));
    assert_eq!(seen[4].variable("link"), "slow");
    assert!(seen[4].payload.starts_with("<interface"), "{}", seen[4].payload);
    assert_eq!((bed.qemu("sleeper"), bed.state("sleeper")?), (None, None));
    // What is there is not overwritten.
    let done = bed.vm(&["hibernate", "sleeper", &file])?.expect(3);
    assert!(done.only_error().contains("is there already"), "{}", done.only_error());

    bed.vm(&["dehibernate", &file])?.expect(0);
    let seen = bed.seen();
    assert_eq!(points(&seen), RESTORED);
    assert_eq!(state(&bed, "sleeper")?, "running");
    bed.vm(&["destroy", "sleeper"])?.expect(0);
    bed.seen();
    bed.finish()
}

fn c01_from_snapshot_is_text() -> Result {
    let bed = started("shot", GuestOptions::default())?;
    let file = image(&bed);
    for (verb, expected) in [("dehibernate", "False"), ("restore-snapshot", "True")] {
        bed.vm(&["hibernate", "shot", &file])?.expect(0);
        bed.seen();
        bed.vm(&[verb, &file])?.expect(0);
        let seen = bed.seen();
        let told: Vec<&str> = seen
            .iter()
            .filter(|s| s.point.ends_with("dehibernate"))
            .map(|s| s.variable("FROM_SNAPSHOT"))
            .collect();
        assert_eq!(told, [expected, expected]);
        std::fs::remove_file(&file)?;
    }
    bed.vm(&["destroy", "shot"])?.expect(0);
    bed.seen();
    bed.finish()
}

/// A snapshot that libvirt makes of a running VM, with its memory, and the VM brought back to it (VDSM sequence 4.4).
fn the_memory_of_a_snapshot_is_restored_as_often_as_wanted() -> Result {
    for with_agent in [false, true] {
        let bed = Bed::with_daemon()?;
        let agent = with_agent.then(|| bed.start_agent()).transpose()?;
        bed.run_guest("shot", &bed.xml("shot", with_nic()))?;
        bed.spy(&[&ALL[..], &REST].concat())?;
        bed.hook("after_vm_cont", "95_told", &format!(": >'{}'", bed.path("told").display()))?;
        let file = image(&bed);
        let memory = format!("file={file},snapshot=external");
        bed.virsh(&["snapshot-create-as", "shot", "s1", "--memspec", &memory])?.expect(0);
        assert_eq!(state(&bed, "shot")?, "running", "it goes on");
        if with_agent {
            bed.wait_for("told");
        }
        bed.vm(&["destroy", "shot"])?.expect(0);
        // libvirt tells of a pause and a resume, as of any other.
        let noticed: &[&str] = if with_agent { &["after_vm_pause", "after_vm_cont"] } else { &[] };
        assert_eq!(points(&bed.seen()), [noticed, &ALL[4..]].concat());
        for _ in 0..2 {
            bed.vm(&["restore-snapshot", &file])?.expect(0);
            let seen = bed.seen();
            assert_eq!(points(&seen), RESTORED);
            assert!(
                seen.iter()
                    .all(|s| (s.variable("FROM_SNAPSHOT") == "True") == s.point.contains("dehibernate"))
            );
            // It hears what it is asked, without having booted: it goes on where it was.
            bed.vm(&["shutdown", "shot", "--wait", "2m"])?.expect(0);
            assert_eq!(points(&bed.seen()), ["after_vm_destroy", "after_device_destroy"]);
            assert_eq!(std::fs::read_to_string(bed.path("serial/shot.log"))?, "");
        }
        if let Some(agent) = agent {
            agent.stop()?;
        }
        bed.finish()?;
    }
    Ok(())
}

fn a_snapshot_is_restored_with_the_disks_there_are_now() -> Result {
    for with_agent in [false, true] {
        let bed = Bed::with_daemon()?;
        let agent = with_agent.then(|| bed.start_agent()).transpose()?;
        let disk = bed.file("then.raw", &"\0".repeat(1 << 20))?;
        let devices = format!(
            "<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{disk}'/>\
             <target dev='vda' bus='virtio'/></disk>"
        );
        bed.run_guest("shot", &bed.xml("shot", GuestOptions { devices, ..Default::default() }))?;
        let (file, overlay) = (image(&bed), bed.path("overlay.qcow2"));
        let memory = format!("file={file},snapshot=external");
        let written = format!("vda,snapshot=external,file={}", overlay.display());
        let snapshot = ["snapshot-create-as", "shot", "s1", "--memspec", &memory, "--diskspec", &written];
        bed.virsh(&snapshot)?.expect(0);
        bed.vm(&["destroy", "shot"])?.expect(0);

        // What there was then is looked at in a copy.
        std::fs::rename(&disk, bed.path("now.raw"))?;
        let saved = bed.virsh(&["save-image-dumpxml", &file, "--security-info"])?.expect(0).stdout;
        let given = bed.file("now.xml", &saved.replace("then.raw", "now.raw"))?;
        bed.spy(&["before_vm_dehibernate"])?;
        bed.vm(&["restore-snapshot", &file])?.expect(4);
        let seen = bed.seen();
        assert!(seen[0].payload.contains("then.raw"), "{}", seen[0].payload);
        bed.vm(&["restore-snapshot", &file, "--xml", &given])?.expect(0);
        let seen = bed.seen();
        assert!(seen[0].payload.contains("now.raw") && seen[0].variable("FROM_SNAPSHOT") == "True");
        assert!(bed.qemu("shot").is_some_and(|qemu| qemu.contains("now.raw") && !qemu.contains("then.raw")));
        bed.vm(&["destroy", "shot"])?.expect(0);

        let other = saved.replace(UUID, "7f0c2a3e-1111-4222-8333-444455556666");
        let done = bed.vm(&["restore-snapshot", &file, "--xml", &bed.file("other.xml", &other)?])?.expect(3);
        assert!(done.only_error().contains("it is of the VM with UUID 7f0c2a3e-"), "{}", done.only_error());
        assert!(bed.seen().is_empty(), "no hook ran");
        if let Some(agent) = agent {
            agent.stop()?;
        }
        bed.finish()?;
    }
    Ok(())
}

fn c12_c13_what_hooks_make_of_the_xml_is_restored() -> Result {
    let bed = started("edited", GuestOptions::default())?;
    let file = image(&bed);
    bed.vm(&["hibernate", "edited", &file])?.expect(0);
    bed.hook(
        "before_vm_start",
        "10_edit",
        "sed -i 's|<vcpu|<title>by start</title><vcpu|' \"$_hook_domxml\"",
    )?;
    bed.hook(
        "before_vm_dehibernate",
        "10_edit",
        "sed -i 's|by start|by start and dehibernate|' \"$_hook_domxml\"",
    )?;
    bed.vm(&["dehibernate", &file])?.expect(0);
    let seen = bed.seen();
    let live = &seen.last().unwrap().payload;
    assert!(live.contains("<title>by start and dehibernate</title>"), "{live}");
    bed.vm(&["destroy", "edited"])?.expect(0);
    bed.seen();
    bed.finish()
}

fn c28_a_pause_vetoed_in_a_hibernation_leaves_the_vm_running() -> Result {
    let bed = started("awake", GuestOptions::default())?;
    bed.hook("before_vm_pause", "99_no", "echo 'no rest' >&2; exit 2")?;
    let done = bed.vm(&["hibernate", "awake", &image(&bed)])?.expect(1);
    assert!(done.error().contains("vetoed at before_vm_pause") && done.error().contains("no rest"));
    assert_eq!(points(&bed.seen()), ["before_vm_pause"], "nothing was undone: nothing was done");
    assert_eq!(state(&bed, "awake")?, "running");
    assert!(!bed.path("saved.img").exists());
    bed.vm(&["destroy", "awake"])?.expect(0);
    bed.seen();
    bed.finish()
}

fn c35_a_vetoed_hibernation_goes_on_and_says_why() -> Result {
    let bed = started("needed", GuestOptions::default())?;
    bed.hook("before_vm_hibernate", "99_no", "echo 'I am needed' >&2; exit 2")?;
    let done = bed.vm(&["hibernate", "needed", &image(&bed)])?.expect(1);
    assert!(
        done.error().starts_with("hibernate VM needed: vetoed at before_vm_hibernate: ")
            && done.error().contains("I am needed"),
        "{}",
        done.error()
    );
    assert_eq!(
        points(&bed.seen()),
        ["before_vm_pause", "after_vm_pause", "before_vm_hibernate", "before_vm_cont", "after_vm_cont"]
    );
    assert_eq!(state(&bed, "needed")?, "running");
    bed.vm(&["destroy", "needed"])?.expect(0);
    bed.seen();
    bed.finish()
}

fn c31_a_restore_whose_end_is_vetoed_leaves_no_vm() -> Result {
    let bed = started("orphan", GuestOptions::default())?;
    let file = image(&bed);
    bed.vm(&["hibernate", "orphan", &file])?.expect(0);
    bed.seen();
    bed.hook("before_vm_cont", "99_no", "echo 'not like this' >&2; exit 2")?;
    let done = bed.vm(&["dehibernate", &file])?.expect(1);
    assert!(done.error().contains("not like this"), "{}", done.error());
    let seen = bed.seen();
    assert_eq!(
        points(&seen),
        [
            "before_vm_start",
            "before_vm_dehibernate",
            "before_vm_cont",
            "before_vm_destroy",
            "after_vm_destroy"
        ]
    );
    assert!(seen[3..].iter().all(|s| s.variable("_hook_reason") == "start-failed"));
    assert_eq!((bed.qemu("orphan"), bed.state("orphan")?), (None, None));
    assert!(bed.path("saved.img").exists(), "and can be tried again");
    bed.finish()
}

fn a_restore_that_is_vetoed_restores_nothing() -> Result {
    let bed = started("unwanted", GuestOptions::default())?;
    let file = image(&bed);
    bed.vm(&["hibernate", "unwanted", &file])?.expect(0);
    bed.seen();
    bed.hook("before_vm_dehibernate", "99_no", "exit 2")?;
    bed.vm(&["dehibernate", &file])?.expect(1);
    assert_eq!(points(&bed.seen()), ["before_vm_start", "before_vm_dehibernate", DESTROY[0], DESTROY[1]]);
    assert_eq!(bed.qemu("unwanted"), None);
    // What a guest would notice is libvirt's to refuse.
    bed.hook("before_vm_dehibernate", "99_no", "sed -i 's/<vcpu[^>]*>1</<vcpu>2</' \"$_hook_domxml\"")?;
    let done = bed.vm(&["dehibernate", &file])?.expect(4);
    assert!(done.error().contains("restore VM unwanted"), "{}", done.error());
    assert_eq!(bed.qemu("unwanted"), None);
    bed.seen();
    let done = bed.vm(&["dehibernate", bed.path("nothing").to_str().unwrap()])?.expect(3);
    assert!(done.only_error().contains("nothing"), "{}", done.only_error());
    bed.finish()
}

fn a_shut_down_fires_once_the_guest_has_gone() -> Result {
    let bed = Bed::embedded()?;
    let xml = bed.file("polite.xml", &bed.xml("polite", with_nic()))?;
    bed.vm(&["start", "--xml", &xml])?.expect(0);
    bed.wait_for_guest("polite")?;
    bed.spy(&ALL)?;
    let done = bed.vm(&["shutdown", "polite", "--wait", "2m"])?.expect(0);
    assert!(done.stderr.ends_with("shut down: VM polite\n"), "{}", done.stderr);
    let seen = bed.seen();
    // The request itself has no points.
    assert_eq!(points(&seen), ["after_vm_destroy", "after_device_destroy"]);
    assert!(seen.iter().all(|s| s.variable("_hook_reason") == "shutdown"));
    assert_eq!((bed.qemu("polite"), bed.state("polite")?), (None, None));
    bed.finish()
}

fn a_guest_that_does_not_heed_is_told_of() -> Result {
    let bed = Bed::with_daemon()?;
    let options = GuestOptions { guest: virt_hooks_testhost::Guest::Deaf, ..Default::default() };
    let vm = bed.connect()?.create_xml(&bed.xml("deaf", options), CreateFlags::NONE)?;
    bed.wait_for_guest("deaf")?;
    let done = bed.vm(&["shutdown", "deaf", "--wait", "1s"])?.expect(3);
    assert!(done.error().contains("still runs after 1s"), "{}", done.error());
    assert_eq!(vm.state()?.state, State::Running);
    vm.destroy()?;
    drop(vm);
    bed.finish()
}

fn c29_metadata_that_hooks_change_holds() -> Result {
    let bed = Bed::with_daemon()?;
    bed.spy(&["after_vm_start"])?;
    let edit = "sed -i 's|</metadata>|<v:vm xmlns:v=\"http://virt-hooks.io/vm/1.0\"><v:custom>\
                <v:property name=\"made\">by a hook</v:property></v:custom></v:vm></metadata>|' \"$_hook_domxml\"";
    bed.hook("before_vm_start", "10_edit", edit)?;
    let options = GuestOptions { metadata: "<x:x xmlns:x='urn:x'/>".into(), ..Default::default() };
    let xml = bed.file("made.xml", &bed.xml("made", options))?;
    bed.vm(&["start", "--xml", &xml])?.expect(0);
    assert_eq!(bed.seen()[0].variable("made"), "by a hook");
    let shown: Value =
        serde_json::from_str(&bed.vm(&["show", "made", "--format", "json"])?.expect(0).stdout)?;
    assert_eq!(shown["properties"]["made"], "by a hook");
    bed.vm(&["destroy", "made"])?.expect(0);
    bed.finish()
}
