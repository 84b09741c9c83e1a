// SPDX-License-Identifier: Apache-2.0
//! The grammar of the command line.

use crate::wire::Version;
use clap::{ArgGroup, Args, Parser, Subcommand};
use std::num::NonZero;
use std::path::PathBuf;
use std::time::Duration;
use virt_hooks::cli::Locations;
use virt_hooks_contract::parse_duration;

/// The command line of `virt-hooks-kubevirt`.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "virt-hooks-kubevirt",
    bin_name = "virt-hooks-kubevirt",
    version,
    about = "Run hooks for the virtual machines of a KubeVirt cluster",
    after_help = "Exit codes: 0 asked to end, 2 usage or configuration error, 3 what was given or found cannot be used.",
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

/// A verb.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Serve virt-launcher as a hook sidecar
    Sidecar(Sidecar),
    /// Serve KubeVirt as a plugin: in the pod of a VM, on a node, or both
    Plugin(Plugin),
}

/// `sidecar`.
#[derive(Args, Clone, Debug)]
#[command(disable_version_flag = true)]
pub struct Sidecar {
    /// Speak this version only [default: all]
    #[arg(long, value_name = "VERSION")]
    pub version: Option<Version>,
    /// Where virt-launcher looks for sockets
    #[arg(long, value_name = "DIR", default_value = "/var/run/kubevirt-hooks")]
    pub socket_dir: PathBuf,
    /// Let hooks change cloud-init data. Every VM with this sidecar must have a cloud-init volume then: KubeVirt up to 1.9 fails for others
    #[arg(long)]
    pub cloud_init: bool,
    /// Directory with hooks in the style of KubeVirt's sidecar-shim: onDefineDomain, preCloudInitIso. They run after all others; needs --version, as the shim does
    #[arg(long, value_name = "DIR", requires = "version")]
    pub shim_dir: Option<PathBuf>,
    /// Time for one call; KubeVirt gives 60s, and a hook that is ended may take some more
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "50s")]
    pub budget: Duration,
    /// What all servers have.
    #[command(flatten)]
    pub serving: Serving,
}

/// `plugin`.
#[derive(Args, Clone, Debug)]
#[command(group = ArgGroup::new("sockets").required(true).multiple(true).args(["domain_socket", "node_socket"]))]
pub struct Plugin {
    /// Socket for changes of the domain, such as /var/run/kubevirt-plugin/NAME/hooks.sock
    #[arg(long, value_name = "PATH")]
    pub domain_socket: Option<PathBuf>,
    /// Socket for hooks of the node, such as /var/run/kubevirt/plugins/NAME.sock
    #[arg(long, value_name = "PATH")]
    pub node_socket: Option<PathBuf>,
    /// Time for one call; KubeVirt gives 30s unless the Plugin says otherwise, and a hook that is ended may take some more
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "25s")]
    pub budget: Duration,
    /// What all servers have.
    #[command(flatten)]
    pub serving: Serving,
}

/// What all servers have.
#[derive(Args, Clone, Debug)]
pub struct Serving {
    /// Directory of hook packages, whose manifests say which properties hooks may be given [env: VIRT_HOOKS_PACKAGES_DIR]
    #[arg(long, value_name = "DIR")]
    pub packages_dir: Option<PathBuf>,
    /// How many calls may run hooks at the same time; more wait
    #[arg(long, value_name = "NUMBER", default_value = "16")]
    pub at_once: NonZero<usize>,
}
