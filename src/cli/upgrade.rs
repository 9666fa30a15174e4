//! `rmachine upgrade`.

use rmachine_model::error::Result;
use rmachine_provider_api::MachineState;

use super::{
    Context,
    names::{self, Names},
};

/// Upgrade the engines of machines to the newest version, from where they came
///
/// The engine restarts; what that ends is said before. Certificates and options stay. A machine that is stopped is started.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rmachine upgrade aws-test
  rmachine upgrade $(rmachine ls -q)")]
pub struct Args {
    #[command(flatten)]
    names: Names,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let names = args.names.unique();
    names::each(
        context,
        &names,
        |name| async move {
            if context.core.is_in_state(name, MachineState::Stopped).await {
                context.core.talk().about(name).progress("it is stopped, and is started to be upgraded");
                context.core.start(name).await?;
            }
            context.core.upgrade(name).await
        },
        |name, done| match (done.changed, done.from == done.to) {
            (false, _) if done.finished => format!(
                "Machine \"{name}\": the engine {} is the newest there is; what an earlier upgrade had left to do is done.",
                done.to
            ),
            (false, _) => format!("Machine \"{name}\": the engine {} is the newest there is.", done.from),
            (true, true) => {
                format!("Machine \"{name}\": packages were upgraded, the engine's version stays {}.", done.to)
            }
            (true, false) => format!("Machine \"{name}\": the engine was upgraded from {} to {}.", done.from, done.to),
        },
    )
}
