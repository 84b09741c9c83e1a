// SPDX-License-Identifier: Apache-2.0
//! Many VMs at once through an agent: their lives, what hooks noted of them, and what the agent weighs.
//!
//! A life is start, pause, cont and destroy, asked for over the agent's socket. Clients are threads: each takes
//! the next VM, leads it through its life, and takes another. Hooks append a line each to one file, so that the order of
//! lines is the order in which they ran, without any clock.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use virt_hooks_agent::protocol::{Call, INTERFACE, Reply};
use virt_hooks_agent::varlink::{Messages, send};

/// The points of one life of a VM without custom devices, in order: a pair for each operation.
pub const POINTS: [&str; 8] = [
    "before_vm_start",
    "after_vm_start",
    "before_vm_pause",
    "after_vm_pause",
    "before_vm_cont",
    "after_vm_cont",
    "before_vm_destroy",
    "after_vm_destroy",
];
/// The hooks at each of them, in the order in which they must run.
pub const HOOKS: [&str; 3] = ["10_first", "50_second", "90_third"];
/// Lines of one operation: its two points with their hooks.
const LINES_OF_OPERATION: usize = 2 * HOOKS.len();
/// How long an operation may take before it counts as hanging.
const PATIENCE: Duration = Duration::from_secs(240);

/// A VM that is not defined.
#[derive(Clone, Debug)]
pub struct Vm {
    /// Its UUID, as its XML has it.
    pub uuid: String,
    /// Its XML.
    pub xml: String,
}

/// Why a life did not come to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The agent cannot be talked to.
    #[error("cannot talk to the agent at {} about {operation} of VM {vm}", socket.display())]
    Talk {
        /// What was asked for.
        operation: &'static str,
        /// The VM's UUID.
        vm: String,
        /// Where the agent should listen.
        socket: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The agent refused.
    #[error("{operation} of VM {vm} failed: {error}: {message}")]
    Refused {
        /// What was asked for.
        operation: &'static str,
        /// The VM's UUID.
        vm: String,
        /// The error's name.
        error: String,
        /// What the agent said.
        message: String,
    },
}

/// Leads each of the VMs through one life, with so many clients at once; says how long that took.
///
/// # Errors
/// The first life that went wrong; the others are led to their end.
pub fn lead(socket: &Path, vms: &[Vm], clients: usize) -> Result<Duration, LoadError> {
    let next = AtomicUsize::new(0);
    let client = || -> Result<(), LoadError> {
        while let Some(vm) = vms.get(next.fetch_add(1, Ordering::Relaxed)) {
            live(socket, vm)?;
        }
        Ok(())
    };
    let begun = Instant::now();
    let done = thread::scope(|scope| {
        let clients: Vec<_> = (0..clients).map(|_| scope.spawn(client)).collect();
        let ends = clients.into_iter().map(|c| c.join().unwrap_or_else(|p| std::panic::resume_unwind(p)));
        ends.fold(Ok(()), Result::and)
    });
    done.map(|()| begun.elapsed())
}

fn live(socket: &Path, vm: &Vm) -> Result<(), LoadError> {
    let by_name = json!({"vm": vm.uuid});
    operate(socket, vm, "Start", json!({"xml": vm.xml}))?;
    operate(socket, vm, "Pause", by_name.clone())?;
    operate(socket, vm, "Cont", by_name.clone())?;
    operate(socket, vm, "Destroy", by_name)
}

fn operate(socket: &Path, vm: &Vm, operation: &'static str, parameters: Value) -> Result<(), LoadError> {
    let talk = |source| LoadError::Talk { operation, vm: vm.uuid.clone(), socket: socket.to_owned(), source };
    let reply = ask(socket, operation, parameters).map_err(talk)?;
    match reply.error {
        None => Ok(()),
        Some(error) => Err(LoadError::Refused {
            operation,
            vm: vm.uuid.clone(),
            error,
            message: reply.parameters["message"].as_str().unwrap_or_default().to_owned(),
        }),
    }
}

/// Whether an agent listens there that has its libvirt.
pub fn serves(socket: &Path) -> bool {
    ask(socket, "List", Value::Null).is_ok_and(|reply| reply.error.is_none())
}

fn ask(socket: &Path, operation: &str, parameters: Value) -> io::Result<Reply> {
    let call = Call { method: format!("{INTERFACE}.{operation}"), parameters, more: false, oneway: false };
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    send(&mut stream, &call)?;
    Messages::new(stream).receive()?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

/// The body of the shell hook that is called `name`: it appends a line to `file`.
pub fn noting(name: &str, file: &Path) -> String {
    // One write of a few bytes to the end of a file: no other hook's line gets between.
    format!("echo \"$_hook_point {name} $vmId\" >>'{}'", file.display())
}

/// What hooks noted, in the order in which they ran.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notes {
    /// Point and hook, and the VM's UUID.
    lines: Vec<(String, String)>,
}

/// What is wrong with notes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Hooks that should have run and did not.
    pub lost: usize,
    /// Hooks that ran more often than they should have, or about a VM that there is none of.
    pub repeated: usize,
    /// VMs whose hooks ran as often as they should, in a wrong order.
    pub disordered: usize,
}

