// SPDX-License-Identifier: Apache-2.0
//! Whole packages with cases, as authors write them and as they were recorded.

use super::*;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use virt_hooks_engine::{MANIFEST, Overrides};

const DOMAIN: &str = "<domain><name>a</name></domain>";

struct Bed {
    dir: tempfile::TempDir,
}

impl Bed {
    /// A package with one shell script at before_vm_start.
    fn new(script: &str) -> Self {
        Self::with_manifest(script, "")
    }

    fn with_manifest(script: &str, more: &str) -> Self {
        let bed = Self { dir: tempfile::tempdir().unwrap() };
        bed.file(
            &format!("p/{MANIFEST}"),
            &format!(
                "manifest = 1\nname = \"p\"\nversion = \"1\"\nsummary = \"s\"\ndescription = \"d\"\nlicence = \"MIT\"\n{more}\n\
                 [[point]]\nname = \"before_vm_start\"\norder = 50\n"
            ),
        );
        bed.executable("p/before_vm_start.sh", script)
    }

    fn file(&self, name: &str, text: &str) {
        let path = self.dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn executable(self, name: &str, script: &str) -> Self {
        self.file(name, &format!("#!/bin/sh\n{script}\n"));
        fs::set_permissions(self.dir.path().join(name), Permissions::from_mode(0o755)).unwrap();
        self
    }

    fn case(self, name: &str, more: &str) -> Self {
        self.file(&format!("p/tests/{name}/case.toml"), &format!("point = \"before_vm_start\"\n{more}"));
        self.file(&format!("p/tests/{name}/payload.xml"), DOMAIN);
        self
    }

    fn and(self, name: &str, text: &str) -> Self {
        self.file(name, text);
        self
    }

    fn recorded(self, name: &str, case: &str, expect: &str, out: &str) -> Self {
        let dir = format!("p/cases/before_vm_start/{name}");
        self.file(&format!("{dir}/case.json"), case);
        self.file(&format!("{dir}/expect.json"), expect);
        self.file(&format!("{dir}/in.xml"), DOMAIN);
        self.file(&format!("{dir}/out.xml"), out);
        self
    }

    fn host(&self) -> Host {
        let hooks = self.dir.path().join("hooks");
        fs::create_dir_all(&hooks).unwrap();
        let overrides = Overrides { hooks_dirs: vec![hooks], ..Overrides::default() };
        let config = self.dir.path().join("config.toml");
        fs::write(&config, "").unwrap();
        Host::load(overrides, &|name| (name == "VIRT_HOOKS_CONFIG").then(|| config.clone().into())).unwrap()
    }

    fn load(&self, options: Options<'_>) -> Result<Vec<CaseResult>, CasesError> {
        Ok(Cases::load(&[self.dir.path().join("p")], &self.host(), options)?.run())
    }

    fn run(&self) -> Vec<CaseResult> {
        self.load(Options::default()).unwrap()
    }

    #[track_caller]
    fn passes(&self) {
        for result in self.run() {
            assert_eq!(result.status, Status::Passed, "{}", result.name);
        }
    }

    #[track_caller]
    fn fails(&self, with: &str) {
        let results = self.run();
        let [CaseResult { status: Status::Failed(wrong), .. }] = results.as_slice() else {
            panic!("{results:?}")
        };
        assert!(wrong.join("\n").contains(with), "{wrong:?}");
    }

    #[track_caller]
    fn refused(&self, with: &str) {
        let said = self.load(Options::default()).unwrap_err().to_string();
        assert!(said.contains(with), "{said}");
        assert!(!said.contains('\n'), "{said}");
    }
}

const RENAME: &str = "/bin/sed -i \"s/<name>a/<name>$to/\" \"$_hook_domxml\"";

#[test]
fn payload_properties_exit_and_words() {
    let renames = || Bed::new(&format!("[ -n \"$to\" ] || exit 0; {RENAME}"));
    let to = "[properties]\nto = \"b\"\n";
    renames().case("unset", "").passes();
    renames()
        .case("set", to)
        .and("p/tests/set/expected.xml", "<domain>\n  <name>b</name>\n</domain>\n")
        .passes();
    renames().case("set", to).fails("no change is expected\n--- expected\n+++ got\n");
    renames().case("set", to).and("p/tests/set/expected.xml", "<domain/>").fails("-<domain/>");
    Bed::new("echo \"no $x left\" >&2; exit 2")
        .case("a", "exit = 2\nstderr = \"no .* left\"\n[env]\nx = 7\n")
        .passes();
    Bed::new("echo no >&2; exit 2").case("a", "").fails("expected exit code 0: exit code 2\nno");
    Bed::new("exit 0").case("a", "exit = 1\n").fails("expected exit code 1: exit code 0");
    Bed::new("echo no >&2").case("a", "stderr = \"yes\"\n").fails("does not match yes:\nno");
    Bed::new("kill -9 $$").case("a", "exit = 9\n").fails("killed by SIGKILL");
    Bed::new("echo x >\"$_hook_domxml\"").case("a", "").fails("left a payload that is");
}

#[test]
fn a_hook_that_hangs_is_ended() {
    Bed::new("exec sleep 1000").case("a", "timeout = \"300ms\"\n").fails("did not end within 300ms");
}

#[test]
fn a_second_run_must_change_nothing_more() {
    let twice = "sed -i 's|</name>|</name><x/>|' \"$_hook_domxml\"";
    let expected = "<domain><name>a</name><x/></domain>";
    Bed::new(twice)
        .case("a", "")
        .and("p/tests/a/expected.xml", expected)
        .fails("it changes more; say idempotent");
    Bed::new(twice).case("a", "idempotent = false\n").and("p/tests/a/expected.xml", expected).passes();
    Bed::with_manifest(twice, "idempotent = false")
        .case("a", "")
        .and("p/tests/a/expected.xml", expected)
        .passes();
}

#[test]
fn what_a_manifest_keeps_from_running() {
    let when = "[when]\nproperty = [\"x\"]\n";
    Bed::with_manifest("exit 1", when).case("a", "runs = false\n").passes();
    Bed::with_manifest("exit 1", when)
        .case("a", "")
        .fails("it was not run: its package runs it only with property x");
    Bed::new("exit 0").case("a", "runs = false\n").fails("expected that it is not run");
}

#[test]
fn commands_of_a_case_and_their_calls() {
    let bed = |calls: &str| {
        Bed::new("tool one 'two three' >&2; other-tool")
            .case("a", "stderr = \"from the fake\"\n")
            .executable("p/tests/a/bin/tool", "echo from the fake")
            .executable("p/tests/a/bin/other-tool", "exit 0")
            .and("p/tests/a/calls.txt", calls)
    };
    bed("tool one 'two three'\nother-tool\n").passes();
    bed("tool one\n").fails("the commands called are not those expected");
}

#[test]
fn expectations_are_written_down() {
    let bed = Bed::new(&format!("tool; {RENAME}; exit 1"))
        .case("a", "[properties]\nto = \"b\"\n")
        .executable("p/tests/a/bin/tool", "exit 0");
    let blessed = bed.load(Options { bless: true, ..Options::default() }).unwrap();
    assert_eq!(blessed[0].status, Status::Blessed);
    let read = |name: &str| fs::read_to_string(bed.dir.path().join("p/tests/a").join(name)).unwrap();
    assert_eq!(read("expected.xml"), "<domain><name>b</name></domain>");
    assert_eq!(read("calls.txt"), "tool\n");
    assert!(read("case.toml").contains("exit = 1\n"));
    bed.passes();
    let again = bed.load(Options { bless: true, ..Options::default() }).unwrap();
    assert_eq!(again[0].status, Status::Passed);
}

#[test]
fn mistakes_are_found_before_anything_runs() {
    Bed::new("exit 0").refused("has no cases");
    Bed::new("exit 0")
        .case("a", "exitt = 1\n")
        .refused("case.toml:2:1: unknown key \"exitt\": did you mean \"exit\"?");
    Bed::new("exit 0").case("a", "stderr = \"(\"\n").refused("stderr is not a regular expression");
    Bed::new("exit 0").case("a", "timeout = \"soon\"\n").refused("timeout: ");
    Bed::new("exit 0")
        .case("a", "hook = \"60_x\"\n")
        .refused("p has no hook called 60_x at \"before_vm_start\"");
    let no_payload = Bed::new("exit 0").case("a", "");
    fs::remove_file(no_payload.dir.path().join("p/tests/a/payload.xml")).unwrap();
    no_payload.refused("payload.xml is missing: the hook at before_vm_start needs a payload");
    let not_executable = Bed::new("exit 0").case("a", "");
    let script = not_executable.dir.path().join("p/before_vm_start.sh");
    fs::set_permissions(script, Permissions::from_mode(0o644)).unwrap();
    not_executable.refused("is not executable: chmod 755 it");
    let source = Bed::new("exit 0").case("a", "").and("p/before_vm_start.rs", "");
    fs::remove_file(source.dir.path().join("p/before_vm_start.sh")).unwrap();
    source.refused("is a source: give the executable built from it with --program FILE");
}

#[test]
fn recorded_cases() {
    let renames = || Bed::new(&format!("[ -n \"$to\" ] || exit 0; {RENAME}"));
    let to = "{\"env\":{\"to\":\"b\",\"vmId\":\"1\"}}";
    renames().recorded("1", to, "{\"rc\":0}", "<domain><name>b</name></domain>").passes();
    renames().recorded("1", to, "{\"rc\":0}", "<domain><name>c</name></domain>").fails("-  <name>c</name>");
    let fails = || Bed::new("exit 1");
    fails().recorded("1", "{}", "{\"rc\":1,\"crash\":true}", DOMAIN).passes();
    fails().recorded("1", "{}", "{\"rc\":2,\"crash\":true}", DOMAIN).passes();
    fails().recorded("1", "{}", "{\"rc\":2}", DOMAIN).fails("expected exit code 2: exit code 1");
    Bed::new("exit 0").recorded("1", "{}", "{\"rc\":2,\"crash\":true}", DOMAIN).fails("expected a failure");
    Bed::new("exit 0")
        .recorded("1", "{}", "{\"rc\":1,\"crash\":true,\"fixed\":{\"rc\":0}}", DOMAIN)
        .and("p/cases/before_vm_start/1/out.fixed.xml", DOMAIN)
        .passes();
    let differs = |line: &str| {
        Bed::new("exit 0")
            .recorded("1", "{}", "{\"rc\":1}", DOMAIN)
            .and("p/cases/differs.txt", &format!("# c\nbefore_vm_start/{line}\n"))
    };
    differs("1  on purpose").passes();
    differs("2  on purpose").fails("expected exit code 1");
    let same = Bed::new("exit 0")
        .recorded("1", "{}", "{\"rc\":0}", DOMAIN)
        .and("p/cases/differs.txt", "before_vm_start/1  why\n")
        .run();
    assert_eq!(same[0].status, Status::Skipped("differs on purpose, not seen here: why".to_owned()));
}

#[test]
fn what_needs_a_world_of_its_own_is_skipped() {
    let skipped = Bed::new("touch ran")
        .recorded("1", "{\"files\":{\"/x\":{}}}", "{\"rc\":0,\"commands\":[]}", DOMAIN)
        .run();
    assert_eq!(skipped[0].status, Status::Skipped("needs a world of its own: commands, files".to_owned()));
}

#[test]
fn many_cases_run_side_by_side_in_their_order() {
    let mut bed = Bed::new("exit \"$code\"");
    for n in 0..20 {
        bed = bed.case(&format!("{n:02}"), &format!("exit = {n}\n[env]\ncode = {n}\n"));
    }
    let results = bed.load(Options { jobs: NonZeroUsize::new(4), ..Options::default() }).unwrap();
    let names: Vec<String> = results.iter().map(|r| r.name.clone()).collect();
    assert_eq!(names, (0..20).map(|n| format!("{n:02}")).collect::<Vec<_>>());
    assert!(results.iter().all(|r| r.status == Status::Passed), "{results:?}");
    assert_eq!(bed.load(Options { only: Some("1"), ..Options::default() }).unwrap().len(), 11);
}

#[test]
fn an_interrupt_ends_what_runs() {
    let (reader, writer) = std::os::unix::net::UnixStream::pair().unwrap();
    drop(writer);
    let bed = Bed::new("exec sleep 1000").case("a", "");
    let cancel = Some(std::os::fd::AsFd::as_fd(&reader));
    let results = bed.load(Options { cancel, ..Options::default() }).unwrap();
    assert_eq!(results[0].status, Status::Skipped("interrupted".to_owned()));
}
