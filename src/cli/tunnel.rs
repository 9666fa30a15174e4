//! `rmachine tunnel`.

use rmachine_model::error::Result;

use super::{Context, names::OneName, ui};

/// Open, or end, the tunnel to a machine that was made with --ssh-tunnel
///
/// `env`, `config` and `url` open it by themselves. It stays open, as a process of its own, until the machine is stopped
/// or removed; its SSH connection is closed after five minutes without use, and opened again when it is needed.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rmachine create -d amazonec2 --ssh-tunnel build    its port 2376 is open to nobody
  eval $(rmachine env build)                         opens the tunnel and points docker at it
  rmachine tunnel build                              opens it again, such as after a reboot of this computer
  rmachine tunnel --stop build                       ends it")]
pub struct Args {
    #[command(flatten)]
    name: OneName,
    /// Serve it in this process until Ctrl-C; prints its URL when it is open
    #[arg(short, long)]
    foreground: bool,
    /// End it
    #[arg(long, conflicts_with = "foreground")]
    stop: bool,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let (core, name) = (&context.core, &args.name.name);
    if args.stop {
        core.store().load(name)?;
        let ran = context.run(core.end_tunnel(name))?;
        context.terminal.say(&match ran {
            true => format!("The tunnel to machine \"{name}\" is closed."),
            false => format!("No tunnel to machine \"{name}\" is open."),
        });
        return Ok(());
    }
    if args.foreground {
        return context.run(core.serve_tunnel(name, |access| ui::print(&format!("{}\n", access.url))));
    }
    context.run(core.ensure_tunnel(name))?;
    let access = core.access(name)?;
    context.terminal.say(&format!("Machine \"{name}\" is reached at {}.", access.url));
    Ok(())
}
