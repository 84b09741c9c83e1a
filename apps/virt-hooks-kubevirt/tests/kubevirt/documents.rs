// SPDX-License-Identifier: Apache-2.0
//! A VMI and its domain as KubeVirt 1.9 writes them, of our own making.

use serde_json::{Value, json};

pub const UUID: &str = "5d307ca9-b3ef-428c-8861-06e72d69f223";

/// A VMI with these annotations.
pub fn vmi_with(uid: &str, annotations: Value) -> Vec<u8> {
    let vmi = json!({
        "kind": "VirtualMachineInstance", "apiVersion": "kubevirt.io/v1",
        "metadata": {
            "name": "web", "namespace": "shop", "uid": uid, "annotations": annotations,
            "labels": {"kubevirt.io/nodeName": "node01"},
            "managedFields": [{"manager": "virt-controller", "operation": "Update"}],
        },
        "spec": {
            "domain": {
                "firmware": {"uuid": UUID}, "machine": {"type": "q35"},
                "devices": {"disks": [{"name": "root", "disk": {"bus": "virtio"}}], "interfaces": [{"name": "default", "masquerade": {}}]},
            },
            "networks": [{"name": "default", "pod": {}}],
            "volumes": [{"name": "root", "containerDisk": {"image": "quay.example/fedora"}}],
        },
        "status": {"phase": "Scheduled", "nodeName": "node01"},
    });
    serde_json::to_vec(&vmi).unwrap()
}

pub fn vmi(uid: &str) -> Vec<u8> {
    vmi_with(uid, json!({}))
}

/// The domain as virt-launcher makes it from the VMI, before libvirt has seen it.
pub fn domain() -> String {
    format!(
        r#"<domain type="kvm" xmlns:qemu="http://libvirt.org/schemas/domain/qemu/1.0">
	<name>shop_web</name>
	<memory unit="b">1073741824</memory>
	<os>
		<type arch="x86_64" machine="q35">hvm</type>
		<smbios mode="sysinfo"></smbios>
	</os>
	<uuid>{UUID}</uuid>
	<sysinfo type="smbios">
		<system>
			<entry name="uuid">{UUID}</entry>
			<entry name="manufacturer">KubeVirt</entry>
		</system>
	</sysinfo>
	<devices>
		<interface type="ethernet">
			<source></source>
			<target dev="tap0" managed="no"></target>
			<model type="virtio-non-transitional"></model>
			<mac address="02:00:00:aa:bb:01"></mac>
			<mtu size="1450"></mtu>
			<alias name="ua-default"></alias>
		</interface>
		<channel type="unix">
			<target name="org.qemu.guest_agent.0" type="virtio"></target>
		</channel>
		<controller type="usb" index="0" model="none"></controller>
		<controller type="scsi" index="0" model="virtio-non-transitional"></controller>
		<video>
			<model type="vga" heads="1" vram="16384"></model>
		</video>
		<graphics type="vnc">
			<listen type="socket" socket="/var/run/kubevirt-private/7/virt-vnc"></listen>
		</graphics>
		<memballoon model="virtio-non-transitional"></memballoon>
		<disk device="disk" type="file" model="virtio-non-transitional">
			<source file="/var/run/kubevirt-private/vmi-disks/root/disk.qcow2"></source>
			<target bus="virtio" dev="vda"></target>
			<driver cache="none" error_policy="stop" name="qemu" type="qcow2" discard="unmap"></driver>
			<alias name="ua-root"></alias>
			<boot order="1"></boot>
		</disk>
		<disk device="disk" type="file" model="virtio-non-transitional">
			<source file="/var/run/kubevirt-ephemeral-disks/cloud-init-data/shop/web/noCloud.iso"></source>
			<target bus="virtio" dev="vdb"></target>
			<driver cache="none" error_policy="stop" name="qemu" type="raw" discard="unmap"></driver>
			<alias name="ua-cloudinit"></alias>
			<boot order="2"></boot>
		</disk>
		<hostdev type="pci" managed="no" mode="subsystem">
			<source>
				<address type="pci" domain="0x0000" bus="0x41" slot="0x00" function="0x1"></address>
			</source>
			<alias name="ua-gpu"></alias>
		</hostdev>
		<serial type="unix">
			<target port="0"></target>
			<source mode="bind" path="/var/run/kubevirt-private/7/virt-serial0"></source>
		</serial>
		<console type="pty">
			<target type="serial" port="0"></target>
		</console>
	</devices>
	<metadata>
		<kubevirt xmlns="http://kubevirt.io">
			<uid></uid>
		</kubevirt>
	</metadata>
	<features>
		<acpi></acpi>
	</features>
	<cpu mode="host-model">
		<topology sockets="1" cores="1" threads="1"></topology>
		<feature name="vmx" policy="optional"></feature>
	</cpu>
	<vcpu placement="static">1</vcpu>
	<iothreads>1</iothreads>
</domain>"#
    )
}
