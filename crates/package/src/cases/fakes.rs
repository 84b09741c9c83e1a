// SPDX-License-Identifier: Apache-2.0
//! Commands in the place of the host's, whose calls are recorded.

use super::error::CasesError;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// What stands on the `PATH` under the name of a fake command: notes the call, a line with the words as a shell
/// would read them, and becomes the command of the case. It calls no other command itself.
const RECORDER: &str = r#"#!/bin/sh
here=${0%/*}
line=${0##*/}
for word in "$@"; do
	case $word in
	'' | *[!A-Za-z0-9_./:=,+@%-]*)
		quoted=
		while :; do
			case $word in
			*\'*) quoted="$quoted${word%%\'*}'\\''" word=${word#*\'} ;;
			*) break ;;
			esac
		done
		word="'$quoted$word'"
		;;
	esac
	line="$line $word"
done
printf '%s\n' "$line" >>"$here/../calls"
exec "$here/../commands/${0##*/}" "$@"
"#;

/// The fake commands of one case.
#[derive(Debug)]
pub(super) struct Fakes {
    dir: PathBuf,
}

impl Fakes {
    /// Sets up the commands in `commands` below `dir`, which is made.
    pub(super) fn set_up(dir: PathBuf, commands: &Path) -> Result<Self, CasesError> {
        let write = |path: &Path| {
            let path = path.to_owned();
            move |source: io::Error| CasesError::Write { path, source }
        };
        let path = dir.join("path");
        fs::create_dir_all(&path).map_err(write(&path))?;
        let whole = std::path::absolute(commands).unwrap_or_else(|_| commands.to_owned());
        symlink(whole, dir.join("commands")).map_err(write(&dir))?;
        let recorder = dir.join("recorder");
        fs::write(&recorder, RECORDER).map_err(write(&recorder))?;
        fs::set_permissions(&recorder, Permissions::from_mode(0o755)).map_err(write(&recorder))?;
        let read = |source| CasesError::Read { path: commands.to_owned(), source };
        for entry in fs::read_dir(commands).map_err(read)? {
            let entry = entry.map_err(read)?;
            let mode = fs::metadata(entry.path()).map_err(read)?.permissions().mode();
            if mode & 0o111 == 0 {
                let message = "is not executable: chmod 755 it";
                return Err(super::error::bad(entry.path(), message));
            }
            let link = path.join(entry.file_name());
            symlink("../recorder", &link).map_err(write(&link))?;
        }
        Ok(Self { dir })
    }

    /// The directory for the front of the `PATH`.
    pub(super) fn path(&self) -> PathBuf {
        self.dir.join("path")
    }

    /// The calls since the last time this was asked, a line each.
    pub(super) fn take_calls(&self) -> String {
        let file = self.dir.join("calls");
        let calls =
            fs::read(&file).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
        // A missing file is what the next run starts from.
        let _ = fs::remove_file(file);
        calls
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_recorded_as_a_shell_reads_them() {
        let dir = tempfile::tempdir().unwrap();
        let bin = dir.path().join("bin");
        fs::create_dir(&bin).unwrap();
        fs::write(bin.join("ip"), "#!/bin/sh\necho \"fake $#\"\nexit 3\n").unwrap();
        fs::set_permissions(bin.join("ip"), Permissions::from_mode(0o755)).unwrap();
        let fakes = Fakes::set_up(dir.path().join("case"), &bin).unwrap();
        assert_eq!(fakes.take_calls(), "");
        let out = std::process::Command::new("ip")
            .env("PATH", fakes.path())
            .args(["link", "it's ''", "", "a b", "x;$y", "n\nl"])
            .output()
            .unwrap();
        assert_eq!((out.status.code(), out.stdout.as_slice()), (Some(3), &b"fake 6\n"[..]));
        let calls = fakes.take_calls();
        assert_eq!(calls, "ip link 'it'\\''s '\\'''\\''' '' 'a b' 'x;$y' 'n\nl'\n");
        assert_eq!(fakes.take_calls(), "");
        // What was written is what a shell reads.
        let read = std::process::Command::new("sh")
            .args(["-c", &format!("set -- {}; printf '%s|' \"$@\"", calls.trim_end())])
            .output()
            .unwrap();
        assert_eq!(String::from_utf8(read.stdout).unwrap(), "ip|link|it's ''||a b|x;$y|n\nl|");
    }

    #[test]
    fn a_fake_that_cannot_run_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let bin = dir.path().join("bin");
        fs::create_dir(&bin).unwrap();
        fs::write(bin.join("ip"), "").unwrap();
        let said = Fakes::set_up(dir.path().join("case"), &bin).unwrap_err().to_string();
        assert!(said.ends_with("bin/ip: is not executable: chmod 755 it"), "{said}");
    }
}
