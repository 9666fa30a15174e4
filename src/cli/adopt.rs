//! `rmachine adopt`.

use std::path::PathBuf;

use clap::ArgMatches;
use rmachine_core::AdoptOptions;
use rmachine_model::{
    EngineSpec,
    error::{Error, Result},
};
use rmachine_provider_api::Owner;

use super::{
    Context,
    flags::{self, RouteArgs, Which},
};

/// Give a record back to a machine of rmachine's that has lost it
///
/// The instance keeps running. It gets a new login key, by EC2 Instance Connect or a key that it knows, and
/// certificates of this store's CA; it belongs to this store then.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rmachine gc                                        shows the ids of instances without a record
  rmachine adopt --driver amazonec2 i-0123456789abcdef0
  rmachine adopt -d amazonec2 --owner 5f0c… --host-key SHA256:… i-0123456789abcdef0
  rmachine adopt -d amazonec2 --ssh-key ~/.ssh/id_ed25519 --name build-7 i-0123456789abcdef0")]
pub struct Args {
    /// The provider's id of the instance
    #[arg(value_name = "INSTANCE")]
    id: String,
    /// Driver that made it
    #[arg(short, long, env = "MACHINE_DRIVER", hide_env_values = true, value_name = "DRIVER")]
    driver: Option<String>,
    /// Name in this store; else the one that it had
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// The lost store that it belongs to, where that is another one
    #[arg(long, value_name = "ID")]
    owner: Option<Owner>,
    /// Private key that the host knows; else the provider is asked to let a new one in
    #[arg(long, value_name = "PATH")]
    ssh_key: Option<PathBuf>,
    /// The host's public key, or its fingerprint (SHA256:…); else known_hosts, or a question
    #[arg(long, value_name = "KEY")]
    host_key: Option<String>,
    /// Reach the engine through SSH only: its port is open to nobody
    #[arg(long)]
    ssh_tunnel: bool,
    #[command(flatten)]
    route: RouteArgs,
}

pub(super) fn run(context: &Context, args: Args, matches: &ArgMatches) -> Result<()> {
    let drivers = context.core.drivers();
    let Some(driver) = args.driver.filter(|name| !name.is_empty()) else {
        return Err(Error::usage("no driver was named").hint("add --driver NAME, such as --driver amazonec2"));
    };
    let values = flags::values(drivers, drivers.get(&driver)?.as_ref(), matches, Which::Connecting, context.dialect)?;
    let options = AdoptOptions {
        id: args.id,
        driver,
        values,
        name: args.name,
        owner: args.owner,
        ssh_key: args.ssh_key,
        host_key: args.host_key,
        ssh_tunnel: args.ssh_tunnel,
        ssh_route: args.route.into(),
        engine: EngineSpec::default(),
    };
    let record = context.run(context.core.adopt(&options))?.record;
    let (name, program) = (&record.name, &context.called);
    context.terminal.say(&format!(
        "Machine \"{name}\" is in this store now. Point docker at it with: eval $({program} env {name})"
    ));
    Ok(())
}
