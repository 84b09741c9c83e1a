// SPDX-License-Identifier: Apache-2.0
//! `install`, `remove`, `enable`, `disable`, `info`, `verify`, `order`, `properties`, `diff`: packages below a root.

use crate::case::{Case, DOMAIN, Done};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// A root, packages beside it, and the command run on both.
pub(crate) struct Image(TempDir);

impl Image {
    pub(crate) fn new() -> Self {
        let image = Self(TempDir::new().unwrap());
        fs::create_dir(image.path("root")).unwrap();
        image
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn file(&self, name: &str, text: &str) -> &Self {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    /// The source of a package with one hook at `before_vm_start`, and these further lines in its manifest.
    pub(crate) fn package(&self, name: &str, version: &str, lines: &str) -> &Self {
        let (top, tables) = lines.split_once("--\n").unwrap_or((lines, ""));
        self.file(
            &format!("{name}/hook.toml"),
            &format!(
                "manifest = 1\nname = \"{name}\"\nversion = \"{version}\"\nsummary = \"s\"\ndescription = \"d\"\n\
                 licence = \"MIT\"\n{top}\n[[point]]\nname = \"before_vm_start\"\norder = 50\n{tables}"
            ),
        );
        self.file(&format!("{name}/before_vm_start.sh"), &format!("#!/bin/sh\necho {name} {version} >&2\n"))
    }

    pub(crate) fn run(&self, arguments: &str) -> Done {
        let arguments = arguments.replace("@", &format!("{}/", self.0.path().display()));
        Case::new().says(&format!("--root {} {arguments}", self.path("root").display())).run()
    }

    pub(crate) fn hook(&self, name: &str) -> PathBuf {
        self.path(&format!("root/usr/libexec/vdsm/hooks/before_vm_start/50_{name}"))
    }

    /// Everything below the root, by place, with what is in it.
    pub(crate) fn tree(&self) -> BTreeMap<String, String> {
        fn walk(dir: &Path, top: &Path, all: &mut BTreeMap<String, String>) {
            for entry in fs::read_dir(dir).unwrap().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    walk(&path, top, all);
                } else if !path.ends_with("packages/.lock") {
                    let name = path.strip_prefix(top).unwrap().display().to_string();
                    all.insert(name, fs::read_to_string(&path).unwrap_or_default());
                }
            }
        }
        let mut all = BTreeMap::new();
        walk(&self.path("root"), &self.path("root"), &mut all);
        all
    }
}

#[test]
fn a_package_comes_runs_and_goes_without_a_trace() {
    let image = Image::new();
    image.package("mine", "1.0", "").file("mine/README.md", "# mine\n");
    let done = image.run("install @mine --dry-run").ended(0);
    assert!(done.stdout.contains("put /usr/libexec/vdsm/hooks/before_vm_start/50_mine\n"), "{}", done.stdout);
    assert_eq!(image.tree().len(), 0);
    let done = image.run("install @mine").ended(0);
    assert_eq!(done.stderr, "installed: mine 1.0: 1 hook\n");
    let run = Case::new()
        .says(&format!(
            "--root {} --state-dir state fire before_vm_start --payload -",
            image.path("root").display()
        ))
        .input(DOMAIN)
        .run()
        .ended(0);
    assert!(run.stderr.contains("50_mine"), "{}", run.stderr);
    assert_eq!(image.run("verify").ended(0).stderr, "everything is as it was installed\n");
    assert!(image.run("install @mine").ended(0).stderr.contains("mine 1.0 is installed as it is"));
    assert!(image.run("remove mine --dry-run").ended(0).stdout.contains("remove /usr/libexec"));
    assert_eq!(image.run("remove mine").ended(0).stderr, "removed: mine 1.0\n");
    assert_eq!(image.tree(), BTreeMap::new());
    assert_eq!(
        image.run("remove mine").refused(2),
        "no package \"mine\" is installed; \"virt-hooks list\" shows what is"
    );
}

#[test]
fn an_archive_is_as_good_as_a_directory() {
    let image = Image::new();
    image.package("mine", "1.0", "");
    image.run("package @mine --format tar --out @out").ended(0);
    image.run("install @out/virt-hook-mine-1.0.tar.gz").ended(0);
    let from_archive = image.tree();
    image.run("remove mine").ended(0);
    image.run("install @mine").ended(0);
    assert_eq!(image.tree(), from_archive);
}

