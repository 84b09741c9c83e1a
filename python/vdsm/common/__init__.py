# SPDX-License-Identifier: Apache-2.0
"""The modules of VDSM's ``common`` that hooks import."""

from __future__ import annotations

from vdsm._absent import attributes_missing_in

__getattr__ = attributes_missing_in(__name__)
