// SPDX-License-Identifier: Apache-2.0
//! What is done with hooks before they run: [`new`] makes them, [`check`] looks at one as its author has it,
//! [`try_hook`] runs one on a copy, [`cases`] tests it, [`build`] lays packages out and makes rpm, deb and tar files of
//! them, and [`doctor`] looks at those installed on a host and explains why one does not run, or will fail when it does.
//! [`shelf`] puts packages on a host and takes them away; [`libvirt_script`] has libvirt call us;
//! [`convert`] takes the properties of a VM from oVirt to KubeVirt.
#![forbid(unsafe_code)]

pub mod author;
pub mod build;
pub mod cases;
pub mod check;
pub mod conflicts;
pub mod convert;
pub mod doctor;
pub mod libvirt_script;
pub mod new;
pub mod samples;
pub mod shelf;
pub mod stage;
pub mod sudoers;
mod tool;
pub mod try_hook;
