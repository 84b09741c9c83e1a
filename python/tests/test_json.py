# SPDX-License-Identifier: Apache-2.0
import pytest

import hooking


def test_what_is_read(payload):
    payload("_hook_json", '{"b": [1, 2.5, null, true], "a": "ü\\u00fc"}'.encode())
    assert hooking.read_json() == {"b": [1, 2.5, None, True], "a": "üü"}


def test_what_is_written(payload):
    path = payload("_hook_json", b"{}")
    hooking.write_json({"b": [1, None], "a": "ü", "\udcff": ()})
    assert path.read_bytes() == b'{"b": [1, null], "a": "\\u00fc", "\\udcff": []}'


def test_a_shorter_document_leaves_no_rest(payload):
    path = payload("_hook_json", b'{"long": "document"}')
    hooking.write_json([])
    assert path.read_bytes() == b"[]"


def test_what_cannot_be_written_leaves_the_payload(payload):
    path = payload("_hook_json", b'{"a": 1}')
    with pytest.raises(TypeError):
        hooking.write_json({"a": object()})
    assert path.read_bytes() == b'{"a": 1}'


@pytest.mark.parametrize("content", [b"", b"{", b"nonsense"])
def test_a_broken_payload_says_where(payload, content):
    payload("_hook_json", content)
    with pytest.raises(ValueError, match="_hook_json is not valid JSON: .*line 1"):
        hooking.read_json()


@pytest.mark.parametrize("call", [hooking.read_json, lambda: hooking.write_json({})])
def test_without_the_variable(call):
    with pytest.raises(hooking.MissingVariable, match="^_hook_json is not set: run"):
        call()


def test_at_a_point_with_xml(payload):
    payload("_hook_domxml", b"<a/>")
    with pytest.raises(hooking.MissingVariable, match="in _hook_domxml, use read_domxml"):
        hooking.write_json({})
