//! `rmachine kill`.

use super::{
    Context,
    names::{self, Names},
};
use crate::error::Result;
use rmachine_provider_api::StopMode;

/// Stop machines at once, as by pulling the plug
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  rmachine kill aws-test")]
pub struct Args {
    #[command(flatten)]
    names: Names,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let names = args.names.unique();
    names::each(
        context,
        &names,
        |name| context.core.stop(name, StopMode::Force),
        |name, ()| format!("Machine \"{name}\" is stopped."),
    )
}
