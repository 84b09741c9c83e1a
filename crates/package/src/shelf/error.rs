// SPDX-License-Identifier: Apache-2.0
//! Why the packages of a host could not be changed.

use crate::build::BuildError;
use std::io;
use std::path::{Path, PathBuf};

/// Why packages could not be installed, removed or looked at. Each is one line.
#[derive(Debug, thiserror::Error)]
pub enum ShelfError {
    /// A file or directory could not be looked at, read, made or written.
    #[error("{operation} {}: {source}", path.display())]
    File {
        /// Which of these.
        operation: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The package itself is not in order.
    #[error(transparent)]
    Package(#[from] BuildError),
    /// What was given is no package.
    #[error("{}: {what}", path.display())]
    NotAPackage {
        /// What was given.
        path: PathBuf,
        /// Why it is none, and what to do.
        what: String,
    },
    /// What was named as a root is none.
    #[error("--root {}: {source}: give the directory of an image, or make one to try things in", path.display())]
    Root {
        /// What was named.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A place leads out of the root by a link.
    #[error("{} leads out of {} by a link: nothing was changed", path.display(), root.display())]
    Escapes {
        /// The place.
        path: PathBuf,
        /// The root.
        root: PathBuf,
    },
    /// A file is there that is not the package's.
    #[error("{} is there already and belongs to {owner}: nothing was changed", path.display())]
    Taken {
        /// The file.
        path: PathBuf,
        /// Whose it is, as far as is known.
        owner: String,
    },
    /// Two packages exclude each other.
    #[error("{package} and {other} exclude each other: remove {other} first")]
    Conflict {
        /// The one to be installed.
        package: String,
        /// The one that is there.
        other: String,
    },
    /// There is no such package.
    #[error("no package \"{name}\" is installed{meant}; \"virt-hooks list\" shows what is")]
    Unknown {
        /// What was asked for.
        name: String,
        /// The one probably meant.
        meant: String,
    },
    /// The package that is installed is another of the same name, or was installed by other means.
    #[error("{package} is installed already, and not as this one: {advice}")]
    Foreign {
        /// The package.
        package: String,
        /// What to use instead.
        advice: String,
    },
    /// An administrator's file is in the way of a mask.
    #[error("{}: {what}", path.display())]
    InTheWay {
        /// The file.
        path: PathBuf,
        /// What it is, and what to do.
        what: String,
    },
    /// Nothing was changed in the end, but units were stopped before that and do not run again.
    #[error("{source}; and units that were stopped for it do not run again: systemctl enable --now {units}")]
    UnitsDown {
        /// Which, with a space between them.
        units: String,
        /// Why nothing was changed.
        source: Box<ShelfError>,
    },
    /// Another process is changing packages.
    #[error("another virt-hooks is changing the packages below {}: wait for its end and try again", .0.display())]
    Busy(PathBuf),
    /// A record cannot be understood.
    #[error("{}: {what}: install the package again", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
}

impl ShelfError {
    /// For `map_err`: which file, and what was to be done with it.
    pub(super) fn file<'a>(operation: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Self + 'a {
        move |source| Self::File { operation, path: path.to_owned(), source }
    }
}
