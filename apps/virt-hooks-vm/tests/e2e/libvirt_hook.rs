// SPDX-License-Identifier: Apache-2.0
//! `virt-hooks` as libvirt's own hook script: what fires where virsh does the work.

use crate::bed::{Bed, DESTROY, Running, START, UUID, executable, until};
use crate::traces::{Seen, points};
use crate::{Result, tests};
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::process::Command;
use virt_hooks_engine::Presence;
use virt_hooks_testhost::GuestOptions;

tests! {
    HookScript a_vm_of_virsh_fires_its_points,
    HookScript a_veto_at_prepare_is_no_start,
    HookScript what_is_wrong_after_the_start_kills_no_vm,
    HookScript a_restored_vm_is_edited,
    HookScript a_managed_save_is_edited_too,
    HookScript a_veto_keeps_a_saved_vm_saved,
    HookScript an_arriving_vm_is_edited,
    HookScript a_refused_arrival_leaves_the_vm_at_its_source,
    HookScript a_daemon_that_comes_back_keeps_its_vms_whatever_hooks_say,
    HookScript a_hook_without_end_is_ended,
    HookScript a_background_child_holds_nobody_up,
    HookScript scripts_of_others_are_let_be,
    HookScript what_a_driver_does_fires_once,
    HookScript an_agent_fires_what_it_sees,
    AgentAndScript an_agent_that_comes_while_the_script_tells_does_not_tell_again,
    AgentAndScript what_was_left_to_an_agent_that_died_is_told_by_the_next,
    AgentAndScript what_the_script_told_without_the_agent_is_not_told_again,
    HookScript changes_that_have_no_effect_are_told_once,
    HookScript a_host_may_insist_on_a_driver,
    HookScript points_of_the_host_fire_for_networks,
    HookScript a_running_daemon_is_told_when_it_is_set_up,
}

const METADATA: &str = "\
    <v:vm xmlns:v='http://virt-hooks.io/vm/1.0'>\
      <v:custom><v:property name='colour'>bl\u{fc}</v:property></v:custom>\
      <v:device alias='ua-b'><v:custom><v:property name='which'>nic</v:property></v:custom></v:device>\
    </v:vm>";
const NIC: &str = "<interface type='user'><mac address='52:54:00:00:00:0b'/><model type='e1000'/><alias name='ua-b'/></interface>";

const AFTERWARDS: [&str; 2] = ["after_vm_destroy", "after_device_destroy"];

/// A file with the XML of a VM that has a property, and a device with one.
pub(crate) fn custom(bed: &Bed, name: &str) -> Result<String> {
    let options = GuestOptions { metadata: METADATA.into(), devices: NIC.into(), ..Default::default() };
    bed.file(&format!("{name}.xml"), &bed.xml(name, options))
}

pub(crate) fn spy_on_all(bed: &Bed) -> Result {
    let table = virt_hooks_contract::Catalogue::built_in();
    let names: Vec<&str> = table
        .iter()
        .filter(|p| p.name.contains("_vm_") || p.name.contains("_device_"))
        .map(|p| &*p.name)
        .collect();
    bed.spy(&names)
}

pub(crate) fn reasons(seen: &[Seen]) -> Vec<&str> {
    seen.iter().map(|s| s.variable("_hook_reason")).collect()
}

fn a_vm_of_virsh_fires_its_points() -> Result {
    let bed = Bed::with_hook_script()?;
    spy_on_all(&bed)?;
    let xml = custom(&bed, "w\u{eb}b")?;
    bed.virsh(&["create", &xml])?.expect(0);
    let seen = bed.seen();
    assert_eq!(
        points(&seen),
        ["before_device_create", "before_vm_start", "after_vm_start", "after_device_create"]
    );
    assert_eq!(reasons(&seen), ["start"; 4]);
    for s in &seen {
        assert_eq!((s.variable("vmId"), s.variable("colour")), (UUID, "bl\u{fc}"));
        assert_eq!(s.variable("LC_ALL"), "C.UTF-8");
    }
    assert!(seen[0].payload.starts_with("<interface") && seen[0].variable("which") == "nic");
    assert!(seen[2].payload.contains("<name>w\u{eb}b</name>"), "{}", seen[2].payload);
    bed.virsh(&["destroy", UUID])?.expect(0);
    let seen = bed.seen();
    assert_eq!(points(&seen), AFTERWARDS);
    assert!(matches!(reasons(&seen)[..], ["unknown" | "destroyed", _]), "{seen:?}");
    let history = bed.run_command(&["history"])?.expect(0).stdout;
    assert!(history.contains("after_device_destroy"), "{history}");
    bed.finish()
}

