# SPDX-License-Identifier: Apache-2.0
"""What a hook written in Python needs: its payload, its exit, its commands.

The names and their behaviour are those of the ``hooking`` module that VDSM
offers its hooks, so that one hook runs under either system::

    #!/usr/bin/python3
    import os
    import hooking

    if "my_property" in os.environ:
        document = hooking.read_domxml()
        ...
        hooking.write_domxml(document)

What differs: a payload is never left truncated when writing it fails, and
line breaks in attribute values survive a read and a write.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hooking._environment import MissingVariable
from hooking._launch_flags import (
    dump_vm_launch_flags_to_file,
    load_vm_launch_flags_from_file,
)
from hooking._outcome import exit_hook, log
from hooking._payload import read_domxml, read_json, write_domxml, write_json
from hooking._words import tobool

if TYPE_CHECKING:
    from hooking._commands import execCmd

__all__ = [
    "MissingVariable",
    "dump_vm_launch_flags_to_file",
    "execCmd",
    "exit_hook",
    "load_vm_launch_flags_from_file",
    "log",
    "read_domxml",
    "read_json",
    "tobool",
    "write_domxml",
    "write_json",
]


def __getattr__(name: str) -> Any:
    # A hook is a new process at every event, and loading what runs commands
    # takes as long as all the rest; most hooks run none.
    if name == "execCmd":
        from hooking._commands import execCmd

        globals()[name] = execCmd
        return execCmd
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
