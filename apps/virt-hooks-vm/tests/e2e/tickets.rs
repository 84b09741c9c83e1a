// SPDX-License-Identifier: Apache-2.0
//! Passwords of consoles, tried with a real login.

use crate::bed::{Bed, Running, UUID, until};
use crate::nics::{OWNED, assert_variables, live};
use crate::traces::{files_below, points};
use crate::{Result, tests};
use des::Des;
use des::cipher::{Block, BlockCipherEncrypt, KeyInit};
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use virt_hooks_testhost::GuestOptions;

tests! {
    Daemon a_ticket_opens_the_console_until_it_expires,
    Daemon c27_no_hook_stops_a_ticket_and_none_learns_it,
    Daemon a_ticket_that_cannot_be_set_is_in_no_error,
    DaemonSpice spice_has_tickets_too,
}

const POINTS: [&str; 2] = ["before_vm_set_ticket", "after_vm_set_ticket"];
pub(crate) const FIRST: &str = "f1rst-pw";
pub(crate) const SECOND: &str = "s3c'<&nd";

pub(crate) fn options(bed: &Bed) -> GuestOptions {
    let devices = format!(
        "<graphics type='vnc' passwd='{FIRST}'><listen type='socket' socket='{}'/></graphics>",
        bed.path("vnc.sock").display()
    );
    GuestOptions { metadata: OWNED.into(), devices, ..Default::default() }
}

/// Logs into a VNC server (RFC 6143, sections 7.1 and 7.2.2); whether it lets us in.
pub(crate) fn login(socket: &Path, password: &str) -> Result<bool> {
    let mut vnc = UnixStream::connect(socket)?;
    vnc.set_read_timeout(Some(Duration::from_secs(60)))?;
    let mut version = [0; 12];
    vnc.read_exact(&mut version)?;
    vnc.write_all(b"RFB 003.008\n")?;
    let mut count = [0];
    vnc.read_exact(&mut count)?;
    let mut kinds = vec![0; usize::from(count[0])];
    vnc.read_exact(&mut kinds)?;
    assert!(kinds.contains(&2), "no password is asked for: {kinds:?}");
    vnc.write_all(&[2])?;
    let mut challenge = [0; 16];
    vnc.read_exact(&mut challenge)?;
    // VNC takes the bits of each byte of the key from the other end.
    let mut key = [0; 8];
    key.iter_mut().zip(password.bytes()).for_each(|(bits, byte)| *bits = byte.reverse_bits());
    let des = Des::new(&key.into());
    for half in challenge.chunks_exact_mut(8) {
        let mut block = Block::<Des>::try_from(&*half)?;
        des.encrypt_block(&mut block);
        half.copy_from_slice(&block);
    }
    vnc.write_all(&challenge)?;
    let mut result = [0; 4];
    vnc.read_exact(&mut result)?;
    Ok(u32::from_be_bytes(result) == 0)
}

/// Runs `vm set-ticket` with the ticket on standard input.
pub(crate) fn set_ticket(bed: &Bed, ticket: &str, more: &[&str]) -> Result<crate::bed::Done> {
    let arguments = [&["vm", "set-ticket", UUID], more].concat();
    let mut command: Command = bed.command_of(Path::new(env!("CARGO_BIN_EXE_virt-hooks-vm")), &arguments);
    let input = bed.file("input", &format!("{ticket}\n"))?;
    command.stdin(Stdio::from(fs::File::open(&input)?));
    // Nothing but the command reads it.
    let running = Running::of(&mut command)?;
    fs::remove_file(input)?;
    running.wait()
}

fn a_ticket_opens_the_console_until_it_expires() -> Result {
    let bed = Bed::with_daemon()?;
    bed.run_guest("seen", &bed.xml("seen", options(&bed)))?;
    let socket = bed.path("vnc.sock");
    assert!(login(&socket, FIRST)? && !login(&socket, SECOND)?);
    set_ticket(&bed, SECOND, &["--connected", "keep"])?.expect(0);
    assert!(login(&socket, SECOND)? && !login(&socket, FIRST)?, "the new one, and no longer the old one");
    set_ticket(&bed, FIRST, &["--valid", "1h", "--graphics", "vnc"])?.expect(0);
    assert!(login(&socket, FIRST)?, "within its time");
    // It is good for a moment, and may be over before anybody can try.
    let file = bed.file("ticket", SECOND)?;
    bed.vm(&["set-ticket", "seen", "--ticket", &file, "--valid", "1s"])?.expect(0);
    until("the ticket expires", || !login(&socket, SECOND).unwrap());
    assert!(!login(&socket, FIRST)?, "the old one does not come back");
    bed.vm(&["destroy", UUID])?.expect(0);
    bed.finish()
}

