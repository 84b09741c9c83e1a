// SPDX-License-Identifier: Apache-2.0
//! What is measured with: programs in C, directories of hooks, payloads.

use crate::error::BenchError;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const LIMIT: &str = include_str!("../c/limit.c");
const HOOK: &str = include_str!("../c/hook.c");
/// Byte of the payload that the editing hook changes: inside the comment.
const EDIT_AT: usize = PAYLOAD_HEAD.len() - "0-->".len();
const PAYLOAD_HEAD: &str = "<domain type='kvm'><!--0-->";

/// A kind of hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A small static program that ends at once.
    Static,
    /// The same as a shell script.
    Sh,
    /// A small static program that changes one byte of the payload.
    Editing,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Static => "static",
            Self::Sh => "sh",
            Self::Editing => "editing",
        }
    }
}

/// Programs and scratch directories; what is scratch goes with the value.
pub(crate) struct Stage {
    /// The loop in C, linked as usual.
    pub(crate) limit: PathBuf,
    /// The same, linked statically.
    pub(crate) limit_static: PathBuf,
    /// The same, linked with the C compiler's own libc, where that is another one and can be.
    pub(crate) limit_other: Option<PathBuf>,
    /// How static programs in C were linked.
    pub(crate) libc: &'static str,
    static_hook: PathBuf,
    editing_hook: PathBuf,
    scratch: tempfile::TempDir,
    run_dir: tempfile::TempDir,
}

impl Stage {
    /// Compiles the programs into `<target directory>/bench`.
    pub(crate) fn set() -> Result<Self, BenchError> {
        let here = std::env::current_exe().map_err(BenchError::file("find", Path::new("this program")))?;
        let target = here.parent().and_then(Path::parent).unwrap_or(Path::new("target"));
        let bench = target.join("bench");
        std::fs::create_dir_all(&bench).map_err(BenchError::file("make", &bench))?;
        let musl = Command::new("musl-gcc")
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|s| s.success());
        let (static_cc, libc) = if musl { ("musl-gcc", "musl") } else { ("cc", "the C compiler's own") };
        let compile = |cc: &str, name: &str, source: &str, flags: &[&str]| {
            let (c, program) = (bench.join(format!("{name}.c")), bench.join(name));
            std::fs::write(&c, source).map_err(BenchError::file("write", &c))?;
            let mut command = Command::new(cc);
            command.args(["-O2", "-pthread"]).args(flags).arg("-o").arg(&program).arg(&c);
            run(&mut command).map(|_| program)
        };
        let edit_at = format!("-DEDIT_AT={EDIT_AT}");
        let shm = Path::new("/dev/shm");
        let run_parent = if shm.is_dir() { shm.to_owned() } else { std::env::temp_dir() };
        let temporary = |parent: &Path| {
            tempfile::Builder::new()
                .prefix("virt-hooks-bench-")
                .tempdir_in(parent)
                .map_err(BenchError::file("make a directory in", parent))
        };
        Ok(Self {
            limit: compile("cc", "limit", LIMIT, &[])?,
            limit_static: compile(static_cc, "limit-static", LIMIT, &["-static"])?,
            limit_other: musl.then(|| compile("cc", "limit-static-cc", LIMIT, &["-static"]).ok()).flatten(),
            libc,
            static_hook: compile(static_cc, "hook", HOOK, &["-static", "-s"])?,
            editing_hook: compile(static_cc, "hook-editing", HOOK, &["-static", "-s", &edit_at])?,
            scratch: temporary(&bench)?,
            run_dir: temporary(&run_parent)?,
        })
    }

    /// Where payload files go: a tmpfs, for all participants the same.
    pub(crate) fn run_dir(&self) -> &Path {
        self.run_dir.path()
    }

    /// The hook that ends at once.
    pub(crate) fn empty_program(&self) -> &Path {
        &self.static_hook
    }

    /// A hooks directory with `count` hooks of one kind at `before_vm_start`.
    pub(crate) fn hooks(&self, kind: Kind, count: usize) -> Result<String, BenchError> {
        let layer = self.scratch.path().join(format!("{}-{count}", kind.name()));
        let dir = layer.join("before_vm_start");
        if dir.is_dir() {
            return Ok(layer.display().to_string());
        }
        std::fs::create_dir_all(&dir).map_err(BenchError::file("make", &dir))?;
        for n in 0..count {
            // A name that run-parts takes too.
            let path = dir.join(format!("{n:02}_hook"));
            match kind {
                Kind::Sh => std::fs::write(&path, "#!/bin/sh\nexit 0\n"),
                Kind::Static => std::fs::copy(&self.static_hook, &path).map(drop),
                Kind::Editing => std::fs::copy(&self.editing_hook, &path).map(drop),
            }
            .and_then(|()| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)))
            .map_err(BenchError::file("write", &path))?;
        }
        Ok(layer.display().to_string())
    }

    /// A domain document of about `size` bytes.
    pub(crate) fn payload(&self, size: usize) -> Result<String, BenchError> {
        let path = self.scratch.path().join(format!("payload-{size}.xml"));
        if !path.is_file() {
            std::fs::write(&path, document(size)).map_err(BenchError::file("write", &path))?;
        }
        Ok(path.display().to_string())
    }

    /// `name` as a link to `program`, short and without blanks, for the worker protocol.
    pub(crate) fn link(&self, name: &str, program: &Path) -> Result<PathBuf, BenchError> {
        let path = self.scratch.path().join(name);
        symlink(program, &path).map_err(BenchError::file("make", &path))?;
        Ok(path)
    }
}

fn document(size: usize) -> String {
    let tail = "</devices></domain>\n";
    let mut xml = String::with_capacity(size + 256);
    xml.push_str(PAYLOAD_HEAD);
    xml.push_str("<name>bench</name><uuid>13070562-2ee7-4092-a746-7975ff5b3993</uuid><devices>\n");
    let mut n = 0;
    while xml.len() + tail.len() < size {
        xml.push_str(&format!(
            "  <disk type='file' device='disk'>\n    <driver name='qemu' type='qcow2' cache='none'/>\n    \
             <source file='/rhev/data/{n:08}.img'/>\n    <target dev='vd{n:x}' bus='virtio'/>\n  </disk>\n"
        ));
        n += 1;
    }
    xml.push_str(tail);
    xml
}

/// Runs a program to its end and gives what it wrote.
pub(crate) fn run(command: &mut Command) -> Result<Vec<u8>, BenchError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|source| BenchError::Start { program: program.clone(), source })?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(BenchError::Failed { program, said: said.lines().next().unwrap_or("nothing").to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_domains_of_the_size_asked_for() {
        for size in [4 << 10, 64 << 10] {
            let xml = document(size);
            assert!(xml.len() >= size && xml.len() < size + 512, "{}", xml.len());
            assert_eq!(
                virt_hooks_engine::check_payload(virt_hooks_contract::PayloadKind::Xml, xml.as_bytes()),
                Ok(())
            );
            assert_eq!(xml.as_bytes()[EDIT_AT], b'0');
        }
    }
}
