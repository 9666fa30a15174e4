//! `rmachine config`.

use std::time::Duration;

use super::{Context, names::OneName, ui};
use crate::{error::Result, machine::program_probes, store::file};

/// Print the flags that point one docker command at a machine
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  docker $(rmachine config aws-test) ps")]
pub struct Args {
    #[command(flatten)]
    name: OneName,
    /// Ask the engine first, and fail when it does not answer
    #[arg(long)]
    check: bool,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let access = context.core.access(&args.name.name)?;
    context.ensure_tunnel(&access)?;
    if args.check || program_probes(&context.program) {
        context.run(context.core.check(&access, Duration::from_secs(10)))?;
    }
    let path = |name: &str| access.cert_path.join(name).to_string_lossy().into_owned();
    ui::print(&format!(
        "--tlsverify\n--tlscacert=\"{}\"\n--tlscert=\"{}\"\n--tlskey=\"{}\"\n-H={}\n",
        path(file::CA_CERT),
        path(file::CLIENT_CERT),
        path(file::CLIENT_KEY),
        access.url
    ))
}
