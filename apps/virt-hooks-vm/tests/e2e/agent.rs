// SPDX-License-Identifier: Apache-2.0
//! The agent: what it is asked, and what it sees others do.

use crate::bed::{ALL, Bed, Running, UUID, agent, until};
use crate::pausing::{REST, RESTORED, with_nic};
use crate::traces::points;
use crate::{Result, tests};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::thread;
use virt_hooks_libvirt::CreateFlags;
use virt_hooks_testhost::{Guest, GuestOptions};

tests! {
    Agent the_command_says_the_same_with_and_without_an_agent,
    Agent what_others_do_has_its_after_points,
    Agent c08_a_guest_that_powers_off_is_cleaned_up_after_once,
    Agent c09_a_slow_hook_keeps_no_other_vm_waiting,
    Agent c10_a_hibernation_is_one_under_the_agent_too,
    Agent c11_a_vm_created_paused_by_others_fires_no_pause,
    Agent c34_a_crash_is_told_as_one,
    AgentImages c34_a_disk_that_fails_pauses_the_vm_and_says_why,
    Agent c35_a_veto_is_told_in_the_hooks_own_words,
    Agent operations_on_one_vm_wait_for_each_other,
    Agent a_hook_may_ask_for_the_next_operation_on_its_vm,
    Agent eight_vms_at_once_each_in_order,
    Agent an_interrupt_reaches_the_operation,
    Agent a_stop_lets_hooks_finish,
    Agent the_protocol_is_varlink_and_needs_no_client,
    AgentPython others_are_not_let_in,
    AgentPython a_socket_that_is_handed_over_is_used,
    Agent beside_an_agent_nobody_works_by_himself,
    Agent every_operation_goes_through_the_agent,
}

const POINTS: [&str; 12] = [
    "before_vm_start",
    "after_vm_start",
    "after_device_create",
    "before_vm_pause",
    "after_vm_pause",
    "before_vm_cont",
    "after_vm_cont",
    "after_vm_hibernate",
    "before_device_destroy",
    "before_vm_destroy",
    "after_vm_destroy",
    "after_device_destroy",
];

/// Numbers are times, process ids and the like; how often a slow step is told of is chance.
fn without_numbers(text: &str) -> String {
    let plain = |line: &str| line.chars().filter(|c| !c.is_ascii_digit() && *c != ' ').collect::<String>();
    text.lines().map(|line| plain(line).replace("s...", "") + "\n").collect()
}

fn the_command_says_the_same_with_and_without_an_agent() -> Result {
    let bed = Bed::with_daemon()?;
    bed.hook(
        "before_vm_start",
        "10_edit",
        "echo words >&2; sed -i \"s/'MiB'>16</'MiB'>24</\" \"$_hook_domxml\"",
    )?;
    bed.hook("after_vm_start", "10_fail", "echo 'cannot' >&2; exit 1")?;
    bed.hook("before_vm_pause", "10_no", "echo 'stay up' >&2; exit 2")?;
    bed.hook("before_vm_pause", "20_never", "exit 0")?;
    let xml = bed.file("same.xml", &bed.xml("same", with_nic()))?;
    let all = || -> Result<Vec<(String, Value)>> {
        let start = bed.vm(&["start", "--xml", &xml, "--diff", "--report", "-"])?.expect(0);
        let pause = bed.vm(&["pause", "same", "--report", "-"])?.expect(1);
        let again = bed.vm(&["start", "same"])?.expect(3);
        let destroy = bed.vm(&["destroy", "same", "--report", "-"])?.expect(0);
        let nobody = bed.vm(&["destroy", "nobody"])?.expect(3);
        let mut said = Vec::new();
        for done in [start, pause, again, destroy, nobody] {
            let report = serde_json::from_str(&done.stdout).unwrap_or(Value::Null);
            said.push((without_numbers(&done.stderr), report));
        }
        Ok(said)
    };
    let alone = all()?;
    let agent = bed.start_agent()?;
    let through = all()?;
    agent.stop()?;
    for ((alone, a), (through, b)) in alone.iter().zip(&through) {
        assert_eq!(alone, through);
        for key in ["verb", "result", "vm_name", "error"] {
            assert_eq!(a[key], b[key]);
        }
        let names = |r: &Value| -> Vec<String> {
            let events = r["events"].as_array().cloned().unwrap_or_default();
            events.iter().map(|e| format!("{} {}", e["point"], e["error"])).collect()
        };
        assert_eq!(names(a), names(b));
    }
    assert!(through[0].0.contains("+<memoryunit="), "the diff comes along: {}", through[0].0);
    bed.finish()
}

