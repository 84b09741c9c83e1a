// SPDX-License-Identifier: Apache-2.0
//! The disk on shared storage, and the copy of it.

use std::collections::hash_map::RandomState;
use std::fs::{self, OpenOptions};
use std::hash::{BuildHasher as _, Hasher as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::time::Duration;
use virt_hooks_sdk::{Command, Context, Failure, serde_json};

/// Copies take what they take; the engine's deadline for the hook holds.
const NO_DEADLINE: Duration = Duration::MAX;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Image<'a> {
    pub(crate) path: &'a str,
    /// QEMU's word for it.
    pub(crate) format: &'a str,
}

impl Image<'_> {
    /// Bytes that the guest sees.
    pub(crate) fn size(self, hook: &mut Context) -> Result<u64, Failure> {
        let command = Command::new(qemu_img(hook)).args(["info", "--output", "json", self.path]);
        let output = hook.execute(&command)?.success(&command)?;
        let info: serde_json::Value = serde_json::from_slice(&output.stdout.bytes())?;
        let size = info.get("virtual-size").and_then(serde_json::Value::as_u64);
        size.ok_or_else(|| {
            Failure::go_on(format!("localdisk: qemu-img tells no \"virtual-size\" of {}", self.path))
        })
    }

    /// Copies it onto a device.
    pub(crate) fn copy(self, hook: &mut Context, device: &str) -> Result<(), Failure> {
        // VMs that run already come first.
        let command = Command::new("/usr/bin/nice")
            .args(["-n", "19", "/usr/bin/ionice", "-c", "3", &qemu_img(hook)])
            .args(["convert", "-p", "-t", "none", "-T", "none", "-f", self.format, "-O", "raw"])
            .args([self.path, device])
            .deadline(NO_DEADLINE);
        hook.execute(&command)?.success(&command)?;
        Ok(())
    }

    /// Copies it onto a thin device and writes only what is not zero: by way of a sparse file, as qemu-img
    /// itself would write the zeros.
    pub(crate) fn copy_sparse(self, hook: &mut Context, device: &str) -> Result<(), Failure> {
        let file = Temporary::new(hook)?;
        self.copy(hook, &file.name)?;
        let command = Command::new("/usr/bin/dd")
            .args([format!("if={}", file.name), format!("of={device}")])
            .args(["bs=1M", "iflag=direct", "oflag=direct", "conv=sparse"])
            .deadline(NO_DEADLINE);
        hook.execute(&command)?.success(&command)?;
        Ok(())
    }
}

fn qemu_img(hook: &Context) -> String {
    let known = ["/usr/local/bin/qemu-img", "/usr/bin/qemu-img"];
    known.into_iter().find(|path| hook.host().path(path).is_file()).unwrap_or("qemu-img").to_owned()
}

/// A private file that goes with the value.
struct Temporary {
    name: String,
    file: PathBuf,
}

impl Temporary {
    fn new(hook: &Context) -> Result<Self, Failure> {
        for _ in 0..16 {
            // Keyed anew, and from random bits, for each hasher.
            let random = RandomState::new().build_hasher().finish();
            let name = format!("/var/tmp/localdisk.{random:016x}");
            let file = hook.host().path(&name);
            // Exclusive: what is there already, a link too, is not opened.
            match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&file) {
                Ok(_) => return Ok(Self { name, file }),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(Failure::go_on(format!("localdisk: make {name}: {error}"))),
            }
        }
        Err(Failure::go_on("localdisk: no free name in /var/tmp"))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.file);
    }
}
