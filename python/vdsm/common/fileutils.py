# SPDX-License-Identifier: Apache-2.0
"""Small work on files."""

from __future__ import annotations

import contextlib
import os

from vdsm._absent import attributes_missing_in

__all__ = ["atomic_write", "rm_file", "rm_tree", "touch_file"]


def rm_file(file_to_remove: str) -> None:
    """Remove a file; it may be gone already. Raises `OSError`."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(file_to_remove)


def rm_tree(dir_to_remove: str) -> None:
    """Remove a directory and all in it; it may be gone already. Raises `OSError`."""
    import shutil

    # Only if it is the directory itself that is missing.
    if os.path.lexists(dir_to_remove):
        shutil.rmtree(dir_to_remove)


def touch_file(file_path: str) -> None:
    """Make an empty file, or set the times of an existing one to now. Raises `OSError`."""
    descriptor = os.open(file_path, os.O_WRONLY | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    try:
        os.utime(descriptor)
    finally:
        os.close(descriptor)


def atomic_write(filename: str, data: bytes, mode: int = 0o644) -> None:
    """Give a file new content and permissions so that it is never seen half written.

    Raises `OSError`; the old content is then still there.
    """
    from hooking._replace import replace_content

    replace_content(filename, data, mode)


__getattr__ = attributes_missing_in(__name__)