#[test]
fn an_upgrade_takes_what_is_no_more_and_keeps_what_was_changed_on_the_host() {
    let image = Image::new();
    let file = "--\n[[file]]\nsource = \"m.conf\"\ntarget = \"/etc/modprobe.d/mine.conf\"\n[[file]]\nsource = \"t\"\ntarget = \"/usr/share/virt-hooks/packages/mine/t\"\n";
    image.package("mine", "1.0", file).file("mine/m.conf", "options a\n").file("mine/t", "t");
    image.run("install @mine").ended(0);
    image.file("root/etc/modprobe.d/mine.conf", "options mine\n");
    image
        .package("mine", "1.1", file.split("[[file]]\nsource = \"t\"").next().unwrap())
        .file("mine/m.conf", "options b\n");
    let done = image.run("install @mine").ended(0);
    assert!(
        done.stderr.contains("warning: /etc/modprobe.d/mine.conf was changed on this host and is kept"),
        "{}",
        done.stderr
    );
    assert!(done.stderr.contains("installed: mine: 1.0 became 1.1"), "{}", done.stderr);
    let tree = image.tree();
    assert_eq!(tree["etc/modprobe.d/mine.conf"], "options mine\n");
    assert_eq!(tree["etc/modprobe.d/mine.conf.virt-hooks.rpmnew"], "options b\n");
    assert!(!tree.contains_key("usr/share/virt-hooks/packages/mine/t"));
    assert!(
        image
            .run("remove mine")
            .ended(0)
            .stderr
            .contains("kept as /etc/modprobe.d/mine.conf.virt-hooks.rpmsave")
    );
    assert_eq!(image.tree()["etc/modprobe.d/mine.conf.virt-hooks.rpmsave"], "options mine\n");
}

#[test]
fn what_must_not_be_installed_changes_nothing() {
    let image = Image::new();
    image.package("mine", "1.0", "");
    image.run("install @mine").ended(0);
    image.package("rival", "1.0", "conflicts = [\"mine\"]");
    image.package("waits", "1.0", "after = [\"loops\"]");
    image.run("install @waits").ended(0);
    image.package("loops", "1.0", "after = [\"waits\"]");
    image.package("thief", "1.0", "").file(
        "thief/hook.toml",
        &fs::read_to_string(image.path("thief/hook.toml"))
            .unwrap()
            .replace("order = 50", "file = \"50_mine\""),
    );
    image.package("twin", "1.0", "maintainer = \"A <a@example.org>\"");
    image.run("install @twin").ended(0);
    image.package("twin", "1.0", "maintainer = \"B <b@example.org>\"");
    image.package("newer", "1.0", "").file("newer/hook.toml", "manifest = 2\nname = \"newer\"\n");
    image.package("Upper", "1.0", "");
    fs::create_dir(image.path("empty")).unwrap();
    let before = image.tree();
    for (package, said) in [
        ("rival", "rival and mine exclude each other: remove mine first"),
        ("loops", "loops: the hooks 50_loops, 50_waits of before_vm_start would wait for each other"),
        ("thief", "50_mine is there already and belongs to package mine: nothing was changed"),
        (
            "twin",
            "twin is installed already, and not as this one: the one that is installed is of A <a@example.org>",
        ),
        ("newer", "hook.toml:1:1: manifest format 2 is newer than this program knows (1): update virt-hooks"),
        ("Upper", "\"Upper\" cannot name a package"),
        ("empty", "is not a hook package: it has no hook.toml"),
        ("nowhere", "nowhere: No such file or directory"),
    ] {
        let line = image.run(&format!("install @{package}")).refused(3);
        assert!(line.contains(said), "{package}: {line}");
    }
    assert_eq!(image.tree(), before);
}

