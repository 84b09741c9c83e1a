// SPDX-License-Identifier: Apache-2.0
//! `libvirt-hook`: what libvirt calls, and its set-up.

use clap::{Args, Subcommand};
use std::ffi::OsString;
use std::path::PathBuf;

/// Answers a call of libvirt's to its hook script, or sets that up.
#[derive(Args, Clone, Debug)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "The four words are those libvirt gives its hook scripts; the XML comes on standard input. \
                  A VM called install, remove or status needs -- before its name."
)]
pub struct LibvirtHook {
    /// Set-up, where it is not a call.
    #[command(subcommand)]
    pub command: Option<LibvirtHookCommand>,
    /// Which of libvirt's drivers calls: qemu, network
    #[arg(long, default_value = "qemu")]
    pub driver: String,
    /// What it is about, the operation, its phase, and what libvirt adds
    #[arg(value_names = ["OBJECT", "OPERATION", "SUBOP", "EXTRA"], num_args = 4, required = true)]
    pub call: Vec<OsString>,
}

/// The set-up of libvirt's hook script.
#[derive(Clone, Debug, Subcommand)]
pub enum LibvirtHookCommand {
    /// Have libvirt call virt-hooks, and reload its daemons
    Install(SetUp),
    /// Undo that
    Remove(SetUp),
    /// Show whether libvirt calls virt-hooks
    Status(SetUp),
}

/// Where libvirt keeps its hook scripts.
#[derive(Args, Clone, Debug)]
pub struct SetUp {
    /// Directory in place of /, for packages and images
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// The command libvirt is to run, where it is not this one; AppArmor wants it in /usr/bin
    #[arg(long, value_name = "FILE")]
    pub command: Option<PathBuf>,
}
