// SPDX-License-Identifier: Apache-2.0
//! The XML of a VM that libvirt knows, through `virsh`: this program has no libvirt in it.

use crate::tool::find;
use std::time::Duration;
use virt_hooks_sdk::Command;

/// The domain XML with which a VM is started the next time, without its secrets.
///
/// # Errors
/// `virsh` is not installed, libvirt does not answer, or there is no such VM: in one line.
pub fn vm_xml(name: &str, connect: Option<&str>) -> Result<String, String> {
    let virsh = find("virsh").ok_or(
        "--vm needs virsh, which is not installed: install libvirt-clients (or libvirt-client), or give --payload FILE",
    )?;
    let mut command = Command::new(virsh).deadline(Duration::from_secs(30));
    if let Some(uri) = connect {
        command = command.args(["--connect", uri]);
    }
    // "--domain" keeps a name with a dash in front from being an option.
    let command = command.args(["--readonly", "dumpxml", "--inactive", "--domain", name]);
    let output = command.run().map_err(|e| {
        let cause = std::error::Error::source(&e).map(|c| format!(": {c}")).unwrap_or_default();
        format!("read the XML of VM {}: {e}{cause}", name.escape_debug())
    })?;
    if output.stdout.dropped() > 0 {
        return Err(format!(
            "the XML of VM {} is too long for this way: give --payload FILE",
            name.escape_debug()
        ));
    }
    if output.status.success() {
        return Ok(output.stdout.text());
    }
    let said = output.stderr.text();
    let said = said.lines().map(|l| l.trim().trim_start_matches("error: ")).filter(|l| !l.is_empty());
    Err(format!("read the XML of VM {}: virsh: {}", name.escape_debug(), said.collect::<Vec<_>>().join("; ")))
}
