# SPDX-License-Identifier: Apache-2.0
"""Where a command is, and the error of one that failed."""

from __future__ import annotations

import errno
import os
from typing import List, Optional, Sequence

from vdsm._absent import attributes_missing_in

__all__ = ["CommandPath", "Error"]


class Error(Exception):
    """A command ended with an exit code other than 0."""

    def __init__(self, cmd: Sequence[str], rc: int, out: bytes, err: bytes) -> None:
        super().__init__(cmd, rc, out, err)
        self.cmd = cmd
        self.rc = rc
        self.out = out
        self.err = err

    def __str__(self) -> str:
        return f"{self.cmd[0]} failed: rc={self.rc} err={self.err!r} cmd={list(self.cmd)!r}"


class CommandPath:
    """A command that is looked for when its path is asked for.

    `paths` are tried in their order, then PATH, unless `search_path` is false.
    """

    def __init__(self, name: str, *paths: str, search_path: bool = True) -> None:
        self.name = name
        self.paths = paths
        self.search_path = search_path
        self._cmd: Optional[str] = None

    @property
    def cmd(self) -> str:
        """The path of the command. Raises `FileNotFoundError`."""
        if self._cmd is None:
            self._cmd = self._find()
        return self._cmd

    def _find(self) -> str:
        candidates: List[str] = list(self.paths)
        if self.search_path:
            # An empty entry would be the current directory.
            directories = os.environ.get("PATH", os.defpath).split(os.pathsep)
            candidates += [os.path.join(entry, self.name) for entry in directories if entry]
        for candidate in candidates:
            if os.path.isfile(candidate) and os.access(candidate, os.X_OK):
                return candidate
        raise FileNotFoundError(errno.ENOENT, "command not found, install it", self.name)

    def __str__(self) -> str:
        return self.cmd

    def __repr__(self) -> str:
        return f"CommandPath({self.name!r})"


__getattr__ = attributes_missing_in(__name__)
