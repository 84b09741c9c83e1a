// SPDX-License-Identifier: Apache-2.0
//! libvirt by way of `virsh`, as the user that VDSM's hosts know.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use virt_hooks_sdk::{Command, CommandError, Context};

const PASSWORD: &str = "/etc/pki/vdsm/keys/libvirt_password";

/// How to reach libvirt. The caller holds the lock of the pool, so that the files are its own.
pub(crate) struct Virsh {
    uri: String,
    /// Read by virsh each time it logs in.
    _login: Option<PrivateFile>,
}

impl Virsh {
    /// With VDSM's login where the host has one.
    ///
    /// # Errors
    /// The login cannot be handed to virsh.
    pub(crate) fn new(hook: &Context) -> io::Result<Self> {
        let password = match hook.host().read(PASSWORD) {
            Ok(text) => text.and_then(|text| text.lines().next().map(str::to_owned)),
            Err(error) => {
                // libvirt may take this user without.
                hook.log(format_args!("vmfex: no login for libvirt: {error}"));
                None
            }
        };
        let Some(password) = password else {
            return Ok(Self { uri: "qemu:///system".to_owned(), _login: None });
        };
        // Not as an argument, which every user of the host could read.
        let login = format!(
            "[credentials-vdsm]\nauthname=vdsm@ovirt\npassword={password}\n\n\
             [auth-libvirt-localhost]\ncredentials=vdsm\n"
        );
        let file = PrivateFile::create(hook.host().path("/run/vdsm/hook-vmfex.auth"), login.as_bytes())?;
        Ok(Self { uri: format!("qemu:///system?authfile={}", file.path().display()), _login: Some(file) })
    }

    /// What a command of virsh writes.
    ///
    /// # Errors
    /// It cannot be run, or fails.
    pub(crate) fn text(&self, hook: &mut Context, arguments: &[&str]) -> Result<String, CommandError> {
        let command = Command::new("virsh").args(["-c", &self.uri]).args(arguments.iter().copied());
        Ok(hook.execute(&command)?.success(&command)?.stdout.text())
    }

    /// The same as lines that are not empty.
    ///
    /// # Errors
    /// It cannot be run, or fails.
    pub(crate) fn names(&self, hook: &mut Context, arguments: &[&str]) -> Result<Vec<String>, CommandError> {
        let text = self.text(hook, arguments)?;
        Ok(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect())
    }
}

/// A file that only this user reads, gone when it is dropped.
pub(crate) struct PrivateFile(PathBuf);

impl PrivateFile {
    /// Makes it; one that a hook left behind when it was killed is replaced.
    ///
    /// # Errors
    /// It cannot be written; the path is in the text.
    pub(crate) fn create(path: PathBuf, content: &[u8]) -> io::Result<Self> {
        let told =
            |error: io::Error| io::Error::new(error.kind(), format!("write {}: {error}", path.display()));
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(told(error)),
            _ => {}
        }
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let mut file = file.map_err(told)?;
        let written = file.write_all(content).map_err(told);
        let made = Self(path);
        written.map(|()| made)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for PrivateFile {
    fn drop(&mut self) {
        // Nobody to tell; the next one replaces it.
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use virt_hooks_sdk::Output;

    #[test]
    fn logs_in_where_there_is_a_password_and_leaves_no_file() {
        let root = tempfile::tempdir().unwrap();
        for dir in ["run/vdsm", "etc/pki/vdsm/keys"] {
            fs::create_dir_all(root.path().join(dir)).unwrap();
        }
        let plain = Virsh::new(&Context::for_test().with_host(root.path())).unwrap();
        assert_eq!(plain.uri, "qemu:///system");
        fs::write(root.path().join(PASSWORD.trim_start_matches('/')), "secret\nmore\n").unwrap();
        let auth = root.path().join("run/vdsm/hook-vmfex.auth");
        let seen = auth.clone();
        let mut hook = Context::for_test().with_host(root.path()).with_commands(move |command| {
            let argv: Vec<_> = command.argv().iter().map(|a| a.to_str().unwrap()).collect();
            assert_eq!(argv, ["virsh", "-c", &format!("qemu:///system?authfile={}", seen.display()), "list"]);
            assert_eq!(fs::metadata(&seen).unwrap().permissions().mode() & 0o777, 0o600);
            assert!(fs::read_to_string(&seen).unwrap().contains("\npassword=secret\n\n["));
            Ok(Output::exited(0, "\na\n b \n\n"))
        });
        let virsh = Virsh::new(&hook).unwrap();
        assert_eq!(virsh.names(&mut hook, &["list"]).unwrap(), ["a", "b"]);
        drop(virsh);
        assert!(!auth.exists());
    }

    #[test]
    fn a_link_in_the_way_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (target, path) = (dir.path().join("target"), dir.path().join("file"));
        fs::write(&target, "kept").unwrap();
        symlink(&target, &path).unwrap();
        drop(PrivateFile::create(path.clone(), b"new").unwrap());
        assert_eq!(fs::read(&target).unwrap(), b"kept");
        assert!(fs::symlink_metadata(&path).is_err());
        assert!(PrivateFile::create(dir.path().join("no/file"), b"").is_err());
    }
}
