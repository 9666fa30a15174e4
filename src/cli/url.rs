//! `rmachine url`.

use std::time::Duration;

use super::{Context, names::OneName, ui};
use crate::{error::Result, machine::program_probes};

/// Print the URL of a machine's engine, as for `DOCKER_HOST`
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  docker -H $(rmachine url aws-test) --tlsverify ps")]
pub struct Args {
    #[command(flatten)]
    name: OneName,
    /// Ask the engine first, and fail when it does not answer
    #[arg(long)]
    check: bool,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let access = context.core.access(&args.name.name)?;
    context.ensure_tunnel(&access)?;
    if args.check || program_probes(&context.program) {
        context.run(context.core.check(&access, Duration::from_secs(10)))?;
    }
    ui::print(&format!("{}\n", access.url))
}
