// SPDX-License-Identifier: Apache-2.0
//! A hook point: a named moment of a VM's or a host's life.

use serde::Serialize;
use std::borrow::Cow;
use std::time::Duration;

/// A hook point and everything that is fixed about it.
///
/// Source: VDSM's hook points at commit fd4b0df20; `deadline` is virt-hooks' own, VDSM has none.
#[derive(Clone, Debug, Serialize)]
pub struct Point {
    /// The name, which is also the name of its directory.
    pub name: Cow<'static, str>,
    /// One line that says what a hook can do here.
    pub summary: Cow<'static, str>,
    /// The operation that raises it.
    pub operation: Cow<'static, str>,
    /// Where in that operation it stands.
    pub when: Cow<'static, str>,
    /// What one event of it is about.
    pub subject: Subject,
    /// The kind of document hooks get.
    pub payload: PayloadKind,
    /// What the document holds.
    pub content: Cow<'static, str>,
    /// An event without a document is an ordinary case: hooks then find an empty file.
    pub may_be_empty: bool,
    /// The document when a caller gives none; empty where there is no natural one.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub default_payload: Cow<'static, str>,
    /// A hook must leave the domain's UUID as it was.
    pub same_uuid: bool,
    /// What a failing hook does to the operation.
    pub failure: Failure,
    /// Whether the document is acted upon after the chain.
    pub output: Output,
    /// Who hooks run as.
    pub user: User,
    /// Which custom properties hooks find in their environment.
    pub properties: Properties,
    /// How long one hook may take, unless configured otherwise.
    #[serde(serialize_with = "crate::units::serialize_duration")]
    pub deadline: Duration,
    /// When the point appeared in VDSM, as year-month; empty for a point of the host.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub since: Cow<'static, str>,
    /// Variables only this point has.
    pub variables: Cow<'static, [Variable]>,
    /// What an author should know.
    pub notes: Cow<'static, [Cow<'static, str>]>,
    /// Who defined the point.
    pub origin: Origin,
}

/// An environment variable that only some points have.
#[derive(Clone, Debug, Serialize)]
pub struct Variable {
    /// Its name.
    pub name: Cow<'static, str>,
    /// What its value says.
    pub meaning: Cow<'static, str>,
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(rename_all = "lowercase")]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            /// The word used for it in files and on terminals.
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.word())
            }
        }
    };
}

words! {
    /// What an event is about.
    Subject {
        /// A virtual machine.
        Vm = "vm",
        /// One device of a virtual machine.
        Device = "device",
        /// The host.
        Host = "host",
    }
}
words! {
    /// The kind of document hooks read and may edit.
    PayloadKind {
        /// A domain or device element, in the file named by `_hook_domxml`.
        Xml = "xml",
        /// A JSON document, in the file named by `_hook_json`.
        Json = "json",
        /// Nothing; `_hook_domxml` names an empty file, as under VDSM.
        None = "none",
    }
}
words! {
    /// What a failing hook does to the operation.
    Failure {
        /// The operation does not happen.
        Veto = "veto",
        /// The failure is reported and the operation goes on.
        Advisory = "advisory",
    }
}
words! {
    /// Whether the document is acted upon after the chain.
    Output {
        /// The driver uses the document as the hooks left it.
        Used = "used",
        /// Edits are without effect.
        Ignored = "ignored",
    }
}
words! {
    /// Who hooks run as.
    User {
        /// The unprivileged user of the agent (VDSM: `vdsm`).
        Agent = "agent",
        /// The superuser.
        Root = "root",
    }
}
words! {
    /// Which custom properties hooks find in their environment.
    Properties {
        /// None.
        None = "none",
        /// Those of the VM.
        Vm = "vm",
        /// Those of the device and of the VM; the VM's win.
        Device = "device",
    }
}
words! {
    /// Who defined a point.
    Origin {
        /// One of VDSM's, built in.
        Vdsm = "vdsm",
        /// Added on this host by a file in `points.d`.
        Host = "host",
    }
}

impl Point {
    /// The side of a migration that the point is fired on, for `_hook_role`; `None` for all other points.
    pub fn role(&self) -> Option<&'static str> {
        match &*self.name {
            name if name.ends_with("migrate_destination") => Some("destination"),
            name if name.ends_with("migrate_source") => Some("source"),
            _ => None,
        }
    }

    /// A point that stands in no table: a directory somebody made, or a name given on a command line.
    pub fn unknown(name: &str) -> Self {
        Self {
            name: name.to_owned().into(),
            summary: "".into(),
            operation: "".into(),
            when: "".into(),
            subject: Subject::Vm,
            payload: PayloadKind::Xml,
            content: "".into(),
            may_be_empty: true,
            default_payload: "".into(),
            same_uuid: false,
            failure: if name.starts_with("before_") { Failure::Veto } else { Failure::Advisory },
            output: Output::Used,
            user: User::Agent,
            properties: Properties::Device,
            deadline: Duration::from_secs(120),
            since: "".into(),
            variables: Cow::Borrowed(&[]),
            notes: Cow::Borrowed(&[]),
            origin: Origin::Host,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_points_of_a_migration_have_a_side() {
        let table = crate::Catalogue::built_in();
        let of = |role| table.iter().filter(|p| p.role() == Some(role)).count();
        assert_eq!((of("source"), of("destination")), (4, 4));
        assert_eq!(Point::unknown("before_vm_start").role(), None);
    }
}
