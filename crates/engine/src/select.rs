// SPDX-License-Identifier: Apache-2.0
//! What packages say about one event: which of its hooks are meant, and which values of properties are not allowed.

use crate::discover::{Chain, Hook, SkipReason, Skipped};
use crate::event::{CustomProperties, Event};
use crate::packages::Package;
use std::collections::BTreeMap;
use std::sync::Arc;
use virt_hooks_contract::{MetadataMatch, PayloadKind, Scope};
use virt_hooks_domxml::Document;

/// Leaves out the hooks whose packages do not mean this event.
pub(crate) fn select(event: &Event<'_>, chain: Chain) -> Chain {
    let mut domain = Domain::Unread;
    let (mut hooks, mut skipped) = (Vec::with_capacity(chain.hooks.len()), chain.skipped);
    for hook in chain.hooks {
        match reason_to_skip(event, &hook, &mut domain) {
            None => hooks.push(hook),
            Some(why) => skipped.push(Skipped { path: hook.path, reason: SkipReason::NotMeant(why) }),
        }
    }
    Chain { hooks, skipped, problems: chain.problems }
}

fn reason_to_skip(event: &Event<'_>, hook: &Hook, domain: &mut Domain) -> Option<String> {
    let package = &hook.package.as_ref()?.package;
    let condition = package.condition.as_ref()?;
    let when = &condition.when;
    if !when.property.is_empty() && !when.property.iter().any(|name| is_set(event, name)) {
        return Some(format!("its package runs it only with property {}", when.property.join(" or ")));
    }
    if let Some(pattern) = &when.name {
        let name = event.vm.and_then(|vm| vm.name.as_deref());
        // An event without a VM's name cannot be judged by it.
        if name.is_some_and(|name| !condition.allows_name(name)) {
            return Some(format!("its package runs it only for VMs called {pattern}"));
        }
    }
    if !when.metadata.is_empty()
        && !domain.of(event).is_none_or(|doc| when.metadata.iter().any(|m| holds(doc, m)))
    {
        let wanted: Vec<&str> = when.metadata.iter().map(|m| m.element.as_str()).collect();
        return Some(format!("its package runs it only with metadata {}", wanted.join(" or ")));
    }
    None
}

/// The payload as a domain, read when it is first asked for.
enum Domain {
    Unread,
    Read(Option<Box<Document>>),
}

impl Domain {
    fn of(&mut self, event: &Event<'_>) -> Option<&Document> {
        if let Self::Unread = self {
            let doc = (event.point.payload == PayloadKind::Xml)
                .then(|| Document::parse(event.payload.bytes().to_vec()).ok())
                .flatten()
                .filter(|doc| doc.local_name(doc.root()) == "domain");
            *self = Self::Read(doc.map(Box::new));
        }
        match self {
            Self::Read(doc) => doc.as_deref(),
            Self::Unread => None,
        }
    }
}

fn holds(doc: &Document, wanted: &MetadataMatch) -> bool {
    let Some(metadata) = doc.child(doc.root(), "metadata") else { return false };
    doc.descendants(metadata).any(|e| {
        doc.is_in(e, &wanted.namespace, &wanted.element)
            && wanted.text.as_ref().is_none_or(|text| doc.text(e).trim() == text.trim())
    })
}

fn is_set(event: &Event<'_>, name: &str) -> bool {
    let vm = event.vm.and_then(|vm| value(&vm.properties, name));
    vm.or_else(|| event.parameters.and_then(|p| value(p, name))).is_some()
}

/// The last one set counts, as in the environment.
fn value<'a>(properties: &'a CustomProperties, name: &str) -> Option<&'a [u8]> {
    properties.iter().filter(|(n, _)| *n == name.as_bytes()).map(|(_, v)| v).last()
}

/// The packages of these hooks, each once.
pub(crate) fn packages_of(hooks: &[Hook]) -> Vec<Arc<Package>> {
    let mut all: BTreeMap<&str, &Arc<Package>> = BTreeMap::new();
    for described in hooks.iter().filter_map(|h| h.package.as_ref()) {
        all.insert(described.package.name(), &described.package);
    }
    all.into_values().cloned().collect()
}

/// What is wrong with the properties of this event by what the packages declare, in a line each.
pub(crate) fn objections(event: &Event<'_>, packages: &[Arc<Package>]) -> Vec<String> {
    let mut all = Vec::new();
    for package in packages {
        for property in &package.manifest.property {
            let set = match property.scope {
                Scope::Vm => event.vm.and_then(|vm| value(&vm.properties, &property.name)),
                Scope::Device => event.parameters.and_then(|p| value(p, &property.name)),
                // They are inside the request, where only the hooks look.
                Scope::Network => None,
            };
            all.extend(set.and_then(|value| package.objection(&property.name, value)));
        }
    }
    all.dedup();
    all
}

/// What the packages' hooks find where a property is not set.
pub(crate) fn defaults(event: &Event<'_>, packages: &[Arc<Package>]) -> CustomProperties {
    let declared = packages.iter().flat_map(|p| &p.manifest.property);
    declared
        .filter(|p| match p.scope {
            Scope::Vm => event.vm.is_some(),
            Scope::Device => event.parameters.is_some(),
            Scope::Network => false,
        })
        .filter_map(|p| Some((p.name.clone(), p.default.clone()?)))
        .collect()
}