#[test]
fn archives_that_are_broken_or_reach_out_are_refused() {
    let image = Image::new();
    image.package("mine", "1.0", "");
    image.run("package @mine --format tar --out @out").ended(0);
    let whole = fs::read(image.path("out/virt-hook-mine-1.0.tar.gz")).unwrap();
    fs::write(image.path("cut.tar.gz"), &whole[..whole.len() / 2]).unwrap();
    fs::write(image.path("text.tar.gz"), "no archive").unwrap();
    fs::write(image.path("a.rpm"), [0xed, 0xab, 0xee, 0xdb, 3, 0, 0, 0]).unwrap();
    fs::write(image.path("a.deb"), "!<arch>\ndebian-binary").unwrap();
    // A good package with one entry more.
    let more = |name: &str, script: &str| {
        let tree = image.path(&format!("tree-{name}"));
        fs::create_dir(&tree).unwrap();
        let tar = format!(
            "set -e; cd {0}; tar xzf {1}; {script}; tar czPf {2} $(find . -type f -o -type l) $extra",
            tree.display(),
            image.path("out/virt-hook-mine-1.0.tar.gz").display(),
            image.path(&format!("{name}.tar.gz")).display()
        );
        assert!(Command::new("sh").args(["-c", &tar]).status().unwrap().success());
    };
    more("escape", "echo x > ../evil; extra=../evil");
    more("other", "mkdir -p etc/cron.d; echo x > etc/cron.d/evil; extra=");
    more("link", "ln -s /etc/shadow usr/share/virt-hooks/packages/mine/x; extra=");
    more(
        "device",
        "mkfifo usr/share/virt-hooks/packages/mine/p; extra=./usr/share/virt-hooks/packages/mine/p",
    );
    for (file, said) in [
        ("cut.tar.gz", "is broken: "),
        ("text.tar.gz", "is no package: give a directory"),
        ("a.rpm", "is an rpm: install it with \"dnf install\""),
        ("a.deb", "is a deb: install it with \"apt install\""),
        ("escape.tar.gz", "holds ../evil, which leads out of the root"),
        ("other.tar.gz", "holds /etc/cron.d/evil, which its manifest does not name"),
        ("link.tar.gz", "the only links are those to bundled hooks"),
        ("device.tar.gz", "hooks have no such files"),
    ] {
        let line = image.run(&format!("install @{file}")).refused(3);
        assert!(line.contains(said), "{file}: {line}");
    }
    assert_eq!(image.tree(), BTreeMap::new());
}

#[test]
fn a_root_is_not_left_by_a_link() {
    let image = Image::new();
    image.package("mine", "1.0", "");
    fs::create_dir(image.path("outside")).unwrap();
    std::os::unix::fs::symlink(image.path("outside"), image.path("root/usr")).unwrap();
    let line = image.run("install @mine").refused(3);
    assert!(line.contains("leads out of") && line.contains("nothing was changed"), "{line}");
    assert_eq!(fs::read_dir(image.path("outside")).unwrap().count(), 0);
}

#[test]
fn a_root_that_is_not_there_is_told_by_every_verb() {
    for verb in [
        "install .",
        "remove mine",
        "enable mine",
        "disable mine",
        "info mine",
        "list",
        "verify",
        "order before_vm_start",
        "properties",
    ] {
        let line = Case::new().says(&format!("--root nowhere {verb}")).run().refused(2);
        assert_eq!(
            line,
            "--root nowhere: No such file or directory (os error 2): give the directory of an image, or make one to try things in",
            "{verb}"
        );
    }
}

#[test]
fn disabled_hooks_stay_so_through_an_upgrade() {
    let image = Image::new();
    image.package("mine", "1.0", "");
    image.run("install @mine").ended(0);
    let done = image.run("disable mine").ended(0);
    assert!(done.stderr.starts_with("disabled: before_vm_start/50_mine ("), "{}", done.stderr);
    image.package("mine", "2.0", "");
    image.run("install @mine").ended(0);
    assert!(image.run("info mine").ended(0).stdout.contains("disabled"));
    assert!(image.run("order before_vm_start").ended(0).stdout.contains("masked by"));
    assert_eq!(image.run("disable 50_mine").ended(0).stderr, "before_vm_start/50_mine is disabled already\n");
    image.run("enable before_vm_start/50_mine").ended(0);
    assert!(image.run("info mine").ended(0).stdout.contains("runs"));
    image.file("root/etc/virt-hooks/hooks/before_vm_start/50_mine", "mine");
    assert!(image.run("disable mine").refused(3).contains("a hook of the administrator's"));
    assert!(image.run("disable nothing").refused(2).contains("neither an installed package nor a hook"));
}

#[test]
fn a_dry_run_of_a_switch_changes_nothing() {
    let image = Image::new();
    image.package("mine", "1.0", "");
    image.run("install @mine").ended(0);
    fs::create_dir_all(image.path("root/etc/virt-hooks/hooks/before_vm_start")).unwrap();
    let mask = image.path("root/etc/virt-hooks/hooks/before_vm_start/50_mine");
    let done = image.run("disable mine --dry-run").ended(0);
    assert_eq!(done.stdout, format!("put {}\n", mask.display()));
    assert_eq!(done.stderr, "would disable mine: 1 change\n");
    assert!(mask.symlink_metadata().is_err());
    image.run("disable mine").ended(0);
    assert_eq!(image.run("disable mine --dry-run").ended(0).stdout, "");
    let done = image.run("enable mine --dry-run").ended(0);
    assert_eq!(done.stdout, format!("remove {}\n", mask.display()));
    assert!(mask.symlink_metadata().is_ok());
    // The point's directory may be the main package's.
    image.run("enable mine").ended(0);
    assert!(mask.symlink_metadata().is_err() && mask.parent().unwrap().is_dir());
}

