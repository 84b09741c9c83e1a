// SPDX-License-Identifier: Apache-2.0
//! Puts a local volume in the place of a disk; makes it, at the first start, as a copy of the disk.

use super::image::Image;
use super::volume::{Backend, State, Volume};
use std::time::Instant;
use virt_hooks_sdk::{Context, Failure, serde_json};

pub(crate) fn run(hook: &mut Context) -> Result<(), Failure> {
    // Every failure lets the next hook run, as with VDSM's; the start is refused all the same.
    prepare(hook).map_err(|failure| {
        let said = failure.message();
        Failure::go_on(format!("localdisk: {}", said.strip_prefix("localdisk: ").unwrap_or(said)))
    })
}

fn prepare(hook: &mut Context) -> Result<(), Failure> {
    let Some(value) = hook.property("localdisk")? else { return Ok(()) };
    let backend = match value.as_str() {
        "lvm" => Backend::Lvm,
        "lvmthin" => Backend::LvmThin,
        _ => {
            hook.log("localdisk: expected \"lvm\" or \"lvmthin\"; the disk stays where it is");
            return Ok(());
        }
    };
    let vm = hook.vm_id()?;
    let mut drive = hook.json()?;
    let text = |key: &str| {
        let value = drive.get(key).and_then(serde_json::Value::as_str);
        value
            .ok_or_else(|| Failure::go_on(format!("localdisk: the disk has no \"{key}\"")))
            .map(str::to_owned)
    };
    let (path, image, name, format) = (text("path")?, text("imageID")?, text("volumeID")?, text("format")?);
    if !path.starts_with('/') {
        return Err(Failure::go_on("localdisk: the \"path\" of the disk is not absolute"));
    }
    for (key, id) in [("vmId", &vm), ("imageID", &image), ("volumeID", &name)] {
        if !is_id(id) {
            return Err(Failure::go_on(format!("localdisk: \"{key}\" is no UUID")));
        }
    }
    let format = if format == "cow" { "qcow2" } else { &format };
    let volume = Volume(&name);
    let old = volume.state(hook)?;
    if old == State::Finished {
        hook.log(format!("localdisk: the local disk {name} is used again"));
        volume.activate(hook)?;
    } else {
        if old == State::Unfinished {
            hook.log(format!("localdisk: the copy {name} was not finished; it is made anew"));
            volume.remove(hook)?;
        }
        fill(hook, volume, backend, Image { path: &path, format }, &vm, &image)?;
    }
    let drive_object =
        drive.as_object_mut().ok_or_else(|| Failure::go_on("localdisk: the disk is no object"))?;
    for (key, value) in
        [("path", volume.path()), ("format", "raw".to_owned()), ("diskType", "block".to_owned())]
    {
        drive_object.insert(key.to_owned(), value.into());
    }
    Ok(drive.save()?)
}

fn fill(
    hook: &mut Context,
    volume: Volume<'_>,
    backend: Backend,
    image: Image<'_>,
    vm: &str,
    image_id: &str,
) -> Result<(), Failure> {
    let size = image.size(hook)?;
    volume.create(hook, backend, vm, image_id, size)?;
    hook.log(format!("localdisk: {} is copied to {}, {size} bytes", image.path, volume.path()));
    let start = Instant::now();
    match backend {
        Backend::Lvm => image.copy(hook, &volume.path())?,
        Backend::LvmThin => image.copy_sparse(hook, &volume.path())?,
    }
    hook.log(format!("localdisk: copied in {} s", start.elapsed().as_secs()));
    volume.finish(hook)
}

