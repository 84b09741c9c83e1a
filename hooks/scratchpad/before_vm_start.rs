// SPDX-License-Identifier: Apache-2.0
//! Makes the scratch disks of a VM and adds them to its XML.

use super::entry::{self, Entry};
use super::record::Record;
use crate::shared::messages::shown;
use std::borrow::Cow;
use std::collections::HashSet;
use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use virt_hooks_sdk::{Command, Context, Document, Failure, NewElement};

const QEMU_IMG: &str = "/usr/bin/qemu-img";

/// The directories images may be in; without this file, all.
const ALLOWED: &str = "/etc/virt-hooks/scratchpad.conf";

pub(crate) fn run(hook: &mut Context) -> Result<(), Failure> {
    let Some(value) = hook.property("scratchpad")? else { return Ok(()) };
    if matches!(hook.reason().as_deref(), Some("dehibernate" | "resume" | "restore" | "snapshot")) {
        return Err(Failure::stop(
            "scratchpad: the scratch disks went when the VM was suspended; a resumed guest would lose what it has mounted",
        ));
    }
    let entries = entry::strict(&value)?;
    let record = Record::of(hook)?;
    let allowed = allowed(hook)?;
    let mut domain = hook.domain()?;
    let devices = domain
        .first_named("devices")
        .ok_or_else(|| Failure::stop("scratchpad: the domain has no <devices> to add a disk to"))?;
    let mut names = names(&domain)?;
    let mut images = Vec::new();
    for entry in entries {
        let file = hook.host().path(entry.path);
        if is_done(&domain, &record, &file, entry.path) {
            continue;
        }
        check_place(entry.path, &file, allowed.as_deref())?;
        let name = names.next().unwrap_or_default();
        domain.append(devices, disk(entry.path, &name))?;
        images.push((entry, file));
    }
    let mut made = Vec::new();
    let done = images
        .into_iter()
        .try_for_each(|(entry, file)| make(hook, &record, entry, &file, &mut made))
        .and_then(|()| Ok(domain.save()?));
    if done.is_err() {
        for (file, metadata) in &made {
            undo(hook, &record, file, metadata);
        }
    }
    done
}

fn disk(path: &str, name: &str) -> NewElement {
    NewElement::new("disk")
        .attribute("device", "disk")
        .attribute("type", "file")
        .attribute("snapshot", "no")
        .child(NewElement::new("source").attribute("file", path))
        .child(NewElement::new("target").attribute("bus", "virtio").attribute("dev", name))
        .child(
            NewElement::new("driver")
                .attribute("cache", "writeback")
                .attribute("error_policy", "stop")
                .attribute("name", "qemu")
                .attribute("type", "raw"),
        )
}

/// The free names, from `vda` on.
fn names(domain: &Document) -> Result<impl Iterator<Item = String> + use<>, Failure> {
    let mut taken = HashSet::new();
    for disk in domain.all_named("disk") {
        let targets = domain.all_named_below(disk, "target");
        if targets.is_empty() {
            return Err(Failure::stop(
                "scratchpad: the VM has a disk without a target; cannot tell which names are free",
            ));
        }
        taken.extend(targets.into_iter().filter_map(|t| domain.attribute(t, "dev")).map(Cow::into_owned));
    }
    Ok((0..).map(name).filter(move |name| !taken.contains(name)))
}

/// As the kernel counts: `vda` … `vdz`, `vdaa`, …
fn name(index: u32) -> String {
    let mut letters = Vec::new();
    let mut rest = u64::from(index) + 1;
    while rest > 0 {
        rest -= 1;
        letters.push(char::from_digit(u32::try_from(rest % 26).unwrap_or(0) + 10, 36).unwrap_or('a'));
        rest /= 26;
    }
    letters.iter().rev().fold("vd".to_owned(), |mut name, letter| {
        name.push(*letter);
        name
    })
}

/// Whether an earlier run for this start made the disk.
fn is_done(domain: &Document, record: &Record, file: &Path, path: &str) -> bool {
    fs::symlink_metadata(file).is_ok_and(|metadata| record.has(&metadata))
        && domain
            .all_named("disk")
            .into_iter()
            .filter_map(|disk| domain.child(disk, "source"))
            .any(|source| domain.has(source, "file", path))
}

fn allowed(hook: &Context) -> Result<Option<Vec<PathBuf>>, Failure> {
    let Some(text) = hook.host().read(ALLOWED)? else { return Ok(None) };
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    // One that is not there allows nothing.
    let dirs = lines
        .filter(|line| line.starts_with('/'))
        .filter_map(|dir| hook.host().path(dir).canonicalize().ok());
    Ok(Some(dirs.collect()))
}

fn check_place(path: &str, file: &Path, allowed: Option<&[PathBuf]>) -> Result<(), Failure> {
    if let Some(dirs) = allowed {
        let parent = file.parent().and_then(|parent| parent.canonicalize().ok());
        if !parent.is_some_and(|parent| dirs.iter().any(|dir| parent.starts_with(dir))) {
            return Err(Failure::stop(format!(
                "scratchpad: {} is in no directory that {ALLOWED} allows",
                shown(path)
            )));
        }
    }
    Ok(())
}

