// SPDX-License-Identifier: Apache-2.0
//! Users of the host, from its files: a static binary has no name service.

use virt_hooks_spawn::Credentials;

/// A user and what its environment says of it.
pub(crate) type User = (Credentials, Vec<(Vec<u8>, Vec<u8>)>);

/// The user of that name or number, with its groups, and `HOME`, `USER` and `LOGNAME` as a service manager sets them.
///
/// # Errors
/// A sentence that says what is missing.
pub(crate) fn lookup(user: &str) -> Result<User, String> {
    let read = |path: &str| std::fs::read_to_string(path).map_err(|e| format!("read {path}: {e}"));
    find(user, &read("/etc/passwd")?, &read("/etc/group")?)
        .ok_or_else(|| format!("no user \"{user}\" in /etc/passwd: create it, or name another as hook_user"))
}

fn find(user: &str, passwd: &str, group: &str) -> Option<User> {
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
    let variable = |name: &str, value: &str| (name.into(), value.into());
    let home = fields.get(5).copied().filter(|h| !h.is_empty()).unwrap_or("/");
    let environment =
        vec![variable("HOME", home), variable("USER", fields[0]), variable("LOGNAME", fields[0])];
    Some((Credentials { uid: fields[2].parse().ok()?, gid: fields[3].parse().ok()?, groups }, environment))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_name_and_by_number() {
        let passwd = "root:x:0:0::/root:/bin/sh\nvdsm:x:36:36:agent:/:/sbin/nologin\nbroken\n";
        let group = "kvm:x:36:qemu,sanlock\nqemu:x:107:vdsm\ndisk:x:6:other,vdsm\n";
        let vdsm = Credentials { uid: 36, gid: 36, groups: vec![107, 6] };
        for name in ["vdsm", "36"] {
            let (credentials, environment) = find(name, passwd, group).unwrap();
            assert_eq!(credentials, vdsm);
            let text: Vec<_> = environment.iter().map(|(n, v)| [n.as_slice(), v].join(&b'=')).collect();
            assert_eq!(text, [&b"HOME=/"[..], b"USER=vdsm", b"LOGNAME=vdsm"]);
        }
        assert!(find("nobody", passwd, group).is_none());
    }
}
