// SPDX-License-Identifier: Apache-2.0
//! The real executable on real VMs, from the command line to QEMU and back.
//!
//! Each test has a host of its own and leaves nothing of it. This process never opens the embedded driver,
//! because a process can open only one host in its life.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "a test binary")]

mod agent;
mod applying;
mod bed;
mod bundled;
mod crashes;
mod demo;
mod destroying;
mod devices;
mod drives;
mod errors;
mod inquiries;
mod interrupts;
mod launch_flags;
mod libvirt_dies;
mod libvirt_hook;
mod life;
mod load;
mod memory_and_cpus;
mod migrating;
mod nics;
mod pausing;
mod policies;
mod progress;
mod properties;
mod refusals;
mod secrets;
mod stored;
mod systemd;
mod through_the_agent;
mod tickets;
mod traces;
mod unit;
mod unplugging;
mod vetoes;

use libtest_mimic::{Arguments, Failed, Trial};
use std::collections::BTreeSet;
use std::error::Error;
use virt_hooks_libvirt::Libvirt;
use virt_hooks_testhost::{Daemon, requirements};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

/// What must be installed for a test.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Needs {
    /// libvirt's library, which has a driver of its own for tests.
    Library,
    /// The embedded QEMU driver, and QEMU.
    Qemu,
    /// All that, a libvirt daemon, and the right to start it.
    Daemon,
    /// A libvirt daemon, and the agent beside the executable that is tested.
    Agent,
    /// All that, and the `virt-hooks` command, which the agent's unit runs.
    AgentUnit,
    /// All that, `virsh`, and a systemd that can be given a machine of its own.
    Systemd,
    /// A libvirt daemon, the agent, and `qemu-nbd`.
    AgentImages,
    /// A libvirt daemon, and a program of Python for what a shell cannot do.
    AgentPython,
    /// All a daemon needs, and a QEMU with SPICE.
    DaemonSpice,
    /// The embedded driver, and the `virt-hooks` command beside the executable that is tested.
    Command,
    /// A daemon, the command, and `virsh`: libvirt's own hook script.
    HookScript,
    /// All that, and the agent.
    AgentAndScript,
    /// All that the demo needs.
    Demo,
    /// The embedded driver, the command, and the executable with the bundled hooks.
    Bundled,
    /// All that, and the right to give a process directories of the host of its own.
    BundledApart,
    /// All that, and `qemu-img` where the hooks look for it.
    BundledImages,
    /// The bundled hooks, and a QEMU with SPICE.
    BundledSpice,
}

impl Needs {
    /// What is missing: one word for a test's name, and one line.
    fn missing(self) -> Option<(String, String)> {
        if self == Self::Demo
            && let Some(part) = demo::parts().into_iter().find(|part| !part.is_file())
        {
            let what = part.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let line = format!(
                "{} is missing; `cargo build --workspace; cargo build -p virt-hooks-sdk --example firmware_note`",
                part.display()
            );
            return Some((what, line));
        }
        if let Some(missing) = bundled::missing(self) {
            return Some(missing);
        }
        if self == Self::AgentPython && (!has("setpriv") || !std::path::Path::new(agent::PYTHON).is_file()) {
            let line = format!("{} or setpriv is missing; install python3 and util-linux", agent::PYTHON);
            return Some(("python3".to_owned(), line));
        }
        if self == Self::AgentImages && !has("qemu-nbd") {
            return Some(("qemu-nbd".to_owned(), "qemu-nbd is missing; install qemu-utils".to_owned()));
        }
        if self == Self::Systemd
            && let Some(missing) = systemd::missing()
        {
            return Some(missing);
        }
        let missing = match self {
            Self::Library => {
                let error = Libvirt::load().err()?;
                return Some(("libvirt.so.0".to_owned(), error.to_string()));
            }
            Self::Command | Self::HookScript | Self::AgentUnit | Self::AgentAndScript | Self::Systemd
                if !bed::command().is_file() =>
            {
                return Some((
                    "virt-hooks".to_owned(),
                    format!("{} is missing; `cargo build -p virt-hooks`", bed::command().display()),
                ));
            }
            Self::Agent
            | Self::AgentUnit
            | Self::AgentPython
            | Self::AgentAndScript
            | Self::AgentImages
            | Self::Systemd
                if !bed::agent().is_file() =>
            {
                return Some((
                    "virt-hooksd".to_owned(),
                    format!("{} is missing; `cargo build -p virt-hooksd`", bed::agent().display()),
                ));
            }
            Self::Demo | Self::HookScript | Self::AgentAndScript | Self::Systemd if !has("virsh") => {
                return Some(("virsh".to_owned(), "virsh is missing; install libvirt-clients".to_owned()));
            }
            Self::Qemu
            | Self::Command
            | Self::Demo
            | Self::Bundled
            | Self::BundledApart
            | Self::BundledImages
            | Self::BundledSpice => requirements().err()?,
            Self::Daemon
            | Self::DaemonSpice
            | Self::HookScript
            | Self::Agent
            | Self::AgentUnit
            | Self::AgentAndScript
            | Self::AgentImages
            | Self::Systemd
            | Self::AgentPython => Daemon::requirements().err()?,
        };
        let first = missing.things.first().map(|thing| thing.what.replace(' ', "_")).unwrap_or_default();
        Some((first, missing.to_string()))
    }
}

