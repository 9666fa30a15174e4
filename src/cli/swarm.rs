//! The flags of classic Swarm, which is gone: a master becomes the first manager of a swarm of the engine's own.

use rmachine_core::Talk;
use rmachine_model::error::Result;

use super::Context;

/// docker-machine's `--swarm*` flags. They are accepted; most mean nothing to Swarm mode.
#[derive(Debug, clap::Args)]
pub(super) struct SwarmArgs {
    /// Make it a node of a swarm
    #[arg(long, hide = true)]
    swarm: bool,
    /// Make it the first manager of a swarm (Swarm mode of the engine)
    #[arg(long, hide = true)]
    swarm_master: bool,
    #[arg(long, hide = true, value_name = "ADDRESS")]
    swarm_addr: Option<String>,
    #[arg(long, hide = true, value_name = "TOKEN")]
    swarm_discovery: Option<String>,
    #[arg(long, hide = true)]
    swarm_experimental: bool,
    #[arg(long, hide = true, value_name = "URL")]
    swarm_host: Option<String>,
    #[arg(long, hide = true, value_name = "IMAGE", env = "MACHINE_SWARM_IMAGE", hide_env_values = true)]
    swarm_image: Option<String>,
    #[arg(long, hide = true, value_name = "OPTION")]
    swarm_join_opt: Vec<String>,
    #[arg(long, hide = true, value_name = "OPTION")]
    swarm_opt: Vec<String>,
    #[arg(long, hide = true, value_name = "NAME")]
    swarm_strategy: Option<String>,
}

impl SwarmArgs {
    /// Does what is left to do for machine `name`, and says what is not.
    pub(super) fn apply(&self, context: &Context, name: &str) -> Result<()> {
        let notify = context.terminal.about(name);
        let classic = [
            ("--swarm-addr", self.swarm_addr.is_some()),
            ("--swarm-discovery", self.swarm_discovery.is_some()),
            ("--swarm-experimental", self.swarm_experimental),
            ("--swarm-host", self.swarm_host.is_some()),
            ("--swarm-image", self.swarm_image.as_ref().is_some_and(|image| !image.is_empty())),
            ("--swarm-join-opt", !self.swarm_join_opt.is_empty()),
            ("--swarm-opt", !self.swarm_opt.is_empty()),
            ("--swarm-strategy", self.swarm_strategy.is_some()),
        ];
        let ignored: Vec<&str> = classic.iter().filter(|(_, given)| *given).map(|(flag, _)| *flag).collect();
        if !ignored.is_empty() {
            notify.warn(&format!("classic Swarm is gone, and with it what {} meant; not used", ignored.join(", ")));
        }
        if self.swarm_master {
            context.run(context.core.start_swarm(name))?;
            notify
                .warn("classic Swarm is gone: the machine is the first manager of a swarm of its engine (Swarm mode)");
            context.terminal.say(&format!(
                "Others join with what this prints: docker $({0} config {name}) swarm join-token worker. They have to reach \
                 2377/tcp, 7946 and 4789/udp of it (on EC2 --amazonec2-open-port opens ports)",
                context.called
            ));
        } else if self.swarm {
            notify.warn("classic Swarm is gone: let the machine join a swarm by the command of `docker swarm join-token worker` on a manager");
        }
        Ok(())
    }
}