fn what_others_do_has_its_after_points() -> Result {
    let bed = Bed::with_daemon()?;
    bed.spy(&POINTS)?;
    let agent = bed.start_agent()?;
    let connection = bed.connect()?;
    let vm = connection.create_xml(&bed.xml("others", with_nic()), CreateFlags::NONE)?;
    let wait = |count: usize| {
        until("the points", || {
            std::fs::read_dir(bed.path("seen"))
                .unwrap()
                .flatten()
                .filter(|e| e.path().extension().is_some_and(|x| x == "point"))
                .count()
                >= count
        });
    };
    wait(2);
    vm.suspend()?;
    wait(3);
    vm.resume()?;
    wait(4);
    vm.destroy()?;
    wait(6);
    agent.stop()?;
    let seen = bed.seen();
    assert_eq!(
        points(&seen),
        [
            "after_vm_start",
            "after_device_create",
            "after_vm_pause",
            "after_vm_cont",
            "after_vm_destroy",
            "after_device_destroy"
        ]
    );
    let reasons: Vec<&str> = seen.iter().map(|s| s.variable("_hook_reason")).collect();
    assert_eq!(
        reasons,
        [
            "started-by-others",
            "started-by-others",
            "pause",
            "cont",
            "destroyed-by-others",
            "destroyed-by-others"
        ]
    );
    assert!(seen.iter().all(|s| s.variable("vmId") == UUID));
    for s in [&seen[1], &seen[5]] {
        assert_eq!(s.variable("link"), "slow");
        assert!(
            s.payload.starts_with("<interface") && s.payload.contains("52:54:00:00:00:0a"),
            "{}",
            s.payload
        );
    }
    assert!(seen[4].payload.contains(" id='"), "as last known: {}", seen[4].payload);
    bed.finish()
}

fn c08_a_guest_that_powers_off_is_cleaned_up_after_once() -> Result {
    let bed = Bed::with_daemon()?;
    bed.count(&POINTS)?;
    let agent = bed.start_agent()?;
    let connection = bed.connect()?;
    let stored = connection.define_xml(&bed.xml("off", GuestOptions::default()))?;
    bed.vm(&["start", "off"])?.expect(0);
    bed.wait_for_guest("off")?;
    stored.shutdown()?;
    let seen = bed.wait_for_count(UUID, 3);
    assert_eq!(seen, ["before_vm_start", "after_vm_start", "after_vm_destroy"]);
    until("it is off", || !stored.is_active().unwrap_or(true));
    // VDSM fires before_vm_destroy now, after after_vm_destroy.
    let done = bed.vm(&["destroy", "off"])?.expect(3);
    assert!(
        done.error().contains("it went by itself (shutdown)")
            && done.error().contains("before_vm_destroy is not fired"),
        "{}",
        done.error()
    );
    assert_eq!(bed.counted(UUID).len(), 3);
    agent.stop()?;
    stored.undefine()?;
    drop((stored, connection));
    bed.finish()
}

/// The second sector cannot be read the first time, and can afterwards.
const FAILING: &str =
    "[inject-error]\nevent = \"read_aio\"\niotype = \"read\"\nerrno = \"5\"\nsector = \"1\"\nonce = \"on\"\n";

