//! The command line: arguments → one call of the core → print. One file a command.

mod adopt;
mod allow;
mod config;
mod create;
mod doctor;
mod env;
mod flags;
mod gc;
mod holdings;
mod inspect;
mod ip;
mod kill;
mod ls;
mod ls_format;
mod names;
mod parcel;
mod passphrase;
mod protect;
mod provision;
mod regenerate_certs;
mod restart;
mod rm;
mod rotate_ca;
mod share;
mod ssh;
mod ssh_config;
mod start;
mod status;
mod stop;
mod tabs;
mod template;
mod tunnel;
pub mod ui;
mod unshare;
mod url;
mod usage;
mod version;

use std::{ffi::OsString, future::Future, path::PathBuf, process::ExitCode, sync::Arc};

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{
    drivers::Drivers,
    error::{Error, Kind, Result},
    machine::Core,
    store::Store,
};

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
    Adopt(adopt::Args),
    Allow(allow::Args),
    Config(config::Args),
    Create(create::Args),
    Doctor(doctor::Args),
    Env(env::Args),
    Gc(gc::Args),
    Inspect(inspect::Args),
    Ip(ip::Args),
    Kill(kill::Args),
    Ls(ls::Args),
    Protect(protect::Args),
    Provision(provision::Args),
    RegenerateCerts(regenerate_certs::Args),
    Restart(restart::Args),
    Rm(rm::Args),
    RotateCa(rotate_ca::Args),
    Share(share::Args),
    Ssh(ssh::Args),
    SshConfig(ssh_config::Args),
    Start(start::Args),
    Status(status::Args),
    Stop(stop::Args),
    Tunnel(tunnel::Args),
    Unshare(unshare::Args),
    Url(url::Args),
    Version(version::Args),
}

/// What a command works with.
struct Context {
    core: Core,
    terminal: Arc<ui::Terminal>,
    /// The name the program was called by.
    program: String,
}

impl Context {
    /// Runs asynchronous work that may end anywhere; Ctrl-C ends it at once.
    fn run<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let interrupt = self.core.interrupt.clone();
        self.block_on(async {
            let mut signals = Signals::catch();
            let watch = tokio::spawn(async move {
                signals.next().await;
                interrupt.raise();
            });
            let result = self.core.interrupt.or(work).await;
            watch.abort();
            result
        })
    }

    /// Runs asynchronous work that undoes what it did: Ctrl-C asks it to, a second one ends the process.
    fn run_undoing<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        self.block_on(async {
            let watch = tokio::spawn(watch_twice(Signals::catch(), self.core.interrupt.clone(), self.terminal.clone()));
            let result = work.await;
            watch.abort();
            result
        })
    }

    /// Starts the tunnel of a machine whose engine is reached through SSH, when it does not run.
    fn ensure_tunnel(&self, access: &crate::machine::Access) -> Result<()> {
        if !access.tunnel || self.core.tunnel_runs(&access.name)? {
            return Ok(());
        }
        self.run(self.core.ensure_tunnel(&access.name))
    }

    fn block_on<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| Error::new(Kind::Failure, "cannot start the runtime").source(e))?;
        let result = runtime.block_on(work);
        // A read of stdin that is under way cannot be ended otherwise.
        runtime.shutdown_background();
        self.terminal.finish();
        result
    }
}

/// Ctrl-C, and being told to end (SIGTERM). Caught from the first moment on, before any work begins.
struct Signals(Option<(Signal, Signal)>);

impl Signals {
    /// Without handlers the signals end the process by themselves.
    fn catch() -> Self {
        Self(signal(SignalKind::interrupt()).ok().zip(signal(SignalKind::terminate()).ok()))
    }

    /// Returns when one of them comes.
    async fn next(&mut self) {
        let Some((interrupt, terminate)) = &mut self.0 else { return std::future::pending().await };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    }
}

async fn watch_twice(mut signals: Signals, interrupt: crate::machine::Interrupt, terminal: Arc<ui::Terminal>) {
    signals.next().await;
    terminal.say("Interrupted: removing what was made (press Ctrl-C again to leave at once and keep the record)");
    interrupt.raise();
    signals.next().await;
    terminal.finish();
    #[allow(clippy::exit, reason = "the user asked twice; the record says how far the work is")]
    std::process::exit(i32::from(Kind::Interrupted.exit_code()));
}

/// Parses `arguments`, runs the command, prints, and answers the exit code.
pub fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    main_with(Drivers::compiled_in(), arguments)
}

