# SPDX-License-Identifier: Apache-2.0
"""The module `hooking` under the name it has inside VDSM."""

import sys

import hooking

# One module under two names: what is set on one is seen through the other.
sys.modules[__name__] = hooking
