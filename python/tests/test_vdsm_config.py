# SPDX-License-Identifier: Apache-2.0
import configparser
import os

import pytest

from vdsm import config as module

MAIN = "etc/vdsm/vdsm.conf"
LIB = "usr/lib/vdsm/vdsm.conf.d"
RUN = "run/vdsm/vdsm.conf.d"
ETC = "etc/vdsm/vdsm.conf.d"


@pytest.fixture
def read(tmp_path):
    """Reads the configuration of a host with these files."""

    def read(files=None):
        for name, text in (files or {}).items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return module._read(str(tmp_path))

    return read


def test_the_configuration_of_this_host():
    assert isinstance(module.config, configparser.ConfigParser)
    assert module.config.has_section("vars")


def test_defaults(read):
    config = read()
    assert config.getboolean("vars", "fake_vmstats_enable") is False
    assert config.getboolean("vars", "fake_kvm_support") is False
    assert config.get("vars", "fake_kvm_architecture") == "x86_64"
    assert config.get("vars", "fake_kvm_memory") == "0"
    assert config.getint("vars", "fake_kvm_memory") == 0
    assert config.get("vars", "cpu_affinity") == "auto"


def test_what_is_not_there(read):
    with pytest.raises(configparser.NoOptionError):
        read().get("vars", "nonsense")
    with pytest.raises(configparser.NoSectionError):
        read().get("nonsense", "x")


def test_a_file(read):
    config = read({MAIN: "# x\n[addresses]\nport: 7\n[vars]\nFake_KVM_Support = Yes\nrate = 5%\n"})
    assert config.getboolean("vars", "fake_kvm_support") is True
    assert config.get("vars", "fake_kvm_memory") == "0"
    assert config.get("vars", "rate") == "5%"
    assert config.getint("addresses", "port") == 7


@pytest.mark.parametrize(
    ("word", "value"),
    [("1", True), ("yes", True), ("TRUE", True), ("On", True)]
    + [("0", False), ("NO", False), ("false", False), ("off", False)],
)
def test_truth(read, word, value):
    config = read({MAIN: f"[vars]\nfake_kvm_support = {word}\n"})
    assert config.getboolean("vars", "fake_kvm_support") is value


@pytest.mark.parametrize("word", ["", "2", "t", "enabled"])
def test_no_truth(read, word):
    config = read({MAIN: f"[vars]\nfake_kvm_support = {word}\n"})
    with pytest.raises(ValueError, match="Not a boolean"):
        config.getboolean("vars", "fake_kvm_support")


# Each wins over those before it.
ORDER = [
    MAIN,
    f"{ETC}/10.conf",
    f"{RUN}/20.conf",
    f"{LIB}/30.conf",
    f"{LIB}/50.conf",
    f"{RUN}/50.conf",
    f"{ETC}/50.conf",
    f"{LIB}/9.conf",
]


@pytest.mark.parametrize("count", range(1, len(ORDER) + 1))
def test_the_last_one_wins(read, count):
    files = {name: f"[vars]\nx = {number}\n" for number, name in enumerate(ORDER[:count])}
    assert read(files).getint("vars", "x") == count - 1


@pytest.mark.parametrize("name", ["a.conf.bak", "a.CONF", "conf", "a.conf/b.conf"])
def test_other_files_do_not_count(read, name):
    config = read({f"{ETC}/{name}": "[vars]\nfake_kvm_memory = 1\n"})
    assert config.get("vars", "fake_kvm_memory") == "0"


def test_an_option_set_twice(read):
    assert read({MAIN: "[vars]\nx = 1\n[vars]\nx = 2\nx = 3\n"}).get("vars", "x") == "3"


def test_bytes_that_are_no_text(read):
    config = read({MAIN: b"[vars]\n# gr\xfc\xdfe\nx = 1\n"})
    assert config.get("vars", "x") == "1"


@pytest.mark.parametrize("text", ["x = 1\n", "[vars]\nnonsense\nmore nonsense\n", "[vars\n"])
def test_a_file_that_is_no_configuration(read, text):
    with pytest.raises(configparser.Error) as caught:
        read({f"{ETC}/a.conf": text})
    assert f"{ETC}/a.conf: " in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_left_out(read, tmp_path, capsys):
    (tmp_path / ETC / "a.conf").mkdir(parents=True)
    config = read({f"{ETC}/b.conf": "[vars]\nx = 1\n"})
    assert config.get("vars", "x") == "1"
    path = os.path.join(tmp_path, ETC, "a.conf")
    assert capsys.readouterr() == ("", f"{path} is left out: Is a directory\n")
