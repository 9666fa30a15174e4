//! `rmachine allow`.

use ipnet::IpNet;
use rmachine_model::error::{Error, Result};

use super::{Context, names::OneName, ui};

/// Let your present address connect to a machine, and nobody else
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rmachine allow aws-test                            from where you are now
  rmachine allow aws-test 192.0.2.0/24 2001:db8::/48 from these networks")]
pub struct Args {
    #[command(flatten)]
    name: OneName,
    /// Networks to admit instead of your present address
    #[arg(value_name = "CIDR")]
    sources: Vec<String>,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let sources = args.sources.iter().map(|text| network(text)).collect::<Result<Vec<_>>>()?;
    let admitted = context.run(context.core.allow(&args.name.name, &sources))?;
    for network in &admitted {
        ui::print(&format!("{network}\n"))?;
    }
    context.terminal.say(&format!("Machine \"{}\" admits these networks and no others.", args.name.name));
    Ok(())
}

/// Reads a network, or one address as a network of its own.
fn network(text: &str) -> Result<IpNet> {
    if let Ok(network) = text.parse::<IpNet>() {
        return Ok(network.trunc());
    }
    text.parse::<std::net::IpAddr>().map(IpNet::from).map_err(|e| {
        Error::usage(format!("invalid network {text:?}"))
            .source(e)
            .hint("a network is 192.0.2.0/24, 192.0.2.7 or 2001:db8::/48")
    })
}
