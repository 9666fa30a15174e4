//! `rmachine url`.

use std::time::Duration;

use super::{Context, dialect, names::OneName, ui};
use crate::error::Result;

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
    if args.check || context.dialect.is_docker_machine() {
        context.run(context.core.check(&access, Duration::from_secs(10))).map_err(|e| {
            dialect::certificates(e, "Error checking TLS connection", &format!("{}:{}", access.host, access.port))
        })?;
    }
    ui::print(&format!("{}\n", access.url))
}
