# SPDX-License-Identifier: Apache-2.0
"""Directories, users and sizes of a host with VDSM's layout."""

from __future__ import annotations

from vdsm._absent import attributes_missing_in
from vdsm.common.constants import (
    GIB,
    MEGAB,
    P_VDSM_HOOKS,
    P_VDSM_LIB,
    P_VDSM_LIBEXEC,
    P_VDSM_LOG,
    P_VDSM_RUN,
    VDSM_GROUP,
    VDSM_USER,
)

__all__ = [
    "DISKIMAGE_GROUP",
    "DISKIMAGE_USER",
    "GIB",
    "MEGAB",
    "P_VDSM_HOOKS",
    "P_VDSM_LIB",
    "P_VDSM_LIBEXEC",
    "P_VDSM_LOG",
    "P_VDSM_RUN",
    "QEMU_PROCESS_GROUP",
    "QEMU_PROCESS_USER",
    "VDSM_GROUP",
    "VDSM_USER",
]

# Who owns the disks of VMs, and who runs the VMs.
DISKIMAGE_USER = "vdsm"
DISKIMAGE_GROUP = "kvm"
QEMU_PROCESS_USER = "qemu"
QEMU_PROCESS_GROUP = "qemu"

__getattr__ = attributes_missing_in(__name__)
