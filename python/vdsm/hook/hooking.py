# SPDX-License-Identifier: Apache-2.0
"""The module `hooking` under the name it has inside VDSM."""

import sys
from typing import TYPE_CHECKING

import hooking

if TYPE_CHECKING:
    from hooking import *  # noqa: F403
else:
    # One module under two names: what is set on one is seen through the other.
    sys.modules[__name__] = hooking
