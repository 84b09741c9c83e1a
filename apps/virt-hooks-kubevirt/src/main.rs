// SPDX-License-Identifier: Apache-2.0
//! The `virt-hooks-kubevirt` command.

use std::process::ExitCode;

// musl's own maps and unmaps pages for nearly every value of a page and more.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

fn main() -> ExitCode {
    ExitCode::from(virt_hooks_kubevirt::run(&virt_hooks::Environ::of_process()))
}
