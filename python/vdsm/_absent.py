# SPDX-License-Identifier: Apache-2.0
"""What to say of the names of VDSM that are not offered here."""

from __future__ import annotations

import sys
from typing import Callable, NoReturn, Union

_VDSM_ITSELF = "it belongs to VDSM itself, which is not installed"
_COMMAND = "run the command itself with hooking.execCmd"

# By name, the longest that fits counts.
_INSTEAD = {
    "vdsm": _VDSM_ITSELF,
    "vdsm.common.cache": "use functools.lru_cache",
    "vdsm.common.cmdutils.exec_cmd": "use hooking.execCmd",
    "vdsm.common.commands.start": "use hooking.execCmd with sync=False",
    "vdsm.common.concurrent": "use threading",
    "vdsm.common.cpuinfo": "read /proc/cpuinfo",
    "vdsm.common.exception": "raise an exception of your own, or hooking.exit_hook",
    "vdsm.common.fileutils": "use os, shutil, or vdsm.common.fileutils.atomic_write",
    "vdsm.common.hooks": "hooks are run by virt-hooks, see `virt-hooks fire --help`",
    "vdsm.common.libvirtconnection": "use libvirt.open of the package libvirt-python",
    "vdsm.common.logutils": "use hooking.log",
    "vdsm.common.supervdsm": "use hooking.execCmd with sudo=True and a sudoers rule",
    "vdsm.common.time": "use time.monotonic",
    "vdsm.common.xmlutils": "use hooking.read_domxml and hooking.write_domxml",
    "vdsm.constants.EXT": _COMMAND,
    "vdsm.hooks": "use hooking",
    "vdsm.ipwrapper": "run ip with hooking.execCmd",
    "vdsm.libvirtconnection": "use libvirt.open of the package libvirt-python",
    "vdsm.netinfo": "read /sys/class/net, or run ip with hooking.execCmd",
    "vdsm.network": "read /sys/class/net, or run ip with hooking.execCmd",
    "vdsm.osinfo": "read /etc/os-release, /proc and /sys",
    "vdsm.storage": "run qemu-img, lvs or another tool with hooking.execCmd",
    "vdsm.supervdsm": "use hooking.execCmd with sudo=True and a sudoers rule",
    "vdsm.utils.memoized": "use functools.lru_cache",
    "vdsm.utils.monotonic_time": "use time.monotonic",
}


def missing_module(name: str) -> ModuleNotFoundError:
    """The error for a module that is not offered."""
    return ModuleNotFoundError(_text("module", name), name=name)


def attributes_missing_in(module: str) -> Callable[[str], NoReturn]:
    """A ``__getattr__`` for a module."""

    def __getattr__(name: str) -> NoReturn:
        raise missing_attribute(module, name)

    return __getattr__


def missing_attribute(module: str, attribute: str) -> Union[AttributeError, ImportError]:
    """The error for a name that a module does not have; for its ``__getattr__``.

    ``from module import attribute`` gets an `ImportError`: Python would make
    one of any `AttributeError`, without its text. Everything else, such as
    ``hasattr``, gets the `AttributeError` it expects.
    """
    name = f"{module}.{attribute}"
    # Python's own look-ups, also those while it imports.
    if attribute.startswith("__"):
        return AttributeError(f"module {module!r} has no attribute {attribute!r}")
    text = _text("name", name)
    if _is_importing(depth=3):
        return ImportError(text, name=module)
    return AttributeError(text)


def _is_importing(depth: int) -> bool:
    """Whether the caller so far up is at ``from … import …``."""
    from opcode import opmap

    frame = sys._getframe(depth)
    code, at = frame.f_code.co_code, frame.f_lasti
    # Before Python 3.11 it is the prefix that a large operand needs.
    while 0 <= at < len(code) and code[at] == opmap["EXTENDED_ARG"]:
        at += 2
    return 0 <= at < len(code) and code[at] == opmap["IMPORT_FROM"]


def _text(kind: str, name: str) -> str:
    known = name
    # The names of VDSM's commands all start alike.
    if name.startswith("vdsm.constants.EXT_"):
        known = "vdsm.constants.EXT"
    while known not in _INSTEAD:
        known = known.rpartition(".")[0]
    return f"no {kind} {name} under virt-hooks: {_INSTEAD[known]}"