/// Makes an image; what is pushed to `made` has to go again if anything fails.
fn make(
    hook: &mut Context,
    record: &Record,
    entry: Entry<'_>,
    file: &Path,
    made: &mut Vec<(PathBuf, Metadata)>,
) -> Result<(), Failure> {
    let wrong = |what: String| Failure::stop(format!("scratchpad: {}: {what}", shown(entry.path)));
    let create = Command::new(QEMU_IMG).args(["create", "-f", "raw", entry.path, entry.size]);
    let new = match exclusive(file) {
        Ok(new) => new,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(wrong("something is there already: move it away first".to_owned()));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // VDSM's hook leaves it to qemu-img to tell that the directory is missing.
            run_to_end(hook, &create)?;
            return Err(wrong(error.to_string()));
        }
        Err(error) => return Err(wrong(error.to_string())),
    };
    let metadata = new.metadata().map_err(|error| wrong(error.to_string()))?;
    made.push((file.to_owned(), metadata.clone()));
    record.add(&metadata).map_err(|error| wrong(error.to_string()))?;
    run_to_end(hook, &create)?;
    match fs::symlink_metadata(file) {
        Ok(now) if record.has(&now) => Ok(()),
        _ => Err(wrong("it was replaced while it was made".to_owned())),
    }
}

fn run_to_end(hook: &mut Context, command: &Command) -> Result<(), Failure> {
    let output = hook.execute(command).and_then(|output| output.success(command));
    output.map(drop).map_err(|error| Failure::stop(format!("scratchpad: {}", Failure::from(error))))
}

fn exclusive(file: &Path) -> io::Result<File> {
    let new = OpenOptions::new().write(true).create_new(true).mode(0o660).open(file)?;
    // Whatever the umask is: QEMU opens it through the group.
    new.set_permissions(Permissions::from_mode(0o660))?;
    Ok(new)
}

fn undo(hook: &Context, record: &Record, file: &Path, made: &Metadata) {
    // Not noted if noting it was what failed.
    let is_ours = |now: &Metadata| {
        use std::os::unix::fs::MetadataExt as _;
        now.is_file() && (now.dev(), now.ino()) == (made.dev(), made.ino())
    };
    let removed = match fs::symlink_metadata(file) {
        Ok(now) if is_ours(&now) => fs::remove_file(file),
        Ok(_) => Ok(()),
        Err(error) => Err(error),
    };
    if let Err(error) = removed {
        hook.log(format!("scratchpad: {} was made and cannot be removed: {error}", file.display()));
    }
    record.forget(made);
}

#[cfg(test)]
mod tests {
    use super::super::after_vm_destroy;
    use super::*;
    use virt_hooks_sdk::Output;

    const XML: &str = "<domain><devices><disk><target dev='vda'/></disk><disk><target dev='vdc'/></disk></devices></domain>";

    fn hook(root: &Path, value: &str) -> Context {
        Context::for_test()
            .with_host(root)
            .with_env("vmId", "7a")
            .with_env("scratchpad", value)
            .with_xml(XML)
            .with_commands(|_| Ok(Output::exited(0, "")))
    }

    fn added(hook: &Context) -> Vec<String> {
        let domain = hook.domain().unwrap();
        let disks = domain.devices("disk").into_iter().skip(2);
        disks.map(|disk| domain.source(disk).replace('"', "'")).collect()
    }

    fn is_empty(root: &Path) -> bool {
        fs::read_dir(root).unwrap().all(|entry| entry.unwrap().file_name() == "run")
            && !root.join("run/vdsm/7a").exists()
    }

    #[test]
    fn two_disks_then_gone() {
        let dir = tempfile::tempdir().unwrap();
        let mut start = hook(dir.path(), "1G,/a b:2M,/größe,ignored");
        run(&mut start).unwrap();
        assert_eq!(
            added(&start),
            [("/a b", "vdb"), ("/größe", "vdd")].map(|(path, dev)| format!(
                "<disk device='disk' type='file' snapshot='no'><source file='{path}'/>\
                 <target bus='virtio' dev='{dev}'/><driver cache='writeback' error_policy='stop' name='qemu' type='raw'/></disk>"
            ))
        );
        let mode = fs::metadata(dir.path().join("a b")).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o660);

        let once = start.xml_text();
        run(&mut start).unwrap();
        assert_eq!(start.xml_text(), once, "a second run changes nothing");

