//! `rmachine inspect`.

use super::{Context, names::OneName, ui};
use crate::error::{Error, Kind, Result};

/// Print all that is recorded of a machine, as JSON and without secrets
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  rmachine inspect aws-test | jq -r .Driver.IPAddress")]
pub struct Args {
    #[command(flatten)]
    name: OneName,
    /// Print JSON; it always does
    #[arg(long)]
    json: bool,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let _always = args.json;
    let document = context.core.store.load_document(&args.name.name)?;
    let text = serde_json::to_string_pretty(&document)
        .map_err(|e| Error::new(Kind::Failure, "the record cannot be printed").source(e))?;
    ui::print(&format!("{text}\n"))
}
