//! `rmachine ip`.

use rmachine_model::error::Result;

use super::{
    Context,
    names::{self, Names},
};

/// Print the addresses of machines, one a line
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  curl http://$(rmachine ip aws-test)/")]
pub struct Args {
    #[command(flatten)]
    names: Names,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    names::lines(context, &args.names, |name| Ok(context.core.access(name)?.ip))
}
