# SPDX-License-Identifier: Apache-2.0
"""The launch flags of a VM: libvirt's flags for creating the domain.

The hooks of before_device_create and before_vm_start may read and change
them. Add your bits to those that are there::

    flags = hooking.load_vm_launch_flags_from_file(vm_id)
    hooking.dump_vm_launch_flags_to_file(vm_id, flags | START_PAUSED)
"""

from __future__ import annotations

import operator
import os

from hooking._environment import LAUNCH_FLAGS
from hooking._replace import replace_content

_RUN_DIRECTORY = "/run/vdsm"
_FILE_NAME = "launchflags"


def load_vm_launch_flags_from_file(vm_id: str) -> int:
    """The launch flags of a VM; 0 if there is no file.

    Raises `ValueError` if the first line of the file is not a number, `OSError`.
    """
    path = _path(vm_id)
    try:
        with open(path, encoding="utf-8") as file:
            line = file.readline()
    except FileNotFoundError:
        return 0
    try:
        return int(line)
    except ValueError:
        raise ValueError(f"the launch flags in {path} are not a number: {line.strip()!r}") from None


def dump_vm_launch_flags_to_file(vm_id: str, flags: int) -> None:
    """Replace the launch flags of a VM.

    Raises `TypeError` or `ValueError` if `flags` is not a number from 0,
    `OSError`. After an error the flags are as they were.
    """
    number = operator.index(flags)
    if number < 0:
        raise ValueError(f"launch flags cannot be negative: {number}")
    path = _path(vm_id)
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    replace_content(path, str(number).encode("ascii"))


def _path(vm_id: str) -> str:
    path = os.environ.get(LAUNCH_FLAGS)
    if path:
        return os.path.abspath(path)
    # The id often comes straight from the environment.
    if vm_id in ("", ".", "..") or "/" in vm_id:
        raise ValueError(f"not the id of a VM: {vm_id!r}")
    return os.path.join(_RUN_DIRECTORY, vm_id, _FILE_NAME)
