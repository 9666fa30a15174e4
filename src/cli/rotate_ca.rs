//! `rmachine rotate-ca`.

use super::{Context, names};
use crate::{
    error::Result,
    machine::{Regenerated, Rotate},
};

/// Replace the CA of this store
///
/// First a new CA stands beside the old one: engines let clients of both in, and old clients still know the engines.
/// When all clients have the new files, --finish ends the trust in the old CA. Containers keep running.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rmachine rotate-ca             a new CA; copies of the old files keep working
  rmachine rotate-ca --finish    the old CA is trusted no more
  rmachine rotate-ca --now       both at once: when the old CA's key has leaked")]
pub struct Args {
    /// End the trust in the old CA
    #[arg(long, conflicts_with = "now")]
    finish: bool,
    /// Replace it at once: who has files of the old CA only is locked out
    #[arg(long)]
    now: bool,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let (how, said) = match (args.finish, args.now) {
        (true, _) => (Rotate::Finish, "The old CA is trusted no more."),
        (_, true) => (Rotate::Now, "The store has a new CA; the old one is trusted no more."),
        _ => (Rotate::Begin, "The store has a new CA; the old one is trusted until `rmachine rotate-ca --finish`."),
    };
    let names = context.run(context.core.rotate_ca(how))?;
    context.terminal.say(said);
    if names.is_empty() {
        return Ok(());
    }
    let work = |name| context.core.follow_ca(name);
    names::each(context, &names, work, |name, done| match done {
        Regenerated::NothingToDo => format!("Machine \"{name}\" had it already."),
        Regenerated::ContainersKept => format!("Machine \"{name}\" follows; its containers kept running."),
        Regenerated::EngineRestarted => format!("Machine \"{name}\" follows; its engine was restarted."),
    })
}
