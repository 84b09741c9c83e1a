// SPDX-License-Identifier: Apache-2.0
//! The grammar of the command line.

mod convert;
mod doctor;
mod fire;
mod history;
mod host;
mod list;
mod package;
mod parse;
mod points;
mod values;
mod vm;
mod vm_devices;

pub use convert::{Convert, ConvertCommand, ConvertFormat, ConvertOvirt};
pub use doctor::Doctor;
pub use fire::{Checking, Fire, Kind, OnFailure};
pub use history::History;
pub use host::{Backend, Host, HostAsk, HostCommand, HostSetupNetworks, HostStats};
pub use list::List;
pub use package::{Package, PackageFormat};
pub use parse::{Parsed, parse, parse_as};
pub use points::Points;
pub use values::{Place, Property, Uuid, custom_properties};
pub use vm::{Vm, VmCommand, VmDestroy, VmList, VmStart, VmStats};
pub use vm_devices::{
    Connected, Console, HookTime, Link, VmChange, VmMemoryPlug, VmNicUpdate, VmPlug, VmSetCpus, VmSetTicket,
    VmUnplug,
};

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// The command line of `virt-hooks`.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "virt-hooks",
    bin_name = "virt-hooks",
    version,
    about = "Run hooks at the turning points of a virtual machine's life",
    after_help = "Exit codes: 0 proceed, 1 vetoed by a hook, 2 usage or configuration error, \
                  3 what was given or found cannot be used, \
                  4 libvirt or the host refused the operation.",
    max_term_width = 100,
    disable_help_subcommand = true
)]
pub struct Cli {
    /// Where things lie.
    #[command(flatten)]
    pub locations: Locations,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Where things lie, where not at the usual places.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Locations")]
pub struct Locations {
    /// Directory with one sub-directory per hook point, in place of the usual ones; a later one overrides an earlier one [env: VIRT_HOOKS_HOOKS_DIR]
    #[arg(long = "hooks-dir", value_name = "DIR", global = true)]
    pub hooks_dirs: Vec<PathBuf>,
    /// Configuration file [env: VIRT_HOOKS_CONFIG]
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
    /// Where payload files live while an event runs [env: VIRT_HOOKS_RUN_DIR]
    #[arg(long, value_name = "DIR", global = true)]
    pub run_dir: Option<PathBuf>,
    /// Where records are kept [env: VIRT_HOOKS_STATE_DIR]
    #[arg(long, value_name = "DIR", global = true)]
    pub state_dir: Option<PathBuf>,
}

/// A verb.
#[derive(Clone, Debug, Subcommand)]
// The arguments of a verb are put together only when it is that verb that is run.
#[command(defer = true)]
pub enum Command {
    /// Fire a hook point: run its hooks on a payload
    Fire(Box<Fire>),
    /// Show the hook points there are
    Points(Points),
    /// Show the hooks that are installed
    List(List),
    /// Show what hooks did in the past
    History(History),
    /// Explain why hooks do not run, or will fail, and what mends it
    Doctor(Doctor),
    /// Make an rpm, deb or tar file of a hook's directory
    Package(Package),
    /// Take virtual machines with their properties elsewhere
    Convert(Convert),
    /// Start and stop virtual machines, hooks included
    Vm(Vm),
    /// Ask a host what it has and does, and set up its networks, hooks included
    Host(Host),
}

/// How an answer is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
}
