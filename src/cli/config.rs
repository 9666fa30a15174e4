//! `rmachine config`.

use std::time::Duration;

use rmachine_model::error::Result;
use rmachine_store::file;

use super::{Context, dialect, names::OneName, ui};

/// Print the flags that point one docker command at a machine
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  docker $(rmachine config aws-test) ps")]
pub struct Args {
    #[command(flatten)]
    name: OneName,
    /// Ask the engine first, and fail when it does not answer
    #[arg(long)]
    check: bool,
    /// Accepted and ignored: classic Swarm is gone, and Swarm mode is spoken to at the engine's own port
    #[arg(long, hide = true)]
    swarm: bool,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let _same_port = args.swarm;
    let access = context.core.access(&args.name.name)?;
    context.ensure_tunnel(&access)?;
    if args.check || context.dialect.is_docker_machine() {
        context.run(context.core.check(&access, Duration::from_secs(10))).map_err(|e| {
            dialect::certificates(
                e,
                "Error running connection boilerplate",
                &format!("{}:{}", access.host, access.port),
            )
        })?;
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
