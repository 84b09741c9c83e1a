# SPDX-License-Identifier: Apache-2.0
"""The names hooks import, with and without a real VDSM on the host.

Each case is a Python of its own, with the path the engine gives to hooks.
"""

import os
import shutil
import subprocess
import sys

import pytest


def package(directory, modules):
    for name, source in modules.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)


@pytest.fixture
def site(tmp_path):
    """Stands for site-packages: searched after PYTHONPATH."""
    directory = tmp_path / "site"
    directory.mkdir()
    return directory


@pytest.fixture
def run(python_directory, site, tmp_path):
    """Runs code as a hook does; returns the lines it prints."""

    def run(code, before=()):
        # The last line of the engine's PYTHONPATH, then site-packages. A
        # .pth file or `site` itself would append; so does this.
        prologue = f"import sys; sys.path.append({str(site)!r})\n"
        entries = [*map(str, before), str(python_directory)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(entries)}
        result = subprocess.run(
            [sys.executable, "-W", "error", "-B", "-c", prologue + code],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert result.returncode == 0, result.stderr
        return result.stdout.splitlines()

    return run


REAL = {
    "vdsm/__init__.py": "where = 'real'\n",
    "vdsm/hook/__init__.py": "",
    "vdsm/hook/hooking.py": "where = 'real'\n",
    "vdsm/utils.py": "import vdsm\nfrom vdsm.hook import hooking\nwhere = hooking.where\n",
}


def test_without_vdsm(run):
    code = (
        "import hooking, vdsm.hook.hooking\n"
        "from vdsm.hook import hooking as other\n"
        "from vdsm.hook.hooking import read_domxml\n"
        "print(other is hooking, vdsm.hook.hooking is hooking)\n"
        "print(read_domxml is hooking.read_domxml)\n"
        "print(hooking.__name__)\n"
    )
    assert run(code) == ["True True", "True", "hooking"]


@pytest.mark.parametrize(
    "code",
    [
        "from vdsm.hook import hooking; print(hooking.where)",
        "import vdsm.hook.hooking; print(vdsm.hook.hooking.where)",
        "import vdsm; print(vdsm.where)",
        "from vdsm import utils; print(utils.where)",
        "import vdsm.utils; print(vdsm.utils.where)",
        "import hooking; from vdsm.hook import hooking; print(hooking.where)",
        "import importlib; print(importlib.import_module('vdsm.hook.hooking').where)",
    ],
)
def test_a_real_vdsm_wins(run, site, code):
    package(site, REAL)
    assert run(code) == ["real"]


def test_a_real_vdsm_looks_as_without_us(run, site):
    package(site, REAL)
    code = (
        "import sys, vdsm\n"
        "print(vdsm.__file__); print(vdsm.__spec__.origin); print(vdsm.__path__[0])\n"
        "print(sys.modules['vdsm'] is vdsm, hasattr(vdsm, '_stand_ins'))\n"
    )
    init = str(site / "vdsm" / "__init__.py")
    assert run(code) == [init, init, str(site / "vdsm"), "True False"]


def test_hooking_is_ours_beside_a_real_vdsm(run, site, python_directory):
    package(site, REAL)
    code = "import vdsm.utils, hooking; print(hooking.__file__)"
    assert run(code) == [str(python_directory / "hooking" / "__init__.py")]


def test_what_a_real_vdsm_lacks_is_ours(run, site):
    package(site, {"vdsm/__init__.py": "", "vdsm/utils.py": "where = 'real'"})
    code = (
        "import hooking as ours\nfrom vdsm import utils\nfrom vdsm.hook import hooking\n"
        "print(utils.where, hooking is ours)\n"
    )
    assert run(code) == ["real True"]


def test_what_a_package_of_a_real_vdsm_lacks_is_ours(run, site, python_directory):
    package(
        site,
        {
            "vdsm/__init__.py": "",
            "vdsm/config.py": "where = 'real'",
            "vdsm/common/__init__.py": "where = 'real'",
            "vdsm/common/conv.py": "where = 'real'",
            "vdsm/hook/__init__.py": "where = 'real'",
        },
    )
    code = (
        "import hooking as ours, vdsm.common, vdsm.hook, vdsm.utils\n"
        "from vdsm import config\n"
        "from vdsm.common import conv, cpuarch\n"
        "from vdsm.common.cmdutils import CommandPath\n"
        "from vdsm.hook import hooking\n"
        "print(vdsm.common.where, vdsm.hook.where, config.where, conv.where)\n"
        "print(hooking is ours, vdsm.utils.tobool is ours.tobool)\n"
        "print(cpuarch.__file__)\n"
    )
    path = python_directory / "vdsm" / "common" / "cpuarch.py"
    assert run(code) == ["real real real real", "True True", str(path)]


def test_ours_asks_a_real_vdsm(run, site):
    config = (
        "class config:\n"
        "    getboolean = staticmethod(lambda section, option: True)\n"
        "    get = staticmethod(lambda section, option: 'ppc64le')\n"
    )
    package(site, {"vdsm/__init__.py": "", "vdsm/config.py": config})
    assert run("from vdsm.common import cpuarch; print(cpuarch.effective())") == ["ppc64le"]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import vdsm.virt", "No module named 'vdsm.virt'"),
        ("import vdsm.hook.nonsense", "No module named 'vdsm.hook.nonsense'"),
        ("import vdsm.utils.nonsense", "No module named 'vdsm.utils.nonsense'"),
        ("from vdsm import nonsense", "cannot import name 'nonsense' from 'vdsm'"),
    ],
)
def test_what_neither_has_is_missing_as_without_us(run, site, code, message):
    package(site, REAL)
    code = f"try:\n    {code}\nexcept ImportError as error:\n    print(error)\n"
    assert [line.startswith(message) for line in run(code)] == [True]


