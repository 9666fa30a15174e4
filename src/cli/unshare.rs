//! `rmachine unshare`.

use rmachine_model::error::Result;

use super::Context;

/// End shares of a machine's engine
///
/// It logs in to the host and, as root there, takes the shares' CAs out of the engine's trust and restarts the engine:
/// containers run on, open connections are cut. The CAs' keys are gone, so only somebody with root on the host could
/// undo it. A share is root on the host while it lives: where you do not trust its recipient, make the machine anew.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rmachine share build-7               shows the ids
  rmachine unshare build-7 3f9c01aa    ends one
  rmachine unshare build-7 --all       ends all")]
pub struct Args {
    /// Name of the machine
    #[arg(value_name = "NAME")]
    name: String,
    /// Ids of the shares
    #[arg(value_name = "ID", required_unless_present = "all")]
    ids: Vec<String>,
    /// End all of them
    #[arg(long, conflicts_with = "ids")]
    all: bool,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let ids = (!args.all).then_some(args.ids.as_slice());
    let ended = context.run(context.core.unshare(&args.name, ids))?;
    for share in &ended {
        context.terminal.say(&format!("Share {} of machine \"{}\" has ended.", share.id, args.name));
    }
    if ended.is_empty() {
        context.terminal.say(&format!("Machine \"{}\" is shared with nobody.", args.name));
    }
    Ok(())
}
