// SPDX-License-Identifier: Apache-2.0
//! Writes a file into the guest, through libguestfs.

use super::guest::{Guest, Way};
use std::time::Duration;
use virt_hooks_sdk::{Command, Context, Document, Failure, Output};

/// For one start of libguestfs' appliance and its work.
const DEADLINE: Duration = Duration::from_secs(600);

pub(crate) fn run(hook: &mut Context) -> Result<(), Failure> {
    let Some(value) = hook.property("fileinject")? else { return Ok(()) };
    let (path, content) = parts(&value)?;
    if matches!(hook.reason().as_deref(), Some("dehibernate" | "resume" | "restore" | "snapshot")) {
        hook.log("fileinject: a resumed guest has its file systems mounted; nothing is written");
        return Ok(());
    }
    let domain = hook.domain()?;
    let disks = disks(&domain);
    if disks.is_empty() {
        return Err(Failure::stop("fileinject: the VM has no disk to write to"));
    }
    let mut injected = false;
    let mut refused = Vec::new();
    for disk in disks {
        match inject(hook, &disk, path, content) {
            Ok(()) => injected = true,
            Err(Trouble::Disk(why)) => refused.push(format!("{}: {why}", disk.name())),
            Err(Trouble::Tools(why)) => return Err(Failure::stop(why)),
        }
    }
    if !injected {
        return Err(Failure::stop(format!("fileinject: no disk took the file: {}", refused.join("; "))));
    }
    for why in refused {
        hook.log(format!("fileinject: {why}"));
    }
    Ok(())
}

