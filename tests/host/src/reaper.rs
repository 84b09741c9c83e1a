// SPDX-License-Identifier: Apache-2.0
//! Adopting orphaned QEMU processes, and reaping them the moment they end.

use std::io;
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, WaitId, WaitIdOptions, getpid, set_child_subreaper, waitid};

use crate::process::Stat;

/// How long to rest when there is nothing the kernel could wake the reaper for: this process has no
/// child at all, or a dead child that its owner has not collected yet.
const REST: Duration = Duration::from_millis(25);

/// Makes this process the parent of every orphan among its descendants, and starts a thread that reaps
/// those orphans. Further calls do nothing.
///
/// A child that this process started itself is never reaped here, be it by [`std::process::Command`] or
/// in any other way: its owner waits for it. The two are told apart by their sessions. A child of our
/// own is in our session, or made one of its own and leads it. A daemon is in a session whose leader was
/// its former parent, which is neither. That former parent, which ended with nobody waiting for it, leads
/// its session; it is taken if it is a QEMU, since nobody here starts QEMU that way. Any other orphan that
/// is like a child of ours stays a zombie until this process ends, which does no harm.
///
/// # Errors
/// If the kernel refuses, or no thread can be started.
pub fn become_subreaper() -> io::Result<()> {
    static READY: OnceLock<Result<(), (io::ErrorKind, String)>> = OnceLock::new();
    READY
        .get_or_init(|| start().map_err(|error| (error.kind(), error.to_string())))
        .clone()
        .map_err(|(kind, message)| io::Error::new(kind, message))
}

fn start() -> io::Result<()> {
    // Any process id means "yes".
    set_child_subreaper(Some(getpid()))?;
    thread::Builder::new().name("reaper".to_owned()).spawn(reap_for_ever)?;
    Ok(())
}

fn reap_for_ever() {
    loop {
        // NOWAIT: learn that some child is dead, and leave it to its owner.
        let woken = waitid(WaitId::All, WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
        let reaped = match woken {
            Ok(_) => reap_orphans(),
            Err(Errno::INTR) => true,
            Err(_) => false,
        };
        if !reaped {
            thread::sleep(REST);
        }
    }
}

/// Reaps every dead orphan; says whether there was one.
fn reap_orphans() -> bool {
    let Some(me) = Stat::read("self") else { return false };
    let mut any = false;
    for stat in Stat::all() {
        if stat.zombie && is_orphan(&me, &stat) {
            // Nobody else waits for it, so the number cannot have been given out again.
            if let Some(pid) = Pid::from_raw(stat.pid) {
                any |= waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOHANG).is_ok();
            }
        }
    }
    any
}

fn is_orphan(me: &Stat, child: &Stat) -> bool {
    child.parent == me.pid && child.session != me.session && (child.session != child.pid || child.qemu)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orphans_are_told_from_children_by_their_session() {
        let me = Stat { pid: 10, parent: 1, session: 5, zombie: false, qemu: false };
        let child = |pid, session| Stat { pid, parent: 10, session, zombie: true, qemu: false };
        assert!(!is_orphan(&me, &child(20, 5)), "a plain child");
        assert!(!is_orphan(&me, &child(20, 20)), "a child in a session of its own");
        assert!(is_orphan(&me, &child(20, 19)), "a daemon whose parent is gone");
        let qemu = |session| Stat { qemu: true, ..child(20, session) };
        assert!(is_orphan(&me, &qemu(20)), "the former parent of a QEMU");
        assert!(!is_orphan(&me, &qemu(5)), "the QEMU that libvirt itself waits for");
        assert!(!is_orphan(&me, &Stat { parent: 11, ..child(20, 19) }), "somebody else's child");
    }
}
