// SPDX-License-Identifier: Apache-2.0
//! The committed guests are what their sources assemble to.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test binary")]

use std::path::Path;
use std::process::{Command, Stdio};

use libtest_mimic::{Arguments, Trial};
use virt_hooks_testhost::Guest;

fn main() {
    let missing = ["gcc", "objcopy"].into_iter().find(|tool| !runs(tool));
    if let Some(tool) = missing {
        eprintln!("the guests are not assembled anew: {tool} is missing (apt: gcc binutils, dnf: the same)");
    }
    let guests = [("ack", Guest::Obliging), ("nop", Guest::Deaf), ("read", Guest::Reading)];
    let trials = guests.map(|(source, guest)| {
        let name = missing.map(|tool| format!("::needs_{tool}")).unwrap_or_default();
        Trial::test(format!("{source}_bin_is_assembled_from_its_source{name}"), move || {
            assert!(
                assemble(source) == guest.bytes(),
                "guest/{source}.bin is stale; in tests/host run: gcc -c -m32 guest/{source}.S -o /tmp/{source}.o \
                 && objcopy -O binary -j .text /tmp/{source}.o guest/{source}.bin"
            );
            Ok(())
        })
        .with_ignored_flag(missing.is_some())
    });
    libtest_mimic::run(&Arguments::from_args(), trials.into()).exit();
}

fn runs(tool: &str) -> bool {
    Command::new(tool).arg("--version").stdout(Stdio::null()).status().is_ok_and(|status| status.success())
}

fn assemble(source: &str) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let (object, binary) = (dir.path().join("guest.o"), dir.path().join("guest.bin"));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("guest").join(format!("{source}.S"));
    let status = Command::new("gcc").args(["-c", "-m32", "-o"]).arg(&object).arg(source).status().unwrap();
    assert!(status.success());
    let mut objcopy = Command::new("objcopy");
    objcopy.args(["-O", "binary", "-j", ".text"]).arg(&object).arg(&binary);
    assert!(objcopy.status().unwrap().success());
    std::fs::read(binary).unwrap()
}
