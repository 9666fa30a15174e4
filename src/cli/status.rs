//! `rmachine status`.

use std::time::Duration;

use rmachine_model::error::Result;

use super::{
    Context,
    names::{Failures, Names},
    ui,
};

/// Print the state of machines, as their providers see it now
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  rmachine status aws-test")]
pub struct Args {
    #[command(flatten)]
    names: Names,
    /// Seconds to wait for an answer
    #[arg(short, long, default_value_t = 10, value_name = "SECONDS")]
    timeout: u64,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let names = args.names.unique();
    let timeout = Duration::from_secs(args.timeout);
    let results = context.run(async { Ok(context.core.status(&names, timeout).await) })?;
    let mut failures = Failures::of(context);
    for (name, result) in names.iter().zip(results) {
        match result {
            Ok(line) if names.len() == 1 => ui::print(&format!("{}\n", line.state.word()))?,
            Ok(line) => ui::print(&format!("{name} {}\n", line.state.word()))?,
            Err(error) => failures.add(error),
        }
    }
    failures.last()
}
