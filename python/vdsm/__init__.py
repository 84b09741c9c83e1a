# SPDX-License-Identifier: Apache-2.0
"""Stands in for VDSM's Python package where VDSM is not installed.

Hooks say ``from vdsm.hook import hooking``. The engine puts this directory on
PYTHONPATH, which Python searches before its site packages, so this package is
found even where a real ``vdsm`` is installed. It then gives way: the real one
is loaded under the name ``vdsm`` instead, and the modules here serve only for
what the real one does not have.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType


class _Gaps:
    """Asked by Python for modules below ``vdsm`` that nothing else has.

    Beside a real VDSM it offers ours. Without one, ours have been looked for
    already: what is still missing is an error that says what to use instead.
    """

    def __init__(self, directory: str, beside_a_real_one: bool) -> None:
        self.directory = directory
        self.beside_a_real_one = beside_a_real_one

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package, *parents = name.split(".")[:-1] or [""]
        if package != "vdsm":
            return None
        if self.beside_a_real_one:
            directory = os.path.join(self.directory, *parents)
            return importlib.machinery.PathFinder.find_spec(name, [directory])
        from vdsm._absent import missing_module

        raise missing_module(name)


def _give_way() -> None:
    here = os.path.dirname(os.path.abspath(__file__))
    # A second copy of this package may be on the path. It is told which copies
    # have looked already, so that they do not find each other for ever.
    stand_ins = (*globals().get("_stand_ins", ()), os.path.realpath(here))
    path = [
        entry
        for entry in sys.path
        if isinstance(entry, str)
        and os.path.realpath(os.path.join(entry or os.curdir, "vdsm")) not in stand_ins
    ]
    spec = importlib.machinery.PathFinder.find_spec(__name__, path)
    # Without a loader it is a directory that happens to be called vdsm.
    if spec is None or spec.loader is None or spec.submodule_search_locations is None:
        _fill_gaps(here, beside_a_real_one=False)
        return
    real: Any = importlib.util.module_from_spec(spec)
    real._stand_ins = stand_ins
    # The import under way returns what it finds here at its end.
    sys.modules[__name__] = real
    spec.loader.exec_module(real)
    real = sys.modules[__name__]
    vars(real).pop("_stand_ins", None)
    # A second copy has seen to it.
    if not any(type(finder).__name__ == _Gaps.__name__ for finder in sys.meta_path):
        _fill_gaps(here, beside_a_real_one=True)


def _fill_gaps(here: str, beside_a_real_one: bool) -> None:
    others = [finder for finder in sys.meta_path if type(finder).__name__ != _Gaps.__name__]
    sys.meta_path[:] = [*others, _Gaps(here, beside_a_real_one)]


def __getattr__(name: str) -> Any:
    from vdsm._absent import missing_attribute

    raise missing_attribute(__name__, name)


_give_way()
