// SPDX-License-Identifier: Apache-2.0
//! The vhostmd service runs while a VM needs it: each such VM has a directory that says so.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use virt_hooks_sdk::{Command, Context, Failure};

/// Directories named by VM ids. A directory is made at once or not at all, and follows no link.
const USERS: &str = "/run/vdsm/vhostmd";

/// Notes that the VM needs the service, and starts it. The VM starts without it too, then without metrics.
pub(super) fn start(hook: &mut Context) -> Result<(), Failure> {
    let marker = marker(hook)?;
    let users = hook.host().path(USERS);
    let _held = match fs::create_dir_all(&users).and_then(|()| hold(&users)) {
        Ok(held) => {
            if let Err(error) = tolerate(fs::create_dir(&marker), ErrorKind::AlreadyExists) {
                hook.log(format_args!("sap_agent: cannot note the VM in {}: {error}", marker.display()));
            }
            Some(held)
        }
        Err(error) => {
            hook.log(format_args!("sap_agent: cannot note the VM in {}: {error}", users.display()));
            None
        }
    };
    tell(hook, "start");
    Ok(())
}

/// Notes that the VM is gone, and stops the service if it was the last. A VM that was never noted says nothing about
/// others, so the service stays.
pub(super) fn stop(hook: &mut Context) -> Result<(), Failure> {
    let marker = marker(hook)?;
    let users = hook.host().path(USERS);
    let held = hold(&users).and_then(|held| fs::remove_dir(&marker).map(|()| held));
    let _held = match held {
        Ok(held) => held,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => {
            return Err(Failure::go_on(format_args!("sap_agent: remove {}: {error}", marker.display())));
        }
    };
    let last = fs::read_dir(&users).is_ok_and(|mut others| others.next().is_none());
    if last {
        tell(hook, "stop");
    }
    Ok(())
}

fn marker(hook: &Context) -> Result<PathBuf, Failure> {
    let id = hook.vm_id().map_err(|error| Failure::go_on(error.to_string()))?;
    Ok(hook.host().path(USERS).join(id))
}

/// Keeps others from starting and stopping the service until it is dropped: a VM that starts while the last one
/// ends must not lose its service.
fn hold(users: &PathBuf) -> io::Result<File> {
    let directory = File::open(users)?;
    directory.lock()?;
    Ok(directory)
}

fn tolerate(result: io::Result<()>, kind: ErrorKind) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == kind => Ok(()),
        other => other,
    }
}

fn tell(hook: &mut Context, verb: &str) {
    let old = hook.host().path("/sbin/service").exists();
    let command = if old {
        Command::new("/sbin/service").args(["vhostmd", verb])
    } else {
        Command::new("/usr/bin/systemctl").args([verb, "vhostmd"])
    };
    let command = command.sudo();
    if let Err(error) = hook.execute(&command).and_then(|output| output.success(&command)) {
        hook.log(format_args!("sap_agent: vhostmd: {}", Failure::from(error)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::rc::Rc;
    use virt_hooks_sdk::Output;

    struct Machine {
        root: tempfile::TempDir,
        ran: Rc<RefCell<Vec<String>>>,
    }

    impl Machine {
        fn new() -> Self {
            Self { root: tempfile::tempdir().unwrap(), ran: Rc::default() }
        }

        fn hook(&self, id: &str, status: u8) -> Context {
            let ran = Rc::clone(&self.ran);
            let hook = Context::for_test().with_host(self.root.path()).with_env("vmId", id);
            hook.with_commands(move |command| {
                assert!(command.is_sudo());
                ran.borrow_mut().push(command.to_string());
                Ok(Output::exited(status, ""))
            })
        }

        fn ran(&self) -> Vec<String> {
            self.ran.take()
        }
    }

    #[test]
    fn the_last_one_stops_it() {
        let machine = Machine::new();
        start(&mut machine.hook("a", 0)).unwrap();
        start(&mut machine.hook("b", 0)).unwrap();
        start(&mut machine.hook("b", 0)).unwrap();
        assert_eq!(machine.ran(), ["/usr/bin/systemctl start vhostmd"; 3]);
        stop(&mut machine.hook("a", 0)).unwrap();
        assert!(machine.ran().is_empty());
        stop(&mut machine.hook("b", 0)).unwrap();
        assert_eq!(machine.ran(), ["/usr/bin/systemctl stop vhostmd"]);
    }

    #[test]
    fn service_is_taken_where_it_is() {
        let machine = Machine::new();
        fs::create_dir(machine.root.path().join("sbin")).unwrap();
        fs::write(machine.root.path().join("sbin/service"), "").unwrap();
        start(&mut machine.hook("a", 0)).unwrap();
        stop(&mut machine.hook("a", 0)).unwrap();
        assert_eq!(machine.ran(), ["/sbin/service vhostmd start", "/sbin/service vhostmd stop"]);
    }

    #[test]
    fn a_vm_that_was_never_noted_stops_nothing() {
        let machine = Machine::new();
        stop(&mut machine.hook("a", 0)).unwrap();
        start(&mut machine.hook("b", 0)).unwrap();
        machine.ran();
        stop(&mut machine.hook("a", 0)).unwrap();
        assert!(machine.ran().is_empty());
    }

    #[test]
    fn a_service_that_fails_is_told_only() {
        let mut hook = Machine::new().hook("a", 5);
        start(&mut hook).unwrap();
        assert_eq!(hook.logged().len(), 1);
    }

    #[test]
    fn ids_stay_in_the_directory() {
        let machine = Machine::new();
        for id in ["../x", "", "."] {
            assert_eq!(start(&mut machine.hook(id, 0)).unwrap_err().exit_code(), 1);
            assert_eq!(stop(&mut machine.hook(id, 0)).unwrap_err().exit_code(), 1);
        }
        assert!(machine.ran().is_empty());
    }
}