fn a_veto_at_prepare_is_no_start() -> Result {
    let bed = Bed::with_hook_script()?;
    spy_on_all(&bed)?;
    bed.hook("before_vm_start", "60_license", "echo no licence left >&2; exit 2")?;
    let done = bed.virsh(&["create", &custom(&bed, "web")?])?.expect(1);
    assert!(
        done.stderr.contains(
            "start web: vetoed at before_vm_start: Hook Error: 60_license: exit code 2: no licence left"
        ),
        "{}",
        done.stderr
    );
    assert_eq!(bed.qemu("web"), None);
    let seen = bed.seen();
    // The spy of `before_vm_start` comes after the hook that stops the chain.
    assert_eq!(points(&seen), ["before_device_create", "after_vm_destroy", "after_device_destroy"]);
    assert_eq!(reasons(&seen), ["start", "start-failed", "start-failed"]);
    bed.finish()
}

fn what_is_wrong_after_the_start_kills_no_vm() -> Result {
    let bed = Bed::with_hook_script()?;
    bed.hook("after_vm_start", "50_bad", "echo gone wrong >&2; exit 2")?;
    bed.virsh(&["create", &bed.plain("web")?])?.expect(0);
    assert!(bed.qemu("web").is_some());
    let history = bed.run_command(&["history"])?.expect(0).stdout;
    assert!(history.contains("50_bad: exit code 2: gone wrong"), "{history}");
    // Not even where nothing can be read.
    fs::write(bed.path("config.toml"), "nonsense = 1\n")?;
    bed.virsh(&["destroy", "web"])?.expect(0);
    let done = bed.virsh(&["create", &bed.plain("web")?])?.expect(1);
    assert!(done.stderr.contains("config.toml:1:1: unknown key"), "{}", done.stderr);
    // Nor could the end be noted; the next life of the VM clears that.
    fs::write(bed.path("config.toml"), "")?;
    bed.virsh(&["create", &bed.plain("web")?])?.expect(0);
    bed.virsh(&["destroy", "web"])?.expect(0);
    bed.finish()
}

/// Gives the VM a title.
const RETITLE: &str = "sed -i 's|</name>|&<title>given by a hook</title>|' \"$_hook_domxml\"";

fn a_restored_vm_is_edited() -> Result {
    let bed = Bed::with_hook_script()?;
    bed.virsh(&["create", &custom(&bed, "web")?])?.expect(0);
    spy_on_all(&bed)?;
    let file = bed.path("web.save");
    bed.virsh(&["save", "web", file.to_str().unwrap()])?.expect(0);
    let seen = bed.seen();
    match reasons(&seen)[0] {
        "saved" => assert_eq!(points(&seen), [&["after_vm_hibernate"][..], &AFTERWARDS].concat()),
        "unknown" => assert_eq!(points(&seen), AFTERWARDS),
        other => panic!("{other}"),
    }
    bed.hook("before_vm_dehibernate", "10_title", RETITLE)?;
    bed.virsh(&["restore", file.to_str().unwrap()])?.expect(0);
    let seen = bed.seen();
    assert_eq!(points(&seen), ["before_vm_dehibernate", "after_vm_dehibernate"]);
    assert_eq!(reasons(&seen), ["restore"; 2]);
    assert!(
        seen.iter().all(|s| s.variable("FROM_SNAPSHOT") == "False" && s.variable("colour") == "bl\u{fc}")
    );
    assert!(seen[1].payload.contains("<title>given by a hook</title>"), "{}", seen[1].payload);
    assert_eq!(bed.virsh(&["desc", "--title", "web"])?.expect(0).stdout.trim(), "given by a hook");
    bed.virsh(&["destroy", "web"])?.expect(0);
    assert_eq!(points(&bed.seen()), AFTERWARDS);
    bed.finish()
}

