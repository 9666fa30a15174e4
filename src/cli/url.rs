//! `rmachine url`.

use std::time::Duration;

use super::{Context, dialect, names::Names, ui};
use crate::error::Result;

/// Print the URLs of machines' engines, one a line, as for `DOCKER_HOST`
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  docker -H $(rmachine url aws-test) --tlsverify ps")]
pub struct Args {
    #[command(flatten)]
    names: Names,
    /// Ask the engine first, and fail when it does not answer
    #[arg(long)]
    check: bool,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let mut lines = String::new();
    for name in &args.names.names {
        let access = context.core.access(name)?;
        context.ensure_tunnel(&access)?;
        if args.check || context.dialect.is_docker_machine() {
            context.run(context.core.check(&access, Duration::from_secs(10))).map_err(|e| {
                dialect::certificates(e, "Error checking TLS connection", &format!("{}:{}", access.host, access.port))
            })?;
        }
        lines.push_str(&access.url);
        lines.push('\n');
    }
    ui::print(&lines)
}