impl Notes {
    /// Reads them.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read(file: &Path) -> io::Result<Self> {
        Ok(Self::parse(&fs::read_to_string(file)?))
    }

    fn parse(text: &str) -> Self {
        let line = |line: &str| {
            let (hook, vm) = line.rsplit_once(' ').unwrap_or((line, ""));
            (hook.to_owned(), vm.to_owned())
        };
        Self { lines: text.lines().map(line).collect() }
    }

    /// `point hook` of one VM, in order.
    pub fn of<'a>(&'a self, vm: &'a Vm) -> impl Iterator<Item = &'a str> {
        self.lines.iter().filter(|(_, uuid)| *uuid == vm.uuid).map(|(hook, _)| hook.as_str())
    }

    /// What is wrong, where each VM had so many lives.
    pub fn faults(&self, vms: &[Vm], lives: usize) -> Faults {
        let mut faults = Faults::default();
        let of_nobody = |uuid: &String| vms.iter().all(|vm| vm.uuid != *uuid);
        faults.repeated += self.lines.iter().filter(|(_, uuid)| of_nobody(uuid)).count();
        let wanted = expected(lives);
        for vm in vms {
            let seen: Vec<&str> = self.of(vm).collect();
            if seen.iter().eq(wanted.iter()) {
                continue;
            }
            let mut balance = BTreeMap::<&str, (usize, usize)>::new();
            wanted.iter().for_each(|hook| balance.entry(hook).or_default().0 += 1);
            seen.iter().for_each(|hook| balance.entry(hook).or_default().1 += 1);
            let lost: usize = balance.values().map(|(wanted, seen)| wanted.saturating_sub(*seen)).sum();
            let repeated: usize = balance.values().map(|(wanted, seen)| seen.saturating_sub(*wanted)).sum();
            faults.lost += lost;
            faults.repeated += repeated;
            faults.disordered += usize::from(lost + repeated == 0);
        }
        faults
    }

    /// Operations between whose first and last hook one of another VM ran. Nothing but VMs that are worked on at the same
    /// time has any. Says nothing of notes with faults.
    pub fn overlapping_operations(&self, vms: &[Vm]) -> usize {
        let of = |vm: &Vm| -> Vec<usize> {
            self.lines.iter().enumerate().filter(|(_, l)| l.1 == vm.uuid).map(|(at, _)| at).collect()
        };
        let spread = |lines: &[usize]| match lines {
            [first, .., last] => last - first + 1 > LINES_OF_OPERATION,
            _ => false,
        };
        vms.iter().map(|vm| of(vm).chunks(LINES_OF_OPERATION).filter(|lines| spread(lines)).count()).sum()
    }
}

/// `point hook` of a VM that had so many lives, in order.
pub fn expected(lives: usize) -> Vec<String> {
    let life = || POINTS.iter().flat_map(|point| HOOKS.map(|hook| format!("{point} {hook}")));
    (0..lives).flat_map(|_| life()).collect()
}

/// The memory a process has in RAM, in KiB.
///
/// # Errors
/// The process is gone.
pub fn resident_kib(pid: u32) -> io::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.ok_or_else(|| io::Error::other(format!("process {pid} has no memory")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vm(uuid: &str) -> Vm {
        Vm { uuid: uuid.to_owned(), xml: String::new() }
    }

    fn life(uuid: &str) -> Vec<String> {
        expected(1).into_iter().map(|hook| format!("{hook} {uuid}\n")).collect()
    }

    #[test]
    fn each_kind_of_fault_is_counted() {
        let vms = [vm("a"), vm("b")];
        let faults = |lines: &[String]| Notes::parse(&lines.concat()).faults(&vms, 1);
        let good = [life("a"), life("b")].concat();
        assert_eq!(good.len(), 2 * 24);
        assert_eq!(faults(&good), Faults::default());
        assert_eq!(faults(&good[1..]), Faults { lost: 1, ..Faults::default() });
        assert_eq!(faults(&[&good[..], &good[..1]].concat()), Faults { repeated: 1, ..Faults::default() });
        let mut swapped = good.clone();
        swapped.swap(0, 1);
        assert_eq!(faults(&swapped), Faults { disordered: 1, ..Faults::default() });
        assert_eq!(faults(&[good, life("c")].concat()), Faults { repeated: 24, ..Faults::default() });
        assert_eq!(faults(&[]), Faults { lost: 48, ..Faults::default() });
    }

    #[test]
    fn only_operations_within_which_another_vm_is_seen_overlap() {
        let vms = [vm("a"), vm("b")];
        let overlapping = |lines: &[String]| Notes::parse(&lines.concat()).overlapping_operations(&vms);
        let (a, b) = (life("a"), life("b"));
        assert_eq!(overlapping(&[a.clone(), b.clone()].concat()), 0);
        // Operations one by one, though the lives overlap.
        let in_turn: Vec<String> = a.chunks(6).zip(b.chunks(6)).flat_map(|(a, b)| [a, b].concat()).collect();
        assert_eq!(overlapping(&in_turn), 0);
        let together: Vec<String> = a.into_iter().zip(b).flat_map(|(a, b)| [a, b]).collect();
        assert_eq!(overlapping(&together), 8);
    }

    #[test]
    fn this_process_has_memory() {
        assert!(resident_kib(std::process::id()).unwrap() > 100);
        assert!(resident_kib(u32::MAX).is_err());
    }
}
