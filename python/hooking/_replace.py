# SPDX-License-Identifier: Apache-2.0
"""Replacing the content of a file so that it is never seen, or left, half written."""

from __future__ import annotations

import os
import stat
from io import FileIO
from typing import Optional


def replace_content(path: str, content: bytes, mode: Optional[int] = None) -> None:
    """Give the file at `path` a new content and the permissions `mode`.

    A new file takes the place of the old one. Where that is not possible (no
    right to write to the directory, a file mounted on its own, another owner)
    the old file is overwritten and keeps its permissions. After an error the
    old content is still there.

    Without `mode` the permissions are those of the old file, or 0644.
    Raises `OSError`.
    """
    # The file a link names is meant, not the link.
    target = os.path.realpath(path)
    try:
        before: Optional[os.stat_result] = os.stat(target)
    except FileNotFoundError:
        before = None
    if mode is None:
        mode = 0o644 if before is None else stat.S_IMODE(before.st_mode)
    try:
        _swap(target, content, before, mode)
    except OSError:
        if before is None:
            raise
        _overwrite(target, content)


def _swap(target: str, content: bytes, before: Optional[os.stat_result], mode: int) -> None:
    name = f".hooking-{os.getpid()}-{os.urandom(8).hex()}"
    temporary = os.path.join(os.path.dirname(target), name)
    # Exclusive: the directory may be one that others write to.
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with FileIO(descriptor, "w") as file:
            if before is not None:
                ours = os.fstat(descriptor)
                if (ours.st_uid, ours.st_gid) != (before.st_uid, before.st_gid):
                    # A helper running as root must not take the file away
                    # from the engine that reads it afterwards.
                    os.fchown(descriptor, before.st_uid, before.st_gid)
            os.fchmod(descriptor, mode)
            _write_all(file, content)
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise


def _overwrite(target: str, content: bytes) -> None:
    with FileIO(target, "r+") as file:
        old = file.readall()
        try:
            file.seek(0)
            _write_all(file, content)
            file.truncate(len(content))
        except BaseException:
            file.seek(0)
            _write_all(file, old)
            file.truncate(len(old))
            raise


def _write_all(file: FileIO, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        written = file.write(rest)
        rest = rest[written:]
