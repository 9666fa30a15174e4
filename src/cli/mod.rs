//! The command line: arguments → one call of the core → print. One file a command.

mod active;
mod adopt;
mod allow;
mod audit;
mod compat;
mod completion;
mod config;
mod context;
mod create;
pub mod dialect;
mod doctor;
mod env;
mod export;
mod flags;
mod gc;
mod go_flags;
mod holdings;
mod iam_policy;
mod import;
mod inspect;
mod ip;
mod kill;
mod ls;
mod ls_format;
mod man;
mod mount;
mod names;
mod parcel;
mod passphrase;
mod protect;
mod provision;
mod regenerate_certs;
mod rename;
mod restart;
mod rm;
mod rotate_ca;
mod rotate_keys;
mod scp;
mod secret_file;
mod share;
mod ssh;
mod ssh_config;
mod start;
mod status;
mod stop;
mod swarm;
mod tabs;
mod template;
mod tunnel;
pub mod ui;
mod unshare;
mod upgrade;
mod url;
mod usage;
mod version;

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use rmachine_certs as certs;
use rmachine_core::{CLIENT_LIFE, Core, FirstContact, StateWords};
use rmachine_model::{
    drivers::Drivers,
    error::{Error, Kind, Result},
};
use rmachine_ssh::Budgets;
use rmachine_store::{Store, TlsPaths};

use self::{context::Context, dialect::Dialect};
use crate::drivers;

/// Makes a host, installs the Docker Engine on it, and hands your docker client a remote engine.
#[derive(Debug, Parser)]
#[command(name = "rmachine", version, after_help = EXAMPLES, propagate_version = false)]
struct Cli {
    /// Directory of the store
    #[arg(short = 's', long, global = true, help_heading = GLOBAL, env = "MACHINE_STORAGE_PATH", value_name = "DIR", hide_env_values = true)]
    storage_path: Option<PathBuf>,
    /// Say on stderr what happens, step by step (never secrets)
    #[arg(short = 'D', long, global = true, help_heading = GLOBAL, env = "MACHINE_DEBUG", hide_env_values = true, value_parser = clap::builder::FalseyValueParser::new())]
    debug: bool,
    /// CA certificate, in the place of the store's
    #[arg(long, global = true, help_heading = GLOBAL, env = "MACHINE_TLS_CA_CERT", value_name = "PATH", hide_env_values = true)]
    tls_ca_cert: Option<PathBuf>,
    /// The CA's private key, in the place of the store's
    #[arg(long, global = true, help_heading = GLOBAL, env = "MACHINE_TLS_CA_KEY", value_name = "PATH", hide_env_values = true)]
    tls_ca_key: Option<PathBuf>,
    /// The client's certificate, in the place of the store's
    #[arg(long, global = true, help_heading = GLOBAL, env = "MACHINE_TLS_CLIENT_CERT", value_name = "PATH", hide_env_values = true)]
    tls_client_cert: Option<PathBuf>,
    /// The client's private key, in the place of the store's
    #[arg(long, global = true, help_heading = GLOBAL, env = "MACHINE_TLS_CLIENT_KEY", value_name = "PATH", hide_env_values = true)]
    tls_client_key: Option<PathBuf>,
    /// Accepted and ignored, as docker-machine's callers pass it
    #[arg(long, global = true, hide = true, value_name = "TOKEN")]
    bugsnag_api_token: Option<String>,
    /// Accepted and ignored, as docker-machine's callers pass it
    #[arg(long, global = true, hide = true, value_name = "TOKEN")]
    github_api_token: Option<String>,
    /// Accepted and ignored: rmachine's SSH client is always its own
    #[arg(long, global = true, hide = true)]
    native_ssh: bool,
    #[command(subcommand)]
    command: Command,
}

/// Heading of the options that every command has.
const GLOBAL: &str = "Global options";

const EXAMPLES: &str = "\
Examples:
  rmachine create --driver amazonec2 aws-test    make an EC2 machine
  eval $(rmachine env aws-test)                  point docker at it
  docker run -d -p 80:80 nginx                   runs there
  rmachine ls                                    see all machines
  rmachine rm aws-test                           remove it with all that was made for it";

