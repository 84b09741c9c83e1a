# SPDX-License-Identifier: Apache-2.0
"""The CPU architecture of the host, and the one it is to pass for."""

from __future__ import annotations

import os

from vdsm._absent import attributes_missing_in

__all__ = [
    "AARCH64",
    "PPC64",
    "PPC64LE",
    "S390X",
    "SUPPORTED_ARCHITECTURES",
    "UnsupportedArchitecture",
    "X86_64",
    "effective",
    "is_arm",
    "is_ppc",
    "is_x86",
    "real",
]

X86_64 = "x86_64"
PPC64 = "ppc64"
PPC64LE = "ppc64le"
AARCH64 = "aarch64"
S390X = "s390x"

SUPPORTED_ARCHITECTURES = (X86_64, PPC64, PPC64LE, AARCH64, S390X)


class UnsupportedArchitecture(Exception):
    """An architecture that VDSM has no word for."""

    def __init__(self, target_arch: str) -> None:
        super().__init__(target_arch)
        self.target_arch = target_arch

    def __str__(self) -> str:
        known = ", ".join(SUPPORTED_ARCHITECTURES)
        return f"architecture {self.target_arch} is not supported, only {known}"


def real() -> str:
    """The architecture of the kernel. Raises `UnsupportedArchitecture`."""
    return _supported(os.uname().machine)


def effective() -> str:
    """The architecture that `fake_kvm_architecture` in vdsm.conf names if
    `fake_kvm_support` is on there, else the real one.

    Raises `UnsupportedArchitecture`, and `ValueError` if the switch is neither
    on nor off.
    """
    # Most who ask for an architecture ask for the real one.
    from vdsm.config import config

    if config.getboolean("vars", "fake_kvm_support"):
        return _supported(config.get("vars", "fake_kvm_architecture"))
    return real()


def is_ppc(arch: str) -> bool:
    """Whether it is POWER, of either byte order."""
    return arch in (PPC64, PPC64LE)


def is_x86(arch: str) -> bool:
    """Whether it is x86."""
    return arch == X86_64


def is_arm(arch: str) -> bool:
    """Whether it is ARM."""
    return arch == AARCH64


def _supported(arch: str) -> str:
    if arch not in SUPPORTED_ARCHITECTURES:
        raise UnsupportedArchitecture(arch)
    return arch


__getattr__ = attributes_missing_in(__name__)
