//! `rmachine protect`.

use rmachine_model::error::Result;

use super::{Context, names};

/// Have rm refuse machines
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rmachine protect build-7          rm refuses it, also with -f
  rmachine protect --off build-7    rm takes it again")]
pub struct Args {
    /// Names of the machines
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
    /// Take the protection away
    #[arg(long)]
    off: bool,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let names = names::unique(&args.names);
    let word = if args.off { "no longer protected" } else { "protected against removal" };
    names::each(
        context,
        &names,
        |name| context.core.protect(name, !args.off),
        |name, ()| format!("Machine \"{name}\" is {word}."),
    )
}
