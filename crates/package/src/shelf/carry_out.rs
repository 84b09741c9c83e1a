// SPDX-License-Identifier: Apache-2.0
//! Does what was planned for a package: its files, and around them what units, users and rules of udev ask for.

use super::error::ShelfError;
use super::install::Plan;
use super::root::Root;
use super::transaction::Transaction;
use std::ffi::{OsStr, OsString};
use std::process::{Command, Output, Stdio};

/// What a plan was made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// A package comes, or one of another version takes the place of its former one.
    Install,
    /// It goes.
    Remove,
}

/// Who does on a host what a package manager's scripts would do. In an image nothing runs.
#[derive(Clone, Debug)]
pub struct SetUp {
    runs: bool,
    /// Where programs are; `None`: as this process looks for them.
    path: Option<OsString>,
}

/// Units as they were before they were stopped.
#[derive(Debug, Default)]
struct Before {
    running: Vec<String>,
    enabled: Vec<String>,
}

impl SetUp {
    /// For a root.
    pub fn of(root: &Root) -> Self {
        Self { runs: root.is_host(), path: None }
    }

    /// Makes the changes of a plan and gives what could not be done beside them, in a line each.
    ///
    /// # Errors
    /// The changes could not be made; then none is, and units that were stopped for them run again, or the error names
    /// those that do not.
    pub fn carry_out(
        &self,
        transaction: &Transaction,
        plan: &Plan,
        task: Task,
    ) -> Result<Vec<String>, ShelfError> {
        let mut notes = Vec::new();
        let before = self.look(&plan.leaving.units);
        self.script(&plan.leaving.scripts.before_remove, "0", &mut notes);
        if let Err(error) = transaction.apply(&plan.changes) {
            let down = self.bring_back(&before);
            return Err(match down.is_empty() {
                true => error,
                false => ShelfError::UnitsDown { units: down.join(" "), source: Box::new(error) },
            });
        }
        self.script(&plan.leaving.scripts.after_remove, "0", &mut notes);
        if task == Task::Install {
            let is_upgrade = plan.former.is_some();
            self.script(&plan.scripts.after_install, if is_upgrade { "2" } else { "1" }, &mut notes);
            if is_upgrade {
                // As at an upgrade by rpm: what runs is started anew.
                self.script(&plan.scripts.after_remove, "1", &mut notes);
            }
        }
        Ok(notes)
    }

    fn look(&self, units: &[String]) -> Before {
        let those = |verb: &str, answer: &str| -> Vec<String> {
            let is = |unit: &&String| {
                let said = self.systemctl(&[verb, unit.as_str()]);
                said.is_some_and(|out| String::from_utf8_lossy(&out.stdout).trim() == answer)
            };
            units.iter().filter(is).cloned().collect()
        };
        Before { running: those("is-active", "active"), enabled: those("is-enabled", "enabled") }
    }

    /// Gives the units that could not be brought back.
    fn bring_back(&self, before: &Before) -> Vec<String> {
        if before.running.is_empty() && before.enabled.is_empty() {
            return Vec::new();
        }
        // Their files went and came.
        let _ = self.systemctl(&["daemon-reload"]);
        let done =
            |verb: &str, unit: &String| self.systemctl(&[verb, unit]).is_some_and(|out| out.status.success());
        let mut down: Vec<String> = before.enabled.iter().filter(|u| !done("enable", u)).cloned().collect();
        down.extend(before.running.iter().filter(|u| !done("start", u)).cloned());
        down.sort();
        down.dedup();
        down
    }

    fn systemctl(&self, arguments: &[&str]) -> Option<Output> {
        if !self.runs {
            return None;
        }
        self.command("systemctl").args(arguments).stdin(Stdio::null()).output().ok()
    }

    fn script(&self, script: &str, packages: &str, notes: &mut Vec<String>) {
        if script.is_empty() || !self.runs {
            return;
        }
        let ran = self
            .command("/bin/sh")
            .args(["-c", script, "sh", packages])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status();
        match ran {
            Ok(status) if status.success() => {}
            Ok(status) => {
                notes.push(format!(
                    "not all that units and users of the package need could be done ({status})"
                ));
            }
            Err(e) => {
                notes.push(format!(
                    "what units and users of the package need could not be done: run /bin/sh: {e}"
                ));
            }
        }
    }

    fn command(&self, program: impl AsRef<OsStr>) -> Command {
        // It is looked for on the command's own path.
        let mut command = Command::new(program);
        if let Some(path) = &self.path {
            command.env("PATH", path);
        }
        command
    }
}

#[cfg(test)]
mod tests {
    use super::super::install::{plan_install, plan_remove};
    use super::super::transaction::Change;
    use super::*;
    use crate::build::layout::{PACKAGES, Role};
    use crate::build::{Item, ItemKind};
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;
    use virt_hooks_contract::Manifest;

    const UNITS: &str = "/usr/lib/systemd/system";

    /// A root, and beside it a systemctl that writes down what it is asked; of `off.service` it says that it is.
    struct Bed {
        dir: tempfile::TempDir,
        root: Root,
    }

