// SPDX-License-Identifier: Apache-2.0
//! The mark on a VM that is to start paused and be resumed by this hook, beside the VM's launch flags.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use virt_hooks_sdk::{Context, Failure};

/// `VIR_DOMAIN_START_PAUSED` of libvirt's flags.
pub(super) const PAUSED: u32 = 1;

/// A VM's mark, there or not.
#[derive(Debug)]
pub(super) struct Marker {
    flags: PathBuf,
    path: PathBuf,
}

impl Marker {
    /// # Errors
    /// The VM has no id.
    pub(super) fn of_vm(hook: &Context) -> Result<Self, Failure> {
        let id = hook.vm_id()?;
        let flags = match hook.env("_hook_launch_flags") {
            Some(path) => PathBuf::from(path),
            None => hook.host().path(Path::new("/run/vdsm").join(id).join("launchflags")),
        };
        let path = flags.with_file_name("marked_for_unpause");
        Ok(Self { flags, path })
    }

    pub(super) fn is_there(&self) -> bool {
        self.path.is_file()
    }

    /// Has the VM start paused, with the mark, unless it would anyway.
    ///
    /// # Errors
    /// The flags are no number, or something cannot be written.
    pub(super) fn start_paused(&self, hook: &Context) -> Result<(), Failure> {
        if hook.launch_flags()? & PAUSED != 0 {
            return if self.is_of_an_earlier_start() { self.remove() } else { Ok(()) };
        }
        if let Some(dir) = self.flags.parent() {
            fs::create_dir_all(dir).map_err(|error| self.failure("make the directory of", &error))?;
        }
        // In this order: a mark that is older than the flags is none of this start.
        hook.add_launch_flags(PAUSED)?;
        self.write().map_err(|error| self.failure("write", &error))
    }

    /// Whether it was left before these flags were written. The flags are written anew for each start, so the
    /// administrator asked for this one to be paused, and not to be resumed.
    fn is_of_an_earlier_start(&self) -> bool {
        let written = |path: &Path| fs::symlink_metadata(path).and_then(|m| m.modified()).ok();
        match (written(&self.path), written(&self.flags)) {
            (Some(mark), Some(flags)) => mark < flags,
            _ => false,
        }
    }

    /// Never through a link: whatever is in the way is removed.
    fn write(&self) -> io::Result<()> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        File::create_new(&self.path)?.write_all(b"true")
    }

    /// # Errors
    /// It is there and cannot be removed.
    pub(super) fn remove(&self) -> Result<(), Failure> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(self.failure("remove", &error)),
            _ => Ok(()),
        }
    }

    fn failure(&self, doing: &str, error: &io::Error) -> Failure {
        Failure::stop(format!("provider_type: {doing} {}: {error}", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, SystemTime};
    use tempfile::TempDir;

    fn hook(host: &TempDir) -> Context {
        Context::for_test().with_env("vmId", "vm").with_host(host.path())
    }

    fn put(host: &TempDir, name: &str, text: &str, age: u64) {
        let dir = host.path().join("run/vdsm/vm");
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join(name), text).unwrap();
        let file = File::options().write(true).open(dir.join(name)).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
    }

    fn text(host: &TempDir, name: &str) -> Option<String> {
        fs::read_to_string(host.path().join("run/vdsm/vm").join(name)).ok()
    }

    fn paused(host: &TempDir) -> Result<(Option<String>, Option<String>), Failure> {
        let hook = hook(host);
        Marker::of_vm(&hook)?.start_paused(&hook)?;
        Ok((text(host, "launchflags"), text(host, "marked_for_unpause")))
    }

    fn some(flags: &str, mark: &str) -> (Option<String>, Option<String>) {
        let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        (some(flags), some(mark))
    }

    #[test]
    fn marked_and_paused_also_for_a_second_port() {
        let host = tempfile::tempdir().unwrap();
        assert_eq!(paused(&host).unwrap(), some("1", "true"));
        assert_eq!(paused(&host).unwrap(), some("1", "true"));
    }

    #[test]
    fn other_flags_stay() {
        let host = tempfile::tempdir().unwrap();
        put(&host, "launchflags", "4\n", 0);
        assert_eq!(paused(&host).unwrap(), some("5", "true"));
    }

    #[test]
    fn paused_by_the_administrator() {
        let host = tempfile::tempdir().unwrap();
        put(&host, "launchflags", "3", 0);
        assert_eq!(paused(&host).unwrap(), some("3", ""));
    }

    #[test]
    fn a_mark_of_an_earlier_start_goes() {
        let host = tempfile::tempdir().unwrap();
        put(&host, "marked_for_unpause", "true", 60);
        put(&host, "launchflags", "1", 5);
        assert_eq!(paused(&host).unwrap(), some("1", ""));
    }

    #[test]
    fn a_mark_of_an_earlier_start_is_made_anew() {
        let host = tempfile::tempdir().unwrap();
        put(&host, "marked_for_unpause", "true", 60);
        put(&host, "launchflags", "0", 5);
        assert_eq!(paused(&host).unwrap(), some("1", "true"));
        // It is of this start now.
        assert_eq!(paused(&host).unwrap(), some("1", "true"));
    }

    #[test]
    fn no_number() {
        let host = tempfile::tempdir().unwrap();
        put(&host, "launchflags", "one", 0);
        assert!(paused(&host).unwrap_err().stops());
        assert_eq!(text(&host, "marked_for_unpause"), None);
    }

    #[test]
    fn a_link_is_not_followed() {
        let host = tempfile::tempdir().unwrap();
        put(&host, "launchflags", "0", 0);
        let target = host.path().join("target");
        fs::write(&target, "precious").unwrap();
        std::os::unix::fs::symlink(&target, host.path().join("run/vdsm/vm/marked_for_unpause")).unwrap();
        assert_eq!(paused(&host).unwrap(), some("1", "true"));
        assert_eq!(fs::read_to_string(&target).unwrap(), "precious");
    }

    #[test]
    fn beside_the_flags_of_the_engine() {
        let host = tempfile::tempdir().unwrap();
        let hook = hook(&host).with_env("_hook_launch_flags", host.path().join("flags/vm/launchflags"));
        Marker::of_vm(&hook).unwrap().start_paused(&hook).unwrap();
        assert!(host.path().join("flags/vm/marked_for_unpause").is_file());
        assert_eq!(hook.launch_flags().unwrap(), 1);
    }
}
