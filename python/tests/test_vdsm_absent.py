# SPDX-License-Identifier: Apache-2.0
"""Names of VDSM that are not offered."""

import importlib
import pkgutil

import pytest

import vdsm
from vdsm import _absent

MODULES = [
    module.name
    for module in pkgutil.walk_packages(vdsm.__path__, "vdsm.")
    if module.name != "vdsm._absent" and module.name != "vdsm.hook.hooking"
]


def error_of(statement):
    with pytest.raises(ImportError) as caught:
        exec(statement, {})
    text = str(caught.value)
    assert "\n" not in text
    return caught.value, text


@pytest.mark.parametrize(
    ("module", "instead"),
    [
        ("vdsm.virt", "belongs to VDSM itself"),
        ("vdsm.nonsense", "belongs to VDSM itself"),
        ("vdsm.common.nonsense", "belongs to VDSM itself"),
        ("vdsm.hook.nonsense", "belongs to VDSM itself"),
        ("vdsm.supervdsm", "sudo=True"),
        ("vdsm.common.supervdsm", "sudo=True"),
        ("vdsm.common.hooks", "virt-hooks fire"),
        ("vdsm.storage", "qemu-img"),
        ("vdsm.libvirtconnection", "libvirt.open"),
    ],
)
def test_a_module(module, instead):
    error, text = error_of(f"import {module}")
    assert isinstance(error, ModuleNotFoundError)
    assert error.name == module
    assert text.startswith(f"no module {module} under virt-hooks: ")
    assert instead in text

    # The other way to write it.
    package, _, name = module.rpartition(".")
    _, text = error_of(f"from {package} import {name}")
    assert text.startswith(f"no name {module} under virt-hooks: ")
    assert instead in text


def test_below_a_module_that_is_missing():
    error, text = error_of("from vdsm.storage.qemuimg import check")
    assert error.name == "vdsm.storage"
    assert "qemu-img" in text


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("vdsm.utils.memoized", "functools.lru_cache"),
        ("vdsm.utils.nonsense", "belongs to VDSM itself"),
        ("vdsm.constants.EXT_MKISOFS", "hooking.execCmd"),
        ("vdsm.common.commands.start", "sync=False"),
        ("vdsm.common.fileutils.open_ex", "atomic_write"),
    ],
)
def test_a_name(name, instead):
    module, _, attribute = name.rpartition(".")
    error, text = error_of(f"from {module} import {attribute}")
    assert error.name == module
    assert text.startswith(f"no name {name} under virt-hooks: ")
    assert instead in text

    with pytest.raises(AttributeError) as caught:
        exec(f"import {module}; {name}", {})
    assert str(caught.value) == text


def test_a_name_after_many_others():
    # So many names that the instruction that imports needs a prefix.
    names = "\n".join(f"name_{number} = {number}" for number in range(300))
    _, text = error_of(f"{names}\nfrom vdsm.utils import a_name_after_many")
    assert text.startswith("no name vdsm.utils.a_name_after_many")


@pytest.mark.parametrize("module", ["vdsm", "vdsm.common", *MODULES])
def test_asking_whether_a_name_is_there(module):
    loaded = importlib.import_module(module)
    assert not hasattr(loaded, "nonsense")
    assert not hasattr(loaded, "__nonsense__")
    assert getattr(loaded, "nonsense", 1) == 1
    error, _ = error_of(f"from {module} import nonsense")
    assert type(error) is ImportError


def test_every_hint_is_one_short_line_for_a_name_that_is_not_there():
    for name, hint in _absent._INSTEAD.items():
        assert len(hint) < 80 and hint.isprintable(), name
        # The hint of a module that is there is for what it lacks.
        if name not in ("vdsm", *MODULES):
            package, _, attribute = name.rpartition(".")
            with pytest.raises((ImportError, AttributeError)):
                getattr(importlib.import_module(package), attribute)


def test_other_imports_are_left_alone():
    with pytest.raises(ModuleNotFoundError, match="^No module named 'vdsm_nonsense'$"):
        importlib.import_module("vdsm_nonsense")
    with pytest.raises(ModuleNotFoundError, match="^No module named 'hooking.vdsm'$"):
        importlib.import_module("hooking.vdsm")