fn c34_a_disk_that_fails_pauses_the_vm_and_says_why() -> Result {
    let bed = Bed::with_daemon()?;
    bed.spy(&POINTS)?;
    let agent = bed.start_agent()?;
    bed.hook("after_vm_pause", "95_told", &format!(": >'{}'", bed.path("told").display()))?;
    let (image, rules, socket) = (bed.path("d.raw"), bed.file("rules", FAILING)?, bed.path("nbd.sock"));
    std::fs::write(&image, vec![0; 1 << 20])?;
    let options = format!(
        "driver=raw,file.driver=blkdebug,file.config={rules},file.image.driver=file,file.image.filename={}",
        image.display()
    );
    let mut server = Command::new("qemu-nbd");
    server.args(["--persistent", "--socket"]).arg(&socket).args(["--image-opts", &options]);
    let server = Running::of(&mut server)?;
    until("the disk is served", || socket.exists());
    let devices = format!(
        "<disk type='network' device='disk'><driver name='qemu' type='raw' error_policy='stop' rerror_policy='stop'/>\
         <source protocol='nbd'><host transport='unix' socket='{}'/></source><target dev='hda' bus='ide'/></disk>",
        socket.display()
    );
    let options = GuestOptions { guest: Guest::Reading, devices, ..Default::default() };
    bed.vm(&["start", "--xml", &bed.file("reads.xml", &bed.xml("reads", options))?])?.expect(0);
    bed.wait_for_state("reads", "paused");
    // After the spy, which has come to its end then.
    bed.wait_for("told");
    let seen = bed.seen();
    assert_eq!(points(&seen), ["before_vm_start", "after_vm_start", "after_vm_pause"]);
    assert_eq!(seen[2].variable("_hook_reason"), "io-error");
    // Its disk is well again.
    bed.vm(&["cont", "reads"])?.expect(0);
    assert_eq!(points(&bed.seen()), ["before_vm_cont", "after_vm_cont"]);
    assert_eq!(bed.state("reads")?.as_deref(), Some("running"));
    bed.vm(&["destroy", "reads"])?.expect(0);
    bed.seen();
    agent.stop()?;
    drop(server);
    bed.finish()
}

fn c09_a_slow_hook_keeps_no_other_vm_waiting() -> Result {
    const OTHER: &str = "7f0c2a3e-1111-4222-8333-444455556666";
    let bed = Bed::with_daemon()?;
    let agent = bed.start_agent()?;
    let connection = bed.connect()?;
    let slow = connection.create_xml(&bed.xml("slow", GuestOptions::default()), CreateFlags::NONE)?;
    let options = GuestOptions { uuid: Some(OTHER.into()), ..Default::default() };
    let quick = connection.create_xml(&bed.xml("quick", options), CreateFlags::NONE)?;
    bed.count(&["after_vm_pause", "after_vm_cont"])?;
    let wait = format!(
        "[ $vmId = {UUID} ] || exit 0; cd '{}'; : >ready; until [ -e go ]; do sleep 0.01; done",
        bed.root().display()
    );
    bed.hook("after_vm_pause", "10_wait", &wait)?;
    slow.suspend()?;
    bed.wait_for("ready");
    // More of the slow one queue up, and the quick one is served.
    slow.resume()?;
    quick.suspend()?;
    quick.resume()?;
    assert_eq!(bed.wait_for_count(OTHER, 2), ["after_vm_pause", "after_vm_cont"]);
    assert_eq!(bed.counted(UUID), Vec::<String>::new());
    bed.file("go", "")?;
    assert_eq!(bed.wait_for_count(UUID, 2), ["after_vm_pause", "after_vm_cont"]);
    slow.destroy()?;
    quick.destroy()?;
    agent.stop()?;
    drop((slow, quick, connection));
    bed.finish()
}

