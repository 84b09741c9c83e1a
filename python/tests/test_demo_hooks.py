# SPDX-License-Identifier: Apache-2.0
"""The hooks of examples/demo-hooks, run as the engine runs them."""

import os
import stat
import subprocess
import sys
from xml.etree import ElementTree

import pytest

VM = "6f0c5e4e-0000-4000-8000-000000000001"

DOMAIN = """<?xml version='1.0' encoding='utf-8'?>
<!-- <domain><title>comment</title> -->
<domain type='kvm' xmlns:x="urn:x">
  <metadata><x:y><title a='>'>metadata</title></x:y></metadata>
  <name>web &amp; 1</name>
  <uuid>6f0c5e4e-0000-4000-8000-000000000001</uuid>
  <os>
    <type arch='x86_64'>hvm</type>
  </os>
  <description><![CDATA[<title>section</title>]]></description>
</domain>
"""

TITLES = [
    "web & db <1> '2' \"3\"",
    "a\\b \\& \\1 \\n $HOME `id` %s",
    "käse ☃",
    "&amp;",
    "0x10",
    "  b  ",
]


@pytest.fixture
def demo(python_directory):
    return python_directory.parent / "examples" / "demo-hooks"


@pytest.fixture
def run(demo, python_directory):
    def run(hook, **variables):
        path = demo / hook
        environment = {
            **os.environ,
            "PYTHONPATH": str(python_directory),
            "PYTHONDONTWRITEBYTECODE": "1",
            "vmId": VM,
            **variables,
        }
        argv = [str(path)]
        if b"python" in path.read_bytes().split(b"\n", 1)[0]:
            # The Python under test in place of the system's.
            argv.insert(0, sys.executable)
        return subprocess.run(argv, env=environment, capture_output=True, text=True)

    return run


def quietly(result):
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_they_can_be_installed_as_they_are(demo):
    hooks = sorted(str(path.relative_to(demo)) for path in demo.glob("*/*"))
    assert hooks == [
        "after_vm_destroy/50_note",
        "after_vm_start/50_note",
        "before_vm_start/10_title",
        "before_vm_start/50_smbios_serial",
    ]
    for hook in hooks:
        assert stat.S_IMODE((demo / hook).stat().st_mode) == 0o755, hook


@pytest.mark.parametrize("hook", ["before_vm_start/10_title", "before_vm_start/50_smbios_serial"])
@pytest.mark.parametrize("variables", [{}, {"demo_title": "", "demo_serial": ""}])
def test_without_the_property_nothing_happens(run, payload, hook, variables):
    path = payload("_hook_domxml", b"not even XML")
    inode = path.stat().st_ino
    quietly(run(hook, **variables))
    assert path.read_bytes() == b"not even XML"
    assert path.stat().st_ino == inode


# --- 10_title ---------------------------------------------------------------


@pytest.mark.parametrize("title", TITLES)
def test_a_title_is_added(run, payload, title):
    path = payload("_hook_domxml", DOMAIN.encode())
    quietly(run("before_vm_start/10_title", demo_title=title))
    root = ElementTree.parse(path).getroot()
    assert root.findtext("title") == title
    # All else is as it was, to the byte.
    escaped = title.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    added = f"\n  <title>{escaped}</title>"
    text = path.read_text(encoding="utf-8")
    assert text == DOMAIN.replace("</name>", "</name>" + added)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    "old",
    [
        "<title>old</title>",
        "<title/>",
        "<title />",
        "<title></title >",
        "<title\n>o<!-- </title> -->l<![CDATA[</title>]]>d</title>",
        "<title>old</title><title>older</title>",
    ],
)
def test_a_title_is_replaced(run, payload, old):
    domain = DOMAIN.replace("  <os>", f"  {old}\n  <os>")
    path = payload("_hook_domxml", domain.encode())
    quietly(run("before_vm_start/10_title", demo_title="a<b"))
    assert path.read_text() == domain.replace(old, "<title>a&lt;b</title>")


@pytest.mark.parametrize("title", TITLES)
def test_a_second_run_changes_nothing(run, payload, title):
    path = payload("_hook_domxml", DOMAIN.encode())
    quietly(run("before_vm_start/10_title", demo_title=title))
    before, inode = path.read_bytes(), path.stat().st_ino
    quietly(run("before_vm_start/10_title", demo_title=title))
    assert path.read_bytes() == before
    assert path.stat().st_ino == inode


@pytest.mark.parametrize(
    "domain, expected",
    [
        ("<domain><os/></domain>", "<domain><title>t</title><os/></domain>"),
        ("<domain><name/></domain>", "<domain><title>t</title><name/></domain>"),
        ("<domain><name>a</name></domain>", "<domain><name>a</name><title>t</title></domain>"),
        (
            "<domain><a><name>b</name></a></domain>",
            "<domain><title>t</title><a><name>b</name></a></domain>",
        ),
        (
            "<domain>\r\n<name>a</name>\r\n</domain>",
            "<domain>\r\n<name>a</name>\r\n<title>t</title>\r\n</domain>",
        ),
    ],
)
def test_where_the_title_goes(run, payload, domain, expected):
    path = payload("_hook_domxml", domain.encode())
    quietly(run("before_vm_start/10_title", demo_title="t"))
    assert path.read_bytes() == expected.encode()


