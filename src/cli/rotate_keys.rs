//! `rmachine rotate-keys`.

use rmachine_core::{Others, Part, RotateKeys};
use rmachine_model::error::Result;

use super::{
    Context,
    names::{self, Names},
};

/// Replace a machine's keys, so that who had the old ones is locked out
///
/// Without a flag all three: the login key that rmachine made, the key of a host that a cloud made, and the engine's key with
/// its certificate; containers keep running. A login key that you gave and the key of a host of yours (generic) stay, unless
/// --login or --host names them. Other keys that log in as the same user are shown, and removed when you say so. A killed
/// command is repeated. Client certificates are replaced by `rotate-ca`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rmachine rotate-keys build-7                          all three
  rmachine rotate-keys --login --remove-others build-7  nobody else logs in any more
  rmachine rotate-keys --host gate                      the host key of a machine of yours, too")]
pub struct Args {
    #[command(flatten)]
    names: Names,
    /// The login key; where it is one of yours, the machine gets one of its own
    #[arg(long)]
    login: bool,
    /// The host's key, also of a host that no cloud made
    #[arg(long)]
    host: bool,
    /// The engine's key and certificate
    #[arg(long)]
    server: bool,
    /// Remove all other keys that log in as the machine's user, without asking
    #[arg(long)]
    remove_others: bool,
    /// Leave other keys, without asking
    #[arg(long, conflicts_with = "remove_others")]
    keep_others: bool,
}

impl Args {
    fn what(&self) -> RotateKeys {
        let any = self.login || self.host || self.server;
        let part = |named: bool| match (any, named) {
            (false, _) => Part::Ours,
            (true, true) => Part::Always,
            (true, false) => Part::Never,
        };
        let others = match (self.remove_others, self.keep_others) {
            (true, _) => Others::Remove,
            (_, true) => Others::Keep,
            _ => Others::Ask,
        };
        RotateKeys { login: part(self.login), host: part(self.host), server: part(self.server), others }
    }
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let what = args.what();
    let work = |name| context.core.rotate_keys(name, &what);
    names::each(context, &args.names.unique(), work, |name, done| {
        let lines: Vec<String> = done.lines().into_iter().map(|line| format!("({name}) {line}")).collect();
        lines.join("\n")
    })
}