fn c10_a_hibernation_is_one_under_the_agent_too() -> Result {
    let bed = Bed::with_daemon()?;
    bed.count(&POINTS)?;
    let agent = bed.start_agent()?;
    let file = bed.path("saved.img");
    for _ in 0..3 {
        bed.vm(&["start", "--xml", &bed.plain("saved")?])?.expect(0);
        bed.vm(&["hibernate", "saved", file.to_str().unwrap()])?.expect(0);
        std::fs::remove_file(&file)?;
    }
    agent.stop()?;
    let one = [
        "before_vm_start",
        "after_vm_start",
        "before_vm_pause",
        "after_vm_pause",
        "after_vm_hibernate",
        "before_vm_destroy",
        "after_vm_destroy",
    ];
    assert_eq!(bed.counted(UUID), [one, one, one].concat());
    bed.finish()
}

fn c11_a_vm_created_paused_by_others_fires_no_pause() -> Result {
    let bed = Bed::with_daemon()?;
    bed.count(&POINTS)?;
    let agent = bed.start_agent()?;
    let connection = bed.connect()?;
    let vm = connection.create_xml(&bed.xml("still", GuestOptions::default()), CreateFlags::START_PAUSED)?;
    // Step by step: of a VM that is gone before the agent could look at it, it knows no XML to give to hooks.
    bed.wait_for_count(UUID, 1);
    vm.resume()?;
    bed.wait_for_count(UUID, 2);
    vm.destroy()?;
    assert_eq!(bed.wait_for_count(UUID, 3), ["after_vm_start", "after_vm_cont", "after_vm_destroy"]);
    // And by us.
    bed.vm(&["start", "--paused", "--xml", &bed.plain("still")?])?.expect(0);
    bed.vm(&["destroy", "still"])?.expect(0);
    agent.stop()?;
    assert_eq!(
        bed.counted(UUID)[3..],
        ["before_vm_start", "after_vm_start", "before_vm_destroy", "after_vm_destroy"]
    );
    drop((vm, connection));
    bed.finish()
}

fn c34_a_crash_is_told_as_one() -> Result {
    let bed = Bed::with_daemon()?;
    bed.spy(&["after_vm_destroy"])?;
    let agent = bed.start_agent()?;
    bed.vm(&["start", "--xml", &bed.plain("dies")?])?.expect(0);
    let qemu = bed.process("dies").expect("QEMU runs");
    rustix::process::kill_process(rustix::process::Pid::from_raw(qemu.pid).unwrap(), Signal::KILL)?;
    until("the point", || bed.path("seen/0.point").exists());
    agent.stop()?;
    let seen = bed.seen();
    assert_eq!((points(&seen), seen[0].variable("_hook_reason")), (vec!["after_vm_destroy"], "failed"));
    bed.finish()
}

fn c35_a_veto_is_told_in_the_hooks_own_words() -> Result {
    let bed = Bed::with_daemon()?;
    bed.hook("before_vm_hibernate", "10_no", "echo 'I am needed' >&2; exit 2")?;
    let agent = bed.start_agent()?;
    bed.vm(&["start", "--xml", &bed.plain("needed")?])?.expect(0);
    let parameters = json!({"vm": "needed", "file": bed.path("x.img")});
    let replies = call(&bed, &json!({"method": "io.virthooks.Agent.Hibernate", "parameters": parameters}))?;
    assert_eq!(replies.len(), 1);
    assert_eq!(replies[0]["error"], "io.virthooks.Agent.Vetoed");
    let message = replies[0]["parameters"]["message"].as_str().unwrap();
    assert!(
        message.contains("vetoed at before_vm_hibernate") && message.contains("I am needed"),
        "{message}"
    );
    assert_eq!(bed.state("needed")?.as_deref(), Some("running"));
    bed.vm(&["destroy", "needed"])?.expect(0);
    agent.stop()?;
    bed.finish()
}

