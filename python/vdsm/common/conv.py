# SPDX-License-Identifier: Apache-2.0
"""Conversions of values."""

from __future__ import annotations

from hooking import tobool
from vdsm._absent import attributes_missing_in

__all__ = ["tobool"]

__getattr__ = attributes_missing_in(__name__)
