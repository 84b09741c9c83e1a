# SPDX-License-Identifier: Apache-2.0
"""The modules below vdsm that hooks import."""

import os
import stat
import subprocess
import sys
import time

import pytest

import hooking
from vdsm import config, constants, utils
from vdsm.common import cmdutils, commands, conv, cpuarch, fileutils
from vdsm.common import constants as common_constants

ALL = [config, constants, utils, cmdutils, commands, conv, cpuarch, fileutils, common_constants]


@pytest.mark.parametrize("module", ALL, ids=lambda module: module.__name__)
def test_every_name_is_there(module):
    for name in module.__all__:
        assert getattr(module, name) is not None, name
    names = {}
    exec(f"from {module.__name__} import *", names)
    assert set(module.__all__) <= set(names)


def test_what_is_one_with_hooking():
    assert conv.tobool is utils.tobool is hooking.tobool
    assert commands.execCmd is utils.execCmd is hooking.execCmd


def test_older_names():
    assert utils.CommandPath is cmdutils.CommandPath
    assert utils.rmFile is fileutils.rm_file
    assert utils.touchFile is fileutils.touch_file


def test_constants():
    assert constants.P_VDSM_RUN == common_constants.P_VDSM_RUN == "/run/vdsm/"
    assert os.path.join(constants.P_VDSM_LIBEXEC, "x") == constants.P_VDSM_LIBEXEC + "x"
    assert (constants.VDSM_USER, constants.VDSM_GROUP) == ("vdsm", "kvm")
    assert (constants.MEGAB, constants.GIB) == (1048576, 1073741824)
    directories = [name for name in constants.__all__ if name.startswith("P_")]
    for name in directories:
        path = getattr(constants, name)
        assert path.startswith("/") and path.endswith("/"), name


