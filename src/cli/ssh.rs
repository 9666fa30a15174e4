//! `rmachine ssh`.

use std::{io::IsTerminal, process::ExitCode};

use super::{Context, names::DEFAULT};
use crate::{
    error::{Error, Kind, Result},
    ssh::{self, Exit},
};

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
        Ok(Exit::Code(code)) => Ok(ExitCode::from(u8::try_from(code).unwrap_or(NO_SESSION))),
        Ok(Exit::Signal(name)) => {
            context.terminal.say(&format!("the command was ended by signal {name}"));
            Ok(ExitCode::from(NO_SESSION))
        }
        Ok(Exit::Lost) => {
            let error = Error::new(Kind::Ssh, format!("the connection to machine \"{}\" broke", args.name))
                .hint(format!("`rmachine status {}` shows its state", args.name));
            context.terminal.fail(&error);
            Ok(ExitCode::from(NO_SESSION))
        }
        Err(error) => {
            context.terminal.fail(&error);
            Ok(if error.kind() == Kind::Ssh { ExitCode::from(NO_SESSION) } else { error.exit_code() })
        }
    }
}
