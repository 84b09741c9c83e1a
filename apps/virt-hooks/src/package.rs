// SPDX-License-Identifier: Apache-2.0
//! `package`: an rpm, deb or tar file of a hook.

use crate::cli::{Locations, Package, PackageFormat};
use crate::environ::Environ;
use crate::failure::Failure;
use crate::streams::Streams;
use virt_hooks_contract::{Catalogue, exit};
use virt_hooks_package::build::{BuildError, Format, Parcel, layout, source_time, write};
use virt_hooks_package::sudoers::{self, Looked};

pub(crate) fn run(
    package: &Package,
    locations: &Locations,
    environ: &Environ,
    streams: &mut Streams<'_>,
) -> Result<u8, Failure> {
    let format = match package.format {
        PackageFormat::Rpm => Format::Rpm,
        PackageFormat::Deb => Format::Deb,
        PackageFormat::Tar => Format::Tar,
    };
    let rust = if package.bundled { layout::RustHooks::Bundled } else { layout::RustHooks::Refused };
    let hook = layout::Package::open(&package.dir)?;
    // A package may bring its hook point along, and packages are made on hosts of all kinds.
    let catalogue = locations.host(environ).map_or_else(|_| Catalogue::built_in(), |host| host.catalogue);
    for wrong in hook.manifest.against(&catalogue) {
        streams.warn(&format!("{}: {wrong}", hook.manifest.name));
    }
    let time = source_time(environ.variable("SOURCE_DATE_EPOCH").as_deref(), &hook, rust)?;
    let parcel = Parcel::of(&hook, rust, time)?;
    if sudoers::look(&parcel.items, None)? == Looked::WithoutVisudo {
        streams.warn("visudo is not installed: of the rules for sudo only name and mode were looked at");
    }
    let written = write(&parcel, format, &package.out, package.sign.as_deref())?;
    streams.print(format!("{}\n", written.package.display()).as_bytes())?;
    if let Some(signature) = written.signature {
        streams.print(format!("{}\n", signature.display()).as_bytes())?;
    }
    Ok(exit::command::PROCEED)
}

impl From<BuildError> for Failure {
    fn from(e: BuildError) -> Self {
        match e {
            BuildError::Epoch(_) => Self::usage(e.to_string()),
            _ => Self::unusable(e.to_string()),
        }
    }
}
