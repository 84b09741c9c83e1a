# SPDX-License-Identifier: Apache-2.0
"""The part of VDSM's Python package that hooks import from."""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    # Asked for by Python before it looks for the module: in most hooks.
    if name == "hooking" or name.startswith("__"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from vdsm._absent import missing_attribute

    raise missing_attribute(__name__, name)