/// What the helper takes for the name of a volume.
fn is_id(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && groups.iter().all(|group| group.bytes().all(|b| b.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::path::Path;
    use std::rc::Rc;
    use virt_hooks_sdk::Output;

    const VM: &str = "11111111-1111-1111-1111-111111111111";
    const IMAGE: &str = "22222222-2222-2222-2222-222222222222";
    const NAME: &str = "33333333-3333-3333-3333-333333333333";

    fn drive() -> String {
        format!(r#"{{"path":"/rhev/a b","imageID":"{IMAGE}","volumeID":"{NAME}","format":"cow","index":0}}"#)
    }

    fn tagged(tags: &str) -> String {
        format!(r#"{{"report": [{{"lv": [{{"lv_name": "{NAME}", "lv_tags": "{tags}"}}]}}]}}"#)
    }

    const NONE: &str = r#"{"report": [{"lv": []}]}"#;

    /// Runs the hook; gives what it ran, up to a command that has `fails` in it.
    fn ran(value: &str, list: &str, fails: &str, root: &Path) -> (Context, Result<(), Failure>, Vec<String>) {
        let lines = Rc::<RefCell<Vec<String>>>::default();
        let seen = Rc::clone(&lines);
        let (list, fails, var_tmp) = (list.to_owned(), fails.to_owned(), root.join("var/tmp"));
        std::fs::create_dir_all(&var_tmp).unwrap();
        let mut hook = Context::for_test()
            .with_host(root)
            .with_env("localdisk", value)
            .with_env("vmId", VM)
            .with_json(drive())
            .with_commands(move |command| {
                let line = command.to_string();
                assert_eq!(command.is_sudo(), line.contains("helper"));
                seen.borrow_mut().push(line.clone());
                if !fails.is_empty() && line.contains(&fails) {
                    return Ok(Output::exited(5, "").with_stderr("it said no"));
                }
                if line.contains("convert") && line.contains("/var/tmp") {
                    assert_eq!(std::fs::read_dir(&var_tmp).unwrap().count(), 1);
                }
                Ok(Output::exited(
                    0,
                    match line.as_str() {
                        _ if line.contains("helper list") => &list,
                        _ if line.contains("info") => r#"{"virtual-size": 1536, "format": "qcow2"}"#,
                        _ => "",
                    },
                ))
            });
        let result = run(&mut hook);
        assert_eq!(std::fs::read_dir(root.join("var/tmp")).unwrap().count(), 0, "the temporary file stays");
        let lines = lines.take();
        (hook, result, lines)
    }

    #[test]
    fn a_new_volume() {
        let dir = tempfile::tempdir().unwrap();
        let (hook, result, lines) = ran("lvm", NONE, "", dir.path());
        result.unwrap();
        let helper = "/usr/libexec/vdsm/localdisk-helper";
        assert_eq!(
            lines,
            [
                format!("{helper} list {NAME}"),
                "qemu-img info --output json '/rhev/a b'".to_owned(),
                format!(
                    "{helper} create --addtag UPDATING --addtag VM_{VM} --addtag IU_{IMAGE} \
                 --addtag PU_00000000-0000-0000-0000-000000000000 --size 1536b {NAME}"
                ),
                format!(
                    "/usr/bin/nice -n 19 /usr/bin/ionice -c 3 qemu-img convert -p -t none -T none -f qcow2 -O raw \
                 '/rhev/a b' /dev/ovirt-local/{NAME}"
                ),
                format!("{helper} change --deltag UPDATING {NAME}"),
            ]
        );
        assert_eq!(
            hook.json_text(),
            format!(
                r#"{{"path": "/dev/ovirt-local/{NAME}", "imageID": "{IMAGE}", "volumeID": "{NAME}", "format": "raw", "index": 0, "diskType": "block"}}"#
            )
        );
    }

    #[test]
    fn a_thin_one_in_the_place_of_a_torn_one() {
        let dir = tempfile::tempdir().unwrap();
        let (_, result, lines) = ran("lvmthin", &tagged("VM_x,UPDATING"), "", dir.path());
        result.unwrap();
        assert!(lines[1].contains(" remove ") && lines[3].contains("--thinpool pool0 --virtualsize 1536b"));
        assert!(lines[4].contains("convert") && lines[4].contains(" /var/tmp/localdisk."));
        assert!(lines[5].starts_with("/usr/bin/dd if=/var/tmp/localdisk."), "{}", lines[5]);
        assert!(
            lines[5].ends_with(&format!(
                "of=/dev/ovirt-local/{NAME} bs=1M iflag=direct oflag=direct conv=sparse"
            ))
        );
    }

    #[test]
    fn one_that_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let (mut hook, result, lines) = ran("lvm", &tagged("UPDATED,IU_a"), "", dir.path());
        result.unwrap();
        assert!(lines.len() == 2 && lines[1].ends_with(&format!("change --activate y {NAME}")), "{lines:?}");
        let once = hook.json_text();
        run(&mut hook).unwrap();
        assert_eq!(hook.json_text(), once);
    }

    #[test]
    fn each_step_can_fail() {
        let dir = tempfile::tempdir().unwrap();
        for fails in ["list", "info", "create", "convert", "/dd ", "--deltag"] {
            let (hook, result, lines) = ran("lvmthin", NONE, fails, dir.path());
            let failure = result.unwrap_err();
            assert!(!failure.stops() && failure.message().contains("it said no"), "{failure}");
            assert!(lines.last().unwrap().contains(fails), "{fails}");
            assert_eq!(hook.json_text(), drive());
        }
        for list in ["", "{}", "[]", r#"{"report": []}"#] {
            assert!(ran("lvm", list, "", dir.path()).1.is_err(), "{list}");
        }
    }

    #[test]
    fn other_values_change_nothing() {
        for value in ["", "LVM", "lvm;rm", "../x"] {
            // No payload, no commands.
            let mut hook = Context::for_test().with_env("localdisk", value);
            run(&mut hook).unwrap();
            assert_eq!(hook.logged().len(), 1);
        }
        run(&mut Context::for_test()).unwrap();
    }

    #[test]
    fn hostile_disks() {
        for json in [
            "{}".to_owned(),
            "[]".to_owned(),
            "nonsense".to_owned(),
            drive().replace(NAME, "../../etc"),
            drive().replace(NAME, "-f"),
            drive().replace(IMAGE, "x\\\" || lv_name=~\\\"."),
            drive().replace("/rhev/a b", "-U"),
            drive().replace("\"cow\"", "7"),
        ] {
            let mut hook =
                Context::for_test().with_env("localdisk", "lvm").with_env("vmId", VM).with_json(json.clone());
            let failure = run(&mut hook).unwrap_err();
            assert!(!failure.stops() && !failure.message().contains("no commands"), "{json}: {failure}");
            assert_eq!(hook.json_text(), json);
        }
        let mut hook = Context::for_test().with_env("localdisk", "lvm").with_json(drive());
        assert_eq!(run(&mut hook).unwrap_err().exit_code(), 1);
        assert!(!is_id("33333333-3333-3333-3333-33333333333é"));
    }

    /// The root gateway: what it refuses, it refuses before it runs anything.
    #[test]
    fn the_helper_checks_what_it_is_told() {
        let helper = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../hooks/localdisk/localdisk-helper");
        let ends = |words: &[&str]| {
            let output = std::process::Command::new("python3").arg("-I").arg(&helper).args(words).output();
            output.map(|output| (output.status.code(), String::from_utf8(output.stderr).unwrap()))
        };
        if ends(&[]).is_err() {
            eprintln!("ignored: python3 is not installed");
            return;
        }
        assert_eq!(ends(&[]).unwrap().0, Some(1));
        let quote = format!("{NAME}\" || lv_name=~\".");
        for words in [
            &["list", &quote] as &[&str],
            &["list", "x"],
            &["list", "../../dev/sda"],
            &["remove", ""],
            &["remove", "--", "-f"],
            &["remove", &format!("{NAME}\n")],
            &["create", "--addtag=--yes", NAME],
            &["create", "--addtag", "a b", NAME],
            &["create", "--size", "100%FREE", NAME],
            &["create", "--size=-1b", NAME],
            &["create", "--thinpool", "../x", NAME],
            &["change", "--activate", "yes", NAME],
            &["change", "--activate"],
            &["change", "--active", "y", NAME],
            &["create"],
            &["format", NAME],
        ] {
            let (code, said) = ends(words).unwrap();
            assert_eq!(code, Some(2), "{words:?}: {said}");
        }
    }
}