fn a_managed_save_is_edited_too() -> Result {
    let bed = Bed::with_hook_script()?;
    bed.virsh(&["define", &bed.plain("web")?])?.expect(0);
    bed.virsh(&["start", "web"])?.expect(0);
    bed.virsh(&["managedsave", "web"])?.expect(0);
    spy_on_all(&bed)?;
    bed.hook("before_vm_dehibernate", "10_title", RETITLE)?;
    bed.virsh(&["start", "web"])?.expect(0);
    assert_eq!(points(&bed.seen()), ["before_vm_dehibernate", "after_vm_dehibernate"]);
    assert_eq!(bed.virsh(&["desc", "--title", "web"])?.expect(0).stdout.trim(), "given by a hook");
    bed.virsh(&["destroy", "web"])?.expect(0);
    bed.seen();
    // A plain start after all that is a plain start again.
    bed.virsh(&["start", "web"])?.expect(0);
    assert_eq!(points(&bed.seen()), START);
    bed.virsh(&["destroy", "web"])?.expect(0);
    bed.seen();
    bed.virsh(&["undefine", "web"])?.expect(0);
    bed.finish()
}

fn a_veto_keeps_a_saved_vm_saved() -> Result {
    let bed = Bed::with_hook_script()?;
    bed.virsh(&["create", &bed.plain("web")?])?.expect(0);
    let file = bed.path("web.save");
    bed.virsh(&["save", "web", file.to_str().unwrap()])?.expect(0);
    bed.hook("before_vm_dehibernate", "10_no", "echo not today >&2; exit 1")?;
    spy_on_all(&bed)?;
    let done = bed.virsh(&["restore", file.to_str().unwrap()])?.expect(1);
    assert!(
        done.stderr.contains(
            "restore web: vetoed at before_vm_dehibernate: Hook Error: 10_no: exit code 1: not today"
        ),
        "{}",
        done.stderr
    );
    assert_eq!(bed.qemu("web"), None);
    assert_eq!(points(&bed.seen()), ["before_vm_dehibernate"]);
    // What was refused is no restore under way.
    bed.virsh(&["create", &bed.plain("web")?])?.expect(0);
    assert_eq!(points(&bed.seen()), START);
    bed.virsh(&["destroy", "web"])?.expect(0);
    bed.seen();
    bed.finish()
}

/// A URI at which the destination takes a migration, reachable from both namespaces.
fn migrate(source: &Bed, destination: &Bed, vm: &str) -> Result<crate::bed::Done> {
    let socket = format!("unix://{}", destination.path("m.sock").display());
    source.virsh(&["migrate", "--live", vm, destination.uri(), &socket])
}

fn an_arriving_vm_is_edited() -> Result {
    let (a, b) = (Bed::with_hook_script()?, Bed::with_hook_script()?);
    a.virsh(&["create", &custom(&a, "web")?])?.expect(0);
    spy_on_all(&a)?;
    spy_on_all(&b)?;
    b.hook("before_vm_migrate_destination", "10_title", RETITLE)?;
    migrate(&a, &b, "web")?.expect(0);
    let seen = b.seen();
    assert_eq!(points(&seen), ["before_device_migrate_destination", "before_vm_migrate_destination"]);
    for s in &seen {
        let of = |name| s.variable(name);
        assert_eq!(
            (of("_hook_role"), of("_hook_reason"), of("_hook_attempt")),
            ("destination", "migrate", "1")
        );
        assert_eq!((of("vmId"), of("colour")), (UUID, "bl\u{fc}"));
    }
    assert_eq!(b.virsh(&["desc", "--title", "web"])?.expect(0).stdout.trim(), "given by a hook");
    let seen = a.seen();
    match reasons(&seen)[0] {
        "migrated" => assert_eq!(
            points(&seen),
            [&["after_vm_migrate_source", "after_device_migrate_source"][..], &AFTERWARDS].concat()
        ),
        "unknown" => assert_eq!(points(&seen), AFTERWARDS),
        other => panic!("{other}"),
    }
    assert_eq!((a.state("web")?, b.state("web")?.as_deref()), (None, Some("running")));
    b.virsh(&["destroy", "web"])?.expect(0);
    assert_eq!(points(&b.seen()), AFTERWARDS);
    a.finish()?;
    b.finish()
}

