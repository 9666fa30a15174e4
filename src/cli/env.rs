//! `rmachine env`.

use std::time::Duration;

use rmachine_core::env::{self, EnvPlan, Shell};
use rmachine_model::error::{Error, Result};

use super::{Context, dialect, names::OneName, ui};

/// Print the variables that point docker at a machine, for a shell to evaluate
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  eval $(rmachine env aws-test)                 bash, zsh, sh
  rmachine env --shell fish aws-test | source   fish
  eval $(rmachine env --unset)                  back to the local engine")]
pub struct Args {
    #[command(flatten)]
    name: OneName,
    /// Shell to print for: bash, zsh, fish, powershell, cmd, tcsh, emacs, nushell; found out if not given
    #[arg(long, value_name = "SHELL")]
    shell: Option<String>,
    /// Unset the variables instead
    #[arg(short, long)]
    unset: bool,
    /// Also exempt the machine from the proxy, by NO_PROXY
    #[arg(long)]
    no_proxy: bool,
    /// Ask the engine first, and fail when it does not answer
    #[arg(long)]
    check: bool,
    /// Accepted and ignored: classic Swarm is gone, and Swarm mode is spoken to at the engine's own port
    #[arg(long, hide = true)]
    swarm: bool,
}

const VARIABLES: [&str; 4] = ["DOCKER_TLS_VERIFY", "DOCKER_HOST", "DOCKER_CERT_PATH", "DOCKER_MACHINE_NAME"];

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let _same_port = args.swarm;
    let shell = match args.shell.as_deref().filter(|name| !name.is_empty()) {
        // docker-machine takes what it does not know for a POSIX shell.
        Some(name) if context.dialect.is_docker_machine() => Shell::parse(name).unwrap_or(Shell::Posix),
        Some(name) => Shell::parse(name)?,
        None if context.dialect.is_docker_machine() => Shell::of_variable().unwrap_or_else(Shell::detect),
        None => Shell::detect(),
    };
    let plan = if args.unset { unset(context, args)? } else { set(context, args)? };
    ui::print(&env::render(shell, &plan))
}

fn unset(context: &Context, args: &Args) -> Result<EnvPlan> {
    if context.dialect.is_docker_machine() && args.name.name != super::names::DEFAULT {
        return Err(Error::usage("--unset takes no name")
            .known_as("Error: Expected no machine name when the -u flag is present"));
    }
    let mut unset = VARIABLES.to_vec();
    let no_proxy = if args.no_proxy { " --no-proxy" } else { "" };
    if args.no_proxy {
        unset.extend(["NO_PROXY", "no_proxy"]);
    }
    Ok(EnvPlan {
        set: Vec::new(),
        unset,
        docker_machine: context.dialect.is_docker_machine(),
        command: format!("{} env -u{no_proxy}{}", context.called, shell_flag(args)),
    })
}

fn set(context: &Context, args: &Args) -> Result<EnvPlan> {
    let name = &args.name.name;
    let access = context.core.access(name)?;
    let core = &context.core;
    let notify = core.talk().about(name);
    core.expiry(&core.store().load(name)?).warnings.iter().for_each(|warning| notify.warn(warning));
    context.ensure_tunnel(&access)?;
    if args.check || context.dialect.is_docker_machine() {
        context.run(context.core.check(&access, Duration::from_secs(10))).map_err(|e| {
            dialect::certificates(e, "Error checking TLS connection", &format!("{}:{}", access.host, access.port))
        })?;
    }
    let cert_path = access.cert_path.to_str().ok_or_else(|| {
        Error::usage(format!("the path {} is not UTF-8", access.cert_path.display()))
            .hint("keep the store at another place with --storage-path")
    })?;
    let values = ["1".to_owned(), access.url.clone(), cert_path.to_owned(), name.clone()];
    let mut set: Vec<(&'static str, String)> = VARIABLES.into_iter().zip(values).collect();
    if args.no_proxy {
        set.push(env::no_proxy(&access.host, |name| std::env::var(name).ok()));
    }
    let no_proxy = if args.no_proxy { " --no-proxy" } else { "" };
    Ok(EnvPlan {
        set,
        unset: Vec::new(),
        docker_machine: context.dialect.is_docker_machine(),
        command: format!("{} env{no_proxy}{} {name}", context.called, shell_flag(args)),
    })
}

fn shell_flag(args: &Args) -> String {
    args.shell.as_ref().map(|shell| format!(" --shell {shell}")).unwrap_or_default()
}