#[derive(Debug, Subcommand)]
enum Command {
    Active(active::Args),
    Adopt(adopt::Args),
    Allow(allow::Args),
    Audit(audit::Args),
    Compat(compat::Args),
    Completion(completion::Args),
    Config(config::Args),
    Create(Box<create::Args>),
    Doctor(doctor::Args),
    Env(env::Args),
    Export(export::Args),
    Gc(gc::Args),
    IamPolicy(iam_policy::Args),
    Import(import::Args),
    Inspect(inspect::Args),
    Ip(ip::Args),
    Kill(kill::Args),
    Ls(ls::Args),
    Man(man::Args),
    Mount(mount::Args),
    Protect(protect::Args),
    Provision(provision::Args),
    RegenerateCerts(regenerate_certs::Args),
    Rename(rename::Args),
    Restart(restart::Args),
    Rm(rm::Args),
    RotateCa(rotate_ca::Args),
    RotateKeys(rotate_keys::Args),
    Scp(scp::Args),
    Share(share::Args),
    Ssh(ssh::Args),
    SshConfig(ssh_config::Args),
    Start(start::Args),
    Status(status::Args),
    Stop(stop::Args),
    Tunnel(tunnel::Args),
    Unshare(unshare::Args),
    Upgrade(upgrade::Args),
    Url(url::Args),
    Version(version::Args),
}

impl Command {
    /// Whether it reads or writes the store.
    fn uses_store(&self) -> bool {
        match self {
            Self::Compat(_) | Self::Completion(_) | Self::Man(_) => false,
            Self::Version(args) => args.name.is_some(),
            _ => true,
        }
    }
}

/// Whether a store that others can change is refused.
fn strict_modes() -> bool {
    !std::env::var("RMACHINE_STRICT_MODES").is_ok_and(|value| matches!(value.as_str(), "no" | "false" | "0"))
}

/// Parses `arguments`, runs the command, prints, and answers the exit code.
pub fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    main_with(drivers::compiled_in(), arguments)
}

/// Keeps keys and passphrases in memory from core dumps, and from other programs of the user (prctl(2),
/// PR_SET_DUMPABLE). What the program starts has its own limits again: the hard one stays.
pub fn keep_memory_private() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let core = Rlimit { current: Some(0), ..getrlimit(Resource::Core) };
    if let Err(error) = setrlimit(Resource::Core, core) {
        tracing::debug!("RLIMIT_CORE: {error}");
    }
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable) {
        tracing::debug!("PR_SET_DUMPABLE: {error}");
    }
}

/// [`main`] with other drivers; for tests and for programs that bring their own.
pub fn main_with(drivers: Drivers, arguments: impl Iterator<Item = OsString>) -> ExitCode {
    main_within(drivers, Budgets::default(), arguments)
}