fn a_refused_arrival_leaves_the_vm_at_its_source() -> Result {
    let (a, b) = (Bed::with_hook_script()?, Bed::with_hook_script()?);
    a.virsh(&["create", &a.plain("web")?])?.expect(0);
    spy_on_all(&a)?;
    b.spy(&["before_vm_migrate_destination"])?;
    b.hook(
        "before_vm_migrate_destination",
        "95_no",
        &format!("[ -e '{}' ] || {{ echo no room >&2; exit 1; }}", b.path("go").display()),
    )?;
    let done = migrate(&a, &b, "web")?.expect(1);
    assert!(
        done.stderr.contains(
            "take over web: vetoed at before_vm_migrate_destination: Hook Error: 95_no: exit code 1: no room"
        ),
        "{}",
        done.stderr
    );
    assert_eq!((a.state("web")?.as_deref(), b.state("web")?), (Some("running"), None));
    assert!(a.seen().is_empty());
    assert_eq!(b.seen()[0].variable("_hook_attempt"), "1");
    fs::write(b.path("go"), "")?;
    migrate(&a, &b, "web")?.expect(0);
    assert_eq!(b.seen()[0].variable("_hook_attempt"), "2");
    a.seen();
    b.virsh(&["destroy", "web"])?.expect(0);
    a.finish()?;
    b.finish()
}

fn a_daemon_that_comes_back_keeps_its_vms_whatever_hooks_say() -> Result {
    let mut bed = Bed::with_hook_script()?;
    bed.virsh(&["create", &bed.plain("web")?])?.expect(0);
    spy_on_all(&bed)?;
    bed.file("points.d/site.toml", "[[point]]\nname = \"libvirt_qemu_reconnect\"\nsummary = \"The daemon is back\"\nfailure = \"veto\"\n")?;
    bed.spy(&["libvirt_qemu_reconnect"])?;
    bed.hook("libvirt_qemu_reconnect", "95_bad", "exit 2")?;
    let before = bed.process("web").unwrap().pid;
    bed.stop_daemon()?;
    bed.start_daemon()?;
    // libvirt answers before the hook has ended, which the journal tells of.
    let journal = bed.path("state/journal.jsonl");
    until("the hook has ended", || {
        fs::read_to_string(&journal).is_ok_and(|j| j.contains("95_bad: exit code 2"))
    });
    assert_eq!(points(&bed.seen()), ["libvirt_qemu_reconnect"]);
    assert_eq!(bed.virsh(&["domstate", "web"])?.expect(0).stdout.trim(), "running");
    assert_eq!(bed.process("web").unwrap().pid, before);
    bed.virsh(&["destroy", "web"])?.expect(0);
    assert_eq!(points(&bed.seen()), ["after_vm_destroy"]);
    bed.finish()
}

fn a_hook_without_end_is_ended() -> Result {
    let bed = Bed::with_hook_script()?;
    fs::write(bed.path("config.toml"), "grace = \"1s\"\n[libvirt_hook]\ndeadline = \"3s\"\n")?;
    bed.hook("before_vm_start", "50_endless", "exec sleep 3600")?;
    let done = bed.virsh(&["create", &bed.plain("web")?])?.expect(1);
    assert!(
        done.stderr.contains(
            "start web: before_vm_start: its hooks did not end within 3s: see deadline of [libvirt_hook] in config.toml"
        ),
        "{}",
        done.stderr
    );
    bed.finish()
}

fn a_background_child_holds_nobody_up() -> Result {
    let bed = Bed::with_hook_script()?;
    let pid = bed.path("pid");
    let body = format!(
        "setsid sh -c 'echo $$ >{0}.new; mv {0}.new {0}; exec sleep 3600' & until [ -e {0} ]; do sleep 0.01; done",
        pid.display()
    );
    bed.hook("before_vm_start", "50_background", &body)?;
    bed.virsh(&["create", &bed.plain("web")?])?.expect(0);
    let child: i32 = fs::read_to_string(&pid)?.trim().parse()?;
    assert!(fs::read_to_string(format!("/proc/{child}/cmdline"))?.starts_with("sleep"), "it still runs");
    let child = rustix::process::Pid::from_raw(child).unwrap();
    rustix::process::kill_process(child, rustix::process::Signal::KILL)?;
    bed.virsh(&["destroy", "web"])?.expect(0);
    bed.finish()
}

