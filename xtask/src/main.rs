// SPDX-License-Identifier: Apache-2.0
//! `cargo xtask`: see `cargo xtask --help`.
#![forbid(unsafe_code)]

use clap::{Args, Parser, Subcommand};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use virt_hooks_contract::Catalogue;
use xtask::install::Installation;
use xtask::packages::Packaging;
use xtask::{Error, Target, completions, generated, image, install, man, packages};

/// What is derived from the sources.
#[derive(Parser)]
#[command(name = "cargo xtask", disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Write the man pages
    Man {
        /// Directory to write to
        outdir: PathBuf,
    },
    /// Write completions for bash, zsh and fish
    Completions {
        /// Directory to write to
        outdir: PathBuf,
    },
    /// Write the generated chapters of docs/book and docs/schema: the same as generated --write
    Book,
    /// Compare the committed generated files with their sources, or write them
    Generated(Generated),
    /// Put everything into its place; "make install" builds first
    Install(Install),
    /// Make packages of everything; "make packages" builds first
    Packages(Packages),
    /// Lay out what goes into the image for a cluster; packaging/kubevirt/build.sh builds first
    Image(Image),
}

#[derive(Args)]
#[group(required = true)]
struct Generated {
    /// Fail where one is out of date
    #[arg(long)]
    check: bool,
    /// Write them
    #[arg(long)]
    write: bool,
}

#[derive(Args)]
struct Install {
    /// Put in front of every path, for packagers; empty for this host
    #[arg(long, default_value = "")]
    destdir: OsString,
    /// Where it will be run from
    #[arg(long, default_value = "/usr")]
    prefix: PathBuf,
    /// Directory with the executables; may be repeated, the first that has one counts
    #[arg(long = "bin-dir", required = true)]
    bin_dirs: Vec<PathBuf>,
}

#[derive(Args)]
struct Packages {
    /// Directory to write to
    #[arg(long, default_value = "target/packages")]
    out: PathBuf,
    /// Sign with this key of gpg
    #[arg(long)]
    sign: Option<String>,
    /// Directory with the executables; may be repeated, the first that has one counts
    #[arg(long = "bin-dir", required = true)]
    bin_dirs: Vec<PathBuf>,
    /// Seconds since 1970: the time of everything inside
    #[arg(long)]
    epoch: u32,
}

#[derive(Args)]
struct Image {
    /// Directory to write to
    #[arg(long, default_value = "target/kubevirt-image")]
    out: PathBuf,
    /// Directory with the executables; may be repeated, the first that has one counts
    #[arg(long = "bin-dir", required = true)]
    bin_dirs: Vec<PathBuf>,
}

fn main() -> ExitCode {
    match run(Cli::parse().task) {
        Ok(said) => {
            print(&said);
            ExitCode::SUCCESS
        }
        Err(e) => {
            complain(&e);
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<String, Error> {
    let catalogue = Catalogue::built_in();
    let into = |outdir: &Path| Target::new(outdir, Path::new(""));
    match task {
        Task::Man { outdir } => {
            let mut target = into(&outdir)?;
            for page in man::pages(&catalogue, Path::new("/usr")) {
                target.file(Path::new(&page.file), page.text.as_bytes(), 0o644)?;
            }
            Ok(target.summary())
        }
        Task::Completions { outdir } => {
            let mut target = into(&outdir)?;
            for completion in completions::all(&catalogue) {
                target.file(Path::new(&completion.file), completion.text.as_bytes(), 0o644)?;
            }
            Ok(target.summary())
        }
        Task::Book | Task::Generated(Generated { write: true, .. }) => generated::write(),
        Task::Generated(_) => generated::check().map(|()| "generated files are up to date\n".to_owned()),
        Task::Install(i) => install::install(
            &Installation { destdir: Path::new(&i.destdir), prefix: &i.prefix, bin_dirs: &i.bin_dirs },
            &catalogue,
        ),
        Task::Image(i) => image::lay_out(&i.out, &i.bin_dirs),
        Task::Packages(p) => packages::packages(
            &Packaging { out: &p.out, bin_dirs: &p.bin_dirs, time: p.epoch, sign: p.sign.as_deref() },
            &catalogue,
        ),
    }
}

#[expect(clippy::print_stdout, reason = "this is where a program speaks")]
fn print(said: &str) {
    print!("{said}");
}

#[expect(clippy::print_stderr, reason = "this is where a program speaks")]
fn complain(e: &Error) {
    eprintln!("xtask: {e}");
}
