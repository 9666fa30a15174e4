//! `rmachine create`: the flags of every driver come from its table.

use std::str::FromStr;

use clap::ArgMatches;
use rmachine_core::MachineSpec;
use rmachine_model::{
    EngineSource, EngineSpec,
    drivers::Drivers,
    error::{Error, Kind, Result},
};
use rmachine_text::printable;

use super::{
    Context,
    flags::{self, RouteArgs, Which},
    swarm::SwarmArgs,
    usage,
};

/// Make a machine: a host with a Docker Engine that only you can reach
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rmachine create --driver amazonec2 aws-test
  rmachine create -d amazonec2 --amazonec2-instance-type t4g.small --amazonec2-zone b arm-test
  rmachine create -d docker dev                  a machine on this computer
  rmachine create -d generic --generic-ip-address 192.0.2.7 --generic-ssh-user admin box
  rmachine create -d generic --generic-ip-address 10.0.0.7 --ssh-proxy-jump me@gate --ssh-tunnel inner
  rmachine create --driver amazonec2 --help      the flags of that driver")]
pub struct Args {
    /// Name of the new machine
    #[arg(value_name = "NAME")]
    name: String,
    /// Driver that makes it
    #[arg(short, long, env = "MACHINE_DRIVER", hide_env_values = true, value_name = "DRIVER")]
    driver: Option<String>,
    /// Where the engine comes from: auto, existing, docker, distro, url or none
    #[arg(long, value_name = "SOURCE", default_value = "auto", value_parser = EngineSource::from_str)]
    engine_source: EngineSource,
    /// Script that installs the engine (means --engine-source url)
    #[arg(long, env = "MACHINE_DOCKER_INSTALL_URL", hide_env_values = true, value_name = "URL")]
    engine_install_url: Option<String>,
    /// What that script has to be, or it is not run: sha256: and its SHA-256 sum in hexadecimal
    #[arg(long, value_name = "SUM")]
    engine_install_checksum: Option<String>,
    /// Option of the engine, as KEY=VALUE or KEY (may be repeated)
    #[arg(long, value_name = "OPTION")]
    engine_opt: Vec<String>,
    /// Label of the engine, as KEY=VALUE (may be repeated)
    #[arg(long, value_name = "LABEL")]
    engine_label: Vec<String>,
    /// Variable of the engine's environment, as KEY=VALUE (may be repeated)
    #[arg(long, value_name = "VARIABLE")]
    engine_env: Vec<String>,
    /// Registry that the engine may talk to without TLS (may be repeated)
    #[arg(long, value_name = "REGISTRY")]
    engine_insecure_registry: Vec<String>,
    /// Mirror of Docker Hub that the engine uses (may be repeated) [env: ENGINE_REGISTRY_MIRROR]
    #[arg(long, value_name = "URL")]
    engine_registry_mirror: Vec<String>,
    /// Storage driver of the engine
    #[arg(long, value_name = "DRIVER")]
    engine_storage_driver: Option<String>,
    /// More names and addresses for the engine's certificate (may be repeated)
    #[arg(long, value_name = "NAME")]
    tls_san: Vec<String>,
    /// Reach the engine through SSH only: its port is open to nobody
    #[arg(long)]
    ssh_tunnel: bool,
    #[command(flatten)]
    route: RouteArgs,
    #[command(flatten)]
    swarm: SwarmArgs,
    /// Keep what was made when the create fails, to look into it
    #[arg(long)]
    keep_on_failure: bool,
}

