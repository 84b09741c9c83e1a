// SPDX-License-Identifier: Apache-2.0
//! A fake virt-launcher, and a fake virt-handler: what KubeVirt 1.9 does as client, no kinder.

use crate::grpc::{Failed, call};
use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// KubeVirt gives 1 s. The machine that tests run on is busy with other things: what is checked here is that Info
/// waits for nothing; how fast it is stands in `load.rs`.
const INFO: Duration = Duration::from_secs(crate::bed::PATIENCE as u64);
/// How often it lists the directory.
const TICK: Duration = Duration::from_millis(300);
/// Of a callback.
pub const CALLBACK: Duration = Duration::from_secs(60 * crate::bed::PATIENCE as u64);

#[derive(Clone, PartialEq, prost::Message)]
pub struct Empty {}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Info {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(message, repeated, tag = "3")]
    pub hook_points: Vec<HookPoint>,
    #[prost(string, repeated, tag = "4")]
    pub versions: Vec<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct HookPoint {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(int32, tag = "2")]
    pub priority: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Define {
    #[prost(bytes = "vec", tag = "1")]
    pub domain_xml: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub vmi: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Defined {
    #[prost(bytes = "vec", tag = "1")]
    pub domain_xml: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct CloudInit {
    #[prost(bytes = "vec", tag = "1")]
    pub no_cloud: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub vmi: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    pub data: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Mutate {
    #[prost(string, tag = "1")]
    pub domain_type: String,
    #[prost(bytes = "vec", tag = "2")]
    pub domain: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    pub vmi: Vec<u8>,
    #[prost(message, optional, tag = "4")]
    pub context: Option<Text>,
}

/// A message with one text: `SidecarContext` and `NodeContext`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Text {
    #[prost(string, tag = "1")]
    pub text: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct NodeHook {
    #[prost(string, tag = "1")]
    pub point: String,
    #[prost(bytes = "vec", tag = "2")]
    pub vmi: Vec<u8>,
    #[prost(message, optional, tag = "3")]
    pub context: Option<Text>,
}

/// A sidecar that was collected.
#[derive(Clone, Debug)]
pub struct Collected {
    pub socket: PathBuf,
    pub info: Info,
    /// The newest version both know.
    pub version: String,
}

/// Collects `count` sidecars below `dir`, as virt-launcher does, or says why it would give up.
pub fn collect(dir: &Path, count: usize, patience: Duration) -> Result<Vec<Collected>, String> {
    let end = Instant::now() + patience;
    let mut seen: HashSet<String> = HashSet::new();
    let mut found = Vec::new();
    loop {
        let mut sidecars: Vec<PathBuf> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
        sidecars.sort();
        for entry in sidecars.iter().filter(|p| p.is_dir()).flat_map(|p| fs::read_dir(p).unwrap()) {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            // Told apart by the last part of the path only.
            if entry.file_type().unwrap().is_dir() || seen.contains(&name) {
                continue;
            }
            match call::<Info>(&entry.path(), "kubevirt.hooks.info.Info/Info", &Empty {}, INFO) {
                // Not ready: the next tick tries again.
                Err(Failed::Dial) => continue,
                Err(fatal) => return Err(format!("{name}: Info: {fatal:?}")),
                Ok(info) => {
                    let version = ["v1alpha3", "v1alpha2", "v1alpha1"]
                        .into_iter()
                        .find(|v| info.versions.iter().any(|i| i == v))
                        .ok_or(format!("{name}: no version in common: {info:?}"))?;
                    seen.insert(name);
                    found.push(Collected { socket: entry.path(), info, version: version.to_owned() });
                }
            }
        }
        if found.len() == count {
            return Ok(found);
        }
        if Instant::now() > end {
            return Err("failed to collect all expected sidecars".to_owned());
        }
        std::thread::sleep(TICK);
    }
}

impl Collected {
    pub fn points(&self) -> Vec<&str> {
        self.info.hook_points.iter().map(|p| p.name.as_str()).collect()
    }

    fn method(&self, name: &str) -> String {
        format!("kubevirt.hooks.{}.Callbacks/{name}", self.version)
    }

    pub fn define(&self, domain: &[u8], vmi: &[u8]) -> Result<Vec<u8>, Failed> {
        let request = Define { domain_xml: domain.to_vec(), vmi: vmi.to_vec() };
        let defined: Defined = call(&self.socket, &self.method("OnDefineDomain"), &request, CALLBACK)?;
        assert!(!defined.domain_xml.is_empty(), "virt-launcher takes an empty answer for a broken one");
        Ok(defined.domain_xml)
    }

    pub fn cloud_init(&self, request: &CloudInit) -> Result<CloudInit, Failed> {
        let answer: CloudInit = call(&self.socket, &self.method("PreCloudInitIso"), request, CALLBACK)?;
        // Both are decoded.
        for form in [&answer.no_cloud, &answer.data] {
            serde_json::from_slice::<serde_json::Value>(form).expect("JSON in fields 1 and 3");
        }
        Ok(answer)
    }

    pub fn shutdown(&self) -> Result<(), Failed> {
        call::<Empty>(&self.socket, &self.method("Shutdown"), &Empty {}, CALLBACK).map(drop)
    }

    pub fn info(&self) -> Result<Info, Failed> {
        call(&self.socket, "kubevirt.hooks.info.Info/Info", &Empty {}, INFO)
    }
}

/// `MutateDomain`, as virt-launcher calls a plugin.
pub fn mutate(socket: &Path, domain: &[u8], vmi: &[u8], context: &str) -> Result<Vec<u8>, Failed> {
    let request = Mutate {
        domain_type: "libvirt".to_owned(),
        domain: domain.to_vec(),
        vmi: vmi.to_vec(),
        context: Some(Text { text: context.to_owned() }),
    };
    mutate_with(socket, &request)
}

pub fn mutate_with(socket: &Path, request: &Mutate) -> Result<Vec<u8>, Failed> {
    let method = "kubevirt.hooks.plugins.v1alpha1.DomainHookService/MutateDomain";
    call::<Defined>(socket, method, request, CALLBACK).map(|d| d.domain_xml)
}

/// `ExecuteNodeHook`, as virt-handler calls a plugin.
pub fn node_hook(socket: &Path, point: &str, vmi: &[u8], node: &str) -> Result<(), Failed> {
    let method = "kubevirt.hooks.plugins.v1alpha1.NodeHookService/ExecuteNodeHook";
    let context = Some(Text { text: node.to_owned() });
    let request = NodeHook { point: point.to_owned(), vmi: vmi.to_vec(), context };
    call::<Empty>(socket, method, &request, CALLBACK).map(drop)
}
