// SPDX-License-Identifier: Apache-2.0
//! What hooks look for in a libvirt domain.

use crate::{Document, EditError, Element, Fragment, NewElement};

/// Namespace of `qemu:commandline` and its kin.
pub const QEMU_NAMESPACE: &str = "http://libvirt.org/schemas/domain/qemu/1.0";

/// Namespace of the metadata that oVirt puts into a domain.
pub const OVIRT_VM_NAMESPACE: &str = "http://ovirt.org/vm/1.0";

impl Document {
    /// The devices of one kind (`disk`, `interface`, …) of a domain, in order.
    pub fn devices(&self, kind: &str) -> Vec<Element> {
        let all = self.find_all("devices").into_iter().flat_map(|devices| self.children(devices));
        all.filter(|&device| self.name(device) == kind).collect()
    }

    /// The device with this alias (`ua-…`, `net0`).
    pub fn device_by_alias(&self, alias: &str) -> Option<Element> {
        let mut all = self.find_all("devices").into_iter().flat_map(|devices| self.children(devices));
        all.find(|&device| self.child(device, "alias").is_some_and(|a| self.has(a, "name", alias)))
    }

    /// The network interface with this MAC address; letter case does not matter.
    pub fn interface_by_mac(&self, mac: &str) -> Option<Element> {
        self.devices("interface").into_iter().find(|&interface| {
            let found = self.child(interface, "mac").and_then(|m| self.attribute(m, "address"));
            found.is_some_and(|address| address.eq_ignore_ascii_case(mac))
        })
    }

    /// Adds a device at the end of `devices`, which is added too if the domain has none.
    ///
    /// # Errors
    /// [`EditError`] if the fragment is not one well-formed element.
    pub fn append_device<'f>(&mut self, device: impl Into<Fragment<'f>>) -> Result<Element, EditError> {
        let devices = self.ensure("devices")?;
        self.append(devices, device)
    }

    /// Adds arguments to the command line of QEMU: to the domain's first `commandline` element
    /// in QEMU's namespace, or to a new one at the end of the root. Declares the namespace on the
    /// root, where libvirt looks for it.
    ///
    /// # Errors
    /// [`EditError`] if an argument holds a character that XML cannot.
    ///
    /// # Examples
    /// ```
    /// let mut domain = virt_hooks_domxml::Document::parse("<domain/>")?;
    /// domain.append_qemu_arguments(&["-snapshot"])?;
    /// assert_eq!(
    ///     domain.as_str(),
    ///     "<domain xmlns:qemu=\"http://libvirt.org/schemas/domain/qemu/1.0\">\
    ///      <qemu:commandline><qemu:arg value=\"-snapshot\"/></qemu:commandline></domain>"
    /// );
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn append_qemu_arguments(&mut self, arguments: &[impl AsRef<str>]) -> Result<Element, EditError> {
        for argument in arguments {
            crate::fragment::check_characters("qemu:arg", argument.as_ref())?;
        }
        let prefix = self.declare_namespace("qemu", QEMU_NAMESPACE)?;
        let commandline = match self.child_in(self.root(), QEMU_NAMESPACE, "commandline") {
            Some(found) => found,
            None => self.append(self.root(), NewElement::new(format!("{prefix}:commandline")))?,
        };
        for argument in arguments {
            let arg = NewElement::new(format!("{prefix}:arg")).attribute("value", argument.as_ref());
            self.append(commandline, arg)?;
        }
        Ok(commandline)
    }
}
