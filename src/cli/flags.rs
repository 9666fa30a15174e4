//! The flags of drivers, which come from their tables, on the commands that take them.

use std::{collections::BTreeMap, ffi::OsString};

use clap::{Arg, ArgAction, ArgMatches};
use rmachine_core::SshRoute;
use rmachine_model::{
    drivers::Drivers,
    error::{Error, Result},
};
use rmachine_provider_api::{Driver, Flag, FlagKind, Value, Values};

use super::dialect::Dialect;

/// The way to a machine's sshd.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct RouteArgs {
    /// Reach sshd through these hosts, as [USER@]HOST[:PORT], comma-separated; your known_hosts knows them
    #[arg(long, value_name = "HOSTS", conflicts_with = "ssh_proxy_command")]
    ssh_proxy_jump: Option<String>,
    /// Reach sshd over the input and output of this command; %h, %p and %r are its host, port and user
    #[arg(long, value_name = "COMMAND")]
    ssh_proxy_command: Option<String>,
}

impl From<RouteArgs> for SshRoute {
    fn from(args: RouteArgs) -> Self {
        Self { jump: args.ssh_proxy_jump, command: args.ssh_proxy_command }
    }
}

/// Which flags of a driver a command takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    /// All of them.
    All,
    /// Those that say where to look and how to get in.
    Connecting,
}

impl Which {
    fn admits(self, flag: &Flag) -> bool {
        self == Self::All || flag.connects
    }
}

/// The driver that `arguments` or the environment name, found before they are parsed, so that
/// `--help` shows its flags.
pub(super) fn chosen_driver(arguments: &[OsString]) -> Option<String> {
    let texts: Vec<&str> = arguments.iter().filter_map(|a| a.to_str()).collect();
    let mut found = None;
    for (index, text) in texts.iter().enumerate() {
        if matches!(*text, "--driver" | "-d") {
            found = texts.get(index + 1).map(|value| (*value).to_owned());
        } else if let Some(value) = text.strip_prefix("--driver=").or_else(|| text.strip_prefix("-d")) {
            found = Some(value.trim_start_matches('=').to_owned());
        }
    }
    found.or_else(|| std::env::var("MACHINE_DRIVER").ok()).filter(|name| !name.is_empty())
}

/// Stands for a driver where the flags of every one are shown.
pub(super) const EVERY: &str = "*";

/// Adds the flags of every driver to `command`; those of others than `chosen` are hidden.
pub(super) fn add(mut command: clap::Command, drivers: &Drivers, chosen: Option<&str>, which: Which) -> clap::Command {
    for driver in drivers.iter() {
        let info = driver.info();
        for flag in info.flags.iter().filter(|flag| which.admits(flag)) {
            command =
                command.arg(argument(flag, &info.name, chosen == Some(info.name.as_str()) || chosen == Some(EVERY)));
        }
    }
    command
}

/// The values of the flags of `driver`: typed, of the environment, or the defaults.
pub(super) fn values(
    drivers: &Drivers,
    driver: &dyn Driver,
    matches: &ArgMatches,
    which: Which,
    dialect: Dialect,
) -> Result<Values> {
    refuse_foreign(drivers, driver, matches, which)?;
    let mut typed = BTreeMap::new();
    for flag in driver.info().flags.iter().filter(|flag| which.admits(flag)) {
        if let Some(value) = given(matches, flag)? {
            typed.insert(flag.name.as_str(), value);
        }
    }
    // Variables of flags that this command does not take are none of its business.
    let drop_in = dialect.is_docker_machine();
    let takes = |name: &str| {
        let reads = |flag: &Flag| {
            flag.env.iter().any(|env| env == name) && !(drop_in && flag.own_env.iter().any(|env| env == name))
        };
        driver.info().flags.iter().any(|flag| which.admits(flag) && reads(flag))
    };
    let env = |name: &str| std::env::var(name).ok().filter(|_| takes(name));
    let mut values = Values::resolve(&driver.info().flags, |flag| typed.remove(flag.name.as_str()), env)?;
    for flag in driver.info().flags.iter().filter(|flag| drop_in && which.admits(flag)) {
        if let Some(default) = flag.drop_in_default.as_ref().filter(|_| values.source(&flag.name).is_none()) {
            values.set(&flag.name, flag.parse(default)?);
        }
    }
    Ok(values)
}

/// Whether a flag of any driver was typed.
pub(super) fn any_given<'a>(drivers: &'a Drivers, matches: &ArgMatches) -> Option<&'a str> {
    drivers
        .iter()
        .flat_map(|driver| &driver.info().flags)
        .find(|flag| flag.connects && is_given(matches, flag))
        .map(|flag| flag.name.as_str())
}

fn argument(flag: &Flag, driver: &str, shown: bool) -> Arg {
    let mut letters = flag.help.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().to_string()).unwrap_or_default();
    let mut help = format!("{first}{}", letters.as_str());
    if let Some(default) = &flag.default {
        help.push_str(&format!(" [default: {default}]"));
    }
    if !flag.env.is_empty() {
        help.push_str(&format!(" [env: {}]", flag.env.join(", ")));
    }
    let arg = Arg::new(flag.name.clone())
        .long(flag.name.clone())
        .aliases(flag.aliases.iter().cloned())
        .help(help)
        .help_heading(format!("Options of the driver {driver}"))
        .value_name(flag.value_name.clone())
        .hide(!shown);
    match flag.kind {
        FlagKind::Text | FlagKind::Integer => arg.action(ArgAction::Set),
        FlagKind::List => arg.action(ArgAction::Append),
        FlagKind::Switch => {
            arg.action(ArgAction::Set).num_args(0..=1).require_equals(true).default_missing_value("true")
        }
    }
}

fn is_given(matches: &ArgMatches, flag: &Flag) -> bool {
    matches.value_source(&flag.name) == Some(clap::parser::ValueSource::CommandLine)
}

/// What the command line says of `flag`; an empty value counts as not given, as in the environment.
fn given(matches: &ArgMatches, flag: &Flag) -> Result<Option<Value>> {
    if !is_given(matches, flag) {
        return Ok(None);
    }
    let mut texts = matches.get_many::<String>(&flag.name).into_iter().flatten().filter(|text| !text.is_empty());
    Ok(match flag.kind {
        FlagKind::List => Some(Value::List(texts.cloned().collect())),
        FlagKind::Text | FlagKind::Integer | FlagKind::Switch => {
            texts.next().map(|text| flag.parse(text)).transpose()?
        }
    })
}

fn refuse_foreign(drivers: &Drivers, chosen: &dyn Driver, matches: &ArgMatches, which: Which) -> Result<()> {
    for driver in drivers.iter().filter(|d| d.info().name != chosen.info().name) {
        let given = |flag: &&Flag| which.admits(flag) && is_given(matches, flag);
        if let Some(flag) = driver.info().flags.iter().find(given) {
            return Err(Error::usage(format!(
                "--{} is a flag of the driver \"{}\", not of \"{}\"",
                flag.name,
                driver.info().name,
                chosen.info().name
            ))
            .hint(format!("`rmachine create --driver {} --help` shows the flags that it takes", chosen.info().name)));
        }
    }
    Ok(())
}

#[cfg(test)]
mod properties;
