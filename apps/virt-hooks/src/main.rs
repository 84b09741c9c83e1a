// SPDX-License-Identifier: Apache-2.0
//! The `virt-hooks` command.

use std::process::ExitCode;
use virt_hooks::{Environ, Streams};

// musl's own maps and unmaps pages for nearly every value of a page and more: a third of the time of one event.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

fn main() -> ExitCode {
    let environ = Environ::of_process();
    ExitCode::from(virt_hooks::run(&environ, &mut Streams::of_process(&environ)))
}
