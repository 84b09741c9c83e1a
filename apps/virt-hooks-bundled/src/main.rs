// SPDX-License-Identifier: Apache-2.0
//! All bundled hooks in one executable.
//!
//! Which one runs follows from the name it is called by: `<point>/<file>`, as hooks are installed. Called by its
//! own name it takes both as arguments: `virt-hooks-bundled run POINT FILE`, or `list`.
#![forbid(unsafe_code)]

#[cfg(test)]
mod grammars;
mod shared;

use std::ffi::OsStr;
use std::path::Path;
use std::process::ExitCode;
use virt_hooks_sdk::{Context, Failure};

include!(concat!(env!("OUT_DIR"), "/registry.rs"));

// musl's own maps and unmaps pages for nearly every value of a page and more.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

/// A hook at a hook point.
struct Hook {
    package: &'static str,
    point: &'static str,
    file: &'static str,
    run: fn(&mut Context) -> Result<(), Failure>,
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a program's edge")]
fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    let called = arguments.next().unwrap_or_default();
    let called = Path::new(&called);
    let file = called.file_name().unwrap_or_default().to_owned();
    let (point, file) = if file == "virt-hooks-bundled" {
        let words: Vec<_> = arguments.collect();
        match words.as_slice() {
            [verb, point, file] if verb == "run" => (Some(point.clone()), file.clone()),
            [verb] if verb == "list" => {
                for hook in HOOKS {
                    println!("{}\t{}\t{}", hook.package, hook.point, hook.file);
                }
                return ExitCode::SUCCESS;
            }
            _ => {
                eprintln!("virt-hooks-bundled: usage: virt-hooks-bundled list | run POINT FILE");
                return ExitCode::from(2);
            }
        }
    } else {
        let directory = called.parent().and_then(Path::file_name).map(OsStr::to_owned);
        (directory.or_else(|| std::env::var_os("_hook_point")), file)
    };
    // A link with another number is the same hook.
    let bare = |name: &OsStr| {
        let name = name.to_string_lossy().into_owned();
        name.split_once('_')
            .filter(|(n, _)| n.bytes().all(|b| b.is_ascii_digit()))
            .map_or(name.clone(), |(_, n)| n.to_owned())
    };
    let found = HOOKS
        .iter()
        .find(|h| point.as_deref() == Some(OsStr::new(h.point)) && bare(OsStr::new(h.file)) == bare(&file));
    match found {
        Some(hook) => virt_hooks_sdk::run(hook.run),
        None => {
            let point = point.unwrap_or_default();
            eprintln!(
                "no bundled hook \"{}\" at \"{}\": \"virt-hooks-bundled list\" shows all",
                file.display(),
                point.display()
            );
            ExitCode::from(2)
        }
    }
}
