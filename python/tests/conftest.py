# SPDX-License-Identifier: Apache-2.0
import os
import pathlib

import pytest

PYTHON = pathlib.Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def no_engine(monkeypatch):
    """Tests start as outside of any hook."""
    for name in list(os.environ):
        if name.startswith("_hook_") or name.startswith("demo_"):
            monkeypatch.delenv(name)


@pytest.fixture
def payload(tmp_path, monkeypatch):
    """Makes a payload file the way the engine does, and returns its path."""

    def make(variable, content):
        path = tmp_path / "event" / "payload"
        path.parent.mkdir(mode=0o700)
        path.touch(mode=0o600)
        path.write_bytes(content)
        monkeypatch.setenv(variable, str(path))
        return path

    return make


@pytest.fixture
def python_directory():
    return PYTHON