fn operations_on_one_vm_wait_for_each_other() -> Result {
    let bed = Bed::with_daemon()?;
    bed.count(&POINTS)?;
    let wait = format!("cd '{}'; : >ready; until [ -e go ]; do sleep 0.01; done", bed.root().display());
    let agent = bed.start_agent()?;
    bed.vm(&["start", "--xml", &bed.plain("queue")?])?.expect(0);
    bed.hook("before_vm_pause", "10_wait", &wait)?;
    let mut pausing = bed.begin(&["pause", "queue"])?;
    pausing.wait_for(&bed, "ready")?;
    let destroying = bed.begin(&["destroy", "queue"])?;
    // Others are served meanwhile, and the destroy does not begin.
    assert_eq!(bed.state("queue")?.as_deref(), Some("running"));
    assert_eq!(bed.counted(UUID).len(), 2);
    bed.file("go", "")?;
    pausing.wait()?.expect(0);
    let done = destroying.wait()?.expect(0);
    assert!(done.stderr.contains("wait for another operation on VM queue"), "{}", done.stderr);
    agent.stop()?;
    assert_eq!(
        bed.counted(UUID)[2..],
        ["before_vm_pause", "after_vm_pause", "before_vm_destroy", "after_vm_destroy"]
    );
    bed.finish()
}

/// Whose start is the agent's, or the command's own.
fn a_hook_may_ask_for_the_next_operation_on_its_vm() -> Result {
    for with_agent in [true, false] {
        asks_for_the_next_operation(with_agent)?;
    }
    Ok(())
}

fn asks_for_the_next_operation(with_agent: bool) -> Result {
    let bed = Bed::with_daemon()?;
    bed.count(&["after_vm_start", "before_vm_cont", "after_vm_cont"])?;
    // VDSM's openstacknet does this.
    let ask = format!(
        "{}export LIBVIRT_DEFAULT_URI='{}'\n'{}' vm cont \"$vmId\"",
        bed.exports(),
        bed.uri(),
        env!("CARGO_BIN_EXE_virt-hooks-vm")
    );
    bed.hook("after_vm_start", "50_cont", &ask)?;
    let agent = with_agent.then(|| bed.start_agent()).transpose()?;
    let done = bed.vm(&["start", "--paused", "--xml", &bed.plain("asks")?])?.expect(0);
    assert!(done.stderr.contains("proceed: after_vm_start: 2 hooks"), "{}", done.stderr);
    // An agent fires what comes after the cont in turn.
    let order = match with_agent {
        true => ["before_vm_cont", "after_vm_start", "after_vm_cont"],
        false => ["before_vm_cont", "after_vm_cont", "after_vm_start"],
    };
    assert_eq!(bed.wait_for_count(UUID, 3), order);
    assert_eq!(bed.state("asks")?.as_deref(), Some("running"));
    bed.vm(&["destroy", "asks"])?.expect(0);
    if let Some(agent) = agent {
        agent.stop()?;
    }
    assert_eq!(bed.counted(UUID).len(), 3);
    assert_eq!(
        crate::traces::entries(&bed.path("state/vms")),
        Vec::<std::path::PathBuf>::new(),
        "no record is left"
    );
    bed.finish()
}

fn eight_vms_at_once_each_in_order() -> Result {
    let bed = Bed::with_daemon()?;
    bed.count(&POINTS)?;
    let agent = bed.start_agent()?;
    let uuid = |n: usize| format!("{n}f0c2a3e-1111-4222-8333-444455556666");
    thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|n| {
                let (bed, uuid) = (&bed, uuid(n));
                scope.spawn(move || -> std::result::Result<(), String> {
                    let run = || -> Result {
                        let name = format!("vm{n}");
                        let options = GuestOptions { uuid: Some(uuid), ..Default::default() };
                        let xml = bed.file(&format!("{name}.xml"), &bed.xml(&name, options))?;
                        bed.vm(&["start", "--xml", &xml])?.expect(0);
                        for verb in ["pause", "cont", "destroy"] {
                            bed.vm(&[verb, &name])?.expect(0);
                        }
                        Ok(())
                    };
                    run().map_err(|e| e.to_string())
                })
            })
            .collect();
        threads.into_iter().try_for_each(|t| t.join().expect("no panic"))
    })?;
    agent.stop()?;
    for n in 0..8 {
        assert_eq!(
            bed.counted(&uuid(n)),
            [
                "before_vm_start",
                "after_vm_start",
                "before_vm_pause",
                "after_vm_pause",
                "before_vm_cont",
                "after_vm_cont",
                "before_vm_destroy",
                "after_vm_destroy"
            ],
            "VM {n}"
        );
    }
    assert_eq!(std::fs::read_dir(bed.path("state/vms"))?.count(), 0, "no record is left");
    bed.finish()
}

