//! `rmachine start`.

use super::{
    Context,
    names::{self, Names},
};
use rmachine_model::error::Result;
use rmachine_provider_api::MachineState;

/// Start machines, and make them usable at their new addresses
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  rmachine start aws-test")]
pub struct Args {
    #[command(flatten)]
    names: Names,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let names = args.names.unique();
    names::announce(context, "Starting", &names)?;
    let done = names::each(
        context,
        &names,
        |name| async move {
            names::not_yet(context, name, MachineState::Running).await?;
            context.core.start(name).await
        },
        |name, ()| {
            let own = format!("Machine \"{name}\" is running and its engine answers.");
            context.dialect.words(&own, &format!("Machine \"{name}\" was started.")).to_owned()
        },
    );
    done?;
    if context.dialect.is_docker_machine() {
        context.terminal.say(
            "Started machines may have new IP addresses. You may need to re-run the `docker-machine env` command.",
        );
    }
    Ok(())
}
