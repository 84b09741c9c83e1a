// SPDX-License-Identifier: Apache-2.0
//! The `virt-hooks` command.

use std::process::ExitCode;
use virt_hooks::{Environ, Streams};

fn main() -> ExitCode {
    let environ = Environ::of_process();
    ExitCode::from(virt_hooks::run(&environ, &mut Streams::of_process(&environ)))
}
