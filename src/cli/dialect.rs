//! What is different when the program is called `docker-machine`: its words where scripts look for them, its exit codes,
//! and its progress on stdout.
//!
//! Facts: docker/machine v0.16.2, `commands/*.go`, `libmachine/mcnerror/errors.go`, `libmachine/libmachine.go`.

use std::{borrow::Cow, ffi::OsString, path::Path, process::ExitCode};

use rmachine_model::{
    drivers::Drivers,
    error::{Error, Kind},
};
use rmachine_text::printable;

use crate::drivers;

/// The version that the drop-in stands in for.
pub const STANDS_IN_FOR: &str = "0.16.2";

/// Whose words the program speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dialect {
    /// rmachine's.
    #[default]
    Own,
    /// docker-machine's, for scripts that know that one.
    DockerMachine,
}

/// Commands whose standard output is talk; that of all others is data.
const TALKING: [&str; 10] =
    ["create", "kill", "mount", "provision", "regenerate-certs", "restart", "rm", "start", "stop", "upgrade"];

impl Dialect {
    /// By the name that the program was called by.
    pub fn of(program: &str) -> Self {
        if program == "docker-machine" { Self::DockerMachine } else { Self::Own }
    }

    /// Whether it is docker-machine's.
    pub fn is_docker_machine(self) -> bool {
        self == Self::DockerMachine
    }

    /// The drivers as this program has them.
    pub(super) fn drivers(self, drivers: Drivers) -> Drivers {
        if self.is_docker_machine() { drivers::of_docker_machine(drivers) } else { drivers }
    }

    /// The command with what its help says of the whole program, and where.
    pub(super) fn described(self, command: clap::Command) -> clap::Command {
        if !self.is_docker_machine() {
            return command;
        }
        command
            .about("Create and manage machines running Docker.")
            .help_template("{usage-heading} {usage}\n\n{about}\n\n{all-args}{after-help}")
    }

    /// Whether progress and warnings of the command in `arguments` go to stdout, where docker-machine's callers look.
    pub(super) fn talks_on_stdout(self, command: &clap::Command, arguments: &[OsString]) -> bool {
        self.is_docker_machine()
            && super::usage::subcommand(command, arguments).is_some_and(|name| TALKING.contains(&name))
    }

    /// The exit code for `error`: docker-machine knows 1, and 3 for a failed check before `create`.
    pub(super) fn exit_code(self, error: &Error) -> ExitCode {
        match (self, error.kind()) {
            (Self::Own, _) | (_, Kind::PreCreate | Kind::Interrupted) => error.exit_code(),
            _ => ExitCode::from(1),
        }
    }

    /// The first line of an error.
    pub(super) fn headline(self, error: &Error) -> String {
        match error.known_as_text() {
            Some(text) if self.is_docker_machine() => printable::block(text).into_owned(),
            _ => error.headline(),
        }
    }

    /// The line of `version` and `--version`; scripts read docker-machine's number out of it.
    pub fn version(self, program: &str) -> String {
        let own = env!("CARGO_PKG_VERSION");
        match self {
            Self::Own => format!("{program} version {own}"),
            Self::DockerMachine => format!("docker-machine version {STANDS_IN_FOR}, build rmachine-{own}"),
        }
    }

    /// `text` with the commands that it names as this program is called: another name has another store.
    pub(super) fn commands(self, text: &str) -> Cow<'_, str> {
        if self.is_docker_machine() && text.contains("rmachine ") {
            text.replace("`rmachine ", "`docker-machine ").replace("$(rmachine ", "$(docker-machine ").into()
        } else {
            text.into()
        }
    }

    /// The text of a help in which every command is called as this program is.
    pub(super) fn help(self, text: &str) -> String {
        if self.is_docker_machine() { text.replace("rmachine ", "docker-machine ") } else { text.to_owned() }
    }

    /// One of two texts for the same thing.
    pub(super) fn words<'a>(self, own: &'a str, docker_machines: &'a str) -> &'a str {
        if self.is_docker_machine() { docker_machines } else { own }
    }
}

/// The name that the program was called by, without its place and ending.
pub(super) fn program_name(arguments: &[OsString]) -> String {
    let called = arguments.first().map(Path::new);
    let stem = called.and_then(Path::file_stem).map(|stem| stem.to_string_lossy().into_owned());
    stem.unwrap_or_else(|| "rmachine".to_owned())
}

/// docker-machine's text for an engine that does not answer or whose certificates do not fit; `before` says which command
/// found it.
pub(super) fn certificates(error: Error, before: &str, place: &str) -> Error {
    let causes = error.causes();
    let cause = causes.last().cloned().unwrap_or_else(|| error.to_string());
    let cause = printable::line(&cause);
    let text = format!(
        "{before}: Error checking and/or regenerating the certs: There was an error validating certificates for host \
         \"{place}\": {cause}\nYou can attempt to regenerate them using 'docker-machine regenerate-certs [name]'.\n\
         Be advised that this will trigger a Docker daemon restart which might stop running containers."
    );
    if error.known_as_text().is_some() { error } else { error.known_as(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_decides() {
        for (called, dialect) in [
            ("/usr/local/bin/docker-machine", Dialect::DockerMachine),
            ("docker-machine.exe", Dialect::DockerMachine),
            ("rmachine", Dialect::Own),
            ("./docker-machine-x", Dialect::Own),
        ] {
            assert_eq!(Dialect::of(&program_name(&[called.into()])), dialect, "{called}");
        }
    }
}
