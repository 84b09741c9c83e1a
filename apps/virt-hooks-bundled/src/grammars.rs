// SPDX-License-Identifier: Apache-2.0
//! Every bundled hook with arbitrary text as its properties: it does not panic, says in one line that names the
//! property what it expected, and where it fails the payload is as it was.
//!
//! The hooks and their properties are listed, so a new one takes part. What the values of a grammar do to a payload is
//! in the hooks' own tests.

use super::{HOOKS, Hook};
use proptest::prelude::*;
use std::fs;
use std::path::Path;
use virt_hooks_contract::{Catalogue, Manifest, ManifestProperty, PayloadKind, Scope, Subject};
use virt_hooks_sdk::serde_json::{self, Value, json};
use virt_hooks_sdk::{Context, Document, Failure, Output};

const DOMAIN: &str = "<domain type='kvm'><name>vm</name><cpu><model>qemu64</model></cpu>\
    <os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type></os><devices>\
    <disk type='file' device='disk'><driver type='qcow2'/><source file='/none'/><target dev='sda' bus='scsi'/></disk>\
    <interface type='bridge'><mac address='00:1a:4a:16:01:51'/><source bridge='b'/></interface>\
    <graphics type='spice'/><serial type='pty'/><hostdev type='pci'><source>\
    <address domain='0x0000' bus='0x3b' slot='0x00' function='0x1'/></source></hostdev></devices></domain>";
const INTERFACE: &str =
    "<interface type='bridge'><mac address='00:1a:4a:16:01:51'/><source bridge='b'/></interface>";

/// A property of a hook at a point.
struct Place {
    hook: &'static Hook,
    kind: PayloadKind,
    subject: Subject,
    properties: Vec<ManifestProperty>,
    /// Which of them is to be arbitrary.
    chosen: usize,
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{} with {}", self.hook.point, self.hook.file, self.chosen().name)
    }
}

/// Whether a property of this scope reaches hooks of events about such a subject.
fn reaches(scope: Scope, subject: Subject) -> bool {
    match scope {
        Scope::Vm => subject != Subject::Host,
        Scope::Device => subject == Subject::Device,
        Scope::Network => subject == Subject::Host,
    }
}

fn places() -> Vec<Place> {
    let catalogue = Catalogue::built_in();
    let mut places = Vec::new();
    for hook in HOOKS {
        let file = format!("{}/../../hooks/{}/hook.toml", env!("CARGO_MANIFEST_DIR"), hook.package);
        let manifest = Manifest::parse(&file, &fs::read_to_string(&file).unwrap()).unwrap();
        let point = catalogue.get(hook.point).unwrap();
        for chosen in 0..manifest.property.len() {
            if !reaches(manifest.property[chosen].scope, point.subject) {
                continue;
            }
            let properties = manifest.property.clone();
            places.push(Place { hook, kind: point.payload, subject: point.subject, properties, chosen });
        }
    }
    places
}

impl Place {
    fn chosen(&self) -> &ManifestProperty {
        &self.properties[self.chosen]
    }

    fn payload(&self, value: &str) -> String {
        if self.kind == PayloadKind::Xml {
            return if self.subject == Subject::Device { INTERFACE } else { DOMAIN }.to_owned();
        }
        let custom: serde_json::Map<String, Value> = self
            .properties
            .iter()
            .enumerate()
            .filter(|(_, p)| p.scope == Scope::Network)
            .map(|(n, p)| (p.name.clone(), Value::from(if n == self.chosen { value } else { &p.example })))
            .collect();
        let network = json!({"nic": "em1", "bridged": false, "custom": custom});
        match self.hook.point {
            "after_network_setup" | "before_network_setup" => {
                json!({"request": {"networks": {"net": network}, "bondings": {}, "options": {}}})
            }
            "after_disk_prepare" => {
                json!({"imageID": "i", "volumeID": "v", "format": "cow", "path": "/none"})
            }
            _ => json!({"network": {"em1": {"state": "up"}}}),
        }
        .to_string()
    }

    /// Runs the hook on a host of its own, whose commands succeed; its result, what it logged, and the payload before
    /// and after.
    fn run(&self, host: &Path, value: &str) -> (Result<(), Failure>, Vec<String>, String, String) {
        fs::create_dir_all(host.join("run/vdsm")).unwrap();
        fs::create_dir_all(host.join("etc/fcoe")).unwrap();
        fs::write(host.join("etc/fcoe/cfg-ethx"), "FCOE_ENABLE=\"yes\"\n").unwrap();
        let before = self.payload(value);
        let mut hook = Context::for_test()
            .with_host(host)
            .with_env("vmId", "b5622e62-5d1a-4c69-af78-7f70d629869d")
            .with_commands(|_| Ok(Output::exited(0, "")));
        hook = match self.kind {
            PayloadKind::Xml => hook.with_xml(before.as_str()),
            PayloadKind::Json => hook.with_json(before.as_str()),
            PayloadKind::None => hook,
        };
        for (n, property) in self.properties.iter().enumerate().filter(|(_, p)| p.scope != Scope::Network) {
            hook = hook.with_env(&property.name, if n == self.chosen { value } else { &property.example });
        }
        let result = (self.hook.run)(&mut hook);
        let after = match self.kind {
            PayloadKind::Xml => hook.xml_text(),
            PayloadKind::Json => hook.json_text(),
            PayloadKind::None => before.clone(),
        };
        (result, hook.logged(), before, after)
    }

