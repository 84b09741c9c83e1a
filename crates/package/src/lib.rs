// SPDX-License-Identifier: Apache-2.0
//! What is done with hooks before they run: [`doctor`] looks at those installed on a host and explains why one does
//! not run, or will fail when it does; [`build`] lays out hook packages and makes rpm, deb and tar files of them;
//! [`convert`] takes the properties of a VM from oVirt to KubeVirt.
#![forbid(unsafe_code)]

pub mod build;
pub mod convert;
pub mod doctor;
