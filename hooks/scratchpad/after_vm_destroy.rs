// SPDX-License-Identifier: Apache-2.0
//! Deletes the scratch disks of a VM that is gone, if this hook made them.

use super::entry;
use super::record::Record;
use crate::shared::messages::log_few;
use crate::shared::messages::shown;
use std::{fs, io};
use virt_hooks_sdk::{Context, Failure};

pub(crate) fn run(hook: &mut Context) -> Result<(), Failure> {
    let Some(value) = hook.property("scratchpad")? else { return Ok(()) };
    let record = Record::of(hook)?;
    let (mut failed, mut notes) = (None, Vec::new());
    for entry in entry::lenient(&value) {
        match entry.and_then(|entry| remove(hook, &record, entry.path)) {
            Ok(note) => notes.extend(note),
            // The others are looked after all the same.
            Err(failure) if failed.is_none() => failed = Some(failure),
            Err(failure) => notes.push(failure.message().to_owned()),
        }
    }
    log_few(hook, notes.iter(), |n| format!("scratchpad: {n} more entries were not deleted"));
    match failed {
        Some(failure) => Err(failure),
        None => {
            record.forget_all();
            Ok(())
        }
    }
}

/// Deletes what was made for the VM; tells why there is nothing to delete.
fn remove(hook: &Context, record: &Record, path: &str) -> Result<Option<String>, Failure> {
    let wrong = |what: &str| Failure::stop(format!("scratchpad: {}: {what}", shown(path)));
    let file = hook.host().path(path);
    let metadata = match fs::symlink_metadata(&file) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(Some(format!("scratchpad: {} is gone already", shown(path))));
        }
        Err(error) => return Err(wrong(&error.to_string())),
    };
    if metadata.is_dir() {
        return Err(wrong("a directory, and left alone"));
    }
    if !record.has(&metadata) {
        return Ok(Some(format!("scratchpad: {} was not made for this VM and is left alone", shown(path))));
    }
    fs::remove_file(&file).map_err(|error| wrong(&format!("delete it: {error}")))?;
    record.forget(&metadata);
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn hook(root: &Path, value: &str) -> Context {
        Context::for_test().with_host(root).with_env("vmId", "7a").with_env("scratchpad", value)
    }

    /// A file that counts as made for the VM.
    fn make(root: &Path, name: &str) {
        fs::write(root.join(name), "x").unwrap();
        Record::of(&hook(root, "")).unwrap().add(&fs::metadata(root.join(name)).unwrap()).unwrap();
    }

    fn names(root: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(root).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn only_what_was_made_for_this_vm() {
        let dir = tempfile::tempdir().unwrap();
        make(dir.path(), "ours");
        make(dir.path(), "-rf größe");
        fs::write(dir.path().join("theirs"), "data").unwrap();
        let mut hook = hook(dir.path(), "1G,/ours:,/-rf größe,x:1G,/theirs:1G,/gone");
        run(&mut hook).unwrap();
        assert_eq!(names(dir.path()), ["run", "theirs"]);
        assert_eq!(
            hook.logged(),
            [
                "scratchpad: \"/theirs\" was not made for this VM and is left alone",
                "scratchpad: \"/gone\" is gone already"
            ]
        );
        assert!(!dir.path().join("run/vdsm/7a").exists());
    }

    #[test]
    fn of_another_vm() {
        let dir = tempfile::tempdir().unwrap();
        make(dir.path(), "a");
        run(&mut hook(dir.path(), "1G,/a").with_env("vmId", "7b")).unwrap();
        assert_eq!(names(dir.path()), ["a", "run"]);
    }

    #[test]
    fn links_and_what_took_the_place() {
        let dir = tempfile::tempdir().unwrap();
        make(dir.path(), "a");
        fs::rename(dir.path().join("a"), dir.path().join("moved")).unwrap();
        std::os::unix::fs::symlink("moved", dir.path().join("a")).unwrap();
        run(&mut hook(dir.path(), "1G,/a")).unwrap();
        assert_eq!(names(dir.path()), ["a", "moved", "run"]);
    }

    #[test]
    fn the_rest_is_done_although_one_fails() {
        let dir = tempfile::tempdir().unwrap();
        make(dir.path(), "a");
        fs::create_dir(dir.path().join("folder")).unwrap();
        let failure = run(&mut hook(dir.path(), "junk:1G,/folder:1G,/a")).unwrap_err();
        assert!(failure.stops() && failure.message().contains("junk"), "{failure}");
        assert_eq!(names(dir.path()), ["folder", "run"]);
    }

    #[test]
    fn without_the_property_nothing_is_looked_at() {
        run(&mut Context::for_test()).unwrap();
        let mut without_vm = Context::for_test().with_env("scratchpad", "1G,/a");
        assert!(run(&mut without_vm).unwrap_err().message().contains("vmId"));
        let mut hostile = Context::for_test().with_env("scratchpad", "1G,/a").with_env("vmId", "../..");
        assert!(run(&mut hostile).is_err());
    }
}
