//! `rmachine iam-policy`.

use rmachine_model::error::{Error, Kind, Result};
use rmachine_provider_api::Owner;

use super::{Context, ui};

/// Print the IAM policy that lets a user or role do what rmachine does, and no more
///
/// It is made from the calls that the driver declares: what is made has to carry this store's tag, and only what
/// carries it may be changed or removed. Nothing is asked and nothing sent. AWS has not evaluated the policy.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rmachine iam-policy > policy.json
                                           for all that rmachine does
  rmachine iam-policy --feature create,power
                                           for create, rm, ls, start and stop
  rmachine iam-policy --owner 5f0c… --owner 77aa…
                                           for the machines of two stores
  aws iam put-user-policy --user-name ci --policy-name rmachine --policy-document file://policy.json")]
pub struct Args {
    /// Whose calls are to be allowed
    #[arg(short, long, value_name = "DRIVER", default_value = "amazonec2")]
    driver: String,
    /// Id of a store whose machines it is for (may be repeated); else this store's
    #[arg(long = "owner", value_name = "ID")]
    owners: Vec<Owner>,
    /// What it is for (may be repeated): create, power, allow, gc, adopt, doctor, ssm; else all
    #[arg(long = "feature", value_name = "FEATURE", value_delimiter = ',')]
    features: Vec<String>,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let core = &context.core;
    let driver = core.drivers().get(&args.driver)?;
    let owners = match args.owners.as_slice() {
        [] => vec![core.store().prepare()?],
        named => named.to_vec(),
    };
    let policy = driver.policy(&owners, &args.features)?;
    let text = serde_json::to_string_pretty(&policy)
        .map_err(|e| Error::new(Kind::Failure, "the policy cannot be printed").source(e))?;
    ui::print(&format!("{text}\n"))
}
