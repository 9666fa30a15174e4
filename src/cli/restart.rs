//! `rmachine restart`.

use super::{
    Context,
    names::{self, Names},
};
use crate::error::Result;

/// Reboot machines and wait until their engines answer again
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  rmachine restart aws-test")]
pub struct Args {
    #[command(flatten)]
    names: Names,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let names = args.names.unique();
    names::each(
        context,
        &names,
        |name| context.core.restart(name),
        |name, ()| format!("Machine \"{name}\" is running and its engine answers."),
    )
}