/// [`main_with`] hosts that may take this much; for tests.
pub fn main_within(drivers: Drivers, budgets: Budgets, arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.collect();
    if let Some(code) = completion::answer(&drivers, &arguments) {
        return code;
    }
    let program = dialect::program_name(&arguments);
    let dialect = Dialect::of(&program);
    let drivers = dialect.drivers(drivers);
    let command = dialect.described(command(&drivers, &arguments));
    let arguments = go_flags::plain(dialect, &command, &arguments);
    let terminal = ui::Terminal::speaking(dialect, dialect.talks_on_stdout(&command, &arguments));
    if let Err(error) = create::known_driver(&drivers, &command, &arguments) {
        terminal.fail(&error);
        return dialect.exit_code(&error);
    }
    let parsed = command
        .clone()
        .try_get_matches_from(&arguments)
        .and_then(|matches| Ok((Cli::from_arg_matches(&matches)?, matches)));
    let (cli, matches) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => return usage::answer(&error, &command, &arguments, &terminal),
    };
    start_log(cli.debug);
    let result = store_root(cli.storage_path.as_deref(), dialect).and_then(|root| {
        let store = Store::at(root).with_tls(tls_paths(&cli)?);
        if cli.command.uses_store() && strict_modes() {
            store.require_strict_modes()?;
        }
        let agent = std::env::var_os("SSH_AUTH_SOCK").filter(|socket| !socket.is_empty()).map(PathBuf::from);
        let life = client_life(dialect, std::env::var(CLIENT_DAYS).ok().as_deref())?;
        let builder = Core::builder(store).drivers(drivers).talk(terminal.clone()).ssh_agent(agent).budgets(budgets);
        let builder = builder.client_life(life).program(std::env::current_exe().ok());
        let core = match dialect {
            // It checked none; what is taken here is said, and refused when it changes.
            Dialect::DockerMachine => {
                builder.first_contact(FirstContact::Take).state_words(StateWords::DockerMachine).build()
            }
            Dialect::Own => builder.build(),
        };
        let typed = matches.value_source("storage_path") == Some(clap::parser::ValueSource::CommandLine);
        let directory = cli.storage_path.as_ref().filter(|_| typed).and_then(|path| path.to_str());
        let called = match directory.map(shlex::try_quote) {
            Some(Ok(directory)) => format!("{program} -s {directory}"),
            _ => program.clone(),
        };
        let mut context = Context { core, terminal: terminal.clone(), program, called, dialect };
        dispatch(&mut context, cli.command, &matches)
    });
    match result {
        Ok(code) => code,
        Err(error) => {
            let error = if is_default(&matches) { names::not_named(error) } else { error };
            terminal.fail(&error);
            dialect.exit_code(&error)
        }
    }
}

/// The whole command with the flags of every driver; only those of the chosen one are shown.
pub fn command(drivers: &Drivers, arguments: &[OsString]) -> clap::Command {
    with_flags_of(drivers, flags::chosen_driver(arguments).as_deref())
}

fn with_flags_of(drivers: &Drivers, chosen: Option<&str>) -> clap::Command {
    let connecting = |command| flags::add(command, drivers, chosen, flags::Which::Connecting);
    Cli::command()
        .args_override_self(true)
        .mut_subcommand("create", |create| create::with_driver_flags(create, drivers, chosen))
        .mut_subcommand("adopt", connecting)
        .mut_subcommand("gc", connecting)
}

/// Whether a machine was meant without naming it.
fn is_default(matches: &clap::ArgMatches) -> bool {
    let Some((_, given)) = matches.subcommand() else { return false };
    let source = |id: &str| given.try_contains_id(id).is_ok().then(|| given.value_source(id)).flatten();
    ["name", "names"].iter().any(|id| source(id) == Some(clap::parser::ValueSource::DefaultValue))
}

