# SPDX-License-Identifier: Apache-2.0
"""The payload of a hook point: domain or device XML, or JSON.

All hooks of one event share one file. What the last of them leaves in it is
what the engine takes, at the points whose output is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hooking._environment import DOMXML, JSON, payload_path
from hooking._replace import replace_content

# A hook is a new process at every event: the parsers are loaded when one is
# needed, and a hook needs one of them at most.
if TYPE_CHECKING:
    from xml.dom import minidom
    from xml.parsers.expat import ExpatError

# Payloads carry console passwords and addresses.
_PRIVATE = 0o600


def read_domxml() -> minidom.Document:
    """The XML payload as a minidom document.

    Raises `MissingVariable` if the point has no XML payload, `OSError` if the
    file cannot be read, `ExpatError` if it is empty or not well-formed.
    """
    from xml.dom import minidom
    from xml.parsers.expat import ExpatError

    with open(payload_path(DOMXML), "rb") as file:
        content = file.read()
    try:
        return minidom.parseString(content)
    except ExpatError as error:
        if content.strip():
            text = f"the payload in {DOMXML} is not well-formed XML: {error}"
        else:
            text = f"the payload in {DOMXML} is empty: there is no XML for this event"
        raise _renamed(error, text) from None


def write_domxml(domxml: minidom.Document) -> None:
    """Make a minidom document the XML payload.

    Raises `TypeError` or `ValueError` for what cannot be written as XML,
    `MissingVariable`, `OSError`. After an error the payload is as it was.
    """
    from hooking._domxml import serialise

    path = payload_path(DOMXML)
    replace_content(path, serialise(domxml), _PRIVATE)


def read_json() -> Any:
    """The JSON payload.

    Raises `MissingVariable` if the point has no JSON payload, `OSError` if the
    file cannot be read, `ValueError` if it holds no JSON.
    """
    import json

    with open(payload_path(JSON), encoding="utf-8") as file:
        content = file.read()
    try:
        return json.loads(content)
    except json.JSONDecodeError as error:
        text = f"the payload in {JSON} is not valid JSON: {error.msg}"
        raise json.JSONDecodeError(text, error.doc, error.pos) from None


def write_json(data: Any) -> None:
    """Make a value the JSON payload: one line, ASCII only, keys in their order.

    Raises `TypeError` or `ValueError` for what cannot be written as JSON,
    `MissingVariable`, `OSError`. After an error the payload is as it was.
    """
    import json

    path = payload_path(JSON)
    replace_content(path, json.dumps(data).encode("ascii"), _PRIVATE)


def _renamed(error: ExpatError, text: str) -> ExpatError:
    renamed = type(error)(text)
    renamed.code = error.code
    renamed.lineno = error.lineno
    renamed.offset = error.offset
    return renamed