fn c27_no_hook_stops_a_ticket_and_none_learns_it() -> Result {
    let bed = Bed::with_daemon()?;
    let connection = bed.connect()?;
    bed.run_guest("shut", &bed.xml("shut", options(&bed)))?;
    let vm = connection.lookup(UUID)?;
    let before = live(&vm)?;
    bed.spy(&POINTS)?;
    for point in POINTS {
        bed.hook(point, "95_no", "echo \"not at $_hook_point\" >&2; tr '\\\\0' ' ' </proc/$PPID/cmdline >&2; tr '\\\\0' ' ' </proc/$PPID/environ >&2; exit 2")?;
    }
    // The ticket is not in a file by now, so whatever holds it below was told.
    let done =
        set_ticket(&bed, SECOND, &["-p", "userName=admin", "-p", "userId=7", "--report", "-"])?.expect(0);
    assert!(login(&bed.path("vnc.sock"), SECOND)?);
    let seen = bed.seen();
    assert_eq!(points(&seen), POINTS);
    for event in &seen {
        assert_variables(
            event,
            "set-ticket",
            &[("userName", "admin"), ("userId", "7"), ("colour", "of the VM")],
        );
        assert_eq!(event.payload, before, "{}: as it was last seen", event.point);
        assert!(!format!("{event:?}").contains("s3c"), "{event:?}");
    }
    let report: serde_json::Value = serde_json::from_str(&done.stdout)?;
    assert_eq!(report["result"], "done");
    assert!(report["events"].as_array().unwrap().iter().all(|e| e["verdict"] == "proceed"));
    assert!(done.stderr.contains("not at before_vm_set_ticket"), "{}", done.stderr);
    assert!(!format!("{done:?}").contains("s3c"), "{done:?}");
    // Neither the journal nor anything else below the host's directory holds it, but for libvirt's own status.
    for file in files_below(&bed.path("state")) {
        assert!(!String::from_utf8_lossy(&fs::read(&file)?).contains("s3c"), "{}", file.display());
    }
    bed.vm(&["destroy", UUID])?.expect(0);
    drop((vm, connection));
    bed.finish()
}

fn a_ticket_that_cannot_be_set_is_in_no_error() -> Result {
    let bed = Bed::with_daemon()?;
    bed.run_guest("short", &bed.xml("short", options(&bed)))?;
    bed.spy(&POINTS)?;
    // VNC takes eight characters.
    let done = set_ticket(&bed, "s3cret-and-too-long", &["--report", "-"])?.expect(4);
    assert!(done.error().starts_with("set ticket of VM short: "), "{}", done.error());
    assert!(!format!("{done:?}").contains("s3cret"), "{done:?}");
    assert_eq!(points(&bed.seen()), ["before_vm_set_ticket"]);
    assert!(login(&bed.path("vnc.sock"), FIRST)?, "the old one holds");
    let done = set_ticket(&bed, SECOND, &["--graphics", "spice"])?.expect(3);
    assert_eq!(done.only_error(), "set ticket of VM short: it has no spice console");
    assert_eq!(set_ticket(&bed, "", &[])?.expect(3).only_error(), "the ticket is empty");
    assert!(bed.seen().is_empty());
    bed.vm(&["destroy", UUID])?.expect(0);

    let xml = bed.xml("open", options(&bed)).replace(&format!("passwd='{FIRST}'"), "");
    bed.run_guest("open", &xml)?;
    let done = set_ticket(&bed, SECOND, &[])?.expect(4);
    assert!(
        done.error().ends_with("a VNC console takes one only if it was started with one (passwd in its XML)"),
        "{}",
        done.error()
    );
    assert!(!format!("{done:?}").contains("s3c"), "{done:?}");
    bed.vm(&["destroy", UUID])?.expect(0);
    bed.finish()
}

fn spice_has_tickets_too() -> Result {
    let bed = Bed::with_daemon()?;
    let connection = bed.connect()?;
    let listen = |name: &str| format!("<listen type='socket' socket='{}'/>", bed.path(name).display());
    let devices = format!(
        "<graphics type='vnc' passwd='{FIRST}'>{}</graphics><graphics type='spice' passwd='{FIRST}'>{}</graphics>",
        listen("vnc.sock"),
        listen("spice.sock")
    );
    let options = GuestOptions { metadata: OWNED.into(), devices, ..Default::default() };
    bed.run_guest("both", &bed.xml("both", options))?;
    let vm = connection.lookup(UUID)?;
    bed.spy(&POINTS)?;
    let done = set_ticket(&bed, SECOND, &[])?.expect(3);
    assert!(done.only_error().contains("--graphics"), "{}", done.only_error());
    let more = ["--graphics", "spice", "--connected", "disconnect", "--valid", "1h"];
    set_ticket(&bed, "a longer one than VNC takes", &more)?.expect(0);
    assert_eq!(points(&bed.seen()), POINTS);
    let secure = vm.xml(virt_hooks_libvirt::XmlFlags { secure: true, ..Default::default() })?;
    let spice = &secure[secure.find("<graphics type='spice'").unwrap()..];
    assert!(spice.contains("passwd='a longer one than VNC takes' passwdValidTo='20"), "{spice}");
    assert!(
        spice.contains("connected='disconnect'") && secure.contains(FIRST),
        "VNC keeps its own: {secure}"
    );
    assert!(login(&bed.path("vnc.sock"), FIRST)?);
    bed.vm(&["destroy", UUID])?.expect(0);
    drop((vm, connection));
    bed.finish()
}
