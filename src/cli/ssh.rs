//! `rmachine ssh`.

use std::{io::IsTerminal, process::ExitCode};

use rmachine_model::error::{Error, Kind, Result};
use rmachine_ssh::{self as ssh, Exit};

use super::{Context, names::DEFAULT};

/// Exit code of a session that could not be had or broke, as of OpenSSH's client.
const NO_SESSION: u8 = 255;

/// Exit code of a program that writes to a closed pipe: 128 and SIGPIPE.
const READER_GONE: u32 = 141;

/// Log in to a machine, or run a command there with its input, output and exit code
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rmachine ssh aws-test                       a shell
  rmachine ssh aws-test -- df -h /            a command
  rmachine ssh aws-test -N -L 8080:localhost:80    with options of ssh, by the stock client
  tar c . | rmachine ssh aws-test tar x -C /srv")]
pub struct Args {
    /// Name of the machine
    #[arg(value_name = "NAME", default_value = DEFAULT)]
    name: String,
    /// Ask for a terminal also for a command
    #[arg(short = 't', long)]
    tty: bool,
    /// The command and its arguments, joined by spaces as ssh does
    #[arg(value_name = "COMMAND", trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<ExitCode> {
    if args.command.first().is_some_and(|word| word.starts_with('-')) {
        return stock(context, args);
    }
    let command = args.command.join(" ");
    let exit = context.run(async {
        let session = context.core.ssh(&args.name).await?;
        let exit = if command.is_empty() || args.tty {
            if !std::io::stdin().is_terminal() && command.is_empty() {
                session.pipe("sh -l", tokio::io::stdin(), tokio::io::stdout(), tokio::io::stderr()).await
            } else {
                session.shell((!command.is_empty()).then_some(command.as_str())).await
            }
        } else {
            session.pipe(&command, tokio::io::stdin(), tokio::io::stdout(), tokio::io::stderr()).await
        };
        let exit = match exit {
            // The reader of our output has gone (`| head`), which a shell shows as SIGPIPE.
            Err(ssh::Error::Local(e)) if e.kind() == std::io::ErrorKind::BrokenPipe => Exit::Code(READER_GONE),
            other => other.map_err(Error::from)?,
        };
        session.close().await;
        Ok(exit)
    });
    match exit {
        Ok(Exit::Code(code)) => Ok(ended(context, u8::try_from(code).unwrap_or(NO_SESSION))),
        Ok(Exit::Signal(name)) => {
            context.terminal.say(&format!("the command was ended by signal {name}"));
            Ok(ended(context, NO_SESSION))
        }
        Ok(Exit::Lost) => {
            let error = Error::new(Kind::Ssh, format!("the connection to machine \"{}\" broke", args.name))
                .hint(format!("`rmachine status {}` shows its state", args.name));
            context.terminal.fail(&error);
            Ok(ended(context, NO_SESSION))
        }
        // As OpenSSH's client says it; docker-machine knows 1 only.
        Err(error) if error.kind() == Kind::Ssh && !context.dialect.is_docker_machine() => {
            context.terminal.fail(&error);
            Ok(ExitCode::from(NO_SESSION))
        }
        Err(error) => Err(error),
    }
}

/// The exit code for a command that ended with `code`: the same, but docker-machine's is 1 with a word about it.
fn ended(context: &Context, code: u8) -> ExitCode {
    if code == 0 || !context.dialect.is_docker_machine() {
        return ExitCode::from(code);
    }
    context.terminal.say(&format!("exit status {code}"));
    ExitCode::from(1)
}

/// Options of ssh(1) before the command, such as `-L 8080:localhost:80`: the stock client has them, and is given this
/// machine's address, key and pinned host keys.
fn stock(context: &Context, args: &Args) -> Result<ExitCode> {
    let names = [args.name.clone()];
    let configuration = context.run(context.core.ssh_config(&names))?;
    let directory = context.core.store().scratch()?;
    let path = directory.path().join("ssh_config");
    context.core.store().write(&path, configuration.as_bytes())?;
    let status = std::process::Command::new("ssh")
        .arg("-F")
        .arg(&path)
        .args(args.tty.then_some("-t"))
        .arg(&args.name)
        .args(&args.command)
        .status();
    let status = status.map_err(|e| {
        Error::new(Kind::Failure, "options of ssh need the program ssh").source(e).hint("install OpenSSH's client")
    })?;
    Ok(ended(context, status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(NO_SESSION)))
}
