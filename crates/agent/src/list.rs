// SPDX-License-Identifier: Apache-2.0
//! The VMs of a host.

use crate::driver::Driver;
use crate::error::Error;
use serde::{Deserialize, Serialize};

/// A VM of a host.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// Its UUID.
    pub uuid: String,
    /// Its state, as virsh words it.
    pub state: String,
    /// Whether its definition is stored.
    pub persistent: bool,
}

impl Driver {
    /// All VMs, running or not, by name.
    ///
    /// # Errors
    /// libvirt does not answer.
    pub fn list(&self) -> Result<Vec<Listed>, Error> {
        let mut vms: Vec<Listed> = self
            .connection
            .list()
            .map_err(Error::Unreachable)?
            .into_iter()
            .map(|d| Listed {
                name: d.name,
                uuid: d.uuid,
                state: d.state.state.name().to_owned(),
                persistent: d.persistent,
            })
            .collect();
        vms.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(vms)
    }
}
