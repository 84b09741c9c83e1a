// SPDX-License-Identifier: Apache-2.0
//! The data of cloud-init, before KubeVirt makes an image of it.

use super::cancel::Cancel;
use super::driver::{CLOUD_INIT, Driver, Firing};
use super::refusal::Refusal;
use super::vmi::Vmi;
use virt_hooks_engine::{Check, Vm};

/// Both forms of the data, as JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CloudInit {
    /// The older form, used where the other holds no user data.
    pub no_cloud: Vec<u8>,
    /// The form that counts.
    pub data: Vec<u8>,
}

impl CloudInit {
    /// KubeVirt decodes both forms, and fails on no bytes at all.
    fn decodable(mut self) -> Self {
        for form in [&mut self.no_cloud, &mut self.data] {
            if form.is_empty() {
                *form = b"{}".to_vec();
            }
        }
        self
    }

    fn check(&self) -> Result<(), Refusal> {
        for (name, form) in [("cloudInitNoCloudSource", &self.no_cloud), ("cloudInitData", &self.data)] {
            if !form.is_empty() {
                serde_json::from_slice::<serde::de::IgnoredAny>(form)
                    .map_err(|e| Refusal::Malformed(format!("{name}: not JSON: {e}")))?;
            }
        }
        Ok(())
    }
}

impl Driver {
    /// Whether KubeVirt should ask: only where an administrator wants it, as it fails for VMs without
    /// cloud-init once anybody asks to be asked (KubeVirt 1.9).
    ///
    /// # Errors
    /// The hooks' directory cannot be listed.
    pub fn has_cloud_init_hooks(&self) -> Result<bool, Refusal> {
        Ok(self.cloud_init
            && (self.shim.as_ref().is_some_and(|s| !s.cloud_init.is_empty())
                || self.has_hooks(&self.point(CLOUD_INIT))?))
    }

    /// The data with the edits of all hooks; both forms always hold JSON. `vmi` is read only where hooks run.
    ///
    /// # Errors
    /// What was given is no JSON, a hook refuses, or the time is over.
    pub fn pre_cloud_init_iso(
        &self,
        mut given: CloudInit,
        vmi: Result<Vmi, Refusal>,
        cancel: &Cancel,
    ) -> Result<CloudInit, Refusal> {
        given.check()?;
        let older = given.data.is_empty();
        let payload = if older { &given.no_cloud } else { &given.data };
        if payload.is_empty() || !self.has_cloud_init_hooks()? {
            return Ok(given.decodable());
        }
        let vmi = vmi?;
        let vm = Vm {
            id: vmi.firmware_uuid().unwrap_or(vmi.uid()).to_owned(),
            name: Some(vmi.domain_name()),
            properties: self.properties(&vmi)?.vm,
        };
        let point = self.point(CLOUD_INIT);
        let firing = Firing {
            point: &point,
            payload: payload.clone().into(),
            vm: &vm,
            device: None,
            reason: "boot",
            check: Check::Full,
        };
        let mut left = self.fire(firing, cancel)?.bytes().to_vec();
        if let Some(shim) = &self.shim {
            left = shim.pre_cloud_init_iso(left, vmi.json(), &vm, self.engine.settings(), cancel)?;
        }
        if older {
            given.no_cloud = left;
        } else {
            given.data = left;
        }
        Ok(given.decodable())
    }
}
