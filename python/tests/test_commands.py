# SPDX-License-Identifier: Apache-2.0
import logging
import os
import signal
import subprocess
import sys

import pytest

import hooking
from hooking import _commands

PYTHON = sys.executable


def test_code_and_lines():
    script = "import sys; print('a\\nb'); sys.stderr.write('c\\r\\nd'); sys.exit(3)"
    assert hooking.execCmd([PYTHON, "-c", script]) == (3, [b"a", b"b"], [b"c", b"d"])


def test_raw():
    assert hooking.execCmd(["printf", "a\\nb\\n"], raw=True) == (0, b"a\nb\n", b"")


def test_success_without_output():
    assert hooking.execCmd(["true"]) == (0, [], [])


def test_no_shell():
    assert hooking.execCmd(["echo", "$HOME;", "*"]) == (0, [b"$HOME; *"], [])


@pytest.mark.parametrize("command", ["ls /", b"ls"])
def test_a_line_is_no_command(command):
    with pytest.raises(TypeError, match="list"):
        hooking.execCmd(command)


def test_an_empty_list_is_no_command():
    with pytest.raises(ValueError, match="empty"):
        hooking.execCmd([])


@pytest.mark.parametrize("data", [b"a\nb", "a\nb"])
def test_standard_input(data):
    assert hooking.execCmd(["cat"], data=data) == (0, [b"a", b"b"], [])


def test_standard_input_is_empty_by_default():
    assert hooking.execCmd(["cat"]) == (0, [], [])


def test_standard_input_nobody_reads():
    assert hooking.execCmd(["true"], data=b"x" * 1_000_000)[0] == 0


def test_directory_and_environment(tmp_path):
    assert hooking.execCmd(["pwd", "-P"], cwd=str(tmp_path))[1] == [os.fsencode(tmp_path)]
    rc, out, _ = hooking.execCmd(["/usr/bin/env"], env={"ONLY": "this"})
    assert (rc, out) == (0, [b"ONLY=this"])


def test_a_missing_directory(tmp_path):
    with pytest.raises(NotADirectoryError, match="none"):
        hooking.execCmd(["true"], cwd=str(tmp_path / "none"))


def test_a_missing_command(tmp_path):
    command = str(tmp_path / "none")
    rc, out, err = hooking.execCmd([command])
    assert (rc, out) == (127, [])
    assert err == [os.fsencode(command) + b": No such file or directory"]


def test_a_command_that_is_not_executable(tmp_path):
    command = tmp_path / "text"
    command.write_text("")
    assert hooking.execCmd([str(command)])[0] == 126


def test_death_by_signal():
    script = "import os, signal; os.kill(os.getpid(), signal.SIGTERM)"
    assert hooking.execCmd([PYTHON, "-c", script])[0] == -signal.SIGTERM


def test_without_waiting():
    process = hooking.execCmd(["cat"], data=b"abc", sync=False)
    assert isinstance(process, subprocess.Popen)
    out, err = process.communicate(b"def")
    assert (process.returncode, out, err) == (0, b"abcdef", b"")


def test_without_waiting_a_missing_command_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        hooking.execCmd([str(tmp_path / "none")], sync=False)


def test_the_command_is_logged(caplog):
    with caplog.at_level(logging.DEBUG):
        hooking.execCmd(["echo", "a b"])
    assert "echo 'a b'" in caplog.text
    assert "rc=0" in caplog.text


@pytest.mark.parametrize("printable", [["echo", "***"], "echo ***"])
def test_a_secret_is_not_logged(caplog, printable):
    with caplog.at_level(logging.DEBUG):
        hooking.execCmd(["echo", "secret"], printable=printable)
    assert "secret" not in caplog.text
    assert "***" in caplog.text


def test_a_logger_of_ones_own(caplog):
    with caplog.at_level(logging.DEBUG):
        hooking.execCmd(["true"], execCmdLogger=logging.getLogger("mine"))
    assert {record.name for record in caplog.records} == {"mine"}


def argv(**options):
    given = dict(sudo=False, nice=None, ioclass=None, ioclassdata=None, setsid=False)
    given.update(options)
    return _commands._argv(["ls", "-l"], **given)


def test_wrappers_in_their_order(monkeypatch):
    monkeypatch.setattr(_commands.os, "geteuid", lambda: 36)
    assert argv(sudo=True, setsid=True, nice=10, ioclass=2, ioclassdata=7) == [
        "/usr/bin/sudo", "-n", "/usr/bin/setsid", "/usr/bin/nice", "-n", "10",
        "/usr/bin/ionice", "-c", "2", "-n", "7", "ls", "-l",
    ]  # fmt: skip
    assert argv(ioclass=3) == ["/usr/bin/ionice", "-c", "3", "ls", "-l"]
    assert argv() == ["ls", "-l"]


def test_root_needs_no_sudo(monkeypatch):
    monkeypatch.setattr(_commands.os, "geteuid", lambda: 0)
    assert argv(sudo=True) == ["ls", "-l"]


@pytest.mark.skipif(not os.path.exists("/usr/bin/nice"), reason="no nice")
def test_niceness():
    now = os.nice(0)
    assert hooking.execCmd(["nice"], nice=3)[1] == [str(min(now + 3, 19)).encode()]


@pytest.mark.skipif(not os.path.exists("/usr/bin/setsid"), reason="no setsid")
def test_a_session_of_its_own():
    script = "import os; print(os.getsid(0) == os.getpid())"
    assert hooking.execCmd([PYTHON, "-c", script], setsid=True)[1] == [b"True"]
    assert hooking.execCmd([PYTHON, "-c", script])[1] == [b"False"]


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one CPU")
def test_cpu_affinity():
    every = os.sched_getaffinity(0)
    script = "import os; print(len(os.sched_getaffinity(0)))"
    try:
        os.sched_setaffinity(0, {min(every)})
        assert hooking.execCmd([PYTHON, "-c", script], resetCpuAffinity=False)[1] == [b"1"]
        assert int(hooking.execCmd([PYTHON, "-c", script])[1][0]) > 1
    finally:
        os.sched_setaffinity(0, every)


def test_death_signal():
    # PR_GET_PDEATHSIG, asked by the command itself.
    script = (
        "import ctypes; n = ctypes.c_int(); "
        "ctypes.CDLL(None).prctl(2, ctypes.byref(n), 0, 0, 0); print(n.value)"
    )
    command = [PYTHON, "-c", script]
    assert hooking.execCmd(command, deathSignal=signal.SIGTERM)[1] == [b"15"]
    assert hooking.execCmd(command)[1] == [b"0"]