    impl Bed {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            fs::create_dir_all(dir.path().join("root")).unwrap();
            let systemctl = dir.path().join("systemctl");
            let script = "#!/bin/sh\necho \"$*\" >> \"${0%/*}/log\"\ncase $* in\n*off.service) exit 3 ;;\n\
                          is-active*) echo active ;;\nis-enabled*) echo enabled ;;\n\
                          start*broken.service) exit 1 ;;\nesac\n";
            fs::write(&systemctl, script).unwrap();
            fs::set_permissions(&systemctl, Permissions::from_mode(0o755)).unwrap();
            let root = Root::at(&dir.path().join("root")).unwrap();
            Self { dir, root }
        }

        fn set_up(&self) -> SetUp {
            let path = format!("{}:/usr/bin:/bin", self.dir.path().display());
            SetUp { runs: true, path: Some(path.into()) }
        }

        fn install(&self, version: &str, units: &[&str]) -> Plan {
            let text = format!(
                "manifest = 1\nname = \"mine\"\nversion = \"{version}\"\nsummary = \"s\"\ndescription = \"d\"\nlicence = \"MIT\"\n\
                 [[point]]\nname = \"before_vm_start\"\norder = 50\n"
            );
            let item = |target: &Path, content: &str| {
                let kind = ItemKind::File { content: content.into(), mode: 0o644 };
                Item { target: target.to_owned(), kind, role: Role::File }
            };
            let mut items = vec![item(&Path::new(PACKAGES).join("mine/hook.toml"), &text)];
            items.extend(units.iter().map(|u| item(&Path::new(UNITS).join(u), "[Unit]\n")));
            plan_install(&self.root, &Manifest::parse("hook.toml", &text).unwrap(), items).unwrap()
        }

        fn carry_out(&self, plan: &Plan, task: Task) -> Result<Vec<String>, ShelfError> {
            let transaction = Transaction::begin(&self.root).unwrap();
            self.set_up().carry_out(&transaction, plan, task)
        }

        /// What systemctl was asked to do since the last time.
        fn asked(&self) -> Vec<String> {
            let log = self.dir.path().join("log");
            let text = fs::read_to_string(&log).unwrap_or_default();
            let _ = fs::remove_file(log);
            text.lines().filter(|l| !l.starts_with("is-")).map(str::to_owned).collect()
        }

        /// A change that cannot be made: a directory is in its place.
        fn spoil(&self, plan: &mut Plan) {
            fs::create_dir_all(self.dir.path().join("root/taken/x")).unwrap();
            let what = ItemKind::File { content: Vec::new(), mode: 0o644 };
            plan.changes.push(Change::Put { target: "/taken".into(), what });
        }
    }

    #[test]
    fn units_run_again_when_a_removal_fails() {
        let bed = Bed::new();
        bed.carry_out(&bed.install("1", &["on.service", "off.service"]), Task::Install).unwrap();
        bed.asked();
        let mut plan = plan_remove(&bed.root, "mine").unwrap();
        bed.spoil(&mut plan);
        let said = bed.carry_out(&plan, Task::Remove).unwrap_err().to_string();
        assert!(said.contains("taken"), "{said}");
        let asked = bed.asked();
        assert_eq!(asked[0], "--no-reload disable off.service on.service");
        // Those that were on, and no others.
        assert_eq!(asked[asked.len() - 3..], ["daemon-reload", "enable on.service", "start on.service"]);
        assert!(bed.dir.path().join("root").join(&UNITS[1..]).join("on.service").is_file());
    }

    #[test]
    fn units_that_do_not_come_back_are_named() {
        let bed = Bed::new();
        bed.carry_out(&bed.install("1", &["on.service", "broken.service"]), Task::Install).unwrap();
        let mut plan = plan_remove(&bed.root, "mine").unwrap();
        bed.spoil(&mut plan);
        let said = bed.carry_out(&plan, Task::Remove).unwrap_err().to_string();
        assert!(said.contains("taken") && said.ends_with("systemctl enable --now broken.service"), "{said}");
    }

    #[test]
    fn an_upgrade_stops_and_disables_the_units_it_drops() {
        let bed = Bed::new();
        bed.carry_out(&bed.install("1", &["goes.service", "stays.service"]), Task::Install).unwrap();
        bed.asked();
        bed.carry_out(&bed.install("2", &["stays.service", "comes.service"]), Task::Install).unwrap();
        let asked = bed.asked();
        assert_eq!(
            asked.iter().filter(|l| l.contains("disable")).collect::<Vec<_>>(),
            ["--no-reload disable goes.service"]
        );
        // And it is not what a failed one leaves.
        let mut plan = bed.install("3", &["comes.service"]);
        bed.spoil(&mut plan);
        bed.carry_out(&plan, Task::Install).unwrap_err();
        assert_eq!(bed.asked().last().unwrap(), "start stays.service");
    }

    #[test]
    fn in_an_image_nothing_runs() {
        let bed = Bed::new();
        let plan = bed.install("1", &["on.service"]);
        let transaction = Transaction::begin(&bed.root).unwrap();
        let set_up = SetUp { path: bed.set_up().path, ..SetUp::of(&bed.root) };
        assert_eq!(set_up.carry_out(&transaction, &plan, Task::Install).unwrap(), Vec::<String>::new());
        assert_eq!(bed.asked(), Vec::<String>::new());
    }
}
