# SPDX-License-Identifier: Apache-2.0
"""What older hooks import from here; VDSM itself has moved it to ``vdsm.common``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hooking import tobool
from vdsm._absent import missing_attribute

if TYPE_CHECKING:
    from hooking import execCmd
    from vdsm.common.cmdutils import CommandPath
    from vdsm.common.fileutils import rm_file as rmFile
    from vdsm.common.fileutils import touch_file as touchFile

__all__ = ["CommandPath", "execCmd", "rmFile", "tobool", "touchFile"]

_ELSEWHERE = {
    "CommandPath": ("vdsm.common.cmdutils", "CommandPath"),
    "execCmd": ("hooking", "execCmd"),
    "rmFile": ("vdsm.common.fileutils", "rm_file"),
    "touchFile": ("vdsm.common.fileutils", "touch_file"),
}


def __getattr__(name: str) -> Any:
    if name not in _ELSEWHERE:
        raise missing_attribute(__name__, name)
    import importlib

    module, original = _ELSEWHERE[name]
    value = getattr(importlib.import_module(module), original)
    globals()[name] = value
    return value
