// SPDX-License-Identifier: Apache-2.0
//! Packages that travel: a `ConfigMap` for each, and the volume that has them all in one tree.

use super::admission::metadata;
use super::choice::Chosen;
use super::error::DeployError;
use super::names::derived;
use super::objects::{ConfigMap, KeyToPath, Projected, ProjectedConfigMap, ProjectedSource, Volume};
use super::{Request, check_label};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use virt_hooks_package::build::layout::{MANIFEST, Role, RustHooks, What, plan};

/// What all keys and values of a ConfigMap may have together: what Kubernetes takes, and etcd with it.
pub(super) const LARGEST: usize = 1 << 20;
/// Where hooks are in the tree.
pub(super) const HOOKS: &str = "hooks";
/// Where manifests are in the tree.
pub(super) const PACKAGES: &str = "packages";
/// The volume's name.
pub(super) const VOLUME: &str = "virt-hooks-packages";

/// A package as a ConfigMap and as a part of the volume.
pub(super) struct Carried {
    name: String,
    items: Vec<KeyToPath>,
    data: BTreeMap<String, String>,
    binary_data: BTreeMap<String, String>,
}

impl Carried {
    /// Reads a package. Of one in the image only the manifest travels: all manifests have to be in one place.
    pub(super) fn read(request: &Request, chosen: &Chosen) -> Result<Self, DeployError> {
        let package = &chosen.package;
        let name = derived(&request.name, chosen.name());
        check_label("ConfigMap", &name)?;
        let mut carried =
            Self { name, items: Vec::new(), data: BTreeMap::new(), binary_data: BTreeMap::new() };
        let home = format!("{PACKAGES}/{}/{MANIFEST}", chosen.name());
        let mut size = carried.put(MANIFEST, &package.dir.join(MANIFEST), home, 0o444)?;
        if !chosen.in_image {
            let misfit = |why: String| DeployError::Misfit { name: chosen.name().to_owned(), why };
            if let Some(file) = package.manifest.file.first() {
                return Err(misfit(format!(
                    "{} cannot be carried by a ConfigMap: make an image with it",
                    file.target
                )));
            }
            let refused = |source| DeployError::Package { dir: package.dir.clone(), source };
            for entry in plan(package, RustHooks::Refused).map_err(refused)? {
                let (Role::Hook, What::File { source, .. }) = (&entry.role, &entry.what) else { continue };
                let names: Vec<_> = entry.target.iter().rev().take(2).filter_map(|n| n.to_str()).collect();
                let &[file, point] = names.as_slice() else { continue };
                let key = format!("{point}.{file}");
                let in_key = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
                if !key.chars().all(in_key) || key.len() > 253 {
                    return Err(misfit(format!(
                        "\"{}\" cannot name an entry of a ConfigMap",
                        file.escape_debug()
                    )));
                }
                size += carried.put(&key, source, format!("{HOOKS}/{point}/{file}"), 0o555)?;
            }
        }
        if size > LARGEST {
            return Err(DeployError::TooLarge { name: chosen.name().to_owned(), size, limit: LARGEST });
        }
        Ok(carried)
    }

    /// Adds a file and says how much it adds.
    fn put(&mut self, key: &str, file: &Path, path: String, mode: u32) -> Result<usize, DeployError> {
        let refused = |source| DeployError::Read { path: file.to_owned(), source };
        // Nothing near the limit is read whole.
        let length = fs::metadata(file).map_err(refused)?.len();
        if length > LARGEST as u64 {
            return Ok(usize::try_from(length).unwrap_or(usize::MAX / 2));
        }
        let bytes = fs::read(file).map_err(refused)?;
        let size = key.len() + bytes.len();
        match String::from_utf8(bytes) {
            Ok(text) => self.data.insert(key.to_owned(), text),
            Err(e) => self.binary_data.insert(key.to_owned(), base64(e.as_bytes())),
        };
        self.items.push(KeyToPath { key: key.to_owned(), path, mode });
        Ok(size)
    }

    /// The ConfigMap in a namespace.
    pub(super) fn config_map(&self, request: &Request, namespace: &str) -> Result<Value, DeployError> {
        Ok(serde_json::to_value(ConfigMap {
            api_version: "v1",
            kind: "ConfigMap",
            metadata: metadata(request, &self.name, Some(namespace)),
            data: self.data.clone(),
            binary_data: self.binary_data.clone(),
        })?)
    }
}

/// The volume with all of them.
pub(super) fn volume(carried: &[Carried]) -> Volume {
    let source = |c: &Carried| ProjectedSource {
        config_map: ProjectedConfigMap { name: c.name.clone(), items: c.items.clone() },
    };
    let sources = carried.iter().map(source).collect();
    Volume { name: VOLUME.to_owned(), host_path: None, projected: Some(Projected { sources }) }
}

/// Base64 with padding, as Kubernetes wants bytes.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0_u32, |bits, b| bits << 8 | u32::from(*b)) << (8 * (3 - chunk.len()));
        for n in 0..4 {
            let digit = (bits >> (18 - 6 * n)) as usize & 63;
            out.push(if n <= chunk.len() { char::from(DIGITS[digit]) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn base64_is_that_of_rfc_4648() {
        let all = ["", "f", "fo", "foo", "foob", "fooba", "foobar"].map(|t| super::base64(t.as_bytes()));
        assert_eq!(all, ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"]);
        assert_eq!(super::base64(&[0xfb, 0xff, 0xfe]), "+//+");
    }
}
