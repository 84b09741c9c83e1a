// SPDX-License-Identifier: Apache-2.0
//! The grammar of the command line.

mod check;
mod convert;
mod doctor;
mod fire;
mod history;
mod host;
mod libvirt_hook;
mod list;
mod new;
mod package;
mod parse;
mod points;
mod shelf;
mod test;
mod r#try;
mod values;
mod vm;
mod vm_devices;

pub use check::{Check, CheckTarget};
pub use convert::{Convert, ConvertCommand, ConvertFormat, ConvertOvirt};
pub use doctor::Doctor;
pub use fire::{Checking, Fire, Kind, OnFailure};
pub use history::History;
pub use host::{Backend, Host, HostAsk, HostCommand, HostSetupNetworks, HostStats};
pub use libvirt_hook::{LibvirtHook, LibvirtHookCommand, SetUp};
pub use list::{List, Names};
pub use new::{Lang, New, NewCommand, NewHook, NewPoint};
pub use package::{Package, PackageFormat};
pub use parse::{Parsed, parse, parse_as};
pub use points::Points;
pub use shelf::{Diff, Disable, Enable, Info, Install, Order, Properties, Remove, Verify};
pub use test::Test;
pub use r#try::{Conflicts, Given, Try};
pub use values::{Place, Property, Uuid, custom_properties};
pub use vm::{
    Telling, Vm, VmAct, VmApply, VmCommand, VmCreate, VmDestroy, VmHibernate, VmList, VmMigrate, VmRestore,
    VmRestoreSnapshot, VmSet, VmShow, VmShutdown, VmStart, VmStats, Whom,
};
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
#[derive(Args, Clone, Debug, Default)]
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
    /// An image, or a directory to try things in: the hooks, packages and configuration in it are meant
    #[arg(long, value_name = "DIR", global = true, conflicts_with = "hooks_dirs")]
    pub root: Option<PathBuf>,
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
    /// Make a hook package, or a hook point of this host
    New(New),
    /// Look at hook packages and say what keeps them from working
    Check(Check),
    /// Try one hook on a copy of a payload: nothing is changed
    Try(Box<Try>),
    /// Run the cases of hook packages
    Test(Test),
    /// Make an rpm, deb or tar file of a hook's directory
    Package(Package),
    /// Install a hook package: all of it or nothing
    Install(Install),
    /// Remove a hook package
    Remove(Remove),
    /// Let a hook run again that was disabled
    Enable(Enable),
    /// Keep a hook from running, also after upgrades
    Disable(Disable),
    /// Show what a package is and what is installed of it
    Info(Info),
    /// Show the chain of a hook point, and why it is in this order
    Order(Order),
    /// Find hooks of a point that write the same place, on a copy
    Conflicts(Box<Conflicts>),
    /// Show the custom properties that installed packages declare
    Properties(Properties),
    /// Hold the host against what was installed on it
    Verify(Verify),
    /// Compare the hooks of two hosts
    Diff(Diff),
    /// Take virtual machines with their properties elsewhere
    Convert(Convert),
    /// Start and stop virtual machines, hooks included
    Vm(Vm),
    /// Ask a host what it has and does, and set up its networks, hooks included
    Host(Host),
    /// Answer libvirt's own calls to its hook scripts, or have libvirt make them
    LibvirtHook(LibvirtHook),
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
