// SPDX-License-Identifier: Apache-2.0
//! Properties that oVirt's engine has without any hook, and what KubeVirt has in their place.

use virt_hooks_contract::Scope;

const KNOWN: &[(Scope, &str, &str)] = &[
    (Scope::Vm, "hugepages", "spec.domain.memory.hugepages.pageSize"),
    (Scope::Vm, "mdev_type", "spec.domain.devices.gpus, or hostDevices, with the mediated device's resource"),
    (Scope::Vm, "viodiskcache", "cache of each of spec.domain.devices.disks"),
    (Scope::Vm, "vhost", "nothing to set: KubeVirt uses vhost-net wherever the node has it"),
    (Scope::Vm, "sndbuf", "nothing: the send buffer of a tap is not set there"),
    (Scope::Device, "queues", "spec.domain.devices.networkInterfaceMultiqueue, with a queue for each CPU"),
    (Scope::Device, "SecurityGroups", "a NetworkPolicy, or MultiNetworkPolicy for further networks"),
];

/// What KubeVirt has for a property that is the engine's own.
pub(super) fn counterpart(scope: Scope, name: &str) -> Option<&'static str> {
    KNOWN.iter().find(|k| k.0 == scope && k.1 == name).map(|k| k.2)
}
