// SPDX-License-Identifier: Apache-2.0
//! `virt-hooks(8)`: what a hook may rely on.

use crate::book;
use crate::roff;
use virt_hooks_contract::{Catalogue, Point, env, exit};

/// The page.
pub(super) fn page(catalogue: &Catalogue, prefix: &str) -> String {
    let mut page = Roff::default();
    let (version, date) = (env!("CARGO_PKG_VERSION"), super::DATE);
    page.line(&format!(".TH VIRT-HOOKS 8 {date} \"virt-hooks {version}\" virt-hooks"));
    page.section("NAME");
    page.line("virt\\-hooks \\- hooks at the turning points of a virtual machine's life");
    page.section("DESCRIPTION");
    page.paragraph(
        "A hook is an executable file in a directory named after a hook point. When the life of a virtual machine \
         reaches that point, the hooks of the point run one after the other, in the order of their names compared byte by byte. \
         What a hook finds and what it may do is the contract of oVirt's VDSM; hooks written for VDSM run unchanged.",
    );
    layers(&mut page, prefix);
    environment(&mut page);
    payload(&mut page);
    endings(&mut page);
    launch_flags(&mut page);
    page.section("HOOK POINTS");
    for point in catalogue.iter() {
        hook_point(&mut page, point);
    }
    command(&mut page);
    page.section("SEE ALSO");
    page.line(".BR virt\\-hooks (1),");
    page.line(".BR virt\\-hooks\\-fire (1),");
    page.line(".BR virt\\-hooks\\-points (1),");
    page.line(".BR virt\\-hooks\\-list (1)");
    page.text
}

fn layers(page: &mut Roff, prefix: &str) {
    page.section("WHERE HOOKS LIE");
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

fn environment(page: &mut Roff) {
    page.section("ENVIRONMENT OF A HOOK");
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

fn payload(page: &mut Roff) {
    page.section("PAYLOAD");
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

fn endings(page: &mut Roff) {
    page.section("EXIT CODES OF A HOOK");
    page.item(&exit::hook::FINE.to_string(), "Done.");
    page.item(&exit::hook::FAILED.to_string(), "Failed; the next hook runs.");
    page.item(&exit::hook::STOP.to_string(), "Failed; no further hook runs.");
    page.item("other, or a signal", "Failed, as with 1. So has a hook that could not be executed, ran out of time, or spoilt the payload.");
    page.paragraph("At a point that can veto, one failed hook is enough to refuse the operation.");
}

fn launch_flags(page: &mut Roff) {
    page.section("LAUNCH FLAGS");
    page.paragraph(
        "`/run/vdsm/UUID/launchflags` holds libvirt's flags for starting the domain, as a decimal number. Hooks that run before the domain is started \
         may read it, add bits and write it back. Flags the driver set itself stay set; bits libvirt does not know are refused.",
    );
}

fn hook_point(page: &mut Roff, p: &Point) {
    page.line(&format!(".SS {}", roff::text(&p.name)));
    page.line(&format!("{}.", roff::text(&p.summary)));
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

fn command(page: &mut Roff) {
    page.section("EXIT CODES OF THE COMMAND");
    page.item(&exit::command::PROCEED.to_string(), "Proceed: the operation may happen, or did.");
    page.item(&exit::command::VETO.to_string(), "A hook vetoed; or `doctor` found something broken.");
    page.item(&exit::command::USAGE.to_string(), "The command line or the configuration is wrong.");
    page.item(
        &exit::command::UNUSABLE.to_string(),
        "What was given or found cannot be used: the payload, the run directory, libvirt, the VM.",
    );
    page.item(&exit::command::REFUSED.to_string(), "libvirt refused the operation itself.");
}

/// A page that is being written.
#[derive(Default)]
struct Roff {
    text: String,
    /// A paragraph starts by itself after a heading.
    after_heading: bool,
}

impl Roff {
    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
        self.after_heading = false;
    }

    fn section(&mut self, title: &str) {
        self.line(&format!(".SH \"{title}\""));
        self.after_heading = true;
    }

    fn paragraph(&mut self, text: &str) {
        if !self.after_heading {
            self.line(".PP");
        }
        self.line(&roff::text(text));
    }

    /// A word and what it means; nothing where there is no meaning.
    fn item(&mut self, word: &str, text: &str) {
        if !text.is_empty() {
            self.line(&format!(".TP\n.B {}\n{}", roff::text(word), roff::text(text)));
        }
    }
}
