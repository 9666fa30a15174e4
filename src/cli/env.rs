//! `rmachine env`.

use std::time::Duration;

use super::{Context, names::OneName, ui};
use crate::{
    env::{self, EnvPlan, Shell},
    error::{Error, Result},
    machine::program_probes,
};

/// Print the variables that point docker at a machine, for a shell to evaluate
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  eval $(rmachine env aws-test)                 bash, zsh, sh
  rmachine env --shell fish aws-test | source   fish
  eval $(rmachine env --unset)                  back to the local engine")]
pub struct Args {
    #[command(flatten)]
    name: OneName,
    /// Shell to print for: bash, zsh, fish, powershell, cmd, tcsh, emacs, nushell; found out if not given
    #[arg(long, value_name = "SHELL")]
    shell: Option<String>,
    /// Unset the variables instead
    #[arg(short, long)]
    unset: bool,
    /// Also exempt the machine from the proxy, by NO_PROXY
    #[arg(long)]
    no_proxy: bool,
    /// Ask the engine first, and fail when it does not answer
    #[arg(long)]
    check: bool,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let _ = (context, args, Duration::ZERO, program_probes);
    let _ = Error::usage;
    todo_env(context, args)
}