pub(super) fn run(context: &Context, args: Args, matches: &ArgMatches) -> Result<()> {
    let drivers = context.core.drivers();
    let drop_in = context.dialect.is_docker_machine();
    let Some(driver_name) = args.driver.filter(|name| !name.is_empty()) else {
        let names: Vec<&str> = drivers.iter().map(|d| d.info().name.as_str()).collect();
        return Err(
            Error::usage("no driver was named").hint(format!("add --driver NAME; this build has {}", names.join(", ")))
        );
    };
    let driver = drivers.get(&driver_name)?;
    let values = flags::values(drivers, driver.as_ref(), matches, Which::All, context.dialect)?;
    let install_url = args.engine_install_url.filter(|url| !url.is_empty());
    let engine = EngineSpec {
        source: match (&install_url, args.engine_source) {
            (Some(_), EngineSource::Auto) => EngineSource::Url,
            (_, source) => source,
        },
        install_url,
        install_checksum: args.engine_install_checksum.filter(|sum| !sum.is_empty()),
        storage_driver: args.engine_storage_driver.filter(|driver| !driver.is_empty()),
        insecure_registries: args.engine_insecure_registry,
        registry_mirrors: typed_or_in(args.engine_registry_mirror, "ENGINE_REGISTRY_MIRROR"),
        labels: args.engine_label,
        opts: args.engine_opt,
        env: args.engine_env,
        ..EngineSpec::default()
    };
    let spec = MachineSpec {
        name: args.name,
        driver: driver_name,
        flags: values,
        engine,
        tls_sans: args.tls_san,
        ssh_tunnel: args.ssh_tunnel,
        ssh_route: args.route.into(),
        keep_on_failure: args.keep_on_failure,
    };
    if drop_in {
        context.core.check_free(&spec.name)?;
        context.terminal.say("Running pre-create checks...");
    }
    let created = context.run_undoing(context.core.create(spec)).map_err(in_its_words)?;
    let name = &created.record.name;
    let (say, program) = (|line: String| context.terminal.say(&line), &context.called);
    args.swarm.apply(context, name)?;
    if drop_in {
        // Of a URL alone nobody was asked.
        if context.core.has_host(&created.record) {
            say("Docker is up and running!".to_owned());
        }
        say(format!(
            "To see how to connect your Docker Client to the Docker Engine running on this virtual machine, run: {program} env {name}"
        ));
        return Ok(());
    }
    match created.record.url() {
        Some(url) if created.record.engine.source != EngineSource::None => {
            say(format!("Machine \"{name}\" is ready at {url}."));
            say(format!("Point docker at it with: eval $({program} env {name})"));
        }
        _ => say(format!("Machine \"{name}\" is ready, without an engine. Log in with: {program} ssh {name}")),
    }
    Ok(())
}

/// What was typed, else the list in a variable of the environment: separated by commas, an empty one counts as unset.
fn typed_or_in(typed: Vec<String>, variable: &str) -> Vec<String> {
    if !typed.is_empty() {
        return typed;
    }
    let list = std::env::var(variable).unwrap_or_default();
    list.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
}

/// Refuses a driver that this build has not, before its flags are taken for wrong ones.
pub(super) fn known_driver(drivers: &Drivers, command: &clap::Command, arguments: &[std::ffi::OsString]) -> Result<()> {
    let asks_for_help = arguments.iter().any(|argument| argument == "--help" || argument == "-h");
    if usage::subcommand(command, arguments) != Some("create") || asks_for_help {
        return Ok(());
    }
    let Some(name) = flags::chosen_driver(arguments) else { return Ok(()) };
    let known_as = format!(
        "Driver \"{name}\" not found. Do you have the plugin binary \"docker-machine-driver-{name}\" accessible in your PATH?"
    );
    drivers.get(&name).map(drop).map_err(|e| e.known_as(known_as))
}

/// docker-machine's words for a create that failed.
fn in_its_words(error: Error) -> Error {
    if error.known_as_text().is_some() || error.kind() == Kind::Usage {
        return error;
    }
    let causes = error.causes();
    let text = match error.kind() {
        // Above it stands only that the driver refuses.
        Kind::PreCreate => format!("Error with pre-create check: {:?}", causes.first().unwrap_or(&error.to_string())),
        _ => format!("Error creating machine: {error}: {}", causes.last().unwrap_or(&error.to_string())),
    };
    error.known_as(printable::line(&text))
}

/// Adds the flags of every driver, and the list of drivers.
pub(super) fn with_driver_flags(create: clap::Command, drivers: &Drivers, chosen: Option<&str>) -> clap::Command {
    let list: Vec<String> = drivers.iter().map(|d| format!("  {:<12}{}", d.info().name, d.info().summary)).collect();
    flags::add(create, drivers, chosen, Which::All).before_help(format!(
        "Drivers of this build (`create --driver NAME --help` shows their flags):\n{}",
        list.join("\n")
    ))
}
