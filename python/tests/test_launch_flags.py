# SPDX-License-Identifier: Apache-2.0
import os
import stat

import pytest

import hooking
from hooking import _launch_flags

VM = "6f0c5e4e-0000-4000-8000-000000000001"

# Before the fixture below leads the tests elsewhere.
RUN_DIRECTORY = _launch_flags._RUN_DIRECTORY


@pytest.fixture(autouse=True)
def run_directory(tmp_path, monkeypatch):
    monkeypatch.setattr(_launch_flags, "_RUN_DIRECTORY", str(tmp_path / "vdsm"))
    return tmp_path / "vdsm"


def test_the_path_is_that_of_vdsm(monkeypatch):
    monkeypatch.setattr(_launch_flags, "_RUN_DIRECTORY", RUN_DIRECTORY)
    assert _launch_flags._path(VM) == f"/run/vdsm/{VM}/launchflags"


def test_no_file_means_no_flags():
    assert hooking.load_vm_launch_flags_from_file(VM) == 0


def test_what_is_written_is_read(run_directory):
    hooking.dump_vm_launch_flags_to_file(VM, 1)
    assert (run_directory / VM / "launchflags").read_bytes() == b"1"
    hooking.dump_vm_launch_flags_to_file(VM, hooking.load_vm_launch_flags_from_file(VM) | 16)
    assert hooking.load_vm_launch_flags_from_file(VM) == 17


def test_a_file_named_by_the_engine(tmp_path, run_directory, monkeypatch):
    path = tmp_path / "flags"
    monkeypatch.setenv("_hook_launch_flags", str(path))
    assert hooking.load_vm_launch_flags_from_file(VM) == 0
    path.write_text("1")
    assert hooking.load_vm_launch_flags_from_file(VM) == 1
    hooking.dump_vm_launch_flags_to_file(VM, 3)
    assert path.read_text() == "3"
    assert not run_directory.exists()


def test_a_relative_path_named_by_the_engine(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("_hook_launch_flags", "flags")
    hooking.dump_vm_launch_flags_to_file(VM, 2)
    assert (tmp_path / "flags").read_text() == "2"


def test_permissions_are_kept(tmp_path, monkeypatch):
    path = tmp_path / "flags"
    path.write_text("0")
    path.chmod(0o640)
    monkeypatch.setenv("_hook_launch_flags", str(path))
    hooking.dump_vm_launch_flags_to_file(VM, 1)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o640


@pytest.mark.parametrize("content, flags", [("1\n", 1), (" 5 \nrest", 5), ("+2", 2)])
def test_the_first_line_counts(tmp_path, monkeypatch, content, flags):
    path = tmp_path / "flags"
    path.write_text(content)
    monkeypatch.setenv("_hook_launch_flags", str(path))
    assert hooking.load_vm_launch_flags_from_file(VM) == flags


@pytest.mark.parametrize("content", ["", "0x1", "paused", "\n1"])
def test_what_is_no_number(tmp_path, monkeypatch, content):
    path = tmp_path / "flags"
    path.write_text(content)
    monkeypatch.setenv("_hook_launch_flags", str(path))
    with pytest.raises(ValueError, match=f"{path} are not a number"):
        hooking.load_vm_launch_flags_from_file(VM)


@pytest.mark.parametrize(
    "flags, error", [(-1, ValueError), ("1", TypeError), (None, TypeError), (1.0, TypeError)]
)
def test_what_is_not_written(run_directory, flags, error):
    hooking.dump_vm_launch_flags_to_file(VM, 1)
    with pytest.raises(error):
        hooking.dump_vm_launch_flags_to_file(VM, flags)
    assert hooking.load_vm_launch_flags_from_file(VM) == 1


@pytest.mark.parametrize("vm_id", ["", ".", "..", "../etc", "/etc"])
def test_ids_that_lead_elsewhere(vm_id):
    with pytest.raises(ValueError, match="not the id of a VM"):
        hooking.load_vm_launch_flags_from_file(vm_id)
    with pytest.raises(ValueError, match="not the id of a VM"):
        hooking.dump_vm_launch_flags_to_file(vm_id, 0)
