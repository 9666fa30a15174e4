//! `rmachine version`.

use std::time::Duration;

use rmachine_model::error::Result;

use super::{Context, ui};

/// Print the version of rmachine, or of a machine's engine
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  rmachine version             the program's\n  rmachine version aws-test    the engine's on that machine"
)]
pub struct Args {
    /// Machine whose engine is asked
    #[arg(value_name = "NAME")]
    pub(super) name: Option<String>,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    match &args.name {
        None => ui::print(&format!("{}\n", context.dialect.version(&context.program))),
        Some(name) => {
            let access = context.core.access(name)?;
            let version = context.run(context.core.check(&access, Duration::from_secs(10)))?;
            ui::print(&format!("{}\n", version.version))
        }
    }
}