fn scripts_of_others_are_let_be() -> Result {
    let bed = Bed::with_hook_script()?;
    // VFIO-Tools keeps a tree per VM in the same place, and a script that runs what is in it.
    let theirs = bed.hook_scripts().join("qemu.d");
    executable(
        &theirs.join("web/prepare/begin"),
        "start.sh",
        &format!(": >'{}'", bed.path("vfio").display()),
    )?;
    let main = format!(
        "for s in '{}'/\"$1/$2/$3\"/*; do [ -x \"$s\" ] && \"$s\"; done; cat >/dev/null; exit 0",
        theirs.display()
    );
    executable(&bed.hook_scripts(), "qemu", &main)?;
    bed.spy(&START)?;
    bed.virsh(&["create", &bed.plain("web")?])?.expect(0);
    assert!(bed.path("vfio").exists());
    assert_eq!(points(&bed.seen()), START);
    bed.virsh(&["destroy", "web"])?.expect(0);
    bed.finish()
}

fn what_a_driver_does_fires_once() -> Result {
    let bed = Bed::with_hook_script()?;
    bed.spy(&[&START[..], &DESTROY].concat())?;
    let xml = bed.plain("web")?;
    bed.vm(&["start", "--xml", &xml])?.expect(0);
    assert_eq!(points(&bed.seen()), START);
    bed.vm(&["destroy", "web"])?.expect(0);
    assert_eq!(points(&bed.seen()), DESTROY);
    // What libvirt refuses is cleaned up after once, too.
    let broken = bed.xml("web", GuestOptions::default()).replace("/ack.bin", "/missing.bin");
    bed.vm(&["start", "--xml", &bed.file("broken.xml", &broken)?])?.expect(4);
    assert_eq!(points(&bed.seen()), ["before_vm_start", "before_vm_destroy", "after_vm_destroy"]);
    // One that a driver started and somebody else ends is told of here.
    bed.vm(&["start", "--xml", &xml])?.expect(0);
    bed.seen();
    bed.virsh(&["destroy", "web"])?.expect(0);
    assert_eq!(points(&bed.seen()), ["after_vm_destroy"]);
    bed.finish()
}

fn an_agent_fires_what_it_sees() -> Result {
    let bed = Bed::with_hook_script()?;
    spy_on_all(&bed)?;
    fs::create_dir_all(bed.path("payloads"))?;
    let socket = bed.path("payloads/agent.sock");
    let listener = UnixListener::bind(&socket)?;
    let cycle = || -> Result<(Vec<String>, Vec<String>)> {
        let named = || points(&bed.seen()).into_iter().map(str::to_owned).collect::<Vec<_>>();
        bed.virsh(&["create", &bed.plain("web")?])?.expect(0);
        let started = named();
        bed.virsh(&["destroy", "web"])?.expect(0);
        Ok((started, named()))
    };
    let here = (START.map(str::to_owned).to_vec(), vec!["after_vm_destroy".to_owned()]);
    // A service manager's socket is no agent, nor is one that did not look at its VMs yet.
    assert_eq!(cycle()?, here);
    let agent = Presence::take(&bed.path("payloads"))?;
    assert_eq!(cycle()?, here);
    agent.serves(bed.uri())?;
    assert_eq!(cycle()?, here);
    agent.watches(bed.uri())?;
    assert_eq!(cycle()?, (vec![START[0].to_owned()], vec![]), "nobody else can see the start coming");
    agent.watches("lxc:///system")?;
    assert_eq!(cycle()?, here, "it looks after others");
    drop(agent);
    assert_eq!(cycle()?, here);
    drop(listener);
    fs::remove_file(socket)?;
    bed.finish()
}

/// What one life of a VM fires where others start and end it.
const LIFE: [&str; 3] = ["before_vm_start", "after_vm_start", "after_vm_destroy"];