def test_a_large_domain(run, payload):
    disks = "".join(f"<disk type='file'><target dev='vd{n}'/></disk>\n" for n in range(3000))
    path = payload("_hook_domxml", f"<domain><devices>{disks}</devices></domain>".encode())
    quietly(run("before_vm_start/10_title", demo_title="t"))
    expected = f"<domain><title>t</title><devices>{disks}</devices></domain>"
    assert path.read_bytes() == expected.encode()


@pytest.mark.parametrize(
    "domain, title, text",
    [
        (b"", "t", "empty"),
        (b"<interface/>", "t", "not the XML of a domain"),
        (b"<domain/>", "t", "not the XML of a domain"),
        (b"<domain><name>a</name>", "t", "ends before </domain>"),
        (b"<domain><name", "t", "not well-formed"),
        (b"<domain><!-- </domain>", "t", "ends within"),
        (b"<domain></domain>", "a\nb", "one line"),
        (b"<domain></domain>", "a\x1bb", "one line"),
    ],
)
def test_a_title_that_cannot_be_set(run, payload, domain, title, text):
    path = payload("_hook_domxml", domain)
    result = run("before_vm_start/10_title", demo_title=title)
    assert result.returncode == 2
    assert text in result.stderr and result.stderr.count("\n") == 1
    assert path.read_bytes() == domain
    assert list(path.parent.iterdir()) == [path]


def test_a_title_without_a_payload(run):
    result = run("before_vm_start/10_title", demo_title="t")
    assert result.returncode == 2
    assert "_hook_domxml is not set" in result.stderr


# --- 50_smbios_serial -------------------------------------------------------


def serials(path):
    root = ElementTree.parse(path).getroot()
    return [
        entry.text for entry in root.findall("sysinfo[@type='smbios']/system/entry[@name='serial']")
    ]


@pytest.mark.parametrize("serial", ["SN-1", "a & <b> 'c'", "ü"])
def test_a_serial_is_added(run, payload, serial):
    path = payload("_hook_domxml", DOMAIN.encode())
    quietly(run("before_vm_start/50_smbios_serial", demo_serial=serial))
    root = ElementTree.parse(path).getroot()
    assert serials(path) == [serial]
    assert [mode.attrib for mode in root.findall("os/smbios")] == [{"mode": "sysinfo"}]
    assert root.findtext("os/type") == "hvm"

    before, inode = path.read_bytes(), path.stat().st_ino
    quietly(run("before_vm_start/50_smbios_serial", demo_serial=serial))
    assert path.read_bytes() == before
    assert path.stat().st_ino == inode


def test_what_is_there_is_used(run, payload):
    domain = (
        "<domain><sysinfo type='fwcfg'><entry name='serial'>no</entry></sysinfo>"
        "<sysinfo type='smbios'><bios><entry name='serial'>no</entry></bios>"
        "<system><entry name='uuid'>u</entry><entry name='serial'>old</entry></system></sysinfo>"
        "<os><smbios mode='host'/></os></domain>"
    )
    path = payload("_hook_domxml", domain.encode())
    quietly(run("before_vm_start/50_smbios_serial", demo_serial="new"))
    expected = domain.replace("old", "new").replace("mode='host'", "mode='sysinfo'")
    declaration = '<?xml version="1.0" encoding="utf-8"?>'
    assert path.read_text() == declaration + expected.replace("'", '"')


@pytest.mark.parametrize(
    "domain, serial, text",
    [(b"<interface/>", "1", "not the XML of a domain"), (b"<domain/>", "a\nb", "one line")],
)
def test_a_serial_that_cannot_be_set(run, payload, domain, serial, text):
    path = payload("_hook_domxml", domain)
    result = run("before_vm_start/50_smbios_serial", demo_serial=serial)
    assert result.returncode == 2
    assert text in result.stderr and result.stderr.count("\n") == 1
    assert path.read_bytes() == domain


# --- 50_note ----------------------------------------------------------------


@pytest.mark.parametrize(
    "point, text", [("after_vm_start", "has started"), ("after_vm_destroy", "is gone")]
)
def test_a_note(run, point, text):
    for variables in ({}, {"_hook_point": point}):
        result = run(f"{point}/50_note", **variables)
        assert (result.returncode, result.stdout) == (0, "")
        assert result.stderr == f"{point}: VM {VM} {text}\n"


def test_a_note_names_the_point_it_is_told(run):
    assert run("after_vm_start/50_note", _hook_point="other").stderr.startswith("other: ")