fn an_interrupt_reaches_the_operation() -> Result {
    let bed = Bed::with_daemon()?;
    bed.hook("before_vm_start", "10_hang", &format!("cd '{}'; : >ready; sleep 600", bed.root().display()))?;
    bed.count(&["before_vm_destroy", "after_vm_destroy"])?;
    let agent = bed.start_agent()?;
    let mut starting = bed.begin(&["start", "--xml", &bed.plain("given-up")?])?;
    starting.wait_for(&bed, "ready")?;
    starting.signal(Signal::INT)?;
    let done = starting.wait()?.expect(3);
    assert_eq!(done.error(), "start VM given-up: interrupted: nothing was started");
    assert_eq!(bed.counted(UUID), ["before_vm_destroy", "after_vm_destroy"]);
    agent.stop()?;
    bed.finish()
}

fn a_stop_lets_hooks_finish() -> Result {
    let bed = Bed::with_daemon()?;
    let wait = format!("cd '{}'; : >ready; until [ -e go ]; do sleep 0.01; done", bed.root().display());
    bed.hook("after_vm_start", "10_wait", &wait)?;
    bed.count(&["after_vm_start"])?;
    let agent = bed.start_agent()?;
    let mut starting = bed.begin(&["start", "--xml", &bed.plain("last")?])?;
    starting.wait_for(&bed, "ready")?;
    agent.terminate()?;
    until("nobody new gets in", || !bed.has_agent());
    bed.file("go", "")?;
    agent.wait()?;
    starting.wait()?.expect(0);
    assert_eq!(bed.counted(UUID), ["after_vm_start"]);
    // The VM does not need the agent, which finds it again.
    assert_eq!(bed.state("last")?.as_deref(), Some("running"));
    let agent = bed.start_agent()?;
    bed.vm(&["destroy", "last"])?.expect(0);
    agent.stop()?;
    assert_eq!(bed.counted(UUID), ["after_vm_start"], "not again");
    bed.finish()
}

/// The system's: another one may be where other users do not get to.
pub(crate) const PYTHON: &str = "/usr/bin/python3";

/// A call, and all there is to read of its answer.
pub(crate) fn call(bed: &Bed, call: &Value) -> Result<Vec<Value>> {
    let mut stream = UnixStream::connect(bed.path("payloads/agent.sock"))?;
    stream.write_all(format!("{call}\0").as_bytes())?;
    stream.shutdown(std::net::Shutdown::Write)?;
    let messages = BufReader::new(stream).split(0);
    messages.map(|m| Ok(serde_json::from_slice(&m?)?)).collect()
}

