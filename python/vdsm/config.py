# SPDX-License-Identifier: Apache-2.0
"""VDSM's configuration, as far as hooks read it.

``config`` is a `configparser.ConfigParser`::

    from vdsm.config import config

    if config.getboolean("vars", "fake_kvm_support"):
        ...

The files are /etc/vdsm/vdsm.conf, then ``*.conf`` of the three directories
vdsm.conf.d, all of these in the order of their names; the last one wins. None
of them has to exist. A percent sign in a value is only that.
"""

from __future__ import annotations

import configparser
import os
import sys
from typing import List

from vdsm._absent import attributes_missing_in

__all__ = ["config"]

_MAIN = "etc/vdsm/vdsm.conf"
_DROP_INS = ("usr/lib/vdsm/vdsm.conf.d", "run/vdsm/vdsm.conf.d", "etc/vdsm/vdsm.conf.d")

# Only what hooks are known to read.
_DEFAULTS = {
    "vars": {
        "cpu_affinity": "auto",
        "fake_kvm_architecture": "x86_64",
        "fake_kvm_memory": "0",
        "fake_kvm_support": "false",
        "fake_sriov_enable": "false",
        "fake_vmstats_enable": "false",
        "ssl": "true",
    }
}


def _read(root: str) -> configparser.ConfigParser:
    """The configuration of the host at `root`.

    A file that cannot be read is left out, with a line on standard error.
    Raises `configparser.Error` for one that is no configuration.
    """
    result = _parser()
    result.read_dict(_DEFAULTS)
    for path in _files(root):
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                text = file.read()
        except FileNotFoundError:
            continue
        except OSError as error:
            sys.stderr.write(f"{path} is left out: {error.strerror}\n")
            continue
        try:
            result.read_string(text, path)
        except configparser.Error as error:
            # The original is of several lines, and this goes to a log.
            raise configparser.Error(" ".join(f"{path}: {error}".split())) from None
    return result


def _parser() -> configparser.ConfigParser:
    # An option that is set twice is not an error: the last one wins.
    return configparser.ConfigParser(interpolation=None, strict=False)


def _files(root: str) -> List[str]:
    found = []
    for place, directory in enumerate(_DROP_INS):
        try:
            names = os.listdir(os.path.join(root, directory))
        except OSError:
            continue
        # Of two with the same name the one from the later directory wins.
        found += [(name, place) for name in names if name.endswith(".conf")]
    found.sort()
    drop_ins = [os.path.join(root, _DROP_INS[place], name) for name, place in found]
    return [os.path.join(root, _MAIN), *drop_ins]


config = _read("/")

__getattr__ = attributes_missing_in(__name__)
