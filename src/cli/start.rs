//! `rmachine start`.

use super::{
    Context,
    names::{self, Names},
};
use crate::error::Result;

/// Start machines, and make them usable at their new addresses
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  rmachine start aws-test")]
pub struct Args {
    #[command(flatten)]
    names: Names,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let names = args.names.unique();
    names::each(
        context,
        &names,
        |name| context.core.start(name),
        |name, ()| format!("Machine \"{name}\" is running and its engine answers."),
    )
}
