// SPDX-License-Identifier: Apache-2.0
//! Names and paths, by the rules of Kubernetes and of KubeVirt 1.9's admission.

use super::error::DeployError;
use std::path::{Component, Path, PathBuf};

/// Where KubeVirt looks for sockets of plugins in the pod of a VM.
pub(super) const DOMAIN_SOCKETS: &str = "/var/run/kubevirt-plugin";
/// Where sockets of the node are.
const NODE_SOCKETS: &str = "/var/run/kubevirt/plugins";
/// The longest path of a socket KubeVirt takes, in characters.
const LONGEST_SOCKET: usize = 108;
/// What the kernel takes of it, which is a byte less than KubeVirt.
const LONGEST_BOUND: usize = 107;

/// A quantity of Kubernetes, such as `200m` or `64Mi`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quantity(String);

impl Quantity {
    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for Quantity {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit = &text[number.len()..];
        let good = number.parse::<f64>().is_ok_and(|n| n > 0.0)
            && number.bytes().all(|b| b.is_ascii_digit() || b == b'.')
            && ["", "m", "k", "M", "G", "Ki", "Mi", "Gi"].contains(&unit);
        if good { Ok(Self(text.to_owned())) } else { Err("give a quantity such as 200m or 64Mi".to_owned()) }
    }
}

/// A name as a label of DNS: what every kind of object takes.
///
/// # Errors
/// It is none.
pub fn check_label(what: &'static str, name: &str) -> Result<(), DeployError> {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let good = !name.is_empty()
        && name.len() <= 63
        && name.bytes().all(inner)
        && !name.starts_with('-')
        && !name.ends_with('-');
    if good {
        return Ok(());
    }
    let why = "lower-case letters, digits and \"-\", 63 at most, a letter or digit first and last";
    Err(DeployError::Name { what, name: name.escape_debug().to_string(), why })
}

pub(super) fn check_image(image: &str) -> Result<(), DeployError> {
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'/' | b':' | b'@');
    if !image.is_empty()
        && image.len() <= 512
        && image.bytes().all(good)
        && !image.starts_with(['-', '/', ':'])
    {
        return Ok(());
    }
    let why = "not a reference to an image, such as registry.example.com/virt-hooks-kubevirt:1.0";
    Err(DeployError::Name { what: "image", name: image.escape_debug().to_string(), why })
}

/// The name of an object beside the main one: as long as it may be.
pub(super) fn derived(name: &str, suffix: &str) -> String {
    let suffix = suffix.replace('_', "-");
    format!("{name}-{suffix}").trim_end_matches('-').to_owned()
}

/// The socket in the pod of a VM, checked: `/var/run/kubevirt-plugin/<plugin>/<name>.sock`.
///
/// # Errors
/// KubeVirt's admission would refuse it.
pub fn check_domain_socket(plugin: &str, socket: Option<&Path>) -> Result<PathBuf, DeployError> {
    let dir = Path::new(DOMAIN_SOCKETS).join(plugin);
    let path = socket.map_or_else(|| dir.join("hooks.sock"), Path::to_owned);
    check_socket(&path)?;
    if path.parent() != Some(dir.as_path()) {
        let why = format!("KubeVirt takes sockets of plugin {plugin} in {} only", dir.display());
        return Err(DeployError::Socket { path, why });
    }
    Ok(path)
}

/// The socket on the node, checked.
///
/// # Errors
/// KubeVirt's admission would refuse it.
pub fn check_node_socket(plugin: &str, socket: Option<&Path>) -> Result<PathBuf, DeployError> {
    let path = socket.map_or_else(|| Path::new(NODE_SOCKETS).join(format!("{plugin}.sock")), Path::to_owned);
    check_socket(&path)?;
    if path.parent().is_none_or(|dir| dir == Path::new("/")) {
        let why = "put it into a directory of its own, such as /var/run/kubevirt/plugins".to_owned();
        return Err(DeployError::Socket { path, why });
    }
    Ok(path)
}

fn check_socket(path: &Path) -> Result<(), DeployError> {
    let wrong = |why: String| Err(DeployError::Socket { path: path.to_owned(), why });
    let Some(text) = path.to_str() else { return wrong("not UTF-8".to_owned()) };
    let plain = text.starts_with('/')
        && !text.contains("//")
        && !text.contains("/./")
        && path.components().all(|c| matches!(c, Component::RootDir | Component::Normal(_)));
    if !plain || text.contains(|c: char| c.is_control()) {
        return wrong("give an absolute path without \".\" and \"..\"".to_owned());
    }
    if !text.ends_with(".sock") || path.file_stem().is_none_or(|s| s.is_empty() || s == ".sock") {
        return wrong("its name has to end in .sock".to_owned());
    }
    if text.chars().count() > LONGEST_SOCKET || text.len() > LONGEST_BOUND {
        return wrong(format!("{} bytes, and the path of a socket has {LONGEST_BOUND} at most", text.len()));
    }
    Ok(())
}