fn an_agent_that_comes_while_the_script_tells_does_not_tell_again() -> Result {
    let bed = Bed::with_hook_script()?;
    bed.count(&[&START[..], &DESTROY].concat())?;
    let wait = format!(
        "cd '{}'; : >ready; n=0; until [ -e go ] || [ $n -gt 5000 ]; do sleep 0.02; n=$((n+1)); done",
        bed.root().display()
    );
    bed.hook("after_vm_start", "10_wait", &wait)?;
    let xml = bed.plain("web")?;
    let mut creating = Running::of(Command::new("virsh").args(["-c", bed.uri(), "create", &xml]))?;
    creating.wait_for(&bed, "ready")?;
    let agent = bed.begin_agent()?;
    until("the agent listens", || bed.has_agent());
    bed.file("go", "")?;
    creating.wait()?.expect(0);
    bed.wait_for_state("web", "running");
    bed.virsh(&["destroy", "web"])?.expect(0);
    assert_eq!(bed.wait_for_count(UUID, 3), LIFE);
    agent.stop()?;
    assert_eq!(bed.counted(UUID), LIFE);
    bed.finish()
}

fn what_was_left_to_an_agent_that_died_is_told_by_the_next() -> Result {
    let bed = Bed::with_hook_script()?;
    bed.count(&[&START[..], &DESTROY].concat())?;
    let dies = Presence::take(&bed.path("payloads"))?;
    dies.watches(bed.uri())?;
    bed.virsh(&["create", &bed.plain("web")?])?.expect(0);
    assert_eq!(bed.counted(UUID), LIFE[..1]);
    drop(dies);
    let agent = bed.start_agent()?;
    assert_eq!(bed.wait_for_count(UUID, 2), LIFE[..2]);
    agent.stop()?;
    // The script tells of the end, as no agent is there, and one that comes back does not again.
    bed.virsh(&["destroy", "web"])?.expect(0);
    assert_eq!(bed.counted(UUID), LIFE);
    let agent = bed.start_agent()?;
    agent.stop()?;
    assert_eq!(bed.counted(UUID), LIFE);
    bed.finish()
}

fn what_the_script_told_without_the_agent_is_not_told_again() -> Result {
    let bed = Bed::with_hook_script()?;
    bed.count(&[&START[..], &DESTROY].concat())?;
    let xml = bed.plain("web")?;
    let agent = bed.start_agent()?;
    bed.virsh(&["create", &xml])?.expect(0);
    assert_eq!(bed.wait_for_count(UUID, 2), LIFE[..2]);
    agent.kill()?;
    // Another life, which the agent heard nothing of.
    bed.virsh(&["destroy", "web"])?.expect(0);
    bed.virsh(&["create", &xml])?.expect(0);
    let until_now = [&LIFE[..], &LIFE[..2]].concat();
    assert_eq!(bed.counted(UUID), until_now);
    let agent = bed.start_agent()?;
    bed.virsh(&["destroy", "web"])?.expect(0);
    let all = [LIFE, LIFE].concat();
    assert_eq!(bed.wait_for_count(UUID, 6), all);
    agent.stop()?;
    assert_eq!(bed.counted(UUID), all);
    bed.tidy_payloads()?;
    bed.finish()
}

/// Makes the VM 8 MiB larger.
const ENLARGE: &str =
    "sed -i -e 's/>16384</>24576</g' -e 's/\\(unit=.MiB.\\)>16</\\1>24</' \"$_hook_domxml\"";

fn changes_that_have_no_effect_are_told_once() -> Result {
    let bed = Bed::with_hook_script()?;
    bed.hook("before_vm_start", "10_memory", ENLARGE)?;
    for _ in 0..2 {
        bed.virsh(&["create", &bed.plain("web")?])?.expect(0);
        assert!(bed.qemu("web").unwrap().contains("16777216"), "as it was defined");
        bed.virsh(&["destroy", "web"])?.expect(0);
    }
    let journal = fs::read_to_string(bed.path("state/journal.jsonl"))?;
    let told = "web: hooks changed its XML at before_vm_start, and libvirt starts it without these changes";
    assert_eq!(journal.matches(told).count(), 1, "{journal}");
    let noted = bed.path("state/unheeded").join(UUID);
    assert_eq!(fs::read_to_string(&noted)?, "web");
    // Once there is nothing left to tell, that is forgotten.
    bed.hook("before_vm_start", "10_memory", "")?;
    bed.virsh(&["create", &bed.plain("web")?])?.expect(0);
    assert!(!noted.exists());
    bed.virsh(&["destroy", "web"])?.expect(0);
    bed.finish()
}

