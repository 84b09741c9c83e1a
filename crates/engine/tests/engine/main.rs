// SPDX-License-Identifier: Apache-2.0
//! The engine against real hooks: the rules of VDSM's contract and its defect register (E01-E25).
#![allow(clippy::unwrap_used, reason = "a test may")]

mod bench_bed;
mod concurrency;
mod discovery;
mod environment;
mod errors;
mod flags;
mod installed;
mod packages;
mod payload;
mod register;
mod secrets;
mod spawning;
