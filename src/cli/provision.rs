//! `rmachine provision`.

use super::{
    Context,
    names::{self, Names},
};
use crate::error::Result;

/// Bring machines to what their records say: engine, options, certificates
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  rmachine provision aws-test")]
pub struct Args {
    #[command(flatten)]
    names: Names,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let names = args.names.unique();
    names::each(
        context,
        &names,
        |name| context.core.provision(name),
        |name, ()| format!("Machine \"{name}\" is provisioned."),
    )
}
