// SPDX-License-Identifier: Apache-2.0
//! The commands of the book that are for a cluster, as they are written: each server has the paths of a pod or a node as its own
//! root directory, and is called by a fake virt-launcher or virt-handler. No cluster is asked.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    clippy::needless_pass_by_value,
    unreachable_pub,
    dead_code,
    reason = "a test may panic; other tests use the rest of its modules"
)]

#[path = "../kubevirt/bed.rs"]
mod bed;
#[path = "../../../virt-hooks/tests/book/chapter.rs"]
mod chapter;
#[path = "../kubevirt/documents.rs"]
mod documents;
#[path = "../kubevirt/grpc.rs"]
mod grpc;
#[path = "../kubevirt/launcher.rs"]
mod launcher;

use bed::{Bed, PATIENCE, Server, USER, is_root, until};
use documents::{domain, vmi};
use grpc::FAILED_PRECONDITION;
use launcher::{collect, mutate, node_hook};
use libtest_mimic::{Arguments, Failed, Trial};
use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

const PAGE: &str = include_str!("../../../../docs/book/src/kubevirt.md");

/// What a program needs of the host, in a directory that then is its root. What it may write to is its own.
const ENTER: &str = "set -e
root=$1
program=$2
for dir in bin sbin lib lib64 usr proc dev; do
    if [ -L /$dir ]; then cp -P /$dir \"$root/$dir\"
    elif [ -d /$dir ]; then mkdir -p \"$root/$dir\"; mount --rbind /$dir \"$root/$dir\"; fi
done
mount -t tmpfs -o mode=1777 none \"$root/dev/shm\"
touch \"$root/program/virt-hooks-kubevirt\"
mount --bind \"$program\" \"$root/program/virt-hooks-kubevirt\"
exec chroot --userspec=107:107 \"$root\" env -i PATH=/program:/usr/bin:/bin sh -c \"exec $3\"";

fn main() -> ExitCode {
    let may =
        is_root() && Command::new("unshare").args(["--mount", "true"]).status().is_ok_and(|s| s.success());
    let why = if may { "" } else { " (skipped: no right to make a root directory, run as root)" };
    let name = format!("kubevirt.md_with_a_fake_virt_launcher_and_virt_handler{why}");
    let trial = Trial::test(name, what_is_for_a_cluster_runs).with_ignored_flag(!may);
    libtest_mimic::run(&Arguments::from_args(), vec![trial]).exit_code()
}

/// The root directory of a pod, with hooks in each of the places that commands name.
struct Pod {
    bed: Bed,
}

impl Pod {
    fn new() -> Self {
        let bed = Bed::new();
        for dir in ["program", "packages", "tmp", "hooks"] {
            fs::create_dir_all(bed.path("root").join(dir)).unwrap();
        }
        // KubeVirt makes these, for the user it runs as.
        for dir in ["kubevirt-hooks", "kubevirt-plugin/NAME", "kubevirt/plugins"] {
            let dir = bed.path("root/var/run").join(dir);
            fs::create_dir_all(&dir).unwrap();
            chown(&dir, Some(USER), Some(USER)).unwrap();
        }
        let title = "sed -i 's|</name>|&<title>of the book</title>|' \"$_hook_domxml\"";
        bed.script("root/hooks/before_vm_start/50_title", title);
        bed.script(
            "root/etc/virt-hooks/hooks/kubevirt_pre_vm_start/50_no",
            "echo not on this node >&2; exit 2",
        );
        Self { bed }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.bed.path("root").join(path.trim_start_matches('/'))
    }

    fn serve(&self, line: &str) -> Server {
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--propagation", "private", "sh", "-c", ENTER, "sh"])
            .arg(self.bed.path("root"))
            .args([env!("CARGO_BIN_EXE_virt-hooks-kubevirt"), line])
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        self.bed.serve(command)
    }
}

fn what_is_for_a_cluster_runs() -> Result<(), Failed> {
    let scripts = chapter::scripts_that_need(PAGE, "cluster");
    let lines: Vec<&str> = scripts.iter().flat_map(|s| s.lines()).collect();
    assert!(lines.len() >= 3, "kubevirt.md has three commands for a cluster: {lines:?}");
    for line in lines {
        let pod = Pod::new();
        let mut server = pod.serve(line);
        let words: Vec<&str> = line.split_whitespace().collect();
        let option = |name: &str| words.iter().position(|w| *w == name).map(|at| pod.path(words[at + 1]));
        let titled = domain().replace("</name>", "</name><title>of the book</title>");
        let mut asked = 0;
        if words.get(1) == Some(&"sidecar") {
            let patience = Duration::from_secs(6 * u64::from(PATIENCE));
            let found = collect(&pod.path("/var/run"), 1, patience)?.remove(0);
            assert_eq!(String::from_utf8(found.define(domain().as_bytes(), &vmi("u")).unwrap())?, titled);
            asked += 1;
        }
        if let Some(socket) = option("--domain-socket") {
            until(&format!("{line} serves"), || serves(&mut server, line, &socket));
            let answer = mutate(&socket, domain().as_bytes(), &vmi("u"), "Boot").unwrap();
            assert_eq!(String::from_utf8(answer)?, titled);
            asked += 1;
        }
        if let Some(socket) = option("--node-socket") {
            until(&format!("{line} serves"), || serves(&mut server, line, &socket));
            let refused = node_hook(&socket, "PreVMStart", &vmi("u"), "node1").unwrap_err();
            let (status, words) = refused.status();
            assert!(status == FAILED_PRECONDITION && words.contains("not on this node"), "{words}");
            asked += 1;
        }
        assert!(asked > 0, "this test does not know what \"{line}\" serves");
        server.terminate();
        server.ended();
    }
    Ok(())
}

/// Whether a socket is there; a server that ended will never make it.
fn serves(server: &mut Server, line: &str, socket: &Path) -> bool {
    assert!(server.is_running(), "{line}: {}", server.log());
    socket.exists()
}
