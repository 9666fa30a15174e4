//! `rmachine regenerate-certs`.

use rmachine_core::{Regenerate, Regenerated};
use rmachine_model::error::Result;

use super::{
    Context,
    names::{self, Names},
};

/// Issue new server certificates where they are needed; containers keep running
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rmachine regenerate-certs aws-test       when the address changed or the certificate is old
  rmachine regenerate-certs -f aws-test    in any case")]
pub struct Args {
    #[command(flatten)]
    names: Names,
    /// Issue a new one also when the present one is good
    #[arg(short, long)]
    force: bool,
    /// Issue a new client certificate too
    #[arg(long)]
    client_certs: bool,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let names = args.names.unique();
    // docker-machine issues in any case, and asks first because its engines restart.
    let drop_in = context.dialect.is_docker_machine();
    if drop_in {
        context.terminal.say("Regenerating TLS certificates");
    }
    let what = Regenerate { force: args.force || drop_in, client: args.client_certs };
    let work = |name| context.core.regenerate_certificates(name, what);
    names::each(context, &names, work, |name, done| match done {
        Regenerated::NothingToDo => format!("The certificate of machine \"{name}\" is good; nothing was changed."),
        Regenerated::ContainersKept => {
            format!("Machine \"{name}\" has a new certificate; its containers kept running.")
        }
        Regenerated::EngineRestarted => {
            format!("Machine \"{name}\" has a new certificate; its engine was restarted.")
        }
    })
}
