# SPDX-License-Identifier: Apache-2.0
"""How a hook speaks and how it ends."""

from __future__ import annotations

import sys
from typing import Any, NoReturn


def log(message: Any) -> None:
    """Write a line to standard error, which the engine records."""
    sys.stderr.write(f"{message}\n")
    sys.stderr.flush()


def exit_hook(message: Any, return_code: int = 2) -> NoReturn:
    """Write a line to standard error and end the hook.

    Exit code 0 is success, 1 a failure after which the next hook runs, 2 a
    failure after which no further hook of the point runs.
    """
    log(message)
    sys.exit(return_code)
