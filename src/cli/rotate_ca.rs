//! `rmachine rotate-ca`.

use rmachine_core::{Regenerated, Rotate};
use rmachine_model::error::Result;

use super::{Context, names};

/// Replace the CAs of machines, and of this store
///
/// First a new CA stands beside the old one: engines let clients of both in, and old clients still know the engines.
/// When all clients have the new files, --finish ends the trust in the old CA. Containers keep running. Without a name
/// it is done for all machines, and for the store's CA, which machines of the driver none have.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rmachine rotate-ca                      new CAs; copies of the old files keep working
  rmachine rotate-ca aws-test             a new one for this machine
  rmachine rotate-ca --finish aws-test    its old CA is trusted no more
  rmachine rotate-ca --now aws-test       both at once: when its key.pem or authority.pem has leaked")]
pub struct Args {
    /// Names of machines; all when there are none
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// End the trust in the old CA
    #[arg(long, conflicts_with = "now")]
    finish: bool,
    /// Replace it at once: who has files of the old CA only is locked out
    #[arg(long)]
    now: bool,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let how = match (args.finish, args.now) {
        (true, _) => Rotate::Finish,
        (_, true) => Rotate::Now,
        _ => Rotate::Begin,
    };
    let names = context.run(context.core.rotate_ca(how, &args.names))?;
    context.terminal.say(match (how, args.names.is_empty()) {
        (Rotate::Finish, true) => "The old CAs are trusted no more.",
        (Rotate::Finish, false) => "The old CA is trusted no more.",
        (Rotate::Now, true) => "The store and its machines get new CAs; the old ones are trusted no more.",
        (Rotate::Now, false) => "It gets a new CA; the old one is trusted no more.",
        (Rotate::Begin, true) => {
            "The store and its machines get new CAs; the old ones are trusted until `rmachine rotate-ca --finish`."
        }
        (Rotate::Begin, false) => "It gets a new CA; the old one is trusted until `rmachine rotate-ca --finish NAME`.",
    });
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
