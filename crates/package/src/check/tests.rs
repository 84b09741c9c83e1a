// SPDX-License-Identifier: Apache-2.0
//! Each kind of finding on a package made for it, and a sound package without any.

use super::*;
use crate::new::{Language, hook};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use virt_hooks_contract::Catalogue;
use virt_hooks_engine::Overrides;

/// Kinds that only packages have. The doctor's own are looked for in its tests; what other tools say, in the tests of
/// the command that need them.
pub(crate) const COVERED: &[Kind] = &[
    Kind::ManifestUnusable,
    Kind::ManifestPoint,
    Kind::SourceMissing,
    Kind::NotBuilt,
    Kind::ReadmeMissing,
    Kind::ReadmeIncomplete,
    Kind::CommandMissing,
    Kind::ScriptSyntax,
    Kind::Shellcheck,
    Kind::FileMissing,
    Kind::FileTarget,
    Kind::FileMode,
    Kind::SudoersSyntax,
    Kind::UnitSyntax,
    Kind::CaseUnusable,
    Kind::NoCases,
    Kind::NotIdempotent,
    Kind::NotPortable,
    Kind::PortableWithCare,
];

struct Bed {
    dir: tempfile::TempDir,
    target: Option<Target>,
}

impl Bed {
    /// A sound package in a language, with a hook at before_vm_start.
    fn new(language: Language) -> Self {
        Self::at(language, "before_vm_start")
    }

    fn at(language: Language, point: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        hook("p", &[point.to_owned()], language, dir.path(), &Catalogue::built_in()).unwrap();
        Self { dir, target: None }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("p").join(name)
    }

    fn file(self, name: &str, text: &str) -> Self {
        fs::write(self.path(name), text).unwrap();
        self
    }

    fn mode(self, name: &str, mode: u32) -> Self {
        fs::set_permissions(self.path(name), Permissions::from_mode(mode)).unwrap();
        self
    }

    fn remove(self, name: &str) -> Self {
        let path = self.path(name);
        if path.is_dir() {
            fs::remove_dir_all(path).unwrap();
        } else {
            fs::remove_file(path).unwrap();
        }
        self
    }

    fn edit(self, name: &str, from: &str, to: &str) -> Self {
        let text = fs::read_to_string(self.path(name)).unwrap();
        assert!(text.contains(from), "{from} is not in {text}");
        self.file(name, &text.replacen(from, to, 1))
    }

    /// More lines for the manifest, before its tables.
    fn says(self, line: &str) -> Self {
        self.edit("hook.toml", "licence", &format!("{line}\nlicence"))
    }

    fn with_file(self, source: &str, target: &str, mode: &str, text: &str) -> Self {
        let table = format!("\n[[file]]\nsource = \"{source}\"\ntarget = \"{target}\"\nmode = \"{mode}\"\n");
        let manifest = fs::read_to_string(self.path("hook.toml")).unwrap() + &table;
        self.file("hook.toml", &manifest).file(source, text)
    }

    fn for_target(mut self, target: Target) -> Self {
        self.target = Some(target);
        self
    }

    fn check(&self) -> Vec<Finding> {
        let hooks = self.dir.path().join("hooks");
        fs::create_dir_all(&hooks).unwrap();
        let config = self.dir.path().join("config.toml");
        fs::write(&config, "").unwrap();
        let overrides = Overrides { hooks_dirs: vec![hooks], config: Some(config), ..Overrides::default() };
        let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../python");
        let host = Host::load(overrides, &|name| {
            (name == "VIRT_HOOKS_PYTHON_DIR").then(|| python.clone().into_os_string())
        })
        .unwrap();
        let options = Options { target: self.target, ..Options::default() };
        check(&self.dir.path().join("p"), &host, options)
    }

    #[track_caller]
    fn finds_nothing(&self) {
        assert_eq!(self.check(), []);
    }

    /// Just these kinds are found, and one of them says this.
    #[track_caller]
    fn finds(&self, kinds: &[Kind], says: &str) {
        let findings = self.check();
        let mut found: Vec<Kind> = findings.iter().map(|f| f.kind).collect();
        found.dedup();
        assert_eq!(found, kinds, "{findings:#?}");
        assert!(findings.iter().any(|f| f.what.contains(says)), "{findings:#?}");
        for f in &findings {
            assert!(!f.why.is_empty() && !f.mend.is_empty() && !f.what.contains('\n'), "{f:#?}");
        }
    }
}

#[test]
fn new_packages_are_sound() {
    for language in [Language::Bash, Language::Python, Language::Perl] {
        for point in ["before_vm_start", "after_vm_destroy", "before_get_caps", "before_nic_hotplug"] {
            assert_eq!(Bed::at(language, point).check(), [], "{language:?} {point}");
        }
    }
}

