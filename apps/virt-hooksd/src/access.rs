// SPDX-License-Identifier: Apache-2.0
//! Who may use the agent: root, the user it runs as, and the members of one group.
//!
//! The mode of the socket says the same, but a socket handed over, or one whose mode somebody changed, must not
//! open a door: who asks is who the kernel says it is.

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use std::os::unix::net::UnixStream;
use virt_hooks::Failure;

/// Whom to let in.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    own: u32,
    group: Option<Group>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Group {
    gid: u32,
    /// Its members, by user id.
    members: Vec<u32>,
}

impl Access {
    /// `group` by name or number.
    pub(crate) fn new(group: Option<&str>) -> Result<Self, Failure> {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let found = match group {
            None => None,
            Some(name) => Some(
                find(name, &read("/etc/group"), &read("/etc/passwd"))
                    .ok_or_else(|| Failure::usage(format!("no group \"{name}\" in /etc/group: create it")))?,
            ),
        };
        Ok(Self { own: rustix::process::geteuid().as_raw(), group: found })
    }

    /// The id of the group.
    pub(crate) fn group(&self) -> Option<u32> {
        self.group.as_ref().map(|g| g.gid)
    }

    /// Whether who is at the other end may use the agent.
    pub(crate) fn allows(&self, stream: &UnixStream) -> bool {
        // Not by its process: that has no id here where it is in another PID namespace.
        getsockopt(stream, PeerCredentials).is_ok_and(|peer| self.allows_user(peer.uid(), peer.gid()))
    }

    fn allows_user(&self, uid: u32, gid: u32) -> bool {
        let of_group = |g: &Group| g.gid == gid || g.members.contains(&uid);
        uid == 0 || uid == self.own || self.group.as_ref().is_some_and(of_group)
    }
}

fn find(name: &str, group: &str, passwd: &str) -> Option<Group> {
    let fields = |line: &str| line.split(':').map(str::to_owned).collect::<Vec<_>>();
    let line = group.lines().map(fields).find(|f| f.len() >= 4 && (f[0] == name || f[2] == name))?;
    let members: Vec<&str> = line[3].split(',').collect();
    let uid = |f: Vec<String>| {
        (f.len() >= 4 && (members.contains(&f[0].as_str()) || f[3] == line[2])).then(|| f[2].parse().ok())?
    };
    Some(Group { gid: line[2].parse().ok()?, members: passwd.lines().map(fields).filter_map(uid).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_ourselves_and_the_group() {
        let group = "root:x:0:\nvirt:x:70:ann\n";
        let passwd = "root:x:0:0:::\nann:x:1000:1000:::\nbob:x:1001:70:::\neve:x:1002:1002:::\n";
        let found = find("virt", group, passwd).unwrap();
        assert_eq!(found, Group { gid: 70, members: vec![1000, 1001] });
        assert_eq!(find("70", group, passwd), Some(found.clone()));
        assert_eq!(find("nobody", group, passwd), None);
        let access = Access { own: 500, group: Some(found) };
        for (uid, gid, allowed) in
            [(0, 0, true), (500, 1, true), (1000, 1000, true), (7, 70, true), (1002, 1002, false)]
        {
            assert_eq!(access.allows_user(uid, gid), allowed, "{uid}:{gid}");
        }
        assert!(!Access { own: 500, group: None }.allows_user(1000, 70));
    }
}
