# SPDX-License-Identifier: Apache-2.0
from xml.dom import minidom
from xml.etree import ElementTree
from xml.parsers.expat import ExpatError

import pytest

import hooking

DECLARATION = b'<?xml version="1.0" encoding="utf-8"?>'


def rewritten(payload, content):
    path = payload("_hook_domxml", content)
    hooking.write_domxml(hooking.read_domxml())
    return path.read_bytes()


def test_elements_keep_prefix_and_blanks(payload):
    xml = (
        '<domain xmlns:qemu="http://libvirt.org/schemas/domain/qemu/1.0" type="kvm">\n'
        "  <name>käse</name>\n  <qemu:commandline>\n    <qemu:arg/>\n"
        "  </qemu:commandline>\n</domain>"
    ).encode()
    assert rewritten(payload, xml) == DECLARATION + xml


def test_declaration_is_followed_by_the_root(payload):
    xml = b"<?xml version='1.0' encoding='utf-8'?>\n<interface type='bridge'>\n</interface>\n"
    assert rewritten(payload, xml) == DECLARATION + b'<interface type="bridge">\n</interface>'


def test_other_encodings_become_utf8(payload):
    xml = '<?xml version="1.0" encoding="iso-8859-1"?><name>ü</name>'.encode("latin-1")
    assert rewritten(payload, xml) == DECLARATION + "<name>ü</name>".encode()


def test_attributes_keep_line_breaks_and_tabs(payload):
    xml = b'<entry value="a&#10;b&#9;c&#13;d&quot;&lt;&gt;&amp;\'"/>'
    assert rewritten(payload, xml) == DECLARATION + xml


def test_text_keeps_carriage_returns(payload):
    xml = b"<entry>a&#13;\nb\t&lt;&amp;&gt;\"'</entry>"
    assert rewritten(payload, xml) == DECLARATION + xml


def test_comments_sections_and_instructions_survive(payload):
    xml = b"<a><!-- c --><![CDATA[<z>&]]><?pi x?><?pi?></a>"
    assert rewritten(payload, xml) == DECLARATION + xml


def test_a_section_with_its_own_end_mark_keeps_its_text(payload):
    path = payload("_hook_domxml", b"<a/>")
    document = hooking.read_domxml()
    document.documentElement.appendChild(document.createCDATASection("x]]>y"))
    hooking.write_domxml(document)
    assert ElementTree.parse(path).getroot().text == "x]]>y"


def test_a_document_type_survives(payload):
    written = rewritten(payload, b'<!DOCTYPE domain SYSTEM "x.dtd"><domain/>')
    assert b"<!DOCTYPE domain" in written and written.endswith(b"<domain/>")


def test_new_elements_and_attributes(payload):
    path = payload("_hook_domxml", b"<domain><devices/></domain>")
    document = hooking.read_domxml()
    device = document.createElement("qemu:arg")
    device.setAttribute("value", "ä\n")
    document.getElementsByTagName("devices")[0].appendChild(device)
    hooking.write_domxml(document)
    assert path.read_bytes() == DECLARATION + (
        '<domain><devices><qemu:arg value="ä&#10;"/></devices></domain>'.encode()
    )


def test_an_element_alone_has_no_declaration(payload):
    path = payload("_hook_domxml", b"<a><b/></a>")
    hooking.write_domxml(hooking.read_domxml().documentElement)
    assert path.read_bytes() == b"<a><b/></a>"


def no_attribute_string(document):
    document.documentElement.setAttribute("n", 5)


def no_text_string(document):
    # minidom itself refuses anything but strings here, but not later.
    text = document.createTextNode("")
    text.data = ["-device"]
    document.documentElement.appendChild(text)


def control_character(document):
    document.documentElement.setAttribute("n", "\0")


def lone_surrogate(document):
    document.documentElement.appendChild(document.createTextNode("\udcff"))


def comment_within_comment(document):
    document.documentElement.appendChild(document.createComment("a--b"))


def instruction_end(document):
    document.documentElement.appendChild(document.createProcessingInstruction("pi", "?>"))


@pytest.mark.parametrize(
    "spoil, error, text",
    [
        (no_attribute_string, TypeError, "attribute n of <domain> is of type int"),
        (no_text_string, TypeError, "text in <domain> is of type list"),
        (control_character, ValueError, "U+0000 in <domain>"),
        (lone_surrogate, ValueError, "U+DCFF in <domain>"),
        (comment_within_comment, ValueError, "comment"),
        (instruction_end, ValueError, "instruction"),
    ],
)
def test_what_cannot_be_written_leaves_the_payload(payload, spoil, error, text):
    before = b"<domain>  <name/></domain>"
    path = payload("_hook_domxml", before)
    document = hooking.read_domxml()
    spoil(document)
    with pytest.raises(error) as caught:
        hooking.write_domxml(document)
    assert text in str(caught.value)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("value", [None, "<domain/>", ElementTree.Element("domain")])
def test_only_minidom_is_written(payload, value):
    path = payload("_hook_domxml", b"<a/>")
    with pytest.raises(TypeError, match="minidom"):
        hooking.write_domxml(value)
    assert path.read_bytes() == b"<a/>"


def test_an_empty_payload_says_so(payload):
    payload("_hook_domxml", b"")
    with pytest.raises(ExpatError, match="_hook_domxml is empty") as caught:
        hooking.read_domxml()
    assert (caught.value.code, caught.value.lineno, caught.value.offset) == (3, 1, 0)


def test_a_broken_payload_says_where(payload):
    payload("_hook_domxml", b"<a>\n<b></a>")
    with pytest.raises(ExpatError, match="_hook_domxml is not well-formed XML: .*line 2") as caught:
        hooking.read_domxml()
    assert caught.value.lineno == 2


@pytest.mark.parametrize(
    "call", [hooking.read_domxml, lambda: hooking.write_domxml(minidom.Document())]
)
@pytest.mark.parametrize("value", [None, ""])
def test_without_the_variable(monkeypatch, call, value):
    if value is not None:
        monkeypatch.setenv("_hook_domxml", value)
    with pytest.raises(hooking.MissingVariable) as caught:
        call()
    assert str(caught.value).startswith("_hook_domxml is not set: ")
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, KeyError)
    assert caught.value.args == ("_hook_domxml",)


def test_at_a_point_with_json(payload):
    payload("_hook_json", b"{}")
    with pytest.raises(hooking.MissingVariable, match="in _hook_json, use read_json"):
        hooking.read_domxml()