#[test]
fn verify_tells_what_is_changed_missing_and_foreign() {
    let image = Image::new();
    image.package("mine", "1.0", "").file("mine/README.md", "# mine\n");
    image.run("install @mine").ended(0);
    fs::write(image.hook("mine"), "#!/bin/sh\n").unwrap();
    fs::remove_file(image.path("root/usr/share/virt-hooks/packages/mine/README.md")).unwrap();
    image.file("root/usr/libexec/vdsm/hooks/before_vm_start/99_other", "x");
    let done = image.run("verify").ended(1);
    assert_eq!(
        done.stdout,
        "changed: /usr/libexec/vdsm/hooks/before_vm_start/50_mine of mine: its content\n\
         missing: /usr/share/virt-hooks/packages/mine/README.md of mine\n\
         foreign: /usr/libexec/vdsm/hooks/before_vm_start/99_other\n"
    );
    // Installing it again puts it right.
    image.run("install @mine").ended(0);
    assert_eq!(image.run("verify mine").ended(0).stdout, "");
}

#[test]
fn order_says_why() {
    let image = Image::new();
    image.package("late", "1.0", "--\n[when]\nproperty = [\"x\"]\n");
    image.package("early", "1.0", "after = [\"late\"]");
    image.run("install @late").ended(0);
    image.run("install @early").ended(0);
    let done = image.run("order before_vm_start").ended(0);
    let lines: Vec<&str> = done.stdout.lines().collect();
    assert!(
        lines[1].contains("50_late") && lines[1].contains("only when property x is set"),
        "{}",
        done.stdout
    );
    assert!(
        lines[2].contains("50_early") && lines[2].contains("its package wants it after 50_late"),
        "{}",
        done.stdout
    );
    let done = image.run("order before_vm_start --vm-name web").ended(0);
    assert!(done.stdout.contains("its package runs it only with property x"), "{}", done.stdout);
    let done = image.run("list").ended(0);
    assert!(
        done.stdout.contains("late 1.0") && done.stdout.contains("only when property x is set"),
        "{}",
        done.stdout
    );
}

#[test]
fn properties_become_lines_for_ovirts_engine() {
    let image = Image::new();
    let property = "--\n[[property]]\nname = \"size\"\nscope = \"vm\"\ndescription = \"how large\"\npattern = \"^[0-9]+$\"\nexample = \"4\"\n";
    image.package("mine", "1.0", property);
    image.run("install @mine").ended(0);
    assert!(image.run("properties").ended(0).stdout.contains("how large"));
    let done = image
        .run("properties --engine-config --cver 4.7 --current UserDefinedVMProperties=sap_agent=^(true|false)$")
        .ended(0);
    assert_eq!(
        done.stdout,
        "engine-config -s UserDefinedVMProperties='sap_agent=^(true|false)$;size=^[0-9]+$' --cver=4.7\n"
    );
    assert!(image.run("properties --engine-config --current Nonsense=x").refused(2).contains("is not a key"));
}

#[test]
fn two_hosts_are_compared_by_their_lists() {
    let (one, two) = (Image::new(), Image::new());
    for (image, version) in [(&one, "1.0"), (&two, "2.0")] {
        image.package("both", version, "").package("same", "1.0", "");
        image.run("install @both").ended(0);
        image.run("install @same").ended(0);
    }
    two.package("extra", "1.0", "");
    two.run("install @extra").ended(0);
    let list = two.run("list --format json").ended(0).stdout;
    one.file("two.json", &list);
    let done = one.run("diff @two.json").ended(1);
    assert_eq!(done.stdout, "differs: before_vm_start/50_both\nonly there: before_vm_start/50_extra\n");
    assert_eq!(
        two.run(&format!("diff {}", one.path("two.json").display())).ended(0).stderr,
        "both have the same hooks\n"
    );
    one.file("bad.json", "[]");
    assert!(one.run("diff @bad.json").refused(3).contains("list --format json"));
}

/// Another process is at it: told at once, and nothing is done.
#[test]
fn two_do_not_change_packages_at_once() {
    let image = Image::new();
    image.package("mine", "1.0", "");
    image.file("root/usr/share/virt-hooks/packages/.lock", "");
    let lock = fs::File::open(image.path("root/usr/share/virt-hooks/packages/.lock")).unwrap();
    lock.lock().unwrap();
    assert!(image.run("install @mine").refused(3).contains("another virt-hooks is changing the packages"));
    assert!(!image.hook("mine").exists());
}

