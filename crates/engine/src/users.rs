// SPDX-License-Identifier: Apache-2.0
//! Users of the host, from its files: a static binary has no name service.

use virt_hooks_spawn::Credentials;

/// The user of that name or number, with its groups.
///
/// # Errors
/// A sentence that says what is missing.
pub(crate) fn lookup(user: &str) -> Result<Credentials, String> {
    let read = |path: &str| std::fs::read_to_string(path).map_err(|e| format!("read {path}: {e}"));
    find(user, &read("/etc/passwd")?, &read("/etc/group")?)
        .ok_or_else(|| format!("no user \"{user}\" in /etc/passwd: create it, or name another as hook_user"))
}

fn find(user: &str, passwd: &str, group: &str) -> Option<Credentials> {
    let fields = passwd
        .lines()
        .map(|l| l.split(':').collect::<Vec<_>>())
        .find(|f| f.len() >= 4 && (f[0] == user || f[2] == user))?;
    let groups = group
        .lines()
        .map(|l| l.split(':').collect::<Vec<_>>())
        .filter(|f| f.len() >= 4 && f[3].split(',').any(|member| member == fields[0]))
        .filter_map(|f| f[2].parse().ok())
        .collect();
    Some(Credentials { uid: fields[2].parse().ok()?, gid: fields[3].parse().ok()?, groups })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_name_and_by_number() {
        let passwd = "root:x:0:0::/root:/bin/sh\nvdsm:x:36:36:agent:/:/sbin/nologin\nbroken\n";
        let group = "kvm:x:36:qemu,sanlock\nqemu:x:107:vdsm\ndisk:x:6:other,vdsm\n";
        let vdsm = Credentials { uid: 36, gid: 36, groups: vec![107, 6] };
        assert_eq!(find("vdsm", passwd, group), Some(vdsm.clone()));
        assert_eq!(find("36", passwd, group), Some(vdsm));
        assert_eq!(find("nobody", passwd, group), None);
    }
}
