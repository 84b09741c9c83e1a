// SPDX-License-Identifier: Apache-2.0
//! Resumes a VM that this hook had start paused.

use super::marker::{Marker, PAUSED};
use std::time::Duration;
use virt_hooks_sdk::{Command, Context, Failure};

/// What Neutron's agent is given to connect the ports of the VM. It tells nobody here when it is done.
const AGENT: Duration = Duration::from_secs(15);

/// The driver of this project; it has the verb since `vm cont` exists.
const COMMAND: &str = "/usr/bin/virt-hooks";

pub(crate) fn run(hook: &mut Context) -> Result<(), Failure> {
    resume(hook, &mut || std::thread::sleep(AGENT))
}

fn resume(hook: &mut Context, wait: &mut dyn FnMut()) -> Result<(), Failure> {
    let marker = Marker::of_vm(hook)?;
    if !marker.is_there() || hook.launch_flags()? & PAUSED == 0 {
        return Ok(());
    }
    wait();
    // Somebody else may have taken care of it by now.
    if !marker.is_there() {
        return Ok(());
    }
    let id = hook.vm_id()?.to_owned();
    cont(hook, &id)?;
    marker.remove()
}

/// Resumes the VM by the first of the drivers here that can: this project's, then VDSM.
fn cont(hook: &mut Context, id: &str) -> Result<(), Failure> {
    let own = Command::new(COMMAND).args(["vm", "cont", id]);
    let vdsm = Command::new("vdsm-client").args(["VM", "cont", &format!("vmID={id}")]);
    let is_installed = hook.host().path(COMMAND).exists();
    let mut reasons = Vec::new();
    for command in is_installed.then_some(own).into_iter().chain([vdsm]) {
        match hook.execute(&command).and_then(|output| output.success(&command)) {
            Ok(_) => return Ok(()),
            Err(error) => reasons.push(Failure::from(error).message().to_owned()),
        }
    }
    let reasons = reasons.join("; ");
    Err(Failure::stop(format!("vmId: resume VM {id}, which stays paused: {reasons}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::{Cell, RefCell};
    use std::fs;
    use std::path::Path;
    use std::rc::Rc;
    use tempfile::TempDir;
    use virt_hooks_sdk::Output;

    fn put(dir: &Path, flags: Option<&str>, marked: bool) {
        fs::create_dir_all(dir).unwrap();
        if let Some(flags) = flags {
            fs::write(dir.join("launchflags"), flags).unwrap();
        }
        if marked {
            fs::write(dir.join("marked_for_unpause"), "true").unwrap();
        }
    }

    /// The result, whether it waited and resumed, and whether the mark is still there.
    fn outcome(flags: Option<&str>, marked: bool, code: u8) -> (Result<(), Failure>, bool, bool, bool) {
        let host: TempDir = tempfile::tempdir().unwrap();
        let dir = host.path().join("run/vdsm/vm");
        put(&dir, flags, marked);
        let resumed = Rc::new(Cell::new(false));
        let seen = Rc::clone(&resumed);
        let mut hook =
            Context::for_test().with_env("vmId", "vm").with_host(host.path()).with_commands(move |command| {
                assert_eq!(command.to_string(), "vdsm-client VM cont vmID=vm");
                seen.set(true);
                Ok(Output::exited(code, "").with_stderr("no such VM"))
            });
        let mut waited = false;
        let result = resume(&mut hook, &mut || waited = true);
        (result, waited, resumed.get(), dir.join("marked_for_unpause").exists())
    }

    #[test]
    fn resumed_whatever_the_other_flags() {
        for flags in ["1", "5\n", "9"] {
            assert_eq!(outcome(Some(flags), true, 0), (Ok(()), true, true, false), "{flags}");
        }
    }

    #[test]
    fn others_do_not_wait() {
        for (flags, marked) in
            [(Some("1"), false), (None, false), (Some("0"), true), (Some("2"), true), (None, true)]
        {
            assert_eq!(outcome(flags, marked, 0), (Ok(()), false, false, marked), "{flags:?} {marked}");
        }
    }

    #[test]
    fn failures_keep_the_mark() {
        let (result, _, _, marked) = outcome(Some("1"), true, 1);
        let failure = result.unwrap_err();
        assert!(
            failure.stops() && marked && failure.message().ends_with("no such VM"),
            "{}",
            failure.message()
        );
        let (result, waited, _, marked) = outcome(Some(""), true, 0);
        assert!(result.unwrap_err().stops() && marked && !waited);
        assert!(resume(&mut Context::for_test(), &mut || {}).unwrap_err().message().starts_with("vmId"));
    }

    /// Whether the VM was resumed, the commands that were run, and the mark; of the drivers, `working` work.
    fn by(installed: bool, working: &'static [&'static str]) -> (Result<(), Failure>, Vec<String>, bool) {
        let host = tempfile::tempdir().unwrap();
        let dir = host.path().join("run/vdsm/vm");
        put(&dir, Some("1"), true);
        if installed {
            fs::create_dir_all(host.path().join("usr/bin")).unwrap();
            fs::write(host.path().join("usr/bin/virt-hooks"), "").unwrap();
        }
        let ran = Rc::new(RefCell::new(Vec::new()));
        let seen = Rc::clone(&ran);
        let mut hook =
            Context::for_test().with_env("vmId", "vm").with_host(host.path()).with_commands(move |command| {
                let line = command.to_string();
                let works = working.iter().any(|name| line.contains(name));
                seen.borrow_mut().push(line);
                Ok(Output::exited(u8::from(!works), "").with_stderr("not mine"))
            });
        let result = resume(&mut hook, &mut || {});
        (result, ran.take(), dir.join("marked_for_unpause").exists())
    }

    #[test]
    fn the_driver_of_this_project_comes_first_then_vdsm() {
        const OWN: &str = "/usr/bin/virt-hooks vm cont vm";
        const VDSM: &str = "vdsm-client VM cont vmID=vm";
        let lines = |lines: &[&str]| lines.iter().map(|&line| line.to_owned()).collect::<Vec<_>>();
        assert_eq!(by(true, &["virt-hooks"]), (Ok(()), lines(&[OWN]), false));
        assert_eq!(by(true, &["vdsm-client"]), (Ok(()), lines(&[OWN, VDSM]), false));
        assert_eq!(by(false, &["vdsm-client"]), (Ok(()), lines(&[VDSM]), false));
        let (result, ran, is_marked) = by(true, &[]);
        let message = result.unwrap_err().message().to_owned();
        assert!(is_marked && ran == [OWN, VDSM], "{ran:?}");
        assert!(
            message.contains("virt-hooks ended") || message.matches("not mine").count() == 2,
            "{message}"
        );
    }

    #[test]
    fn not_resumed_if_the_mark_went_meanwhile() {
        let host = tempfile::tempdir().unwrap();
        let dir = host.path().join("run/vdsm/vm");
        put(&dir, Some("1"), true);
        let mut hook = Context::for_test().with_env("vmId", "vm").with_host(host.path());
        resume(&mut hook, &mut || fs::remove_file(dir.join("marked_for_unpause")).unwrap()).unwrap();
    }
}
