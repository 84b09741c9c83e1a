// SPDX-License-Identifier: Apache-2.0
//! Where files of a package go, and what cannot be packaged.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use virt_hooks_package::build::layout::{Entry, Package, Role, RustHooks, What, plan};
use virt_hooks_package::build::{BuildError, Format, Parcel, source_time, write};

const HEAD: &str = "manifest = 1\nname = \"mine\"\nversion = \"1.0\"\nsummary = \"Does a thing\"\n\
    description = \"Does a thing.\"\nlicence = \"MIT\"\nmaintainer = \"A <a@example.org>\"\n";
const POINT: &str = "[[point]]\nname = \"before_vm_start\"\nfile = \"50_mine\"\n";

/// A package's directory, thrown away in the end.
struct Dir(tempfile::TempDir);

impl Dir {
    fn new(manifest: &str) -> Self {
        let dir = Self(tempfile::tempdir().unwrap());
        dir.file("hook.toml", &format!("{HEAD}{manifest}")).file("before_vm_start.sh", "#!/bin/sh\nexit 0\n");
        dir
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("mine")
    }

    fn file(&self, name: &str, content: &str) -> &Self {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    fn package(&self) -> Package {
        Package::open(&self.path()).unwrap()
    }

    fn plan(&self) -> Result<Vec<Entry>, BuildError> {
        plan(&self.package(), RustHooks::Refused)
    }

    fn refused(&self) -> String {
        let line = self.plan().unwrap_err().to_string();
        assert!(!line.contains('\n'), "not one line: {line}");
        line.replace(&*self.path().to_string_lossy(), "DIR")
    }

    fn out(&self) -> PathBuf {
        self.0.path().join("out")
    }

    fn write(&self, format: Format, time: u32) -> Result<Vec<u8>, BuildError> {
        let parcel = Parcel::of(&self.package(), RustHooks::Refused, time)?;
        Ok(fs::read(write(&parcel, format, &self.out(), None)?.package).unwrap())
    }
}

fn file_of(entries: &[Entry], target: &str) -> (u32, Role) {
    let entry = entries.iter().find(|e| e.target == Path::new(target)).unwrap();
    match entry.what {
        What::File { mode, .. } => (mode, entry.role),
        _ => panic!("{target} is not a file"),
    }
}

#[test]
fn everything_has_its_place_and_mode() {
    let dir = Dir::new(&format!(
        "{POINT}[[file]]\nsource = \"rules\"\ntarget = \"/etc/sudoers.d/50_mine\"\nmode = \"0400\"\n\
         [[file]]\nsource = \"words.py\"\ntarget = \"/usr/libexec/vdsm/hooks/before_vm_start/words.py\"\n"
    ));
    dir.file("rules", "")
        .file("words.py", "")
        .file("README.md", "# mine")
        .file("tests/one/bin/virsh", "#!/bin/sh\n");
    dir.file("tests/__pycache__/x.pyc", "").file("notes.txt", "stays at home");
    fs::set_permissions(dir.path().join("tests/one/bin/virsh"), Permissions::from_mode(0o700)).unwrap();
    let entries = dir.plan().unwrap();
    let home = "/usr/share/virt-hooks/packages/mine";
    assert_eq!(file_of(&entries, "/usr/libexec/vdsm/hooks/before_vm_start/50_mine"), (0o755, Role::Hook));
    assert_eq!(file_of(&entries, "/usr/libexec/vdsm/hooks/before_vm_start/words.py"), (0o644, Role::File));
    assert_eq!(file_of(&entries, "/etc/sudoers.d/50_mine"), (0o440, Role::Configuration));
    assert_eq!(file_of(&entries, &format!("{home}/hook.toml")), (0o644, Role::Manifest));
    assert_eq!(file_of(&entries, &format!("{home}/README.md")), (0o644, Role::Document));
    assert_eq!(file_of(&entries, &format!("{home}/tests/one/bin/virsh")), (0o755, Role::Case));
    let odd = |e: &Entry| e.target.to_string_lossy().contains("pycache") || e.target.ends_with("notes.txt");
    assert!(!entries.iter().any(odd));
    let places: Vec<&PathBuf> = entries.iter().map(|e| &e.target).collect();
    let mut sorted = places.clone();
    sorted.sort();
    assert_eq!(places, sorted);
    // Directories that no distribution has are there, others are not.
    let is_dir =
        |place: &str| entries.iter().any(|e| e.what == What::Directory && e.target == Path::new(place));
    assert!(is_dir("/usr/libexec/vdsm/hooks/before_vm_start") && is_dir("/usr/libexec/vdsm") && is_dir(home));
    assert!(!is_dir("/etc/sudoers.d") && !is_dir("/usr/libexec") && !is_dir("/usr/share"));
}

#[test]
fn a_hook_in_rust_is_a_link_or_an_error() {
    let dir = Dir::new(POINT);
    fs::rename(dir.path().join("before_vm_start.sh"), dir.path().join("hook.rs")).unwrap();
    assert_eq!(
        dir.refused(),
        "hook.rs: is a source: build it, and name the executable as source of the point"
    );
    let entries = plan(&dir.package(), RustHooks::Bundled).unwrap();
    let link = What::Link { to: "../../../virt-hooks/virt-hooks-bundled".into() };
    assert!(entries.iter().any(|e| e.what == link && e.role == Role::Hook));
}

#[test]
fn the_source_of_a_hook_is_found_or_named() {
    let dir = Dir::new(POINT);
    dir.file("before_vm_start.py", "");
    assert_eq!(
        dir.refused(),
        "before_vm_start.py: and before_vm_start.sh could both be the hook at before_vm_start: name one as source"
    );
    dir.file("hook.toml", &format!("{HEAD}{POINT}source = \"before_vm_start.py\"\n"));
    dir.plan().unwrap();
    let dir = Dir::new(POINT);
    fs::remove_file(dir.path().join("before_vm_start.sh")).unwrap();
    assert!(dir.refused().starts_with("before_vm_start: is missing, the hook at before_vm_start"));
}

/// What `check`, `try` and `test` take for the hook is what is packed.
#[test]
fn the_same_file_is_the_hook_for_all_verbs() {
    let dir = Dir::new(POINT);
    dir.file("before_vm_start.md", "# not a hook").file("before_vm_start.sh.bak", "old");
    let entries = dir.plan().unwrap();
    let is_it =
        |e: &Entry| matches!(&e.what, What::File { source, .. } if source.ends_with("before_vm_start.sh"));
    assert!(entries.iter().any(|e| e.role == Role::Hook && is_it(e)));
    for source in ["before_vm_start.go", "before_vm_start.c"] {
        let dir = Dir::new(POINT);
        fs::rename(dir.path().join("before_vm_start.sh"), dir.path().join(source)).unwrap();
        assert!(dir.refused().starts_with(&format!("{source}: is a source: build it")), "{source}");
        assert!(plan(&dir.package(), RustHooks::Bundled).is_err());
        // What was built of it lies beside it.
        dir.file("before_vm_start", "built").plan().unwrap();
    }
    let dir = Dir::new(&format!("{POINT}source = \"bin/hook\"\n"));
    assert_eq!(dir.refused(), "bin/hook: is not in DIR");
    assert!(
        dir.file("go.mod", "").refused().starts_with("bin/hook: is not built yet: run make, or go build")
    );
}

/// Whatever can be made into an archive can be installed.
#[test]
fn cases_with_names_that_cannot_be_installed_are_refused_when_it_is_made() {
    let dir = Dir::new(POINT);
    dir.file("tests/one/a b.xml", "<domain/>");
    let line = dir.refused();
    assert!(line.starts_with("tests/one/a b.xml: cannot be installed, call it otherwise: target "), "{line}");
    let dir = Dir::new(POINT);
    dir.file("tests/one/caf\u{e9}", "");
    assert!(dir.refused().contains("cannot be installed"));
    let dir = Dir::new(POINT);
    dir.file("tests/one+two/payload@1,2=3~.xml", "<domain/>").file("cases/one/exit", "0");
    let parcel = Parcel::of(&dir.package(), RustHooks::Refused, 1).unwrap();
    let tar = write(&parcel, Format::Tar, &dir.out(), None).unwrap().package;
    let (_, items) = virt_hooks_package::shelf::unpack(&tar).unwrap();
    assert!(items.iter().any(|i| i.target.ends_with("tests/one+two/payload@1,2=3~.xml")));
}

#[test]
fn nothing_from_outside_of_the_directory_gets_in() {
    let with = |source: &str| {
        Dir::new(&format!("{POINT}[[file]]\nsource = \"{source}\"\ntarget = \"/usr/libexec/vdsm/x\"\n"))
    };
    for source in ["../secret", "/etc/shadow", "", ".", "a/../../x"] {
        assert!(
            with(source).refused().contains("a source is a path below the package's directory"),
            "{source}"
        );
    }
    assert_eq!(with("nothing").refused(), "nothing: is not in DIR");
    let dir = with("link");
    fs::write(dir.0.path().join("secret"), "").unwrap();
    symlink("../secret", dir.path().join("link")).unwrap();
    assert!(dir.refused().starts_with("link: leads out of the package"));
    let dir = with("sub");
    dir.file("sub/x", "");
    assert_eq!(dir.refused(), "sub: is not a regular file");
    let dir = Dir::new(POINT);
    dir.file("tests/x", "");
    symlink("/etc", dir.path().join("tests/y")).unwrap();
    assert!(dir.refused().starts_with("tests/y: is neither a file nor a directory"));
    // A link that stays inside is as good as the file.
    let dir = with("link");
    symlink("before_vm_start.sh", dir.path().join("link")).unwrap();
    dir.plan().unwrap();
}

#[test]
fn a_place_is_taken_once() {
    let file = |target: &str| format!("[[file]]\nsource = \"before_vm_start.sh\"\ntarget = \"{target}\"\n");
    let dir = Dir::new(&(POINT.to_owned() + &file("/usr/libexec/vdsm/x") + &file("/usr/libexec/vdsm/x")));
    assert!(dir.refused().starts_with("/usr/libexec/vdsm/x is there twice: from before_vm_start.sh"));
    let dir = Dir::new(&(POINT.to_owned() + &file("/usr/libexec/vdsm/x") + &file("/usr/libexec/vdsm/x/y")));
    assert!(dir.refused().starts_with("/usr/libexec/vdsm/x is there twice"));
    let dir = Dir::new(&(POINT.to_owned() + &file("/usr/share/virt-hooks/packages/mine/hook.toml")));
    assert!(dir.refused().contains("is there twice"));
    let dir = Dir::new(&(POINT.to_owned() + &file("/usr/share/virt-hooks/packages/other/hook.toml")));
    assert!(dir.refused().contains("belongs to virt-hooks or to another package"));
    let dir = Dir::new(&(POINT.to_owned() + &file("/usr/libexec/vdsm/x") + "mode = \"rw\"\n"));
    assert!(dir.refused().contains("the mode \"rw\" is not an octal number"));
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let make = || {
        Dir::new(&format!(
            "{POINT}[[file]]\nsource = \"u\"\ntarget = \"/usr/lib/systemd/system/u.service\"\n"
        ))
    };
    let (one, two) = (make(), make());
    for format in [Format::Rpm, Format::Deb, Format::Tar] {
        let bytes = one.file("u", "[Unit]\n").write(format, 1_700_000_000).unwrap();
        assert!(
            bytes == two.file("u", "[Unit]\n").write(format, 1_700_000_000).unwrap(),
            "{format:?} differs"
        );
        // And it is the input that they are made of.
        assert!(bytes != two.file("u", "[Unit]\n#\n").write(format, 1_700_000_000).unwrap());
        assert!(bytes != one.write(format, 1_700_000_001).unwrap());
    }
}

#[test]
fn the_time_is_what_the_environment_says_or_the_newest_file_has() {
    let dir = Dir::new(POINT);
    let time =
        |epoch: Option<&str>| source_time(epoch.map(AsRef::as_ref), &dir.package(), RustHooks::Refused);
    assert_eq!(time(Some("86400")).unwrap(), 86_400);
    for bad in ["x", "-1", "4294967296", "1 "] {
        assert!(time(Some(bad)).unwrap_err().to_string().starts_with("SOURCE_DATE_EPOCH is"), "{bad}");
    }
    let at = std::time::UNIX_EPOCH + std::time::Duration::from_secs(3_000_000_000);
    fs::File::options()
        .write(true)
        .open(dir.path().join("before_vm_start.sh"))
        .unwrap()
        .set_modified(at)
        .unwrap();
    assert_eq!(time(None).unwrap(), 3_000_000_000);
    assert_eq!(time(Some("")).unwrap(), 3_000_000_000);
}

#[test]
fn names_that_cannot_be_packages_are_refused() {
    for name in ["a/b", "a.b", "a b", "Mine", &"x".repeat(65), "", "..", "-x"] {
        let dir = Dir::new(POINT);
        dir.file("hook.toml", &format!("{}{POINT}", HEAD.replace("mine", name)));
        let line = Package::open(&dir.path()).unwrap_err().to_string();
        assert!(line.contains("hook.toml:2:1: ") && !line.contains('\n'), "{name}: {line}");
    }
    let line = Package::open(Path::new("/")).unwrap_err().to_string();
    assert_eq!(line, "/ is not a hook package: it has no hook.toml; \"virt-hooks new hook\" makes one");
}

#[test]
fn words_that_would_forge_fields_are_refused() {
    let build = |from: &str, to: &str| {
        let dir = Dir::new(POINT);
        dir.file("hook.toml", &format!("{}{POINT}", HEAD.replace(from, to)));
        dir.write(Format::Deb, 1).unwrap_err().to_string()
    };
    assert!(build("Does a thing\"", "Does\\nDepends: evil\"").contains("is not one line"));
    assert!(build("A <a@", "A\\nX: <a@").contains("is not one line"));
    let dir = Dir::new(&format!("packages.deb = [\"a, b\"]\n{POINT}"));
    assert_eq!(
        dir.write(Format::Deb, 1).unwrap_err().to_string(),
        "virt-hook-mine: \"a, b\" is not the name of a package"
    );
}

#[test]
fn what_cannot_be_written_leaves_nothing() {
    let dir = Dir::new(POINT);
    fs::write(dir.out(), "in the way").unwrap();
    assert!(dir.write(Format::Rpm, 1).unwrap_err().to_string().starts_with("make "));
    fs::remove_file(dir.out()).unwrap();
    // Something else has the package's name.
    let place = dir.out().join("virt-hook-mine-1.0-1.noarch.rpm");
    fs::create_dir_all(place.join("x")).unwrap();
    assert!(dir.write(Format::Rpm, 1).unwrap_err().to_string().starts_with("write "));
    assert_eq!(fs::read_dir(dir.out()).unwrap().count(), 1);
}

#[test]
fn executables_decide_the_machine() {
    let elf = |machine: u8| {
        let mut file = vec![0; 64];
        file[..6].copy_from_slice(b"\x7fELF\x02\x01");
        file[18] = machine;
        file
    };
    let dir = Dir::new(&format!("{POINT}[[file]]\nsource = \"tool\"\ntarget = \"/usr/libexec/vdsm/tool\"\n"));
    let name = |machine: u8, format| {
        fs::write(dir.path().join("tool"), elf(machine)).unwrap();
        let parcel = Parcel::of(&dir.package(), RustHooks::Refused, 1).unwrap();
        write(&parcel, format, &dir.out(), None)
            .map(|w| w.package.file_name().unwrap().to_str().unwrap().to_owned())
    };
    assert_eq!(name(62, Format::Rpm).unwrap(), "virt-hook-mine-1.0-1.x86_64.rpm");
    assert_eq!(name(183, Format::Deb).unwrap(), "virt-hook-mine_1.0_arm64.deb");
    assert!(name(3, Format::Deb).unwrap_err().to_string().contains("ELF number 3"));
    fs::write(dir.path().join("before_vm_start.sh"), elf(183)).unwrap();
    assert!(name(62, Format::Rpm).unwrap_err().to_string().contains("more than one kind of machine"));
}

#[test]
fn a_point_or_a_file_that_leads_elsewhere_is_refused() {
    for point in ["../../../../etc", "before_vm_start/x", "/etc", "..", "a b", ""] {
        let dir = Dir::new(&format!(
            "[[point]]\nname = \"{point}\"\nfile = \"50_mine\"\nsource = \"before_vm_start.sh\"\n"
        ));
        let line = Package::open(&dir.path()).unwrap_err().to_string();
        assert!(line.contains("cannot name a hook point"), "{point}: {line}");
    }
    for file in ["../50_mine", "/50_mine", "..", ".hidden", "a\\nb"] {
        let dir = Dir::new(&format!("[[point]]\nname = \"before_vm_start\"\nfile = \"{file}\"\n"));
        let line = Package::open(&dir.path()).unwrap_err().to_string();
        assert!(line.contains("is not the name of a file that runs"), "{file}: {line}");
    }
}