def test_a_hook_loads_only_what_it_uses(python_directory):
    code = (
        "import sys\n"
        "import vdsm.utils, vdsm.constants, vdsm.common.conv, vdsm.common.commands\n"
        "import vdsm.common.cmdutils, vdsm.common.cpuarch, vdsm.common.fileutils\n"
        "heavy = 'subprocess', 'logging', 'configparser', 'shutil', 'vdsm.config'\n"
        "print([name for name in heavy if name in sys.modules])\n"
    )
    result = subprocess.run(
        [sys.executable, "-S", "-c", code],
        env={"PYTHONPATH": str(python_directory), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
    )
    assert (result.stdout, result.stderr) == ("[]\n", "")


def test_the_module_most_hooks_load_brings_nothing_else(python_directory):
    code = (
        "import sys\nfrom vdsm.hook import hooking\n"
        "print(sorted(name for name in sys.modules if name.startswith('vdsm')))\n"
    )
    result = subprocess.run(
        [sys.executable, "-S", "-c", code],
        env={"PYTHONPATH": str(python_directory), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
    )
    assert (result.stdout, result.stderr) == ("['vdsm', 'vdsm.hook', 'vdsm.hook.hooking']\n", "")


# vdsm.common.commands


def test_run():
    assert commands.run(["printf", "a\\nb\\n"]) == b"a\nb\n"
    assert commands.run(["cat"], input=b"abc") == b"abc"


def test_run_passes_its_options_on(tmp_path):
    assert commands.run(["pwd", "-P"], cwd=str(tmp_path)) == os.fsencode(tmp_path) + b"\n"
    assert commands.run(["/usr/bin/env"], env={"ONLY": "this"}) == b"ONLY=this\n"
    given = {}

    def execCmd(command, **options):
        given.update(options)
        return 0, b"", b""

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hooking, "execCmd", execCmd)
        commands.run(
            ["ls"], sudo=True, setsid=True, nice=1, ioclass=2, ioclassdata=3,
            reset_cpu_affinity=False,
        )  # fmt: skip
    expected = dict(sudo=True, setsid=True, nice=1, ioclass=2, ioclassdata=3, raw=True)
    assert given == dict(expected, resetCpuAffinity=False, cwd=None, env=None, data=None)


def test_run_raises_when_the_command_fails():
    command = ["sh", "-c", "echo out; echo err >&2; exit 3"]
    with pytest.raises(cmdutils.Error) as caught:
        commands.run(command)
    error = caught.value
    assert (error.cmd, error.rc, error.out, error.err) == (command, 3, b"out\n", b"err\n")
    assert str(error).startswith("sh failed: rc=3 err=b'err\\n'")
    assert "\n" not in str(error)


def test_run_raises_when_the_command_is_missing(tmp_path):
    with pytest.raises(cmdutils.Error) as caught:
        commands.run([str(tmp_path / "none")])
    assert caught.value.rc == 127


# vdsm.common.cmdutils


def executable(path, mode=0o755):
    path.parent.mkdir(exist_ok=True)
    path.write_text("")
    path.chmod(mode)
    return str(path)


def test_the_first_path_that_is_a_command(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    executable(tmp_path / "path" / "tool")
    text = executable(tmp_path / "text", 0o644)
    first, second = (executable(tmp_path / name) for name in ("first", "second"))
    missing = str(tmp_path / "missing")
    path = cmdutils.CommandPath("tool", missing, str(tmp_path), text, first, second)
    assert path.cmd == str(path) == first


def test_path_is_searched_last(tmp_path, monkeypatch):
    found = executable(tmp_path / "path" / "tool")
    monkeypatch.setenv("PATH", f"{tmp_path / 'none'}:{tmp_path / 'path'}")
    assert cmdutils.CommandPath("tool", "/nonexistent/tool").cmd == found
    path = cmdutils.CommandPath("tool", "/nonexistent/tool", search_path=False)
    with pytest.raises(FileNotFoundError, match="'tool'"):
        path.cmd  # noqa: B018
    assert repr(path) == "CommandPath('tool')"


def test_the_current_directory_is_not_searched(tmp_path, monkeypatch):
    executable(tmp_path / "tool")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", ":/nonexistent:")
    with pytest.raises(FileNotFoundError):
        cmdutils.CommandPath("tool").cmd  # noqa: B018


def test_a_command_installed_later_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    path = cmdutils.CommandPath("tool")
    with pytest.raises(FileNotFoundError):
        path.cmd  # noqa: B018
    tool = executable(tmp_path / "tool")
    assert path.cmd == tool


# vdsm.common.cpuarch


@pytest.fixture
def machine(monkeypatch):
    def machine(name):
        fields = list(os.uname())
        fields[4] = name
        monkeypatch.setattr(cpuarch.os, "uname", lambda: os.uname_result(fields))

    return machine


@pytest.fixture
def conf(monkeypatch, tmp_path):
    def conf(**options):
        path = tmp_path / "etc" / "vdsm" / "vdsm.conf"
        path.parent.mkdir(parents=True)
        lines = [f"{option} = {value}" for option, value in options.items()]
        path.write_text("\n".join(["[vars]", *lines]))
        monkeypatch.setattr(config, "config", config._read(str(tmp_path)))

    return conf


@pytest.mark.parametrize("name", ["x86_64", "ppc64", "ppc64le", "aarch64", "s390x"])
def test_the_real_architecture(machine, conf, name):
    conf(fake_kvm_architecture="ppc64")
    machine(name)
    assert cpuarch.real() == cpuarch.effective() == name


@pytest.mark.parametrize("name", ["x86_64", "ppc64le", "aarch64"])
def test_the_effective_architecture(machine, conf, name):
    conf(fake_kvm_support="on", fake_kvm_architecture=name)
    machine("riscv64")
    assert cpuarch.effective() == name


def test_an_architecture_that_is_not_supported(machine, conf):
    machine("riscv64")
    with pytest.raises(cpuarch.UnsupportedArchitecture, match="riscv64") as caught:
        cpuarch.real()
    assert caught.value.target_arch == "riscv64"
    conf(fake_kvm_support="1", fake_kvm_architecture="vax")
    with pytest.raises(cpuarch.UnsupportedArchitecture, match="vax"):
        cpuarch.effective()


def test_families_of_architectures():
    families = {
        cpuarch.is_x86: {"x86_64"},
        cpuarch.is_ppc: {"ppc64", "ppc64le"},
        cpuarch.is_arm: {"aarch64"},
    }
    for test, members in families.items():
        assert {arch for arch in cpuarch.SUPPORTED_ARCHITECTURES if test(arch)} == members


# vdsm.common.fileutils


def test_removing_a_file(tmp_path):
    path = tmp_path / "file"
    path.touch()
    fileutils.rm_file(str(path))
    assert not path.exists()
    fileutils.rm_file(str(path))
    with pytest.raises(OSError):
        fileutils.rm_file(str(tmp_path))


def test_removing_a_directory(tmp_path):
    path = tmp_path / "directory"
    (path / "below").mkdir(parents=True)
    (path / "below" / "file").touch()
    fileutils.rm_tree(str(path))
    assert not path.exists()
    fileutils.rm_tree(str(path))


def test_a_link_to_a_directory_is_not_followed(tmp_path):
    kept = tmp_path / "kept"
    kept.mkdir()
    link = tmp_path / "link"
    link.symlink_to(kept)
    with pytest.raises(OSError):
        fileutils.rm_tree(str(link))
    assert kept.is_dir()


def test_touching_a_file(tmp_path):
    path = tmp_path / "file"
    fileutils.touch_file(str(path))
    assert path.read_bytes() == b""
    path.write_bytes(b"content")
    os.utime(path, (0, 0))
    before = time.time()
    fileutils.touch_file(str(path))
    # Clocks of file systems are coarse.
    assert path.stat().st_mtime > before - 10
    assert path.read_bytes() == b"content"
    with pytest.raises(FileNotFoundError):
        fileutils.touch_file(str(tmp_path / "none" / "file"))


def test_writing_a_file_at_once(tmp_path):
    path = tmp_path / "file"
    fileutils.atomic_write(str(path), b"old")
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"old", 0o644)
    before = path.stat().st_ino
    fileutils.atomic_write(str(path), b"new", mode=0o600)
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"new", 0o600)
    assert path.stat().st_ino != before
    assert os.listdir(tmp_path) == ["file"]