    fn check(&self, value: &str) -> Result<(), TestCaseError> {
        let host = tempfile::tempdir().unwrap();
        let (result, logged, before, after) = self.run(host.path(), value);
        for line in logged.iter().map(String::as_str).chain(result.as_ref().err().map(Failure::message)) {
            prop_assert!(
                !line.contains(['\n', '\r']) && line.len() < 4 << 10,
                "{self:?}: {} bytes: {line:.300}",
                line.len()
            );
        }
        match result {
            Ok(()) if self.kind == PayloadKind::Xml => {
                prop_assert!(Document::parse(after.as_str()).is_ok(), "{self:?}: {after}");
            }
            Ok(()) => {
                prop_assert!(self.kind == PayloadKind::None || serde_json::from_str::<Value>(&after).is_ok());
            }
            Err(failure) => {
                prop_assert_eq!(before, after, "{:?}: failed, and changed the payload", self);
                let said = failure.message();
                // Another property of the same hook may be the one that is wrong now.
                let names = self.properties.iter().any(|p| said.contains(&p.name));
                prop_assert!(names || said.contains("vmId"), "{self:?}: no property in: {said}");
            }
        }
        Ok(())
    }
}

/// Text that comes near a value: pieces of the example, of grammars, and any characters.
fn text(example: &str) -> impl Strategy<Value = String> + use<> {
    let words: Vec<String> =
        example.split_inclusive(|c: char| !c.is_alphanumeric()).map(str::to_owned).collect();
    let piece = prop_oneof![
        4 => proptest::sample::select(words),
        2 => proptest::sample::select(vec![
            "{", "}", "'", "\"", "[", "]", ":", ",", "^", "+", "-", "/", "\\", "..", "=", " ", "\n", "0x", "SAP", "ä",
            "9999999999999999999999", "1G", "https://", "[::1]", ";", "$(x)", "\u{202e}",
        ]).prop_map(str::to_owned),
        1 => any::<String>().prop_map(|s| s.replace('\0', "")),
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

#[test]
fn arbitrary_text_is_refused_or_understood() {
    let places = places();
    assert!(places.len() > 25, "{places:?}");
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(96)
    });
    for place in &places {
        runner
            .run(&text(&place.chosen().example), |value| place.check(&value))
            .unwrap_or_else(|e| panic!("{e}"));
    }
}

/// As long as a value can be: the kernel's limit for a variable, and the for what comes in the payload.
#[test]
fn the_longest_values_are_refused_or_understood() {
    for place in &places() {
        let length = if place.chosen().scope == Scope::Network { 1 << 20 } else { 128 << 10 };
        for piece in ["A", "[", "{'a': ", "+a,", "1,", "/", "192.0.2.1/24,", "-a b ", &place.chosen().example]
        {
            let value = piece.repeat(length / piece.len());
            place.check(&value).unwrap_or_else(|e| panic!("{place:?} {piece}: {e}"));
        }
    }
}

#[test]
fn text_that_is_not_utf_8_names_the_property() {
    use std::os::unix::ffi::OsStringExt;
    for place in &places() {
        let property = place.chosen();
        // In JSON there is no such text.
        if property.scope == Scope::Network {
            continue;
        }
        let host = tempfile::tempdir().unwrap();
        let mut hook = Context::for_test().with_host(host.path()).with_env("vmId", "vm");
        for other in &place.properties {
            hook = hook.with_env(&other.name, &other.example);
        }
        hook = hook.with_env(&property.name, std::ffi::OsString::from_vec(b"a\xff".to_vec()));
        let payload = place.payload("");
        hook = if place.kind == PayloadKind::Json {
            hook.with_json(payload.as_str())
        } else {
            hook.with_xml(payload.as_str())
        };
        if let Err(failure) = (place.hook.run)(&mut hook) {
            let said = failure.message();
            assert!(place.properties.iter().any(|p| said.contains(&p.name)), "{place:?}: {said}");
            let after = if place.kind == PayloadKind::Json { hook.json_text() } else { hook.xml_text() };
            assert!(place.kind == PayloadKind::None || after == payload, "{place:?}");
        }
    }
}