/// Whether a program is where the shell looks.
fn has(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|d| d.join(program).is_file()))
}

/// One test.
struct Test {
    name: &'static str,
    needs: Needs,
    run: fn() -> Result,
}

/// The tests of a module, each with what it needs.
macro_rules! tests {
    ($($needs:ident $name:ident,)*) => {
        pub(crate) const TESTS: &[crate::Test] = &[$(crate::Test {
            name: concat!(module_path!(), "::", stringify!($name)),
            needs: crate::Needs::$needs,
            run: $name,
        }),*];
    };
}
pub(crate) use tests;

fn main() {
    let missing = [
        Needs::Library,
        Needs::Qemu,
        Needs::Daemon,
        Needs::Agent,
        Needs::AgentUnit,
        Needs::AgentPython,
        Needs::AgentImages,
        Needs::Systemd,
        Needs::DaemonSpice,
        Needs::Command,
        Needs::HookScript,
        Needs::AgentAndScript,
        Needs::Demo,
        Needs::Bundled,
        Needs::BundledApart,
        Needs::BundledImages,
        Needs::BundledSpice,
    ]
    .map(|n| (n, n.missing()));
    let lines: BTreeSet<_> = missing.iter().filter_map(|(_, reason)| Some(&reason.as_ref()?.1)).collect();
    for line in lines {
        // Standard output belongs to the list of tests.
        eprintln!("some tests are ignored: {line}");
    }
    let tests = [
        applying::TESTS,
        demo::TESTS,
        bundled::TESTS,
        life::TESTS,
        load::TESTS,
        vetoes::TESTS,
        refusals::TESTS,
        stored::TESTS,
        systemd::TESTS,
        launch_flags::TESTS,
        libvirt_dies::TESTS,
        libvirt_hook::TESTS,
        devices::TESTS,
        errors::TESTS,
        inquiries::TESTS,
        interrupts::TESTS,
        destroying::TESTS,
        secrets::TESTS,
        pausing::TESTS,
        policies::TESTS,
        progress::TESTS,
        properties::TESTS,
        agent::TESTS,
        crashes::TESTS,
        drives::TESTS,
        memory_and_cpus::TESTS,
        migrating::TESTS,
        nics::TESTS,
        through_the_agent::TESTS,
        tickets::TESTS,
        unit::TESTS,
        unplugging::TESTS,
    ];
    let trials = tests.into_iter().flatten().map(|test| {
        let name = test.name.split_once("::").map_or(test.name, |(_, name)| name);
        let reason = missing.iter().find(|(needs, _)| *needs == test.needs).and_then(|(_, r)| r.as_ref());
        let needs = reason.map(|(word, _)| format!("::needs_{word}")).unwrap_or_default();
        Trial::test(format!("{name}{needs}"), || (test.run)().map_err(Failed::from))
            .with_ignored_flag(reason.is_some())
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit();
}