def test_ours_beside_a_real_vdsm_tells_of_what_it_lacks(run, site):
    package(site, {"vdsm/__init__.py": ""})
    code = (
        "try:\n    from vdsm.utils import memoized\nexcept ImportError as error:\n"
        "    print(error)\n"
    )
    assert run(code) == ["no name vdsm.utils.memoized under virt-hooks: use functools.lru_cache"]


def test_python_is_asked_once(run):
    code = (
        "import importlib, sys, vdsm\n"
        "importlib.reload(vdsm)\n"
        "del sys.modules['vdsm']\n"
        "import vdsm\n"
        "print([type(finder).__name__ for finder in sys.meta_path].count('_Gaps'))\n"
        "print(type(sys.meta_path[-1]).__name__)\n"
    )
    assert run(code) == ["1", "_Gaps"]


def test_a_real_vdsm_earlier_on_the_path(run, site, tmp_path):
    package(tmp_path / "early", REAL)
    code = "from vdsm.hook import hooking; print(hooking.where)"
    assert run(code, before=[tmp_path / "early"]) == ["real"]


def test_a_real_vdsm_that_fails_to_load(run, site):
    package(site, {"vdsm/__init__.py": "raise RuntimeError('broken')"})
    code = (
        "import sys\n"
        "for _ in range(2):\n"
        "    try:\n"
        "        import vdsm\n"
        "    except RuntimeError as error:\n"
        "        print(error, 'vdsm' in sys.modules)\n"
    )
    assert run(code) == ["broken False"] * 2


def test_a_directory_that_happens_to_be_called_vdsm(run, site):
    (site / "vdsm").mkdir()
    code = "import hooking as ours\nfrom vdsm.hook import hooking\nprint(hooking is ours)"
    assert run(code) == ["True"]


def test_a_module_that_happens_to_be_called_vdsm(run, site):
    package(site, {"vdsm.py": "raise RuntimeError"})
    code = "import hooking as ours\nfrom vdsm.hook import hooking\nprint(hooking is ours)"
    assert run(code) == ["True"]


@pytest.mark.parametrize("real", [False, True])
def test_a_second_copy_of_ours(run, site, tmp_path, python_directory, real):
    copy = tmp_path / "copy"
    for name in ("hooking", "vdsm"):
        shutil.copytree(python_directory / name, copy / name)
    if real:
        package(site, REAL)
    code = "from vdsm.hook import hooking; print(getattr(hooking, 'where', hooking.__name__))"
    expected = ["real"] if real else ["hooking"]
    assert run(code, before=[copy]) == expected
    assert run(code, before=[copy, python_directory]) == expected
    code = "from vdsm.common.conv import tobool; print(tobool('1'))"
    assert run(code, before=[copy]) == ["True"]


def test_a_link_to_ours(run, tmp_path, python_directory):
    (tmp_path / "link").symlink_to(python_directory)
    code = "from vdsm.hook import hooking; print(hooking.__name__)"
    assert run(code, before=[tmp_path / "link"]) == ["hooking"]
