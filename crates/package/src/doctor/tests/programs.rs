// SPDX-License-Identifier: Apache-2.0
//! What is in a hook.

use super::tree::{SH, Tree};
use crate::doctor::Kind;
use crate::doctor::Severity::{Broken, Hint, Warning};
use rustix::thread::CapabilitySet;

const HOOK: &str = "vendor/before_vm_start/50_a";

super::cases! {
    UnreadableFile: unreadable_file => |t, k| {
        // Of this thread alone: root without its privilege to read everything.
        let mut mine = rustix::thread::capabilities(None).unwrap();
        mine.effective -= CapabilitySet::DAC_OVERRIDE | CapabilitySet::DAC_READ_SEARCH;
        rustix::thread::set_capabilities(None, mine).unwrap();
        t.hook_at("before_vm_start", "50_a", SH, 0o111);
        let f = t.mended(k, Hint, HOOK);
        assert!(f.what.starts_with("cannot be looked into: "), "{}", f.what);
    };
    EmptyFile: empty_file => |t, k| {
        t.hook("50_a", "");
        t.mended(k, Warning, HOOK);
    };
    NoInterpreterLine: no_interpreter_line => |t, k| {
        t.hook("50_a", "exit 0\n");
        t.mended(k, Hint, HOOK);
        assert_eq!(std::fs::read_to_string(t.at(HOOK)).unwrap(), "#!/bin/sh\nexit 0\n");
        for python in ["import os, sys\nprint(1)\n", "from os import environ\n", "def main():\n    pass\n"] {
            t.hook("50_a", python);
            let f = t.mended(k, Broken, HOOK);
            assert!(f.what.ends_with("looks like Python"), "{}", f.what);
        }
        t.hook("50_a", "use strict;\nmy $x = 1;\n");
        assert!(t.mended(k, Broken, HOOK).what.ends_with("looks like Perl"));
        t.hook("50_a", b"\x00\x01\x02");
        t.only(k, Broken, HOOK);
    };
    InterpreterLineNotFirst: interpreter_line_not_first => |t, k| {
        t.hook("50_a", "\n # by me\n  #!/usr/bin/python3\nimport os\n");
        t.mended(k, Broken, HOOK);
        assert_eq!(std::fs::read_to_string(t.at(HOOK)).unwrap(), "#!/usr/bin/python3\nimport os\n");
        t.hook("50_a", " #!/bin/sh\nexit 0\n");
        t.mended(k, Warning, HOOK);
    };
    ByteOrderMark: byte_order_mark => |t, k| {
        t.hook("50_a", b"\xef\xbb\xbf#!/bin/sh\nexit 0\n");
        t.mended(k, Broken, HOOK);
    };
    CrlfLines: crlf_lines => |t, k| {
        t.hook("50_a", "#!/usr/bin/python3\r\nprint(1)\r\n");
        let f = t.mended(k, Broken, HOOK);
        assert!(f.why.contains("interpreter's name"), "{}", f.why);
        t.hook("50_a", "#!/bin/sh\nexit 0\r\n");
        t.mended(k, Broken, HOOK);
        t.hook("50_a", "#!/usr/bin/python3\nprint(1)\r\n");
        t.mended(k, Warning, HOOK);
        // Beyond what is read of a file otherwise, and across the edge of two reads.
        for filler in [200_000, 65_536 - 10 - 1] {
            t.hook("50_a", format!("#!/bin/sh\n{}\r\nexit 0\n", ":".repeat(filler)));
            t.mended(k, Broken, HOOK);
        }
    };
    InterpreterRelative: interpreter_relative => |t, k| {
        t.hook("50_a", "#!python3 -u\nprint(1)\n");
        let f = t.mended(k, Broken, HOOK);
        assert!(f.mend.contains("#!/usr/bin/python3 -u"), "{}", f.mend);
    };
    InterpreterLineTooLong: interpreter_line_too_long => |t, k| {
        t.hook("50_a", format!("#!{}bin/sh\n", "/".repeat(247)));
        assert_eq!(t.examine(), []);
        t.hook("50_a", format!("#!{}bin/sh\n", "/".repeat(248)));
        t.only(k, Broken, HOOK);
    };
    InterpreterArguments: interpreter_arguments => |t, k| {
        t.hook("50_a", "#!/usr/bin/env python3 -u\nprint(1)\n");
        t.mended(k, Broken, HOOK);
        assert!(std::fs::read_to_string(t.at(HOOK)).unwrap().starts_with("#!/usr/bin/env -S python3 -u\n"));
        t.hook("50_a", "#!/usr/bin/env\nexit 0\n");
        t.mended(k, Broken, HOOK);
    };
    InterpreterMissing: interpreter_missing => |t, k| {
        for (line, why) in [
            ("#!/usr/bin/env python2", "port the hook"),
            ("#!/usr/bin/python2", "port the hook"),
            ("#!/usr/bin/python2.7 -u", "port the hook"),
            ("#!/usr/bin/python3.999", "one release of Python"),
            ("#!/opt/nowhere/python", "only python3"),
            ("#!/opt/nowhere/bash", "No such file"),
        ] {
            t.hook("50_a", format!("{line}\n"));
            let f = t.mended(k, Broken, HOOK);
            assert!(f.why.contains(why), "{line}: {}", f.why);
        }
        t.hook("50_a", "#!/usr/bin/env no-such-program-here\n");
        let f = t.only(k, Broken, HOOK);
        assert!(f.what == "needs no-such-program-here, which is not on PATH" && f.mend.contains(" install "), "{f:?}");
        t.hook("50_a", "#!\n");
        t.mended(k, Broken, HOOK);
    };
    InterpreterOnlyHere: interpreter_only_here => |t, k| {
        t.dir("shims");
        t.file("shims/python2", SH, 0o755);
        t.path = Some(format!("/usr/bin:{}", t.at("shims").display()));
        t.hook("50_a", "#!/usr/bin/env python2\n");
        t.mended(k, Warning, HOOK);
    };
    InterpreterNotExecutable: interpreter_not_executable => |t, k| {
        t.file("interpreter", SH, 0o644);
        t.hook("50_a", format!("#!{}\n", t.at("interpreter").display()));
        t.mended(k, Broken, HOOK);
        t.hook("50_a", "#!/usr/bin\n");
        assert!(t.only(k, Broken, HOOK).what.ends_with("which is a directory"));
    };
    WrongMachine: wrong_machine => |t, k| {
        let mut elf = std::fs::read("/bin/true").unwrap();
        let other: u8 = if cfg!(target_arch = "s390x") { 62 } else { 22 };
        (elf[18], elf[19]) = if elf[5] == 2 { (0, other) } else { (other, 0) };
        t.hook("50_a", &elf);
        t.only(k, Broken, HOOK);
        // An emulator makes it run after all.
        t.dir("binfmt");
        t.file(if other == 62 { "binfmt/qemu-x86_64" } else { "binfmt/qemu-s390x" }, "enabled\n", 0o644);
        assert_eq!(t.examine(), []);
        t.hook("50_a", b"\x7fELF\x02");
        assert!(t.only(k, Broken, HOOK).what.contains("cut off"));
    };
    LoaderMissing: loader_missing => |t, k| {
        let elf = std::fs::read("/bin/true").unwrap();
        let at = elf.windows(5).position(|w| w == b"/lib6" || w == b"/lib/").expect("a dynamic /bin/true");
        let mut broken = elf;
        broken[at + 1] = b'X';
        t.hook("50_a", &broken);
        let f = t.only(k, Broken, HOOK);
        assert!(f.what.starts_with("needs the loader /Xib"), "{}", f.what);
    };
    OutputIgnored: output_ignored => |t, k| {
        let python = "#!/usr/bin/python3\nimport hooking\nhooking.write_domxml(hooking.read_domxml())\n";
        t.hook_at("after_vm_start", "50_a", python, 0o755);
        t.only(k, Hint, "vendor/after_vm_start/50_a");
        t.hook_at("after_vm_start", "50_a", "#!/bin/sh\necho '<domain/>' > \"$_hook_domxml\"\n", 0o755);
        t.only(k, Hint, "vendor/after_vm_start/50_a");
        t.hook_at("after_vm_start", "50_a", "#!/bin/sh\ncat < \"$_hook_domxml\" > /dev/null\n", 0o755);
        assert_eq!(t.examine(), []);
    };
}

#[test]
fn shell_words_are_not_taken_for_another_language() {
    let t = Tree::new();
    for text in ["from=1\nimport_x\n", "import -window root x.png y\n", "use it\n", "class=a\n"] {
        t.hook("50_a", text);
        t.only(Kind::NoInterpreterLine, Hint, HOOK);
    }
}

#[test]
fn odd_bytes_do_no_harm() {
    let t = Tree::new();
    for bytes in [
        &b"#"[..],
        b"#!",
        b"#!\xff\xfe\n",
        b"#!\t \r\n",
        b"\xff\xff\xff",
        b"\r",
        b"\x7fELF",
        &[0x7f, b'E', b'L', b'F', 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 62, 0, 255, 255, 255, 255],
    ] {
        t.hook("50_a", bytes);
        assert!(!t.examine().is_empty() || bytes.starts_with(b"\x7fELF"), "{bytes:?}");
    }
    let mut elf = std::fs::read("/bin/true").unwrap();
    elf.truncate(4096);
    for at in 32..elf.len().min(1200) {
        let kept = std::mem::replace(&mut elf[at], 0xff);
        t.hook("50_a", &elf);
        t.examine();
        elf[at] = kept;
    }
}
