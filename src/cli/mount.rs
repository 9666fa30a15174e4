//! `rmachine mount`.

use std::{ffi::OsString, path::PathBuf};

use rmachine_core::MountOptions;
use rmachine_model::error::Result;

use super::{Context, names::DEFAULT};

/// Mount a directory of a machine on this computer, by sshfs
///
/// DIRECTORY is the same path as on the machine unless it is given. The host's key is the pinned one.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  mkdir -p site; rmachine mount aws-test:/srv/site site
  rmachine mount -u aws-test:/srv/site site")]
pub struct Args {
    /// What to mount: [[USER@]MACHINE:]PATH
    #[arg(value_name = "PLACE")]
    source: OsString,
    /// Where to, a directory of this computer
    #[arg(value_name = "DIRECTORY")]
    target: Option<PathBuf>,
    /// Unmount it instead; the machine need not answer
    #[arg(short, long)]
    unmount: bool,
}

pub(super) fn run(context: &Context, args: Args) -> Result<()> {
    let options = MountOptions { source: args.source, target: args.target, default: DEFAULT.to_owned() };
    let (target, what) = if args.unmount {
        (context.run(context.core.unmount(&options))?, "unmounted")
    } else {
        (context.run(context.core.mount(&options))?, "mounted; `rmachine mount -u` with the same words unmounts it")
    };
    context.terminal.say(&format!("{} is {what}.", target.display()));
    Ok(())
}
