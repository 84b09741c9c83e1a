// SPDX-License-Identifier: Apache-2.0
//! The grammar of the command line.

use crate::core::NodePoint;
use crate::deploy::Quantity;
use crate::wire::Version;
use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
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
    /// Print what a cluster is given, so that this runs there: "| kubectl apply -f -"
    Manifests(Box<Manifests>),
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

/// `manifests`.
#[derive(Args, Clone, Debug)]
pub struct Manifests {
    /// How KubeVirt is to run it
    #[arg(long, value_enum, default_value_t)]
    pub style: Style,
    /// The image with this program; docs/kubevirt-deploy.md says how to make it
    #[arg(long, value_name = "REF")]
    pub image: String,
    /// When nodes pull the image
    #[arg(long, value_enum)]
    pub pull_policy: Option<PullPolicy>,
    /// A hook package that the image has, by name; separated by commas, or repeated
    #[arg(long = "hook", value_name = "NAME", value_delimiter = ',')]
    pub hooks: Vec<String>,
    /// A hook package that is to travel as a ConfigMap, by its directory; may be repeated
    #[arg(long = "package", value_name = "DIR")]
    pub packages: Vec<PathBuf>,
    /// Directory with the manifests of the image's packages [env: VIRT_HOOKS_PACKAGES_DIR]
    #[arg(long, value_name = "DIR")]
    pub packages_dir: Option<PathBuf>,
    /// Name of the plugin and of its objects
    #[arg(long, default_value = "virt-hooks")]
    pub name: String,
    /// Where the DaemonSet for hooks of the node is
    #[arg(long, default_value = "virt-hooks")]
    pub namespace: String,
    /// Where the VMs are; may be repeated; left out, everywhere
    #[arg(long = "vm-namespace", value_name = "NAMESPACE", value_delimiter = ',')]
    pub vm_namespaces: Vec<String>,
    /// Socket in the pod of a VM [default: /var/run/kubevirt-plugin/NAME/hooks.sock]
    #[arg(long, value_name = "PATH")]
    pub domain_socket: Option<PathBuf>,
    /// Socket on the node [default: /var/run/kubevirt/plugins/NAME.sock]
    #[arg(long, value_name = "PATH")]
    pub node_socket: Option<PathBuf>,
    /// KubeVirt's points of the node that may be called, such as PostVMStart, where not all that there are hooks for
    #[arg(long = "permit", value_name = "POINT", value_delimiter = ',', value_parser = node_point)]
    pub permitted: Vec<NodePoint>,
    /// What KubeVirt does where a hook fails or nobody serves
    #[arg(long, value_enum, default_value_t)]
    pub failure_strategy: OnFailure,
    /// What KubeVirt gives one call of a plugin
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "30s")]
    pub timeout: Duration,
    /// Which VMs the plugin is for, in CEL
    #[arg(long, value_name = "CEL")]
    pub condition: Option<String>,
    /// With --style sidecar: only VMs that have an annotation of a custom property
    #[arg(long)]
    pub only_annotated: bool,
    /// Version of admission policies that the cluster has: Kubernetes 1.36 has v1
    #[arg(long, value_enum, default_value_t)]
    pub admission: Admission,
    /// Processor time of a container
    #[arg(long, default_value = "200m")]
    pub cpu: Quantity,
    /// Memory of a container
    #[arg(long, default_value = "64Mi")]
    pub memory: Quantity,
}

/// How KubeVirt is to run it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Style {
    /// As a plugin (KubeVirt 1.9)
    #[default]
    Plugin,
    /// As a hook sidecar, which a policy puts at VMs
    Sidecar,
    /// As a hook sidecar: the annotation alone, in JSON
    Annotation,
}

/// When nodes pull the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PullPolicy {
    /// At each start
    Always,
    /// Where it is missing
    IfNotPresent,
    /// Never
    Never,
}

/// What KubeVirt does where a hook fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum OnFailure {
    /// The VM does not start
    #[default]
    Fail,
    /// It starts without what the hook would have done
    Ignore,
}

/// A version of admission policies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Admission {
    /// Kubernetes 1.36 and later
    #[default]
    V1,
    /// Kubernetes 1.34 and 1.35, where it is switched on
    V1beta1,
}

fn node_point(name: &str) -> Result<NodePoint, String> {
    NodePoint::named(name).ok_or_else(|| {
        let all: Vec<_> = NodePoint::ALL.iter().map(|p| p.name()).collect();
        format!("not a point of the node; there are {}", all.join(", "))
    })
}