fn a_host_may_insist_on_a_driver() -> Result {
    let bed = Bed::with_hook_script()?;
    fs::write(bed.path("config.toml"), "require_agent = true\n")?;
    let xml = bed.plain("web")?;
    // Hooks that change nothing are honoured whoever starts the VM.
    bed.spy(&START)?;
    bed.virsh(&["create", &xml])?.expect(0);
    bed.virsh(&["destroy", "web"])?.expect(0);
    bed.hook("before_vm_start", "10_memory", ENLARGE)?;
    for _ in 0..2 {
        let done = bed.virsh(&["create", &xml])?.expect(1);
        assert!(
            done.stderr.contains("start it with \"virt-hooks vm start web\"")
                && done.stderr.contains("\"virt-hooks vm apply web\""),
            "{}",
            done.stderr
        );
    }
    bed.vm(&["start", "--xml", &xml])?.expect(0);
    assert!(bed.qemu("web").unwrap().contains("25165824"));
    bed.vm(&["destroy", "web"])?.expect(0);
    bed.seen();
    bed.finish()
}

fn points_of_the_host_fire_for_networks() -> Result {
    let bed = Bed::with_hook_script()?;
    let mut site = String::new();
    for (operation, more) in [("start", "failure = \"veto\"\n"), ("started", ""), ("stopped", "")] {
        site.push_str(&format!(
            "[[point]]\nname = \"libvirt_network_{operation}\"\nsummary = \"A network\"\n{more}"
        ));
    }
    bed.file("points.d/site.toml", &site)?;
    bed.spy(&["libvirt_network_start", "libvirt_network_started", "libvirt_network_stopped"])?;
    // One over a bridge of the host's: libvirt makes nothing for it.
    let xml = bed.file(
        "net.xml",
        "<network><name>n</name><forward mode='bridge'/><bridge name='virt-hooks-none'/></network>",
    )?;
    bed.virsh(&["net-create", &xml])?.expect(0);
    let seen = bed.seen();
    assert_eq!(points(&seen), ["libvirt_network_start", "libvirt_network_started"]);
    assert!(seen[0].payload.contains("<hookData>") && seen[0].variable("vmId").is_empty(), "{seen:?}");
    bed.virsh(&["net-destroy", "n"])?.expect(0);
    assert_eq!(points(&bed.seen()), ["libvirt_network_stopped"]);
    bed.hook("libvirt_network_start", "50_no", "exit 1")?;
    bed.virsh(&["net-create", &xml])?.expect(1);
    bed.finish()
}

fn a_running_daemon_is_told_when_it_is_set_up() -> Result {
    // A daemon that found no script at all when it started.
    let bed = Bed::with_daemon()?;
    bed.spy(&["before_vm_start"])?;
    let image = bed.path("image");
    fs::create_dir_all(image.join("etc"))?;
    fs::create_dir_all(image.join("run"))?;
    symlink(bed.path("daemon/etc"), image.join("etc/libvirt"))?;
    symlink(bed.path("daemon/libvirtd.pid"), image.join("run/libvirtd.pid"))?;
    let command = bed.path("bin/virt-hooks");
    let set_up = |verb: &str| {
        let (image, command) = (image.to_str().unwrap(), command.to_str().unwrap());
        bed.run_command(&["libvirt-hook", verb, "--root", image, "--command", command])
    };
    set_up("status")?.expect(1);
    bed.virsh(&["create", &bed.plain("before")?])?.expect(0);
    bed.virsh(&["destroy", "before"])?.expect(0);
    assert!(bed.seen().is_empty());

    bed.command_that_knows_its_places(&bed.path("bin"), "virt-hooks", "qemu")?;
    let said = set_up("install")?.expect(0).stdout;
    assert!(said.contains("reloaded by SIGHUP"), "{said}");
    let said = set_up("status")?.expect(0).stdout;
    assert!(said.contains("calls it") && !said.contains("not told"), "{said}");
    // libvirt looks when it comes to it: the signal is not waited for by anybody.
    until("the daemon has looked again", || {
        bed.virsh(&["create", &bed.plain("after").unwrap()]).unwrap().expect(0);
        bed.virsh(&["destroy", "after"]).unwrap().expect(0);
        !bed.seen().is_empty()
    });
    set_up("remove")?.expect(0);
    bed.virsh(&["create", &bed.plain("gone")?])?.expect(0);
    bed.virsh(&["destroy", "gone"])?.expect(0);
    assert!(bed.seen().is_empty());
    bed.finish()
}
