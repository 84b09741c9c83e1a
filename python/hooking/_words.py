# SPDX-License-Identifier: Apache-2.0
"""The words VDSM takes for truth in custom properties."""

from __future__ import annotations

from typing import Any


def tobool(value: Any) -> bool:
    """Whether the value of a custom property means true.

    ``true`` in any letter case and every integer but zero are true. All else
    is false: no value at all, the empty string, and also ``yes`` and ``on``.
    """
    if value is None:
        return False
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() == "true":
        return True
    try:
        return int(value) != 0
    except (TypeError, ValueError, OverflowError):
        return False