#[test]
fn shells_complete_what_verbs_take() {
    let image = Image::new();
    image.package("mine", "1.0", "");
    image.run("install @mine").ended(0);
    image.run("disable mine").ended(0);
    assert_eq!(image.run("list --names packages").ended(0).stdout, "mine\n");
    let names = image.run("list --names hooks").ended(0).stdout;
    assert_eq!(names, "50_mine\nbefore_vm_start/50_mine\nmine\n");
    for name in names.lines() {
        image.run(&format!("enable {name} --dry-run")).ended(0);
    }
}

/// A limit on the size of files stands in for a disk that is full in the middle of a file.
#[test]
fn an_upgrade_that_finds_no_space_keeps_the_former_version() {
    let image = Image::new();
    let file = "--\n[[file]]\nsource = \"t\"\ntarget = \"/usr/share/virt-hooks/packages/mine/t\"\n";
    image.package("mine", "1.0", file).file("mine/t", "small");
    image.run("install @mine").ended(0);
    let before = image.tree();
    image.package("mine", "2.0", file).file("mine/t", &"large ".repeat(10_000));
    let case = Case::new().says(&format!(
        "--root {} install {}",
        image.path("root").display(),
        image.path("mine").display()
    ));
    let plain = case.command();
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", "trap '' XFSZ; ulimit -f 20; exec \"$0\" \"$@\""])
        .arg(plain.get_program())
        .args(plain.get_args());
    let line = case.run_as(command).refused(3);
    assert!(line.starts_with("write ") && line.contains("File too large"), "{line}");
    assert_eq!(image.tree(), before);
    image.run("verify").ended(0);
}

/// A directory, an archive of the same name and one whose directory is called otherwise: the manifest says who it is.
#[test]
fn two_packages_of_one_name_are_not_both_there() {
    let image = Image::new();
    image.package("mine", "1.0", "maintainer = \"A <a@example.org>\"");
    image.run("install @mine").ended(0);
    let before = image.tree();
    image.file(
        "theirs/hook.toml",
        &fs::read_to_string(image.path("mine/hook.toml")).unwrap().replace("A <a@", "B <b@"),
    );
    image.file("theirs/before_vm_start.sh", "#!/bin/sh\n");
    let line = image.run("install @theirs").refused(3);
    assert!(line.contains("mine is installed already, and not as this one"), "{line}");
    image.run("package @theirs --format tar --out @out").ended(0);
    let line = image.run("install @out/virt-hook-mine-1.0.tar.gz").refused(3);
    assert!(line.contains("the one that is installed is of A <a@example.org>"), "{line}");
    assert_eq!(image.tree(), before);
}

/// A manifest that was spoilt on the host hides nothing, and keeps nobody from mending or removing the package.
#[test]
fn a_spoilt_manifest_is_told_and_can_be_put_right_or_removed() {
    let image = Image::new();
    image.package("mine", "1.0", "");
    for mend in ["install @mine", "remove mine"] {
        image.run("install @mine").ended(0);
        image.file("root/usr/share/virt-hooks/packages/mine/hook.toml", "nonsense");
        let done = image.run("verify").ended(1);
        assert!(
            done.stdout.starts_with("spoilt: ") && done.stdout.contains("mine/hook.toml:1:"),
            "{}",
            done.stdout
        );
        assert!(image.run("verify mine").ended(1).stdout.starts_with("spoilt: "));
        image.run(mend).ended(0);
        image.run("verify").ended(0);
    }
    assert_eq!(image.tree(), BTreeMap::new());
}

#[test]
fn masks_wait_for_nobody_who_changes_packages() {
    let image = Image::new();
    image.package("mine", "1.0", "");
    image.run("install @mine").ended(0);
    let mask = image.path("root/etc/virt-hooks/hooks/before_vm_start/50_mine");
    let lock = fs::File::open(image.path("root/usr/share/virt-hooks/packages/.lock")).unwrap();
    lock.lock().unwrap();
    let line = image.run("disable mine").refused(3);
    assert!(line.contains("another virt-hooks is changing the packages"), "{line}");
    assert!(!mask.is_symlink());
    drop(lock);
    image.run("disable mine").ended(0);
    assert!(mask.is_symlink());
    image.run("enable mine").ended(0);
    assert!(!mask.is_symlink());
}
