# SPDX-License-Identifier: Apache-2.0
import subprocess
import sys

import pytest

import hooking

# Names that hooks written for VDSM use.
NAMES = {
    "dump_vm_launch_flags_to_file",
    "execCmd",
    "exit_hook",
    "load_vm_launch_flags_from_file",
    "log",
    "read_domxml",
    "read_json",
    "tobool",
    "write_domxml",
    "write_json",
}


def test_every_name_is_there():
    assert set(hooking.__all__) >= NAMES
    for name in hooking.__all__:
        assert callable(getattr(hooking, name)), name


def test_other_names_are_not():
    with pytest.raises(AttributeError, match="'hooking' has no attribute 'nonsense'"):
        hooking.nonsense  # noqa: B018


def test_a_hook_loads_only_what_it_uses(python_directory):
    code = (
        "import sys, hooking\n"
        "heavy = 'subprocess', 'logging', 'json', 'xml.dom.minidom', 'tempfile', 'ctypes'\n"
        "print([name for name in heavy if name in sys.modules])\n"
        "from hooking import *\n"
        "print(execCmd(['true']))\n"
    )
    result = subprocess.run(
        [sys.executable, "-S", "-c", code],
        env={"PYTHONPATH": str(python_directory), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
    )
    assert (result.stdout, result.stderr) == ("[]\n(0, [], [])\n", "")
