//! `rmachine restart`.

use rmachine_model::error::Result;

use super::{
    Context,
    names::{self, Names},
};

/// Reboot machines and wait until their engines answer again
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  rmachine restart aws-test")]
pub struct Args {
    #[command(flatten)]
    names: Names,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let names = args.names.unique();
    names::announce(context, "Restarting", &names)?;
    let done = names::each(
        context,
        &names,
        |name| async move { context.core.restart(name).await },
        |name, ()| {
            let own = format!("Machine \"{name}\" is running and its engine answers.");
            context.dialect.words(&own, &format!("Machine \"{name}\" was restarted.")).to_owned()
        },
    );
    done?;
    if context.dialect.is_docker_machine() {
        context.terminal.say(
            "Restarted machines may have new IP addresses. You may need to re-run the `docker-machine env` command.",
        );
    }
    Ok(())
}
