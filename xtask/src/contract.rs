// SPDX-License-Identifier: Apache-2.0
//! What a hook may rely on: `virt-hooks(8)`, and a chapter of the book.

use crate::book;
use crate::sheet::{Markdown, Roff, Sheet};
use virt_hooks_contract::{Catalogue, Point, env, exit};

/// The man page.
pub(crate) fn page(catalogue: &Catalogue, prefix: &str) -> String {
    let about = "hooks at the turning points of a virtual machine's life";
    let mut page = Roff::new("VIRT-HOOKS", 8, "virt-hooks", about);
    page.section("Description");
    contract(&mut page, prefix);
    page.section("Hook points");
    for point in catalogue.iter() {
        hook_point(&mut page, point);
    }
    command(&mut page);
    page.see_also(&[
        ("virt-hooks", 1),
        ("virt-hooks-fire", 1),
        ("virt-hooks-points", 1),
        ("virt-hooks-list", 1),
        ("hook.toml", 5),
        ("virt-hooks-config.toml", 5),
    ]);
    page.text
}

/// The chapter.
pub(crate) fn chapter() -> String {
    let mut page = Markdown::new("The contract", "xtask/src/contract.rs");
    contract(&mut page, "/usr");
    page.section("Hook points");
    page.paragraph("Each has a section in [their reference](hook-points.md).");
    command(&mut page);
    page.text
}

fn contract(page: &mut dyn Sheet, prefix: &str) {
    page.paragraph(
        "A hook is an executable file in a directory named after a hook point. When the life of a virtual machine \
         reaches that point, the hooks of the point run one after the other, in the order of their names compared byte by byte, unless their packages say `after` or `before`. \
         What a hook finds and what it may do is the contract of oVirt's VDSM; hooks written for VDSM run unchanged.",
    );
    layers(page, prefix);
    environment(page);
    payload(page);
    endings(page);
    launch_flags(page);
}

fn layers(page: &mut dyn Sheet, prefix: &str) {
    page.section("Where hooks lie");
    page.item(
        &format!("{prefix}/libexec/vdsm/hooks/POINT/NN_name"),
        "Installed hooks: the directory VDSM uses.",
    );
    page.item(
        "/etc/virt-hooks/hooks/POINT/NN_name",
        "The administrator's. A file of the same name takes the place of the installed one; a link to `/dev/null` of that \
         name keeps it from running.",
    );
    page.item(
        "/etc/virt-hooks/config.toml",
        "Deadlines, limits, directories, the user hooks run as. All of it has defaults.",
    );
    page.item("/etc/virt-hooks/points.d/*.toml", "Hook points added on this host.");
    page.paragraph(
        "Only regular files run, links followed, that are executable for the user hooks run as. Names that start with a dot, and names of backup copies \
         (`x~`, `x.bak`, `x.orig`, `x.rpmsave`, `x.dpkg-old` and the like) do not. A file beside a hook that is not \
         executable is data or a module of it. `virt-hooks doctor` explains why a file does not run.",
    );
}

fn environment(page: &mut dyn Sheet) {
    page.section("Environment of a hook");
    page.paragraph(
        "A hook inherits the environment of whoever fires it, changed by the following; what stands further down wins.",
    );
    page.item("custom properties of the device", "By their names; or parameters of the operation.");
    page.item("custom properties of the VM", "By their names. Names that would change which program runs or what it loads (`PATH`, `LD_*`, `PYTHON*`, `IFS`, `ENV`, `BASH_ENV` and the like) or that start with `_hook_` are dropped, with a warning.");
    page.item(env::VM_ID, "UUID of the VM, where the event is about one.");
    page.item(env::PYTHONPATH, "What it was, and the directory of the module `hooking`.");
    page.item(env::DOMXML, "Path of the payload at XML points.");
    page.item(env::JSON, "Path of the payload at JSON points.");
    page.item(env::POINT, "Name of the hook point. This and the following are not known to VDSM.");
    page.item(env::EVENT_ID, "The same for all hooks of one event.");
    page.item(env::REASON, "Why the operation happens, where that is known.");
    page.item(env::ATTEMPT, "Which attempt at the operation this is, from 1.");
    page.item(env::LAUNCH_FLAGS, "Path of the launch flags, where there are any.");
}

fn payload(page: &mut dyn Sheet) {
    page.section("Payload");
    page.paragraph(
        "The document is a file with mode 0600 in a directory of its own. A hook reads it and may change it, by writing to it or by \
         putting another regular file at its path; the next hook finds what the one before it left. After each hook the file is checked: it must be UTF-8, \
         well-formed, and have the root element (XML) or the type at the top (JSON) that it had, and at some points the same UUID. \
         A hook that leaves something else has failed, and the next one finds the last good document.",
    );
    page.paragraph(
        "A hook runs in a session of its own, with standard input from `/dev/null`. Of its standard error head and tail are kept and reported. When its \
         deadline has passed its whole process group gets TERM, and after a grace KILL.",
    );
}

fn endings(page: &mut dyn Sheet) {
    page.section("Exit codes of a hook");
    page.item(&exit::hook::FINE.to_string(), "Done.");
    page.item(&exit::hook::FAILED.to_string(), "Failed; the next hook runs.");
    page.item(&exit::hook::STOP.to_string(), "Failed; no further hook runs.");
    page.item("other, or a signal", "Failed, as with 1. So has a hook that could not be executed, ran out of time, or spoilt the payload.");
    page.paragraph("At a point that can veto, one failed hook is enough to refuse the operation.");
}

fn launch_flags(page: &mut dyn Sheet) {
    page.section("Launch flags");
    page.paragraph(
        "`/run/vdsm/UUID/launchflags` holds libvirt's flags for starting the domain, as a decimal number. Hooks that run before the domain is started \
         may read it, add bits and write it back. Flags the driver set itself stay set; bits libvirt does not know are refused.",
    );
}

fn hook_point(page: &mut dyn Sheet, p: &Point) {
    page.subsection(&p.name);
    page.paragraph(&format!("{}.", p.summary));
    page.item("Operation", &p.operation);
    page.item("When", &p.when);
    page.item("Payload", &book::payload(p));
    page.item("Environment", book::properties(p));
    for v in p.variables.iter() {
        page.item(&v.name, &v.meaning);
    }
    page.item("A failing hook", book::failure(p));
    page.item("Output", book::output(p));
    page.item("Runs as", book::user(p));
    page.item("Deadline of each hook", &book::deadline(p));
    page.item("In VDSM since", &p.since);
    for note in p.notes.iter() {
        page.paragraph(note);
    }
}

fn command(page: &mut dyn Sheet) {
    page.section("Exit codes of the command");
    page.item(&exit::command::PROCEED.to_string(), "Proceed: the operation may happen, or did.");
    page.item(&exit::command::VETO.to_string(), "A hook vetoed; or `doctor` found something broken.");
    page.item(&exit::command::USAGE.to_string(), "The command line or the configuration is wrong.");
    page.item(
        &exit::command::UNUSABLE.to_string(),
        "What was given or found cannot be used: the payload, the run directory, libvirt, the VM.",
    );
    page.item(&exit::command::REFUSED.to_string(), "libvirt or the host refused the operation itself.");
}