fn the_protocol_is_varlink_and_needs_no_client() -> Result {
    let bed = Bed::with_daemon()?;
    bed.hook("after_vm_pause", "10_x", "exit 0")?;
    let agent = bed.start_agent()?;
    bed.vm(&["start", "--xml", &bed.plain("plain")?])?.expect(0);
    let info = call(&bed, &json!({"method": "org.varlink.service.GetInfo"}))?;
    assert_eq!(info[0]["parameters"]["interfaces"], json!(["org.varlink.service", "io.virthooks.Agent"]));
    let parameters = json!({"interface": "io.virthooks.Agent"});
    let described = call(
        &bed,
        &json!({"method": "org.varlink.service.GetInterfaceDescription", "parameters": parameters}),
    )?;
    let text = described[0]["parameters"]["description"].as_str().unwrap();
    for method in virt_hooks_agent::operations().chain(["List", "Show", "Cancel"]) {
        assert!(text.contains(&format!("method {method}(")), "{method}");
    }

    let replies = call(
        &bed,
        &json!({"method": "io.virthooks.Agent.Pause", "parameters": {"vm": "plain"}, "more": true}),
    )?;
    let (end, parts) = replies.split_last().unwrap();
    assert!(parts.iter().all(|p| p["continues"] == true), "{parts:?}");
    let kinds: Vec<&str> =
        parts.iter().map(|p| p["parameters"]["progress"]["kind"].as_str().unwrap()).collect();
    for kind in ["event", "step", "step_done", "hook_started", "hook_finished", "outcome"] {
        assert!(kinds.contains(&kind), "{kind} in {kinds:?}");
    }
    assert_eq!((&end["parameters"]["name"], &end["continues"]), (&json!("plain"), &Value::Null));
    assert_eq!(end["parameters"]["events"][1]["point"], "after_vm_pause");

    for (wrong, error) in [
        (json!({"method": "io.virthooks.Agent.Nothing"}), "org.varlink.service.MethodNotFound"),
        (json!({"method": "other.interface.X"}), "org.varlink.service.InterfaceNotFound"),
        (json!({"method": "io.virthooks.Agent.Pause"}), "org.varlink.service.InvalidParameter"),
        (
            json!({"method": "io.virthooks.Agent.Pause", "parameters": {"vn": "x"}}),
            "org.varlink.service.InvalidParameter",
        ),
        (
            json!({"method": "io.virthooks.Agent.Pause", "parameters": {"vm": "nobody"}}),
            "io.virthooks.Agent.Failed",
        ),
    ] {
        let replies = call(&bed, &wrong)?;
        assert_eq!(replies[0]["error"], error, "{wrong}");
    }
    // What is no call ends the connection, and nothing else.
    let mut stream = UnixStream::connect(bed.path("payloads/agent.sock"))?;
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n\0")?;
    assert_eq!(BufReader::new(stream).split(0).count(), 0);
    bed.vm(&["destroy", "plain"])?.expect(0);
    agent.stop()?;
    bed.finish()
}

/// Whatever the socket's mode says.
fn others_are_not_let_in() -> Result {
    use std::os::unix::fs::PermissionsExt;
    let bed = Bed::with_daemon()?;
    let agent = bed.start_agent()?;
    let socket = bed.path("payloads/agent.sock");
    assert_eq!(std::fs::metadata(&socket)?.permissions().mode() & 0o777, 0o600);
    std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o666))?;
    std::fs::set_permissions(bed.root(), std::fs::Permissions::from_mode(0o755))?;
    let script = "import socket,sys\ns=socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\n\
                  try: s.sendall(b'{\"method\":\"io.virthooks.Agent.List\"}\\0')\nexcept OSError: pass\nprint(s.recv(4096).decode())";
    let ask = |uid: &str| {
        Command::new("setpriv")
            .args(["--reuid", uid, "--regid", uid, "--clear-groups", PYTHON, "-c", script])
            .arg(&socket)
            .output()
    };
    let refused = ask("65534")?;
    let said = String::from_utf8_lossy(&refused.stdout);
    assert!(said.contains("org.varlink.service.PermissionDenied"), "{refused:?}");
    let allowed = ask("0")?;
    assert!(String::from_utf8_lossy(&allowed.stdout).contains("\"vms\""), "{allowed:?}");
    agent.stop()?;
    bed.finish()
}

