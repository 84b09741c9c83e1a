// SPDX-License-Identifier: Apache-2.0
//! The `virt-hooks` command: its grammar, its verbs, what it prints.
//!
//! One file per verb. The executable with the verbs of `vm`, which loads libvirt, uses the grammar, the
//! people's view and the handling of payloads and results from here.
#![forbid(unsafe_code)]

mod check;
pub mod cli;
mod conflicts;
mod convert;
pub mod destination;
mod diff;
mod doctor;
mod dry_run;
mod environ;
mod failure;
mod fire;
pub mod history;
mod info;
mod interrupt;
mod libvirt_hook;
mod list;
mod mask;
mod new;
pub mod operation;
mod order;
mod package;
pub mod payload;
mod points;
mod properties;
pub mod render;
mod screen;
mod setup_networks;
mod shelf;
mod streams;
mod test;
mod r#try;
mod vm;

pub use environ::Environ;
pub use failure::Failure;
pub use interrupt::Interrupt;
pub use screen::Screen;
pub use streams::{Look, Streams};

use cli::{Command, Host as AboutHost, HostCommand, Locations, Parsed};
use virt_hooks_contract::exit;
use virt_hooks_engine::{Host, HostError, Overrides};

/// The grammar, from which man pages and completions are made.
pub fn command() -> clap::Command {
    <cli::Cli as clap::CommandFactory>::command()
}

/// Runs the command and says how it ended: an exit code.
pub fn run(environ: &Environ, streams: &mut Streams<'_>) -> u8 {
    // Called as libvirt's hook script: a VM may have any name, so its words are no command line.
    if let [program, words @ ..] = environ.arguments()
        && let Some(driver) = libvirt_hook::Call::driver_of(program)
        && let Some(call) = libvirt_hook::Call::new(&driver, words)
    {
        return libvirt_hook::answer(&call, &Locations::default(), environ, streams);
    }
    let done = match cli::parse(environ.arguments()) {
        Ok(Parsed::Print(text)) => streams.print(text.as_bytes()).map(|()| exit::command::PROCEED),
        Ok(Parsed::Run(cli)) => match &cli.command {
            Command::Fire(fire) => fire::run(fire, &cli.locations, environ, streams),
            Command::Points(points) => points::run(points, &cli.locations, environ, streams),
            Command::List(list) => list::run(list, &cli.locations, environ, streams),
            Command::History(history) => history::run(history, &cli.locations, environ, streams),
            Command::Doctor(doctor) => doctor::run(doctor, &cli.locations, environ, streams),
            Command::New(new) => new::run(new, &cli.locations, environ, streams),
            Command::Check(check) => check::run(check, &cli.locations, environ, streams),
            Command::Try(it) => r#try::run(it, &cli.locations, environ, streams),
            Command::Test(test) => test::run(test, &cli.locations, environ, streams),
            Command::Package(package) => package::run(package, &cli.locations, environ, streams),
            Command::Install(install) => shelf::install(install, &cli.locations, environ, streams),
            Command::Remove(remove) => shelf::remove(remove, &cli.locations, streams),
            Command::Enable(enable) => mask::enable(enable, &cli.locations, environ, streams),
            Command::Disable(disable) => mask::disable(disable, &cli.locations, environ, streams),
            Command::Info(info) => info::run(info, &cli.locations, environ, streams),
            Command::Order(order) => order::run(order, &cli.locations, environ, streams),
            Command::Conflicts(it) => conflicts::run(it, &cli.locations, environ, streams),
            Command::Properties(properties) => properties::run(properties, &cli.locations, environ, streams),
            Command::Verify(verify) => shelf::verify(verify, &cli.locations, streams),
            Command::Diff(diff) => diff::run(diff, &cli.locations, environ, streams),
            Command::Convert(verb) => convert::run(verb, &cli.locations, environ, streams),
            Command::Host(AboutHost { command: HostCommand::SetupNetworks(asked) }) => {
                setup_networks::run(asked, &cli.locations, environ, streams)
            }
            Command::Vm(_) | Command::Host(_) => vm::hand_over(environ),
            Command::LibvirtHook(hook) => libvirt_hook::run(hook, &cli.locations, environ, streams),
        },
        Err(failure) => Err(failure),
    };
    conclude(done, streams)
}

/// Says why a command failed, in one line, and gives its exit code.
pub fn conclude(done: Result<u8, Failure>, streams: &mut Streams<'_>) -> u8 {
    match done {
        Ok(code) => code,
        Err(failure) => {
            let line = failure.message.replace('\n', " ");
            streams.say(&format!("virt-hooks: {}\n", render::printable(&line)));
            failure.code
        }
    }
}

impl Locations {
    /// Finds out about the host, what was said on the command line first.
    ///
    /// # Errors
    /// A file that matters cannot be read or has a mistake in it.
    pub fn host(&self, environ: &Environ) -> Result<Host, Failure> {
        Ok(self.load(environ)?)
    }

    /// As [`Locations::host`], and says what in the configuration has no effect.
    ///
    /// # Errors
    /// As [`Locations::host`].
    pub fn host_with_warnings(&self, environ: &Environ, streams: &mut Streams<'_>) -> Result<Host, Failure> {
        let host = self.host(environ)?;
        for warning in &host.warnings {
            streams.warn(warning);
        }
        Ok(host)
    }

    fn load(&self, environ: &Environ) -> Result<Host, HostError> {
        let overrides = Overrides {
            hooks_dirs: self.hooks_dirs.clone(),
            config: self.config.clone(),
            run_dir: self.run_dir.clone(),
            state_dir: self.state_dir.clone(),
            root: self.root.clone(),
        };
        let mut host = Host::load(overrides, &|name| environ.variable(name))?;
        // Hooks get these as they are, and a hook may change its directory.
        let settings = &mut host.settings;
        let paths = [&mut settings.run_dir, &mut host.state_dir, &mut host.launch_flags_dir];
        let optional = settings.python_dir.iter_mut().chain(&mut settings.packages_dir);
        for path in paths.into_iter().chain(&mut settings.layers).chain(optional) {
            if path.is_relative() {
                let whole = std::path::absolute(&*path);
                *path = whole.map_err(|source| HostError::Read { path: path.clone(), source })?;
            }
        }
        Ok(host)
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_grammar_is_sound_and_whole_once_built() {
        let mut command = super::command();
        command.build();
        command.clone().debug_assert();
        for (verb, option) in [("fire", "payload"), ("list", "format"), ("vm", "hooks_dirs")] {
            let verb = command.find_subcommand(verb).unwrap();
            assert!(verb.get_arguments().any(|a| a.get_id() == option), "{verb} has no {option}");
        }
    }
}
