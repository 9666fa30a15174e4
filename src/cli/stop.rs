//! `rmachine stop`.

use super::{
    Context,
    names::{self, Names},
};
use crate::error::Result;
use rmachine_provider_api::StopMode;

/// Stop machines; disks and data stay
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  rmachine stop aws-test")]
pub struct Args {
    #[command(flatten)]
    names: Names,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let names = args.names.unique();
    names::each(
        context,
        &names,
        |name| context.core.stop(name, StopMode::Graceful),
        |name, ()| format!("Machine \"{name}\" is stopped."),
    )
}