fn parts(value: &str) -> Result<(&str, &str), Failure> {
    match value.split_once(':') {
        Some((path, content)) if path.starts_with('/') && !path.ends_with('/') => Ok((path, content)),
        _ => Err(Failure::stop("fileinject: expected PATH:CONTENT, the path absolute and that of a file")),
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Disk {
    /// None: not in a file or block device of this host.
    path: Option<String>,
    format: String,
}

impl Disk {
    fn name(&self) -> &str {
        self.path.as_deref().unwrap_or("a disk that is no file and no block device")
    }
}

fn disks(domain: &Document) -> Vec<Disk> {
    let mut disks = Vec::new();
    for disk in domain.all_named("disk") {
        let first = |name| domain.all_named_below(disk, name).into_iter().next();
        let Some(source) = first("source") else { continue };
        if !domain.has(disk, "device", "disk") {
            continue;
        }
        let format = first("driver").and_then(|driver| domain.attribute(driver, "type"));
        let path = domain.attribute(source, "file").or_else(|| domain.attribute(source, "dev"));
        disks.push(Disk {
            // Anything else the tools could take for a URI.
            path: path.filter(|path| path.starts_with('/')).map(std::borrow::Cow::into_owned),
            format: format.map_or_else(|| "raw".to_owned(), std::borrow::Cow::into_owned),
        });
    }
    disks
}

#[derive(Debug)]
enum Trouble {
    /// This disk did not take the file.
    Disk(String),
    /// None will.
    Tools(String),
}

fn inject(hook: &mut Context, disk: &Disk, path: &str, content: &str) -> Result<(), Trouble> {
    let Some(image) = &disk.path else { return Err(Trouble::Disk("cannot be opened from here".to_owned())) };
    let format = format!("--format={}", disk.format);
    let inspect = ["virt-inspector", &format, "-a", image, "--no-applications", "--no-icon"];
    let output = guestfs(hook, &inspect.map(str::to_owned), "")?;
    let guests = Guest::all(output.stdout.bytes())
        .map_err(|error| Trouble::Disk(format!("what virt-inspector says is not XML: {error}")))?;
    if guests.is_empty() {
        return Err(Trouble::Disk("no operating system found".to_owned()));
    }
    let mut injected = false;
    let mut refused = Vec::new();
    for guest in guests {
        match guestfs(hook, &script(&format, image, &guest.way(path)), content) {
            Ok(_) => {
                hook.log(format!("fileinject: {image}: written to the system on {}", guest.root()));
                injected = true;
            }
            Err(Trouble::Disk(why)) => refused.push(format!("the system on {}: {why}", guest.root())),
            tools => return tools.map(drop),
        }
    }
    if !injected {
        return Err(Trouble::Disk(refused.join("; ")));
    }
    for why in refused {
        hook.log(format!("fileinject: {image}: {why}"));
    }
    Ok(())
}

/// Commands of guestfish as arguments, a colon between them; so nothing has to be quoted. The content comes
/// on standard input.
fn script(format: &str, image: &str, way: &Way) -> Vec<String> {
    let mut words = vec!["guestfish", "--rw", format, "-a", image, "--", "run"];
    for (device, point, must) in &way.mounts {
        // With a minus guestfish goes on if it fails.
        let mount = if *must { "mount-options" } else { "-mount-options" };
        words.extend([":", mount, "", device, point]);
    }
    words.extend([":", "upload", "-", &way.path, ":", "umount-all"]);
    words.into_iter().map(str::to_owned).collect()
}

fn guestfs(hook: &mut Context, words: &[String], input: &str) -> Result<Output, Trouble> {
    let program = words.first().map(String::as_str).unwrap_or_default();
    let mut command = Command::new("/usr/bin/env");
    if hook.env("LIBGUESTFS_BACKEND").is_none() {
        command = command.arg("LIBGUESTFS_BACKEND=direct");
    }
    let command = command.args(words).stdin(input).deadline(DEADLINE);
    let output = hook.execute(&command).map_err(|error| Trouble::Tools(Failure::from(error).to_string()))?;
    if output.status.code() == Some(127) {
        return Err(Trouble::Tools(format!(
            "fileinject: {program} is not installed: it comes with libguestfs' tools (guestfs-tools, libguestfs-tools)"
        )));
    }
    output.success(&command).map_err(|error| {
        let said = Failure::from(error).to_string();
        Trouble::Disk(said.replace("/usr/bin/env ended", &format!("{program} ended")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::rc::Rc;

    const LINUX: &str = "<operatingsystems><operatingsystem><root>/dev/sda1</root><name>linux</name></operatingsystem></operatingsystems>";

    /// Command lines, with what was on standard input.
    type Ran = Rc<RefCell<Vec<(String, Vec<u8>)>>>;

    fn disk(format: &str, file: &str) -> String {
        format!("<disk device='disk'><driver type='{format}'/><source file='{file}'/></disk>")
    }

    /// A hook with these disks; `inspect` says what is on one, `write` how guestfish ends.
    fn hook(
        value: &str,
        disks: &str,
        inspect: fn(&str) -> Output,
        write: fn(&str) -> Output,
    ) -> (Context, Ran) {
        let ran = Ran::default();
        let seen = Rc::clone(&ran);
        let hook = Context::for_test()
            .with_env("fileinject", value)
            .with_xml(format!("<domain><devices>{disks}</devices></domain>"))
            .with_commands(move |command| {
                let line = command.to_string();
                seen.borrow_mut().push((line.clone(), command.input().to_vec()));
                Ok(if line.contains("virt-inspector") { inspect(&line) } else { write(&line) })
            });
        (hook, ran)
    }

    fn linux(_: &str) -> Output {
        Output::exited(0, LINUX)
    }

    fn fine(_: &str) -> Output {
        Output::exited(0, "")
    }

    #[test]
    fn into_a_linux() {
        let (mut hook, ran) = hook("/etc/x;$(id):a: b\n\\n'", &disk("qcow2", "/d 1"), linux, fine);
        let before = hook.xml_text();
        run(&mut hook).unwrap();
        let ran = ran.borrow();
        assert_eq!(
            ran[0].0,
            "/usr/bin/env LIBGUESTFS_BACKEND=direct virt-inspector --format=qcow2 -a '/d 1' --no-applications --no-icon"
        );
        assert_eq!(
            ran[1].0,
            "/usr/bin/env LIBGUESTFS_BACKEND=direct guestfish --rw --format=qcow2 -a '/d 1' -- run : \
             mount-options '' /dev/sda1 / : upload - '/etc/x;$(id)' : umount-all"
        );
        assert_eq!(ran[1].1, b"a: b\n\\n'");
        assert_eq!((ran.len(), hook.xml_text()), (2, before));
    }

    #[test]
    fn file_systems_of_a_windows_and_a_linux() {
        let way = Way {
            mounts: vec![("/dev/sda1".into(), "/".into(), true), ("/dev/sdb".into(), "/home".into(), false)],
            path: "win:/x".into(),
        };
        assert_eq!(
            script("--format=raw", "/d", &way).join(" "),
            "guestfish --rw --format=raw -a /d -- run : mount-options  /dev/sda1 / : -mount-options  /dev/sdb /home : upload - win:/x : umount-all"
        );
    }

    #[test]
    fn one_disk_is_enough() {
        let disks = disk("raw", "/system") + &disk("raw", "/data") + &disk("raw", "/broken");
        let inspect: fn(&str) -> Output = |line| match line {
            _ if line.contains("/system") => Output::exited(0, LINUX),
            _ if line.contains("/data") => {
                Output::exited(1, "").with_stderr("no operating system could be detected\n")
            }
            _ => Output::exited(0, "<operatingsystems/>"),
        };
        let (mut hook, _) = hook("/etc/x:y", &disks, inspect, fine);
        run(&mut hook).unwrap();
        let logged = hook.logged().join("\n");
        assert!(
            logged.contains("/data: virt-inspector ended with exit status: 1: no operating system"),
            "{logged}"
        );
        assert!(logged.contains("/broken: no operating system found"), "{logged}");
    }

    #[test]
    fn none_took_it() {
        let write: fn(&str) -> Output =
            |_| Output::exited(1, "").with_stderr("upload: /nosuch: No such file or directory\n");
        let (mut hook, _) = hook("/nosuch/x:y", &disk("raw", "/d"), linux, write);
        assert_eq!(
            run(&mut hook).unwrap_err().message(),
            "fileinject: no disk took the file: /d: the system on /dev/sda1: guestfish ended with exit status: 1: \
             upload: /nosuch: No such file or directory"
        );
    }

    #[test]
    fn tools_that_are_missing() {
        let (mut hook, ran) =
            hook("/x:y", &(disk("raw", "/a") + &disk("raw", "/b")), |_| Output::exited(127, ""), fine);
        let failure = run(&mut hook).unwrap_err();
        assert!(failure.message().starts_with("fileinject: virt-inspector is not installed"), "{failure}");
        assert_eq!(ran.borrow().len(), 1);
    }

    #[test]
    fn disks_that_count() {
        let others = "<disk device='lun'><source dev='/l'/></disk><disk device='disk'/><disk device='cdrom'><source file='/c'/></disk>";
        let (mut none, ran) = hook("/x:y", others, linux, fine);
        assert_eq!(run(&mut none).unwrap_err().message(), "fileinject: the VM has no disk to write to");
        let elsewhere = "<disk type='network' device='disk'><source name='pool/v'/></disk>".to_owned()
            + &disk("raw", "ssh://h/d");
        let (mut network, _) = hook("/x:y", &elsewhere, linux, fine);
        assert!(run(&mut network).unwrap_err().stops());
        assert!(ran.borrow().is_empty());
        let domain =
            Document::parse("<domain><disk device='disk'><source dev='/b'/></disk></domain>").unwrap();
        assert_eq!(disks(&domain), [Disk { path: Some("/b".to_owned()), format: "raw".to_owned() }]);
    }

    #[test]
    fn bad_values_and_times() {
        for value in
            ["", "content", ":", "x:y", "../etc/x:y", "c:/x:y", "/etc/:y", "/:y", &"x".repeat(1 << 20)]
        {
            // No payload: it is not opened.
            let failure = run(&mut Context::for_test().with_env("fileinject", value)).unwrap_err();
            assert!(failure.stops() && failure.message().starts_with("fileinject: expected"));
        }
        run(&mut Context::for_test()).unwrap();
        run(&mut Context::for_test().with_env("fileinject", "/x:y").with_env("_hook_reason", "dehibernate"))
            .unwrap();
        let (mut empty, ran) = hook("/x:", &disk("raw", "/d"), linux, fine);
        run(&mut empty).unwrap();
        assert!(ran.borrow()[1].1.is_empty());
    }

    #[test]
    fn another_backend() {
        let (hook, ran) = hook("/x:y", &disk("raw", "/d"), linux, fine);
        run(&mut hook.with_env("LIBGUESTFS_BACKEND", "libvirt")).unwrap();
        assert!(ran.borrow()[0].0.starts_with("/usr/bin/env virt-inspector"));
    }

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config { failure_persistence: None, ..proptest::test_runner::Config::with_cases(64) })]
        /// Values of the grammar: the first colon parts the path from the content, which goes to guestfish as it is.
        #[test]
        fn the_content_is_written_as_it_is(path in "/[a-z]{1,8}(/[ a-zA-Z0-9.;$()'\"_-]{1,8}){0,3}", content in "[^\\x00]{0,40}") {
            let value = format!("{path}:{content}");
            let (mut hook, ran) = hook(&value, &disk("raw", "/d"), |_| Output::exited(0, LINUX), |_| Output::exited(0, ""));
            run(&mut hook).unwrap();
            let ran = ran.borrow();
            proptest::prop_assert_eq!(ran.len(), 2);
            proptest::prop_assert_eq!(&ran[1].1, content.as_bytes());
            proptest::prop_assert_eq!(parts(&value).unwrap(), (path.as_str(), content.as_str()));
        }
    }
}
