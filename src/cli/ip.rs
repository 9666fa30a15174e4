//! `rmachine ip`.

use super::{Context, names::Names, ui};
use crate::error::Result;

/// Print the addresses of machines, one a line
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  curl http://$(rmachine ip aws-test)/")]
pub struct Args {
    #[command(flatten)]
    names: Names,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let mut lines = String::new();
    for name in &args.names.names {
        lines.push_str(&context.core.access(name)?.ip);
        lines.push('\n');
    }
    ui::print(&lines)
}