#[test]
fn one_that_has_to_be_built_says_how() {
    Bed::new(Language::Rust).finds(&[Kind::NotBuilt], "is not built yet");
}

#[test]
fn manifests() {
    let bash = || Bed::new(Language::Bash);
    bash().remove("hook.toml").finds(&[Kind::ManifestUnusable], "is missing");
    bash()
        .edit("hook.toml", "summary", "sumary")
        .finds(&[Kind::ManifestUnusable], "did you mean \"summary\"");
    bash()
        .edit("hook.toml", "manifest = 1", "manifest = 2")
        .finds(&[Kind::ManifestUnusable], "is newer than");
    let other = |b: Bed| {
        b.edit(
            "hook.toml",
            "name = \"before_vm_start\"",
            "name = \"before_vm_strat\"\nsource = \"before_vm_start.sh\"",
        )
        .remove("tests")
    };
    other(bash()).finds(&[Kind::ManifestPoint, Kind::NoCases], "did you mean \"before_vm_start\"");
    bash()
        .edit("hook.toml", "order = 50", "file = \"50_p.bak\"")
        .finds(&[Kind::BackupName], "the name of a backup copy");
    bash().says("commands = [\"no-such-command\"]").finds(&[Kind::CommandMissing], "no-such-command");
    bash().says("commands = [\"sh\", \"/bin/sh\"]").finds_nothing();
}

#[test]
fn hooks() {
    let bash = || Bed::new(Language::Bash);
    bash()
        .remove("before_vm_start.sh")
        .finds(&[Kind::SourceMissing], "is missing, the hook for before_vm_start");
    bash()
        .edit("hook.toml", "order = 50", "order = 50\nsource = \"../x\"")
        .finds(&[Kind::SourceMissing, Kind::HelperExecutable], "which is no file of the package");
    bash().mode("before_vm_start.sh", 0o644).finds(&[Kind::NotExecutable], "is not executable");
    bash()
        .edit("before_vm_start.sh", "#!/bin/bash", "#!/no/such/bash")
        .finds(&[Kind::InterpreterMissing], "/no/such/bash");
    bash()
        .file("tool", "#!/bin/sh\n")
        .mode("tool", 0o755)
        .finds(&[Kind::HelperExecutable], "is executable, but");
    bash().file("table.csv", "a,b\n").finds_nothing();
}

#[test]
fn scripts() {
    let bash = || Bed::new(Language::Bash);
    bash().edit("before_vm_start.sh", "set -u", "if then").finds(&[Kind::ScriptSyntax], "bash: line 6");
    Bed::new(Language::Python)
        .edit("before_vm_start.py", "def main():", "def main(:")
        .finds(&[Kind::ScriptSyntax], "line 13");
    assert!(!Bed::new(Language::Python).path("__pycache__").exists());
}

#[test]
fn documents() {
    let bash = || Bed::new(Language::Bash);
    bash().remove("README.md").finds(&[Kind::ReadmeMissing], "is missing");
    bash().edit("README.md", "## Gotchas", "## Other").finds(&[Kind::ReadmeIncomplete], "\"Gotchas\"");
    bash().edit("README.md", "# p\n", "p\n").finds(&[Kind::ReadmeIncomplete], "does not begin with a title");
    let unknown =
        "[[property]]\nname = \"not_told_of\"\nscope = \"vm\"\nexample = \"1\"\ndescription = \"x\"\n";
    let manifest = fs::read_to_string(bash().path("hook.toml")).unwrap() + unknown;
    bash().file("hook.toml", &manifest).finds(&[Kind::ReadmeIncomplete], "the property not_told_of");
}

#[test]
fn extra_files() {
    let bash = || Bed::new(Language::Bash);
    let rules = "vdsm ALL=(ALL) NOPASSWD: /usr/sbin/ip\n";
    bash().with_file("rules", "/etc/sudoers.d/50_p", "0440", rules).finds_nothing();
    bash()
        .with_file("rules", "/etc/sudoers.d/50_p", "0644", rules)
        .finds(&[Kind::SudoersSyntax], "mode 0644");
    bash()
        .with_file("rules", "/etc/sudoers.d/p.conf", "0440", rules)
        .finds(&[Kind::SudoersSyntax], "passes over");
    bash()
        .with_file("x", "/usr/share/p/../x", "0644", "")
        .finds(&[Kind::FileTarget], "is not the absolute path");
    bash().with_file("x", "/run/p", "0644", "").finds(&[Kind::FileTarget], "is gone after a restart");
    bash().with_file("x", "/usr/local/bin/p", "0644", "").finds(&[Kind::FileTarget], "administrator");
    bash().with_file("x", "/usr/share/p", "rw", "").finds(&[Kind::FileMode], "is not a mode");
    bash().with_file("x", "/usr/share/p", "4755", "").finds(&[Kind::FileMode], "set-user-ID");
    bash()
        .with_file("x", "/usr/share/p", "0644", "")
        .remove("x")
        .finds(&[Kind::FileMissing], "which is missing");
    bash()
        .with_file("x", "/usr/share/p", "0644", "")
        .with_file("y", "/usr/share/p", "0644", "")
        .finds(&[Kind::FileTarget], "is the target of two files");
}

