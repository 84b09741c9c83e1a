// SPDX-License-Identifier: Apache-2.0
//! Refuses the start of a VM whose qcow2 images do not pass `qemu-img check`.

use std::fs::File;
use std::io::{self, Seek as _, SeekFrom};
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;
use std::time::Duration;
use virt_hooks_sdk::{Captured, Command, CommandError, Context, Document, Element, Failure};

const QEMU_IMG: &str = "/usr/bin/qemu-img";

/// Exit status of `qemu-img check`: clusters are lost, data is not.
const LEAKED: i32 = 3;

pub(crate) fn run(hook: &mut Context) -> Result<(), Failure> {
    let Some(value) = hook.property("checkimages")? else { return Ok(()) };
    let Some(limit) = limit(&value)? else { return Ok(()) };
    let domain = hook.domain()?;
    for path in images(&domain)? {
        check(hook, &path, limit)?;
    }
    Ok(())
}

/// How long a check may take.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Limit {
    BySize,
    Given(Duration),
}

/// None: do not check.
fn limit(value: &str) -> Result<Option<Limit>, Failure> {
    let mut fields = value.split(',');
    let word = fields.next().unwrap_or_default().trim();
    if ["false", "off", "no", "0"].iter().any(|off| word.eq_ignore_ascii_case(off)) {
        return Ok(None);
    }
    let Some(field) = fields.next() else { return Ok(Some(Limit::BySize)) };
    let seconds = field.split(':').nth(1).and_then(|text| text.trim().parse::<f64>().ok());
    match seconds {
        // Longer than a Duration can be is as good as no limit.
        Some(seconds) if seconds > 0.0 => {
            Ok(Some(Limit::Given(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))))
        }
        _ => {
            Err(Failure::stop("checkimages: expected \"true\" or \"true,timeout:SECONDS\", seconds above 0"))
        }
    }
}

/// The paths of the qcow2 disks, in order.
fn images(domain: &Document) -> Result<Vec<String>, Failure> {
    let mut paths = Vec::new();
    for disk in domain.all_named("disk") {
        if !domain.has(disk, "device", "disk") {
            continue;
        }
        let first = |name| domain.all_named_below(disk, name).into_iter().next();
        let (Some(driver), Some(source)) = (first("driver"), first("source")) else { continue };
        if domain.has(driver, "type", "qcow2") {
            paths.extend(path(domain, disk, source)?);
        }
    }
    Ok(paths)
}

fn path(domain: &Document, disk: Element, source: Element) -> Result<Option<String>, Failure> {
    let attribute = match domain.attribute(disk, "type").as_deref() {
        Some("block") => "dev",
        Some("file") => "file",
        _ => return Ok(None),
    };
    match domain.attribute(source, attribute) {
        // Anything else qemu-img could take for an option or a protocol.
        Some(path) if path.starts_with('/') => Ok(Some(path.into_owned())),
        _ => Err(Failure::stop(format!(
            "checkimages: the source of a qcow2 disk has no absolute path in \"{attribute}\""
        ))),
    }
}

fn check(hook: &mut Context, path: &str, limit: Limit) -> Result<(), Failure> {
    let size = size(&hook.host().path(path))
        .map_err(|error| Failure::stop(format!("checkimages: image {path}: {error}")))?;
    let deadline = match limit {
        Limit::BySize => by_size(size),
        Limit::Given(deadline) => deadline,
    };
    let command = Command::new(QEMU_IMG).args(["check", "-f", "qcow2", path]).deadline(deadline);
    let output = hook.execute(&command).map_err(|error| match error {
        CommandError::Deadline { .. } => Failure::stop(format!(
            "checkimages: the check of {path} took more than {deadline:?} and was stopped: set a longer timeout in the property"
        )),
        other => {
            let failure = Failure::from(other);
            Failure::stop(format!("checkimages: check {path}: {failure}"))
        }
    })?;
    match output.status.code() {
        Some(0) => hook.log(format!("checkimages: {path}: {}", words(&output.stdout))),
        Some(LEAKED) => hook.log(format!(
            "checkimages: warning: {path}: clusters are leaked, no data is lost: {}",
            words(&output.stdout)
        )),
        _ => {
            let said = if output.stderr.text().trim().is_empty() { &output.stdout } else { &output.stderr };
            return Err(Failure::stop(format!(
                "checkimages: image {path} did not pass qemu-img check ({}): {}",
                output.status,
                words(said)
            )));
        }
    }
    Ok(())
}

/// VDSM's estimate, from measured times.
fn by_size(bytes: u64) -> Duration {
    let per_gib = Duration::from_millis(20);
    let gib = bytes.div_ceil(1 << 30);
    per_gib.saturating_mul(u32::try_from(gib).unwrap_or(u32::MAX)).max(Duration::from_secs(10))
}

fn size(path: &Path) -> io::Result<u64> {
    let metadata = path.metadata()?;
    if metadata.is_file() {
        return Ok(metadata.len());
    }
    if metadata.file_type().is_block_device() {
        return File::open(path)?.seek(SeekFrom::End(0));
    }
    Err(io::Error::other("neither a file nor a block device"))
}

/// The last words of a program; a damaged image can fill pages.
fn words(said: &Captured) -> String {
    let text = said.text();
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = lines.get(lines.len().saturating_sub(3)..).unwrap_or_default().join("; ");
    if last.is_empty() { "no message".to_owned() } else { last }
}

