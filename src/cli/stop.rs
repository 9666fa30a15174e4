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
    for (name, ()) in names::each(context, &names, |name| context.core.stop(name, StopMode::Graceful))? {
        context.terminal.say(&format!("Machine \"{name}\" is stopped."));
    }
    Ok(())
}
