# SPDX-License-Identifier: Apache-2.0
"""Stands in for VDSM's Python package where VDSM is not installed.

Hooks say ``from vdsm.hook import hooking``. The engine puts this directory on
PYTHONPATH, which Python searches before its site packages, so this package is
found even where a real ``vdsm`` is installed. It then gives way: the real one
is loaded under the name ``vdsm`` instead, and the modules here serve only for
what the real one does not have.
"""

import importlib.machinery
import importlib.util
import os
import sys


def _give_way():
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
        return
    real = importlib.util.module_from_spec(spec)
    real._stand_ins = stand_ins
    # The import under way returns what it finds here at its end.
    sys.modules[__name__] = real
    spec.loader.exec_module(real)
    real = sys.modules[__name__]
    vars(real).pop("_stand_ins", None)
    if here not in real.__path__:
        real.__path__.append(here)


_give_way()
