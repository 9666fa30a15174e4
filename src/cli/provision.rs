//! `rmachine provision`.

use rmachine_core::SshRoute;
use rmachine_model::error::Result;

use super::{
    Context,
    flags::RouteArgs,
    names::{self, Names},
};

/// Bring machines to what their records say: engine, options, certificates
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rmachine provision aws-test
  rmachine provision --ssh-proxy-jump me@new-gate inner      the way to its sshd has changed")]
pub struct Args {
    #[command(flatten)]
    names: Names,
    #[command(flatten)]
    route: RouteArgs,
    /// Reach sshd straight from now on
    #[arg(long, conflicts_with_all = ["ssh_proxy_jump", "ssh_proxy_command"])]
    ssh_direct: bool,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let names = args.names.unique();
    let route = SshRoute::from(args.route.clone());
    if args.ssh_direct || route != SshRoute::default() {
        for name in &names {
            context.run(context.core.reroute(name, &route))?;
        }
    }
    names::each(
        context,
        &names,
        |name| context.core.provision(name),
        |name, ()| format!("Machine \"{name}\" is provisioned."),
    )
}
