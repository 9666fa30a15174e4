//! `rmachine ssh-config`.

use rmachine_model::error::Result;

use super::{Context, names, ui};

/// Print an OpenSSH configuration for machines, with their pinned host keys
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rmachine ssh-config >~/.ssh/rmachine.conf           then `Include rmachine.conf` at the top of ~/.ssh/config
  ssh aws-test                                        with that: also scp, sftp, rsync, VS Code
  ssh -F <(rmachine ssh-config aws-test) aws-test     without touching ~/.ssh
  rsync -e 'ssh -F rmachine.conf' -a src/ aws-test:src/")]
pub struct Args {
    /// Names of the machines; all if none is given
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let names = names::unique(&args.names);
    ui::print(&context.run(context.core.ssh_config(&names))?)
}
