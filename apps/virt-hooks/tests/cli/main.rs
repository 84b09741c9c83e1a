// SPDX-License-Identifier: Apache-2.0
//! The command from outside: arguments, files and environment in; exit code, streams and files out.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod bad_input;
mod case;
mod check;
mod conflicts;
mod convert;
mod dry_run;
mod fire;
mod history;
mod interrupted;
mod libvirt_hook;
mod list;
mod new;
mod output;
mod package;
mod points;
mod shelf;
mod surroundings;
mod test;
mod r#try;
mod view;
mod vm;
