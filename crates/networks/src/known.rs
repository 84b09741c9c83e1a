// SPDX-License-Identifier: Apache-2.0
//! What was set up before, and what a request makes of it.

use crate::request::{Bond, Ipv4, Network, Options, Request, Wanted};
use std::collections::BTreeMap;

/// What virt-hooks set up before: networks and bonds as they were asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Known {
    pub(crate) networks: BTreeMap<String, Network>,
    pub(crate) bondings: BTreeMap<String, Bond>,
}

impl Known {
    /// With a request carried out.
    pub(crate) fn after(&self, request: &Request) -> Self {
        let mut after = self.clone();
        merge(&mut after.networks, &request.networks);
        merge(&mut after.bondings, &request.bondings);
        after
    }

    /// The request that leads from what `request` made back to this.
    pub(crate) fn undo(&self, request: &Request) -> Request {
        Request {
            networks: reverse(&request.networks, &self.networks),
            bondings: reverse(&request.bondings, &self.bondings),
            options: Options::of_rollback(),
        }
    }

    /// Adds to a request what follows from it: the network that loses the default route (VDSM sequence 4.20).
    pub(crate) fn complete(&self, request: &mut Request) {
        let takes = |w: &Wanted<Network>| w.set().is_some_and(|n| n.default_route);
        if !request.networks.values().any(takes) {
            return;
        }
        for (name, network) in self.networks.iter().filter(|(_, n)| n.default_route) {
            if !request.networks.contains_key(name) {
                let mut network = network.clone();
                network.default_route = false;
                network.nameservers.clear();
                network.ipv6_gateway = None;
                if let Ipv4::Static { gateway, .. } = &mut network.ipv4 {
                    *gateway = None;
                }
                request.networks.insert(name.clone(), Wanted::Set(network));
            }
        }
    }
}

fn merge<T: Clone>(known: &mut BTreeMap<String, T>, wanted: &BTreeMap<String, Wanted<T>>) {
    for (name, wanted) in wanted {
        match wanted {
            Wanted::Set(thing) => known.insert(name.clone(), thing.clone()),
            Wanted::Remove(_) => known.remove(name),
        };
    }
}

fn reverse<T: Clone>(
    wanted: &BTreeMap<String, Wanted<T>>,
    known: &BTreeMap<String, T>,
) -> BTreeMap<String, Wanted<T>> {
    let back = |name: &String| match known.get(name) {
        Some(thing) => Wanted::Set(thing.clone()),
        None => Wanted::Remove(serde_json::Map::new()),
    };
    wanted.keys().map(|name| (name.clone(), back(name))).collect()
}