#[cfg(test)]
mod tests {
    use super::*;
    use virt_hooks_sdk::Output;

    fn xml(path: &str) -> String {
        format!(
            "<domain><devices><disk type='file' device='disk'><driver type='qcow2'/><source file='{path}'/></disk></devices></domain>"
        )
    }

    /// Runs the hook with one image, on which qemu-img ends so.
    fn ends(status: u8, value: &str) -> (Result<(), Failure>, Vec<String>) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a"), "").unwrap();
        let mut hook = Context::for_test()
            .with_env("checkimages", value)
            .with_xml(xml("/a"))
            .with_host(dir.path())
            .with_commands(move |command| {
                assert_eq!(command.argv(), ["/usr/bin/qemu-img", "check", "-f", "qcow2", "/a"]);
                Ok(Output::exited(status, "17 leaked").with_stderr("qemu-img: torn\n"))
            });
        let result = run(&mut hook);
        (result, hook.logged())
    }

    #[test]
    fn damage_refuses_and_says_what_qemu_img_said() {
        for status in [1, 2, 63] {
            let failure = ends(status, "true").0.unwrap_err();
            assert!(failure.stops() && failure.message().contains("qemu-img: torn"), "{failure}");
        }
    }

    #[test]
    fn leaked_clusters_are_a_warning() {
        let (result, logged) = ends(3, "true");
        result.unwrap();
        assert!(logged[0].starts_with("checkimages: warning: /a: clusters are leaked"), "{logged:?}");
    }

    #[test]
    fn words_for_no() {
        for no in ["false", "False", "off", "NO", "0", "off,timeout:3", "no,junk"] {
            // No payload, no commands: neither may be touched.
            run(&mut Context::for_test().with_env("checkimages", no)).unwrap();
        }
        run(&mut Context::for_test()).unwrap();
        for yes in ["", "true", "yes", "on", "1", "00", "nonsense"] {
            assert_eq!(limit(yes).unwrap(), Some(Limit::BySize), "{yes}");
        }
    }

    #[test]
    fn timeouts() {
        let given = |seconds| Some(Limit::Given(Duration::from_secs_f64(seconds)));
        assert_eq!(limit("true,timeout:1.12").unwrap(), given(1.12));
        assert_eq!(limit("true,foo: 0.3 ,rest").unwrap(), given(0.3));
        assert_eq!(limit("true,timeout:inf").unwrap(), Some(Limit::Given(Duration::MAX)));
        for bad in [
            "true,",
            "true,timeout",
            "true,timeout:",
            "true,5",
            "true,timeout:x",
            "true,timeout:0",
            "true,timeout:-1",
            "true,t:nan",
        ] {
            let failure = limit(bad).unwrap_err();
            assert!(failure.stops() && failure.message().starts_with("checkimages: expected"), "{bad}");
        }
        assert!(limit(&format!("true,{}", "9".repeat(1 << 20))).unwrap_err().message().len() < 200);
    }

    #[test]
    fn estimate() {
        assert_eq!(by_size(0), Duration::from_secs(10));
        assert_eq!(by_size(500 << 30), Duration::from_secs(10));
        assert_eq!(by_size(1000 << 30), Duration::from_secs(20));
        assert!(by_size(u64::MAX) > Duration::from_secs(1 << 20));
    }

    #[test]
    fn paths_that_are_none() {
        for path in ["", "-c", "nbd:unix:/x", "relative"] {
            let mut hook = Context::for_test().with_env("checkimages", "true").with_xml(xml(path));
            assert!(run(&mut hook).unwrap_err().stops(), "{path}");
        }
        let dir = tempfile::tempdir().unwrap();
        let mut hook =
            Context::for_test().with_env("checkimages", "true").with_xml(xml("/")).with_host(dir.path());
        assert!(run(&mut hook).unwrap_err().message().contains("neither a file nor a block device"));
    }

    #[test]
    fn non_utf8() {
        use std::os::unix::ffi::OsStringExt as _;
        let value = std::ffi::OsString::from_vec(vec![0xff]);
        let failure = run(&mut Context::for_test().with_env("checkimages", value)).unwrap_err();
        assert!(failure.message().contains("checkimages"));
    }

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config { failure_persistence: None, ..Default::default() })]
        /// Values of the grammar, and the limit they set.
        #[test]
        fn the_limit_is_what_was_given(word in "[a-zA-Z1-9]{0,6}", millis in proptest::option::of(1_u64..10_000_000)) {
            let is_off = ["false", "off", "no"].iter().any(|off| word.eq_ignore_ascii_case(off));
            let value = millis.map_or(word.clone(), |ms| format!("{word},timeout:{}.{:03}", ms / 1000, ms % 1000));
            let wanted = (!is_off).then(|| millis.map_or(Limit::BySize, |ms| Limit::Given(Duration::from_millis(ms))));
            match (limit(&value).unwrap(), wanted) {
                // A fraction of seconds is no whole number of nanoseconds in binary.
                (Some(Limit::Given(found)), Some(Limit::Given(wanted))) => proptest::prop_assert!(found.abs_diff(wanted) < Duration::from_micros(1)),
                (found, wanted) => proptest::prop_assert_eq!(found, wanted),
            }
        }
    }
}
