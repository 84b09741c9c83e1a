# SPDX-License-Identifier: Apache-2.0
"""From a minidom tree to bytes.

minidom's own writer loses line breaks and tabs in attribute values before
Python 3.13, and carriage returns in text on every version: it writes them as
they are, and the next parser turns them into blanks and line feeds. Attribute
values of a domain (QEMU arguments, SMBIOS strings) do hold them.
"""

from __future__ import annotations

import re
from io import StringIO
from typing import Any, Callable
from xml.dom import Node, minidom

_DECLARATION = '<?xml version="1.0" encoding="utf-8"?>'

_IN_TEXT = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"}
_IN_ATTRIBUTE = {**_IN_TEXT, '"': "&quot;", "\t": "&#9;", "\n": "&#10;"}
_TEXT_TABLE = str.maketrans(_IN_TEXT)
_ATTRIBUTE_TABLE = str.maketrans(_IN_ATTRIBUTE)

# What XML 1.0 cannot hold, not even as a character reference.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def serialise(node: Any) -> bytes:
    """The UTF-8 text of a minidom node; with an XML declaration if it is a document.

    Raises `TypeError` for what is no minidom node or holds values that are not
    strings, `ValueError` for what XML cannot express.
    """
    if not isinstance(node, Node):
        raise TypeError(
            f"a minidom document is needed to write the domain XML, not {type(node).__name__}"
        )
    out = StringIO()
    if isinstance(node, minidom.Document):
        out.write(_DECLARATION)
    _write(node, out.write)
    return out.getvalue().encode("utf-8")


def _write(node: Any, write: Callable[[str], Any]) -> None:
    kind = node.nodeType
    if kind == Node.ELEMENT_NODE:
        _write_element(node, write)
    elif kind == Node.TEXT_NODE:
        write(_checked(node.data, node).translate(_TEXT_TABLE))
    elif kind in (Node.DOCUMENT_NODE, Node.DOCUMENT_FRAGMENT_NODE):
        for child in node.childNodes:
            _write(child, write)
    elif kind == Node.CDATA_SECTION_NODE:
        # The end mark cannot stand inside a section: continue in a second one.
        data = _checked(node.data, node).replace("]]>", "]]]]><![CDATA[>")
        write(f"<![CDATA[{data}]]>")
    elif kind == Node.COMMENT_NODE:
        data = _checked(node.data, node)
        if "--" in data or data.endswith("-"):
            raise ValueError('an XML comment cannot hold "--" or end in "-"')
        write(f"<!--{data}-->")
    elif kind == Node.PROCESSING_INSTRUCTION_NODE:
        data = _checked(node.data, node)
        if "?>" in data:
            raise ValueError('an XML processing instruction cannot hold "?>"')
        write(f"<?{node.target} {data}?>" if data else f"<?{node.target}?>")
    else:
        # Document types and whatever else minidom has; domain XML has none.
        text = StringIO()
        node.writexml(text)
        write(text.getvalue())


def _write_element(element: Any, write: Callable[[str], Any]) -> None:
    write(f"<{element.tagName}")
    for name, value in element.attributes.items():
        if not isinstance(value, str):
            raise TypeError(
                f"attribute {name} of <{element.tagName}> is of type "
                f"{type(value).__name__}: make it a string"
            )
        write(f' {name}="{_checked(value, element).translate(_ATTRIBUTE_TABLE)}"')
    if not element.childNodes:
        write("/>")
        return
    write(">")
    for child in element.childNodes:
        _write(child, write)
    write(f"</{element.tagName}>")


def _checked(value: Any, node: Any) -> str:
    holder = node if node.nodeType == Node.ELEMENT_NODE else node.parentNode
    place = getattr(holder, "nodeName", None) or node.nodeName
    if not isinstance(value, str):
        raise TypeError(f"text in <{place}> is of type {type(value).__name__}: make it a string")
    forbidden = _FORBIDDEN.search(value)
    if forbidden:
        raise ValueError(
            f"character U+{ord(forbidden.group()):04X} in <{place}> is not allowed in XML"
        )
    return value
