# SPDX-License-Identifier: Apache-2.0
"""Directories, users and sizes of a host with VDSM's layout.

Directories end in a slash, so that joining and plain appending both work.
"""

from __future__ import annotations

from vdsm._absent import attributes_missing_in

__all__ = [
    "GIB",
    "MEGAB",
    "P_VDSM_HOOKS",
    "P_VDSM_LIB",
    "P_VDSM_LIBEXEC",
    "P_VDSM_LOG",
    "P_VDSM_RUN",
    "VDSM_GROUP",
    "VDSM_USER",
]

P_VDSM_HOOKS = "/usr/libexec/vdsm/hooks/"
P_VDSM_LIB = "/var/lib/vdsm/"
P_VDSM_LIBEXEC = "/usr/libexec/vdsm/"
P_VDSM_LOG = "/var/log/vdsm/"
P_VDSM_RUN = "/run/vdsm/"

# Who hooks run as; those of the network points run as root.
VDSM_USER = "vdsm"
VDSM_GROUP = "kvm"

MEGAB = 2**20
GIB = 2**30

__getattr__ = attributes_missing_in(__name__)