        after_vm_destroy::run(&mut hook(dir.path(), "1G,/a b:2M,/größe")).unwrap();
        assert!(is_empty(dir.path()));
    }

    #[test]
    fn a_file_that_was_there_survives_start_and_destroy() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("there"), "data").unwrap();
        let value = "1G,/a:1G,/there";
        let mut start = hook(dir.path(), value);
        let failure = run(&mut start).unwrap_err();
        assert_eq!(
            failure.message(),
            "scratchpad: \"/there\": something is there already: move it away first"
        );
        assert_eq!(start.xml_text(), XML);
        assert!(!dir.path().join("a").exists(), "rolled back");
        after_vm_destroy::run(&mut hook(dir.path(), value)).unwrap();
        assert_eq!(fs::read_to_string(dir.path().join("there")).unwrap(), "data");
    }

    #[test]
    fn links_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("elsewhere", dir.path().join("a")).unwrap();
        assert!(run(&mut hook(dir.path(), "1G,/a")).unwrap_err().stops());
        assert!(!dir.path().join("elsewhere").exists());
    }

    #[test]
    fn the_same_path_twice() {
        let dir = tempfile::tempdir().unwrap();
        assert!(run(&mut hook(dir.path(), "1G,/a:2G,/a")).unwrap_err().stops());
        assert!(is_empty(dir.path()));
    }

    #[test]
    fn qemu_img_fails() {
        let dir = tempfile::tempdir().unwrap();
        let mut count = 0;
        let mut start = hook(dir.path(), "1G,/a:1G,/b").with_commands(move |_| {
            count += 1;
            Ok(Output::exited(u8::from(count == 2), "").with_stderr("Could not create\n"))
        });
        let failure = run(&mut start).unwrap_err();
        assert!(failure.message().contains("Could not create"), "{failure}");
        assert!(is_empty(dir.path()) && start.xml_text() == XML);

        let mut without = Context::for_test().with_host(dir.path()).with_env("vmId", "7a").with_xml(XML);
        without = without.with_env("scratchpad", "1G,/a");
        assert!(run(&mut without).unwrap_err().stops());
        assert!(is_empty(dir.path()));
    }

    #[test]
    fn replaced_while_made() {
        let dir = tempfile::tempdir().unwrap();
        let (path, victim) = (dir.path().join("a"), dir.path().join("victim"));
        fs::write(&victim, "data").unwrap();
        let to = victim.clone();
        let mut start = hook(dir.path(), "1G,/a").with_commands(move |_| {
            fs::remove_file(&path).unwrap();
            std::os::unix::fs::symlink(&to, &path).unwrap();
            Ok(Output::exited(0, ""))
        });
        assert!(run(&mut start).unwrap_err().message().contains("replaced"));
        assert_eq!(fs::read_to_string(victim).unwrap(), "data");
    }

    #[test]
    fn nothing_is_made_for_a_bad_request() {
        let dir = tempfile::tempdir().unwrap();
        for value in ["", "1G,/a:2G", "1G,/a:2X,/b", "1G,/a:1G,b"] {
            assert!(run(&mut hook(dir.path(), value)).unwrap_err().stops(), "{value}");
        }
        for xml in ["<domain/>", "<domain><devices><disk/></devices></domain>", "nonsense"] {
            let mut start = hook(dir.path(), "1G,/a").with_xml(xml);
            assert!(run(&mut start).unwrap_err().stops(), "{xml}");
            assert_eq!(start.xml_text(), xml);
        }
        let mut resumed = hook(dir.path(), "1G,/a").with_env("_hook_reason", "dehibernate");
        assert!(run(&mut resumed).unwrap_err().message().contains("resumed"));
        let control = run(&mut hook(dir.path(), "1G,/a\u{1}b"));
        assert!(control.unwrap_err().stops());
        assert!(is_empty(dir.path()));
    }

    #[test]
    fn only_in_allowed_directories() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["etc/virt-hooks", "scratch/sub", "other"] {
            fs::create_dir_all(dir.path().join(name)).unwrap();
        }
        fs::write(dir.path().join("etc/virt-hooks/scratchpad.conf"), "# ours\n/missing\n/scratch  # big\n")
            .unwrap();
        std::os::unix::fs::symlink("../other", dir.path().join("scratch/out")).unwrap();
        run(&mut hook(dir.path(), "1G,/scratch/a:1G,/scratch/sub/b")).unwrap();
        for path in ["/other/a", "/scratchy", "/scratch/out/a", "/scratch/none/a", "/scratch"] {
            let failure = run(&mut hook(dir.path(), &format!("1G,{path}"))).unwrap_err();
            assert!(failure.message().contains("scratchpad.conf allows"), "{path}: {failure}");
        }
        assert_eq!(fs::read_dir(dir.path().join("other")).unwrap().count(), 0);
    }

    #[test]
    fn names_go_on_after_z() {
        assert_eq!(
            [0, 25, 26, 27, 51, 52, 701, 702].map(name),
            ["vda", "vdz", "vdaa", "vdab", "vdaz", "vdba", "vdzz", "vdaaa"]
        );
        let disks: String = (0..26).map(|i| format!("<disk><target dev='{}'/></disk>", name(i))).collect();
        let domain = Document::parse(format!("<domain><devices>{disks}</devices></domain>")).unwrap();
        assert_eq!(names(&domain).unwrap().next().unwrap(), "vdaa");
    }
}
