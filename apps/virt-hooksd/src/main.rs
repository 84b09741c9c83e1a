// SPDX-License-Identifier: Apache-2.0
//! The `virt-hooksd` command.

use std::process::ExitCode;
use virt_hooks::{Environ, Streams, conclude};

fn main() -> ExitCode {
    let environ = Environ::of_process();
    let mut streams = Streams::of_process(&environ);
    let done = virt_hooksd::run(&environ, &mut streams);
    ExitCode::from(conclude(done, &mut streams))
}
