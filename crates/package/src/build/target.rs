// SPDX-License-Identifier: Apache-2.0
//! Where a package may put files beside its hooks.

use super::error::BuildError;
use crate::sudoers;
use std::path::{Component, Path, PathBuf};

/// Where programs, helpers and drop-ins of packages belong. Everything else belongs to somebody else.
const ALLOWED: &[&str] = &[
    "/usr/libexec",
    "/usr/share",
    "/usr/lib/systemd",
    "/usr/lib/udev",
    "/usr/lib/sysusers.d",
    "/usr/lib/tmpfiles.d",
    "/usr/lib/modprobe.d",
    "/usr/lib/modules-load.d",
    "/usr/lib/sysctl.d",
    "/etc/sudoers.d",
    "/etc/modprobe.d",
    "/etc/modules-load.d",
    "/etc/sysctl.d",
    "/etc/tmpfiles.d",
    "/etc/udev",
    "/etc/systemd",
    "/etc/logrotate.d",
    "/etc/vdsm",
    "/etc/virt-hooks/points.d",
];
/// Within those, what is the engine's own.
const RESERVED: &[&str] = &["/usr/libexec/virt-hooks", "/usr/share/virt-hooks"];
/// The hooks' directory, VDSM's path.
pub const HOOKS: &str = "/usr/libexec/vdsm/hooks";
/// Far below what the kernel and the formats take.
const LONGEST: usize = 1000;

/// A place for a file with this mode, both checked; `home` is the package's own directory.
///
/// # Errors
/// A package must not put such a file there: why, and what to do.
pub fn check(target: &str, mode: u32, home: &Path) -> Result<(PathBuf, u32), BuildError> {
    let wrong = |what: String| BuildError::Target { target: target.escape_debug().to_string(), what };
    let path = Path::new(target);
    let plain = path.components().all(|c| matches!(c, Component::RootDir | Component::Normal(_)));
    // Components leave out double slashes, "." and a slash at the end: a target has none of these.
    let tidy: PathBuf = path.components().collect();
    if !path.is_absolute() || !plain || tidy.as_os_str() != path.as_os_str() {
        return Err(wrong("is not an absolute path without \"..\", \".\" and double slashes".into()));
    }
    let odd = |c: char| !c.is_ascii_alphanumeric() && !"/._-+@:~,=".contains(c);
    if target.contains(odd) || target.len() > LONGEST {
        // Scripts of packages name it.
        return Err(wrong(format!(
            "a target is at most {LONGEST} letters, digits and characters of /._-+@:~,="
        )));
    }
    let below = |roots: &[&str]| roots.iter().any(|r| path.starts_with(r) && path != Path::new(r));
    if !below(ALLOWED) {
        return Err(wrong(format!("is not a place for files of hooks; these are: {}", ALLOWED.join(", "))));
    }
    let own = path.starts_with(home) && path != home;
    if !own && RESERVED.iter().any(|r| path.starts_with(r)) {
        return Err(wrong(format!(
            "belongs to virt-hooks or to another package; a file of this one's own goes to {}",
            home.display()
        )));
    }
    if mode & !0o777 != 0 || mode & 0o022 != 0 || mode & 0o400 == 0 {
        return Err(wrong(format!(
            "mode {mode:04o}: files are readable for root, writable for nobody else, and never setuid; choose 0644 or 0755"
        )));
    }
    let in_point = path.strip_prefix(HOOKS).is_ok_and(|rest| rest.components().count() > 1);
    if in_point && mode & 0o111 != 0 {
        return Err(wrong(format!(
            "mode {mode:04o}: an executable here is a hook; declare it as a [[point]], or give it mode 0644"
        )));
    }
    if path.starts_with(sudoers::DIRECTORY) {
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        if let Some(what) = sudoers::passed_over(name) {
            return Err(wrong(what.into()));
        }
        if mode & 0o111 != 0 {
            return Err(wrong(format!("mode {mode:04o}: sudo rules have mode 0440")));
        }
        return Ok((tidy, 0o440));
    }
    Ok((tidy, mode))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: &str = "/usr/share/virt-hooks/packages/mine";

    fn refused(target: &str, mode: u32) -> String {
        check(target, mode, Path::new(HOME)).unwrap_err().to_string()
    }

    #[test]
    fn drop_ins_and_helpers_have_their_places() {
        for target in [
            "/usr/libexec/vdsm/hooks/checkipsd",
            "/usr/libexec/vdsm/localdisk-helper",
            "/usr/lib/systemd/system/mine.service",
            "/usr/share/virt-hooks/packages/mine/table.txt",
            "/etc/modprobe.d/mine.conf",
        ] {
            check(target, 0o755, Path::new(HOME)).unwrap();
        }
        check("/usr/libexec/vdsm/hooks/before_vm_start/mine_words.py", 0o644, Path::new(HOME)).unwrap();
    }

    #[test]
    fn sudo_rules_always_have_the_mode_sudo_wants() {
        assert_eq!(check("/etc/sudoers.d/50_mine", 0o644, Path::new(HOME)).unwrap().1, 0o440);
        assert!(refused("/etc/sudoers.d/mine.conf", 0o440).contains("passes over"));
    }

    #[test]
    fn other_places_are_refused() {
        for target in
            ["etc/vdsm/x", "/etc/vdsm/../passwd", "/etc//vdsm/x", "/etc/vdsm/x/", "/etc/vdsm/./x", ""]
        {
            assert!(refused(target, 0o644).contains("absolute path"), "{target}");
        }
        for target in ["/etc/passwd", "/usr/lib/libc.so", "/boot/x", "/etc/vdsm", "/"] {
            assert!(refused(target, 0o644).contains("not a place"), "{target}");
        }
        for target in [
            "/usr/libexec/virt-hooks/virt-hooks-bundled",
            "/usr/share/virt-hooks/packages/other/hook.toml",
            HOME,
            "/usr/share/virt-hooks/packages/mine2/x",
        ] {
            assert!(refused(target, 0o644).contains("belongs to virt-hooks"), "{target}");
        }
        assert!(refused("/etc/vdsm/a b", 0o644).contains("letters, digits"));
        assert!(refused("/usr/lib/tmpfiles.d/a';reboot'", 0o644).contains("letters, digits"));
        assert!(refused("/etc/vdsm/a\nb", 0o644).starts_with("target /etc/vdsm/a\\nb:"));
    }

    #[test]
    fn modes_that_give_rights_away_are_refused() {
        for mode in [0o4755, 0o666, 0o020, 0o044, 0o1644] {
            assert!(refused("/usr/libexec/vdsm/x", mode).contains("never setuid"), "{mode:o}");
        }
        assert!(refused("/usr/libexec/vdsm/hooks/before_vm_start/x.py", 0o755).contains("is a hook"));
    }
}
