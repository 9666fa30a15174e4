//! `rmachine active`.

use rmachine_model::error::{Error, Kind, Result};

use super::{Context, ui};

/// Print the name of the machine that docker is pointed at, by DOCKER_HOST
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  eval $(rmachine env aws-test); rmachine active   # aws-test")]
pub struct Args {
    /// Accepted for docker-machine's callers: no machine is asked, so nothing is waited for
    #[arg(short, long, default_value_t = 10, value_name = "SECONDS", hide_default_value = true)]
    timeout: u64,
}

pub(super) fn run(context: &Context, _: &Args) -> Result<()> {
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let (host, named) = (variable("DOCKER_HOST"), variable("DOCKER_MACHINE_NAME"));
    if let Some(name) = context.core.active(&host, &named)? {
        return ui::print(&format!("{name}\n"));
    }
    // docker-machine's words, which its callers know.
    let error = Error::new(Kind::Failure, "No active host found").known_as("No active host found");
    Err(match (host.is_empty(), named.is_empty()) {
        (true, _) => error.hint("DOCKER_HOST is not set: eval $(rmachine env NAME) sets it"),
        (false, true) => error.hint(format!("DOCKER_HOST is {host}, which is the URL of no machine that runs")),
        (false, false) => error.hint(format!(
            "DOCKER_HOST is {host}; if \"{named}\" has another address now: eval $(rmachine env {named})"
        )),
    })
}
