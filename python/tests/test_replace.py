# SPDX-License-Identifier: Apache-2.0
"""A payload is old or new, never something between."""

import errno
import os
import stat
from types import SimpleNamespace

import pytest

import hooking
from hooking import _replace
from hooking._replace import replace_content


def mode_of(path):
    return stat.S_IMODE(os.stat(path).st_mode)


def refuse(*_, **__):
    raise PermissionError(errno.EACCES, "refused")


def test_a_payload_is_a_new_private_file(payload):
    path = payload("_hook_json", b"{}")
    path.chmod(0o644)
    inode = path.stat().st_ino
    with open(path, "rb") as reader:
        hooking.write_json([1])
        assert reader.read() == b"{}"
    assert path.read_bytes() == b"[1]"
    assert path.stat().st_ino != inode
    assert mode_of(path) == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_in_place_where_no_file_can_be_made(payload, monkeypatch):
    path = payload("_hook_json", b'{"long": "document"}')
    inode = path.stat().st_ino
    monkeypatch.setattr(_replace, "_swap", refuse)
    hooking.write_json([1])
    assert path.read_bytes() == b"[1]"
    assert path.stat().st_ino == inode


def test_in_place_where_the_file_cannot_be_renamed(payload, monkeypatch):
    path = payload("_hook_json", b"{}")
    inode = path.stat().st_ino
    monkeypatch.setattr(_replace.os, "replace", refuse)
    hooking.write_json([1])
    assert path.read_bytes() == b"[1]"
    assert path.stat().st_ino == inode
    assert list(path.parent.iterdir()) == [path]


def test_no_new_file_where_the_owner_would_change(payload, monkeypatch):
    path = payload("_hook_json", b"{}")
    now = path.stat()
    of_another = SimpleNamespace(st_uid=now.st_uid + 1, st_gid=now.st_gid)
    monkeypatch.setattr(_replace.os, "fchown", refuse)
    with pytest.raises(PermissionError):
        _replace._swap(str(path), b"[1]", of_another, 0o600)
    assert path.read_bytes() == b"{}"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_root_leaves_the_owner(payload):
    path = payload("_hook_json", b"{}")
    os.chown(path, 12345, 54321)
    hooking.write_json([1])
    after = path.stat()
    assert (after.st_uid, after.st_gid) == (12345, 54321)
    assert path.read_bytes() == b"[1]"


@pytest.mark.parametrize("written", [0, 1, 3])
def test_the_old_content_comes_back_when_the_disk_is_full(payload, monkeypatch, written):
    old = b'{"old": 1}'
    path = payload("_hook_json", old)
    monkeypatch.setattr(_replace, "_swap", refuse)
    real_write = _replace._write_all
    calls = []

    def full(file, content):
        calls.append(content)
        if len(calls) > 1:
            return real_write(file, content)
        real_write(file, content[:written])
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(_replace, "_write_all", full)
    with pytest.raises(OSError, match="no space"):
        hooking.write_json({"new": "and much longer than before"})
    assert path.read_bytes() == old


def test_a_failed_new_file_is_removed(payload, monkeypatch):
    old = b'{"old": 1}'
    path = payload("_hook_json", old)

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(_replace, "_write_all", interrupted)
    with pytest.raises(KeyboardInterrupt):
        hooking.write_json({})
    assert path.read_bytes() == old
    assert list(path.parent.iterdir()) == [path]


def test_short_writes_are_continued():
    class Slow:
        def __init__(self):
            self.content = b""

        def write(self, data):
            self.content += bytes(data[:2])
            return min(2, len(data))

    slow = Slow()
    _replace._write_all(slow, b"abcde")
    assert slow.content == b"abcde"


def test_a_link_stays_a_link(tmp_path):
    target = tmp_path / "target"
    target.write_bytes(b"old")
    link = tmp_path / "link"
    link.symlink_to(target)
    replace_content(str(link), b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"


def test_a_missing_file_is_made(tmp_path):
    path = tmp_path / "payload"
    replace_content(str(path), b"new", 0o600)
    assert path.read_bytes() == b"new"
    assert mode_of(path) == 0o600


def test_a_missing_directory_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        replace_content(str(tmp_path / "none" / "payload"), b"new")


def test_a_directory_is_an_error(tmp_path):
    with pytest.raises(IsADirectoryError):
        replace_content(str(tmp_path), b"new")
    assert tmp_path.is_dir()


def test_in_a_directory_that_cannot_be_written(payload, monkeypatch):
    path = payload("_hook_json", b"{}")
    inode = path.stat().st_ino
    real_open = os.open

    def read_only(name, flags, *rest, **named):
        if flags & os.O_CREAT:
            raise OSError(errno.EROFS, "read-only")
        return real_open(name, flags, *rest, **named)

    monkeypatch.setattr(_replace.os, "open", read_only)
    hooking.write_json([1])
    monkeypatch.undo()
    assert path.read_bytes() == b"[1]"
    assert path.stat().st_ino == inode
