//! `rmachine rm`.

use super::{Context, names};
use crate::{
    error::{Error, Result},
    machine::{RemoveMode, Talk},
};

/// Remove machines with all that was made for them
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rmachine rm aws-test        asks first
  rmachine rm -y one two      does not ask; both at once
  rmachine rm -f broken       forgets the record also when the cloud cannot be asked")]
pub struct Args {
    /// Names of the machines
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
    /// Forget the record even when the cloud refuses; what may be left is said. Does not ask
    #[arg(short, long)]
    force: bool,
    /// Do not ask
    #[arg(short = 'y', long = "yes")]
    yes: bool,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let names = names::unique(&args.names);
    if !args.yes && !args.force {
        let question = format!("remove {} with all data on it?", names.join(", "));
        match context.terminal.confirm(&question) {
            Some(true) => {}
            Some(false) => return Err(Error::usage("nothing was removed: not confirmed")),
            None => {
                return Err(Error::usage("nothing was removed: there is no terminal to confirm on")
                    .hint("add -y to remove without a question"));
            }
        }
    }
    let mode = if args.force { RemoveMode::Force } else { RemoveMode::Normal };
    names::each(
        context,
        &names,
        |name| context.core.remove(name, mode),
        |name, ()| format!("Machine \"{name}\" is removed."),
    )
}
