//! Names on the command line: one, or several that are worked on in parallel.

use std::future::Future;

use super::Context;
use crate::{
    error::{Error, Result},
    machine,
};

/// The name that commands take when none is given, as docker-machine does.
pub const DEFAULT: &str = "default";

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

/// Works on all `names` at once. Every success is said and every failure printed; the last failure is answered.
pub fn each<'a, T, F: Future<Output = Result<T>>>(
    context: &Context,
    names: &'a [String],
    work: impl Fn(&'a str) -> F,
    success: impl Fn(&str, &T) -> String,
) -> Result<()> {
    let results = context.run(async { Ok(machine::for_each(names, work).await) })?;
    let mut last: Option<Error> = None;
    for (name, result) in results {
        match result {
            Ok(value) => context.terminal.say(&success(name, &value)),
            Err(error) => {
                if let Some(previous) = last.replace(error) {
                    context.terminal.fail(&previous);
                }
            }
        }
    }
    last.map_or(Ok(()), Err)
}
