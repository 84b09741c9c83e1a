// SPDX-License-Identifier: Apache-2.0
//! A host to throw away, for blocks that change one: namespaces of their own, in which what is written to the system's
//! directories goes to a tmpfs. libvirt's daemon runs there with a VM `win10`; whatever was started ends with it.

use std::path::Path;
use std::process::Command;

/// What it takes.
const TOOLS: &[&str] = &["unshare", "libvirtd", "virsh", "qemu-system-x86_64"];

/// Run in the namespaces: `$1` a directory of its own, `$2` where the block is run, `$3` the command, `$4` the block.
const SET_UP: &str = r#"
set -eu
mount -t tmpfs tmpfs "$1"
for dir in etc usr var; do
	mkdir -p "$1/$dir/up" "$1/$dir/work"
	mount -t overlay overlay -o "lowerdir=/$dir,upperdir=$1/$dir/up,workdir=$1/$dir/work" "/$dir"
done
mount -t tmpfs tmpfs /run
# As a host is on which virt-hooks was just installed.
rm -rf /etc/virt-hooks /etc/libvirt/hooks /var/lib/virt-hooks /usr/libexec/vdsm /usr/share/virt-hooks
mkdir -p /etc/virt-hooks/hooks /usr/libexec/vdsm/hooks
cp "$3" /usr/bin/virt-hooks
# What hooks call on the host of the book.
for name in driverctl systemctl; do
	printf '#!/bin/sh\necho "%s $*" >>/var/log/calls\n' "$name" >"/usr/bin/$name"
	chmod 755 "/usr/bin/$name"
done
touch /var/log/calls
printf '%s\n' 'stdio_handler = "file"' 'user = "root"' 'group = "root"' 'security_driver = "none"' \
	'cgroup_controllers = []' 'namespaces = []' 'remember_owner = 0' >/etc/libvirt/qemu.conf
libvirtd -d
cat >/run/win10.xml <<'XML'
<domain type='qemu'><name>win10</name><memory unit='MiB'>32</memory><os><type arch='x86_64' machine='pc'>hvm</type></os></domain>
XML
virsh -q define /run/win10.xml
cd "$2"
sh -eu -c "$4"
echo "$CALLS"
cat /var/log/calls
"#;

/// Stands between what a block said and what its hooks called.
const CALLS: &str = "-- called by hooks:";

/// Why there can be no such host here.
pub(crate) fn missing() -> Option<String> {
    let here = |tool: &&&str| {
        !["/usr/bin", "/usr/sbin", "/bin", "/sbin"].iter().any(|dir| Path::new(dir).join(tool).is_file())
    };
    if let Some(tool) = TOOLS.iter().find(here) {
        return Some(format!("{tool} is not installed"));
    }
    let overlay = "mount -t tmpfs t \"$1\" && mkdir \"$1/u\" \"$1/w\" && \
                   mount -t overlay o -o \"lowerdir=/etc,upperdir=$1/u,workdir=$1/w\" /etc && \
                   grep -q ' /etc overlay ' /proc/self/mounts && echo can";
    let own = match tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")) {
        Ok(own) => own,
        Err(e) => return Some(format!("no directory for one can be made: {e}")),
    };
    let said = Command::new("unshare")
        .args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", overlay, "sh"])
        .arg(own.path())
        .output();
    match said {
        Ok(output) if output.stdout.ends_with(b"can\n") => None,
        _ => Some("no namespaces with an overlay of /etc can be made here".to_owned()),
    }
}

/// Runs a block in `dir` on such a host; `places` are directories for its `PATH`. What it said on both streams, and
/// what its hooks called there.
///
/// # Errors
/// It failed: with what it said.
pub(crate) fn runs(block: &str, dir: &Path, places: &[&Path]) -> Result<(String, Vec<String>), String> {
    let own = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).map_err(|e| e.to_string())?;
    let places: Vec<String> = places.iter().map(|p| format!("{}:", p.display())).collect();
    let output = Command::new("unshare")
        .args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c"])
        .arg(format!("exec 2>&1\n{SET_UP}"))
        .arg("sh")
        .args([own.path(), dir, Path::new(env!("CARGO_BIN_EXE_virt-hooks"))])
        .arg(block)
        .env("CALLS", CALLS)
        .env("CARGO_NET_OFFLINE", "true")
        .env_remove("CARGO_TARGET_DIR")
        .env("PATH", format!("{}/usr/sbin:/usr/bin:/sbin:/bin", places.concat()))
        .output()
        .map_err(|e| format!("unshare: {e}"))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    match said.rsplit_once(CALLS) {
        Some((said, calls)) if output.status.success() => {
            Ok((said.to_owned(), calls.lines().filter(|l| !l.is_empty()).map(str::to_owned).collect()))
        }
        _ => Err(format!("{block}\n{}\n{said}", output.status)),
    }
}
