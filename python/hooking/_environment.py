# SPDX-License-Identifier: Apache-2.0
"""The variables the engine gives to every hook."""

from __future__ import annotations

import os

DOMXML = "_hook_domxml"
JSON = "_hook_json"
LAUNCH_FLAGS = "_hook_launch_flags"


class MissingVariable(KeyError):
    """A variable that the engine sets for a hook is not set.

    It is a ``KeyError``, as it is with a plain look-up in ``os.environ``.
    """

    def __init__(self, variable: str, hint: str) -> None:
        super().__init__(variable)
        self.variable = variable
        self.hint = hint

    def __str__(self) -> str:
        # A KeyError would show the quoted key alone.
        return f"{self.variable} is not set: {self.hint}"


def payload_path(variable: str) -> str:
    """The path of the payload file, from `DOMXML` or `JSON`.

    Raises `MissingVariable` if the hook point has no payload of that kind.
    """
    path = os.environ.get(variable)
    if path:
        return path
    other, functions = {
        DOMXML: (JSON, "read_json and write_json"),
        JSON: (DOMXML, "read_domxml and write_domxml"),
    }[variable]
    if os.environ.get(other):
        hint = f"the payload of this hook point is in {other}, use {functions}"
    else:
        hint = "run the hook through virt-hooks, or set it to the path of a payload file"
    raise MissingVariable(variable, hint)