fn dispatch(context: &mut Context, command: Command, matches: &clap::ArgMatches) -> Result<ExitCode> {
    let given = |name: &str| matches.subcommand_matches(name).cloned().unwrap_or_default();
    match command {
        Command::Active(args) => active::run(context, &args)?,
        Command::Adopt(args) => adopt::run(context, args, &given("adopt"))?,
        Command::Allow(args) => allow::run(context, &args)?,
        Command::Audit(args) => audit::run(context, &args)?,
        Command::Compat(args) => compat::run(context, &args)?,
        Command::Completion(args) => completion::run(context, &args)?,
        Command::Config(args) => config::run(context, &args)?,
        Command::Create(args) => create::run(context, *args, &given("create"))?,
        Command::Doctor(args) => doctor::run(context, &args)?,
        Command::Env(args) => env::run(context, &args)?,
        Command::Export(args) => export::run(context, &args)?,
        Command::Gc(args) => gc::run(context, &args, &given("gc"))?,
        Command::IamPolicy(args) => iam_policy::run(context, &args)?,
        Command::Import(args) => import::run(context, &args)?,
        Command::Inspect(args) => inspect::run(context, &args)?,
        Command::Ip(args) => ip::run(context, &args)?,
        Command::Kill(args) => kill::run(context, &args)?,
        Command::Ls(args) => ls::run(context, &args)?,
        Command::Man(args) => man::run(context, &args)?,
        Command::Mount(args) => mount::run(context, args)?,
        Command::Protect(args) => protect::run(context, &args)?,
        Command::Provision(args) => provision::run(context, &args)?,
        Command::RegenerateCerts(args) => regenerate_certs::run(context, &args)?,
        Command::Rename(args) => rename::run(context, &args)?,
        Command::Restart(args) => restart::run(context, &args)?,
        Command::Rm(args) => rm::run(context, &args)?,
        Command::RotateCa(args) => rotate_ca::run(context, &args)?,
        Command::RotateKeys(args) => rotate_keys::run(context, &args)?,
        Command::Scp(args) => scp::run(context, &args)?,
        Command::Share(args) => share::run(context, &args)?,
        Command::Ssh(args) => return ssh::run(context, &args),
        Command::SshConfig(args) => ssh_config::run(context, &args)?,
        Command::Start(args) => start::run(context, &args)?,
        Command::Status(args) => status::run(context, &args)?,
        Command::Stop(args) => stop::run(context, &args)?,
        Command::Tunnel(args) => tunnel::run(context, &args)?,
        Command::Unshare(args) => unshare::run(context, &args)?,
        Command::Upgrade(args) => upgrade::run(context, &args)?,
        Command::Url(args) => url::run(context, &args)?,
        Command::Version(args) => version::run(context, &args)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Where the CA and the client's certificate are, if not in the store.
fn tls_paths(cli: &Cli) -> Result<TlsPaths> {
    let at = |path: &Option<PathBuf>| {
        let given = path.as_ref().filter(|path| !path.as_os_str().is_empty());
        given.map(std::path::absolute).transpose().map_err(|e| Error::usage("a --tls-* path is not valid").source(e))
    };
    Ok(TlsPaths {
        ca_cert: at(&cli.tls_ca_cert)?,
        ca_key: at(&cli.tls_ca_key)?,
        client_cert: at(&cli.tls_client_cert)?,
        client_key: at(&cli.tls_client_key)?,
    })
}

/// For how many days a client's certificate is issued.
const CLIENT_DAYS: &str = "RMACHINE_CLIENT_DAYS";

/// How long a client's certificate lives: as the user says; under docker-machine's name, whose callers may keep copies,
/// as long as docker-machine's.
fn client_life(dialect: Dialect, days: Option<&str>) -> Result<time::Duration> {
    match days.filter(|days| !days.is_empty()) {
        None if dialect.is_docker_machine() => Ok(certs::LEAF_LIFE),
        None => Ok(CLIENT_LIFE),
        Some(days) => match days.parse() {
            Ok(days @ 1..=10_000) => Ok(time::Duration::days(days)),
            _ => Err(Error::usage(format!("{CLIENT_DAYS} is no number of days: {days:?}"))
                .hint("give 1 to 10000, such as 90 where something runs rmachine every week")),
        },
    }
}

/// Where the store is: the flag, the environment, docker-machine's place under its name, else the
/// platform's data directory.
fn store_root(given: Option<&Path>, dialect: Dialect) -> Result<PathBuf> {
    if let Some(path) = given.filter(|path| !path.as_os_str().is_empty()) {
        return std::path::absolute(path)
            .map_err(|e| Error::usage(format!("invalid --storage-path {}", path.display())).source(e));
    }
    let no_home = || {
        Error::new(Kind::Store, "there is no home directory to keep the store in")
            .hint("choose one with --storage-path DIR")
    };
    if dialect.is_docker_machine() {
        let dirs = directories::BaseDirs::new().ok_or_else(no_home)?;
        return Ok(dirs.home_dir().join(".docker").join("machine"));
    }
    let dirs = directories::ProjectDirs::from("", "", "rmachine").ok_or_else(no_home)?;
    Ok(dirs.data_dir().to_owned())
}

/// What `--debug` shows. A target is the beginning of a module's path: `rmachine` is all of our crates.
const DEBUG: &str = "warn,rmachine=debug";

fn start_log(debug: bool) {
    use tracing_subscriber::{EnvFilter, fmt};
    let filter = match std::env::var("RMACHINE_LOG") {
        Ok(filter) if !filter.is_empty() => EnvFilter::new(filter),
        _ if debug => EnvFilter::new(DEBUG),
        _ => return,
    };
    // A second initialisation only happens in tests, where the first one stays.
    let _ = fmt().with_env_filter(filter).with_writer(|| ui::Log).with_target(false).try_init();
}