#[test]
fn cases_that_cannot_be_run() {
    let bash = || Bed::new(Language::Bash);
    bash().remove("tests").finds(&[Kind::NoCases], "has no cases");
    bash().remove("tests/before_vm_start/payload.xml").finds(&[Kind::CaseUnusable], "payload.xml is missing");
}

#[test]
fn where_it_can_be_used() {
    let bash = || Bed::new(Language::Bash);
    for target in [Target::Kubevirt, Target::Libvirt, Target::Vdsm] {
        bash().for_target(target).finds_nothing();
    }
    let at = |point| Bed::at(Language::Bash, point);
    at("before_network_setup").for_target(Target::Kubevirt).finds(&[Kind::NotPortable], "has no counterpart");
    at("before_network_setup").for_target(Target::Libvirt).finds(&[Kind::NotPortable], "has no counterpart");
    at("before_network_setup")
        .for_target(Target::Vdsm)
        .finds(&[Kind::PortableWithCare], "variables that VDSM");
    at("after_vm_start")
        .for_target(Target::Kubevirt)
        .finds(&[Kind::PortableWithCare], "served in another way");
    let line = |line: &str| bash().edit("before_vm_start.sh", "\nset -u", &format!("\nset -u\n{line}"));
    line("sudo -n ip link").for_target(Target::Kubevirt).finds(&[Kind::NotPortable], "uses sudo");
    line("cat /sys/class/net/eth0/mtu")
        .for_target(Target::Kubevirt)
        .finds(&[Kind::PortableWithCare], "line 7 uses paths");
    line("true >/dev/null").for_target(Target::Kubevirt).finds_nothing();
    line("# sudo -n ip link").for_target(Target::Kubevirt).finds_nothing();
    let python = |line: &str| {
        Bed::new(Language::Python).edit("before_vm_start.py", "import os\n", &format!("import os\n{line}\n"))
    };
    python("from vdsm import utils")
        .for_target(Target::Libvirt)
        .finds(&[Kind::NotPortable], "modules of VDSM");
    python("from vdsm.hook import hooking").for_target(Target::Libvirt).finds_nothing();
    python("{}.iteritems()").for_target(Target::Vdsm).finds(&[Kind::NotPortable], "Python 2");
    bash()
        .says("sudo = [\"/bin/true\"]")
        .for_target(Target::Kubevirt)
        .finds(&[Kind::NotPortable], "runs /bin/true through sudo");
    let no = "[portability]\nkubevirt = \"no\"\nnote = \"It needs the host\"\n";
    let manifest = fs::read_to_string(bash().path("hook.toml")).unwrap() + no;
    bash()
        .file("hook.toml", &manifest)
        .for_target(Target::Kubevirt)
        .finds(&[Kind::NotPortable], "cannot be used");
    bash().file("hook.toml", &manifest).for_target(Target::Libvirt).finds_nothing();
}

#[test]
fn a_hook_that_may_run_several_times_is_run_several_times() {
    let twice = "printf '%s' '<!-- more --><x/>' >/dev/null; sed -i 's|</domain>|<description>x</description></domain>|' \"$_hook_domxml\"; exit 0";
    let bed = || {
        Bed::new(Language::Bash)
            .edit("before_vm_start.sh", "\nset -u", &format!("\nset -u\n{twice}"))
            .for_target(Target::Kubevirt)
    };
    let case = |bed: Bed| {
        let payload = fs::read_to_string(bed.path("tests/before_vm_start/payload.xml")).unwrap();
        let after = payload.replace("</domain>", "<description>x</description></domain>");
        bed.file("tests/before_vm_start/expected.xml", &after)
    };
    let said = case(bed()).check();
    assert!(
        said.iter().any(|f| f.kind == Kind::NotIdempotent && f.what.contains("it changes more")),
        "{said:#?}"
    );
    Bed::new(Language::Bash)
        .says("idempotent = false")
        .for_target(Target::Kubevirt)
        .finds(&[Kind::NotIdempotent], "says that running");
}