fn a_socket_that_is_handed_over_is_used() -> Result {
    let bed = Bed::with_daemon()?;
    let socket = bed.path("handed.sock");
    let script = "import os,socket,sys\ns=socket.socket(socket.AF_UNIX)\ns.bind(sys.argv[1])\ns.listen()\n\
                  fd=os.dup(s.fileno())\nos.dup2(fd,3)\nos.set_inheritable(3,True)\nos.environ.update(LISTEN_FDS='1',LISTEN_PID=str(os.getpid()))\n\
                  os.execv(sys.argv[2],sys.argv[2:])";
    let program = agent();
    let own = bed.command_of(&program, &[]);
    let mut command = Command::new(PYTHON);
    command.args(["-c", script]).arg(&socket).arg(&program).args(own.get_args());
    command.envs(own.get_envs().filter_map(|(n, v)| Some((n, v?))));
    let running = crate::bed::Running::of(&mut command)?;
    until("it answers", || {
        let ask = || -> Result<String> {
            let mut stream = UnixStream::connect(&socket)?;
            stream.write_all(b"{\"method\":\"io.virthooks.Agent.List\"}\0")?;
            let mut bytes = Vec::new();
            BufReader::new(stream).read_until(0, &mut bytes)?;
            Ok(String::from_utf8(bytes)?)
        };
        ask().is_ok_and(|answer| answer.contains("\"vms\""))
    });
    running.signal(Signal::TERM)?;
    running.wait()?.expect(0);
    assert!(socket.exists(), "it is the service manager's");
    bed.finish()
}

fn beside_an_agent_nobody_works_by_himself() -> Result {
    let bed = Bed::with_daemon()?;
    let agent = bed.start_agent()?;
    bed.vm(&["start", "--xml", &bed.plain("one")?])?.expect(0);
    let done = bed.vm(&["pause", "one", "--no-agent"])?.expect(3);
    assert!(done.error().contains("an agent serves"), "{}", done.error());
    // A second agent neither.
    let second = bed.begin_agent()?;
    let said = second.failed(3)?;
    assert!(said.contains("another agent runs"), "{said}");
    bed.vm(&["destroy", "one"])?.expect(0);
    agent.stop()?;
    bed.finish()
}

fn every_operation_goes_through_the_agent() -> Result {
    let bed = Bed::with_daemon()?;
    let agent = bed.start_agent()?;
    bed.spy(&ALL)?;
    bed.spy(&REST)?;
    let xml = bed.file("all.xml", &bed.xml("all", with_nic()))?;
    bed.vm(&["create", &xml, "-p", "colour=red"])?.expect(0);
    let shown: Value = serde_json::from_str(&bed.vm(&["show", "all", "--format", "json"])?.expect(0).stdout)?;
    assert_eq!((&shown["phase"], &shown["properties"]["colour"]), (&json!("up"), &json!("red")));
    bed.vm(&["pause", "all"])?.expect(0);
    let shown = bed.vm(&["show", "all"])?.expect(0).stdout;
    assert!(shown.contains("paused") && shown.contains("colour=red"), "{shown}");
    bed.vm(&["cont", "all"])?.expect(0);
    let file = bed.path("all.img");
    let file = file.to_str().unwrap();
    bed.vm(&["hibernate", "all", file])?.expect(0);
    bed.vm(&["dehibernate", file])?.expect(0);
    bed.vm(&["destroy", "all"])?.expect(0);
    bed.vm(&["restore-snapshot", file])?.expect(0);
    bed.vm(&["destroy", "all"])?.expect(0);
    let seen = bed.seen();
    let expected = [
        &["before_device_create", "before_vm_start", "after_vm_start", "after_device_create"][..],
        &["before_vm_pause", "after_vm_pause"],
        &["before_vm_cont", "after_vm_cont"],
        &["before_vm_pause", "after_vm_pause", "before_vm_hibernate", "after_vm_hibernate"],
        &ALL[4..],
        &RESTORED,
        &ALL[4..],
        &RESTORED,
        &ALL[4..],
    ];
    assert_eq!(points(&seen), expected.concat());
    // A guest that is asked.
    bed.vm(&["start", "--xml", &xml])?.expect(0);
    bed.wait_for_guest("all")?;
    bed.vm(&["shutdown", "all", "--wait", "2m"])?.expect(0);
    assert_eq!(bed.connect()?.lookup("all").err().map(|e| e.to_string().contains("all")), Some(true));
    let last = bed.seen();
    assert_eq!(points(&last)[4..], ["after_vm_destroy", "after_device_destroy"]);
    agent.stop()?;
    bed.finish()
}
