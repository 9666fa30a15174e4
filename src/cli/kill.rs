//! `rmachine kill`.

use super::{
    Context,
    names::{self, Names},
};
use rmachine_model::error::Result;
use rmachine_provider_api::{MachineState, StopMode};

/// Stop machines at once, as by pulling the plug
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  rmachine kill aws-test")]
pub struct Args {
    #[command(flatten)]
    names: Names,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let names = args.names.unique();
    names::announce(context, "Killing", &names)?;
    names::each(
        context,
        &names,
        |name| async move {
            names::not_yet(context, name, MachineState::Stopped).await?;
            context.core.stop(name, StopMode::Force).await
        },
        |name, ()| {
            let own = format!("Machine \"{name}\" is stopped.");
            context.dialect.words(&own, &format!("Machine \"{name}\" was killed.")).to_owned()
        },
    )
}