/// [`main`] with other drivers; for tests and for programs that bring their own.
pub fn main_with(drivers: Drivers, arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.collect();
    let command = command(&drivers, &arguments);
    let terminal = ui::Terminal::of_process();
    let parsed = command
        .clone()
        .try_get_matches_from(usage::plain_switches(&command, &arguments))
        .and_then(|matches| Ok((Cli::from_arg_matches(&matches)?, matches)));
    let (cli, matches) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => return usage::answer(&error, &command, &arguments, &terminal),
    };
    start_log(cli.debug);
    let program = arguments
        .first()
        .and_then(|path| PathBuf::from(path).file_stem().map(|stem| stem.to_string_lossy().into_owned()))
        .unwrap_or_else(|| "rmachine".to_owned());
    let result = store_root(&cli, &program).and_then(|root| {
        let core = Core::new(Store::at(root), drivers, terminal.clone());
        let context = Context { core, terminal: terminal.clone(), program };
        dispatch(&context, cli.command, &matches)
    });
    match result {
        Ok(code) => code,
        Err(error) => {
            terminal.fail(&error);
            error.exit_code()
        }
    }
}

/// The whole command with the flags of every driver; only those of the chosen one are shown.
pub fn command(drivers: &Drivers, arguments: &[OsString]) -> clap::Command {
    let chosen = flags::chosen_driver(arguments);
    let chosen = chosen.as_deref();
    let connecting = |command| flags::add(command, drivers, chosen, flags::Which::Connecting);
    Cli::command()
        .args_override_self(true)
        .mut_subcommand("create", |create| create::with_driver_flags(create, drivers, chosen))
        .mut_subcommand("adopt", connecting)
        .mut_subcommand("gc", connecting)
}

fn dispatch(context: &Context, command: Command, matches: &clap::ArgMatches) -> Result<ExitCode> {
    let given = |name: &str| matches.subcommand_matches(name).cloned().unwrap_or_default();
    match command {
        Command::Adopt(args) => adopt::run(context, args, &given("adopt"))?,
        Command::Allow(args) => allow::run(context, &args)?,
        Command::Config(args) => config::run(context, &args)?,
        Command::Create(args) => create::run(context, args, &given("create"))?,
        Command::Doctor(args) => doctor::run(context, &args)?,
        Command::Env(args) => env::run(context, &args)?,
        Command::Gc(args) => gc::run(context, &args, &given("gc"))?,
        Command::Inspect(args) => inspect::run(context, &args)?,
        Command::Ip(args) => ip::run(context, &args)?,
        Command::Kill(args) => kill::run(context, &args)?,
        Command::Ls(args) => ls::run(context, &args)?,
        Command::Protect(args) => protect::run(context, &args)?,
        Command::Provision(args) => provision::run(context, &args)?,
        Command::RegenerateCerts(args) => regenerate_certs::run(context, &args)?,
        Command::Restart(args) => restart::run(context, &args)?,
        Command::Rm(args) => rm::run(context, &args)?,
        Command::RotateCa(args) => rotate_ca::run(context, &args)?,
        Command::Share(args) => share::run(context, &args)?,
        Command::Ssh(args) => return ssh::run(context, &args),
        Command::SshConfig(args) => ssh_config::run(context, &args)?,
        Command::Start(args) => start::run(context, &args)?,
        Command::Status(args) => status::run(context, &args)?,
        Command::Stop(args) => stop::run(context, &args)?,
        Command::Tunnel(args) => tunnel::run(context, &args)?,
        Command::Unshare(args) => unshare::run(context, &args)?,
        Command::Url(args) => url::run(context, &args)?,
        Command::Version(args) => version::run(context, &args)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Where the store is: the flag, the environment, docker-machine's place under its name, else the
/// platform's data directory.
fn store_root(cli: &Cli, program: &str) -> Result<PathBuf> {
    if let Some(path) = cli.storage_path.as_ref().filter(|path| !path.as_os_str().is_empty()) {
        return std::path::absolute(path)
            .map_err(|e| Error::usage(format!("invalid --storage-path {}", path.display())).source(e));
    }
    let no_home = || {
        Error::new(Kind::Store, "there is no home directory to keep the store in")
            .hint("choose one with --storage-path DIR")
    };
    if program == "docker-machine" {
        let dirs = directories::BaseDirs::new().ok_or_else(no_home)?;
        return Ok(dirs.home_dir().join(".docker").join("machine"));
    }
    let dirs = directories::ProjectDirs::from("", "", "rmachine").ok_or_else(no_home)?;
    Ok(dirs.data_dir().to_owned())
}

fn start_log(debug: bool) {
    use tracing_subscriber::{EnvFilter, fmt};
    let filter = match std::env::var("RMACHINE_LOG") {
        Ok(filter) if !filter.is_empty() => EnvFilter::new(filter),
        _ if debug => EnvFilter::new("warn,rmachine=debug,rmachine_provider_amazonec2=debug"),
        _ => return,
    };
    // A second initialisation only happens in tests, where the first one stays.
    let _ = fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false).try_init();
}
