//! `rmachine url`.

use std::time::Duration;

use rmachine_model::error::Result;

use super::{
    Context,
    names::{self, Names},
};

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
    names::lines(context, &args.names, |name| {
        if context.dialect.is_docker_machine()
            && let Some(url) = context.core.undialable_url(name)?
        {
            return Ok(url);
        }
        let access = context.core.access(name)?;
        context.ensure_tunnel(&access)?;
        if args.check {
            context.run(context.core.check(&access, Duration::from_secs(10)))?;
        }
        Ok(access.url)
    })
}
