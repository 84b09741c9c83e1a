// SPDX-License-Identifier: Apache-2.0
//! Resumes a VM that this hook had start paused.

use super::marker::{Marker, PAUSED};
use std::time::Duration;
use virt_hooks_sdk::{Command, Context, Failure};

/// What Neutron's agent is given to connect the ports of the VM. It tells nobody here when it is done.
const AGENT: Duration = Duration::from_secs(15);

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
    let id = hook.vm_id()?;
    let command = Command::new("vdsm-client").args(["VM", "cont", &format!("vmID={id}")]);
    if let Err(error) = hook.execute(&command).and_then(|output| output.success(&command)) {
        let failure = Failure::from(error);
        return Err(Failure::stop(format!("vmId: resume VM {id}, which stays paused: {failure}")));
    }
    marker.remove()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
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

    #[test]
    fn not_resumed_if_the_mark_went_meanwhile() {
        let host = tempfile::tempdir().unwrap();
        let dir = host.path().join("run/vdsm/vm");
        put(&dir, Some("1"), true);
        let mut hook = Context::for_test().with_env("vmId", "vm").with_host(host.path());
        resume(&mut hook, &mut || fs::remove_file(dir.join("marked_for_unpause")).unwrap()).unwrap();
    }
}
