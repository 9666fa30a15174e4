//! Names on the command line: one, or several that are worked on in parallel.

use std::future::Future;

use rmachine_core as machine;
use rmachine_model::error::{Error, Kind, Result};
use rmachine_provider_api::MachineState;

use super::{Context, ui};

/// The name that commands take when none is given, as docker-machine does.
pub const DEFAULT: &str = "default";

/// docker-machine's words where a command means the default machine and there is none.
pub(super) fn not_named(error: Error) -> Error {
    if error.kind() != Kind::NoSuchMachine {
        return error;
    }
    error.known_as(format!("Error: No machine name(s) specified and no \"{DEFAULT}\" machine exists"))
}

/// One machine.
#[derive(Debug, clap::Args)]
pub struct OneName {
    /// Name of the machine
    #[arg(value_name = "NAME", default_value = DEFAULT)]
    pub name: String,
}

/// One machine or several.
#[derive(Debug, clap::Args)]
pub struct Names {
    /// Names of the machines; several are worked on in parallel
    #[arg(value_name = "NAME", default_value = DEFAULT, num_args = 1..)]
    pub names: Vec<String>,
}

impl Names {
    /// The names without repeats, in order.
    pub fn unique(&self) -> Vec<String> {
        unique(&self.names)
    }
}

/// `names` without repeats, in order.
pub fn unique(names: &[String]) -> Vec<String> {
    let mut once: Vec<String> = Vec::new();
    for name in names {
        if !once.contains(name) {
            once.push(name.clone());
        }
    }
    once
}

/// docker-machine reads all records before it does anything, and says each name before it begins.
pub(super) fn announce(context: &Context, doing: &str, names: &[String]) -> Result<()> {
    if context.dialect.is_docker_machine() {
        names.iter().try_for_each(|name| context.core.store().load(name).map(drop))?;
        names.iter().for_each(|name| context.terminal.say(&format!("{doing} \"{name}\"...")));
    }
    Ok(())
}

/// Prints one line for each of `names`; those that fail do not keep the others back.
pub(super) fn lines(context: &Context, names: &Names, line: impl Fn(&str) -> Result<String>) -> Result<()> {
    let (mut text, mut failures) = (String::new(), Failures::of(context));
    for name in &names.names {
        match line(name) {
            Ok(line) => text.push_str(&format!("{line}\n")),
            Err(error) => failures.add(error),
        }
    }
    ui::print(&text)?;
    failures.last()
}

/// The failures of several machines: all are printed but the last, which is the answer of the command.
pub(super) struct Failures<'a> {
    context: &'a Context,
    last: Option<Error>,
}

impl<'a> Failures<'a> {
    /// None yet.
    pub(super) fn of(context: &'a Context) -> Self {
        Self { context, last: None }
    }

    /// Takes the next one, and prints the one before it.
    pub(super) fn add(&mut self, error: Error) {
        if let Some(previous) = self.last.replace(error) {
            self.context.terminal.fail(&previous);
        }
    }

    /// The last one, where there was one.
    pub(super) fn last(self) -> Result<()> {
        self.last.map_or(Ok(()), Err)
    }
}

/// docker-machine refuses to start what runs and to stop what is stopped; by our own name that is done already.
pub(super) async fn not_yet(context: &Context, name: &str, state: MachineState) -> Result<()> {
    if !context.dialect.is_docker_machine() || !context.core.is_in_state(name, state).await {
        return Ok(());
    }
    let word = format!("{state:?}").to_lowercase();
    Err(Error::new(Kind::Conflict, format!("machine \"{name}\" is {word} already"))
        .known_as(format!("Machine \"{name}\" is already {word}.")))
}

/// Works on all `names` at once. Every success is said, where there is something to say, and every failure printed; the last
/// failure is answered.
pub fn each<'a, T, S: Into<Option<String>>, F: Future<Output = Result<T>>>(
    context: &Context,
    names: &'a [String],
    work: impl Fn(&'a str) -> F,
    success: impl Fn(&str, &T) -> S,
) -> Result<()> {
    let results = context.run(async { Ok(machine::for_each(names, work).await) })?;
    let mut failures = Failures::of(context);
    for (name, result) in results {
        match result {
            Ok(value) => {
                if let Some(line) = success(name, &value).into() {
                    context.terminal.say(&line);
                }
            }
            Err(error) => failures.add(error),
        }
    }
    failures.last()
}
