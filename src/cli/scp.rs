//! `rmachine scp`.

use std::{ffi::OsString, io::IsTerminal, time::Duration};

use rmachine_core::{CopyOptions, amount};
use rmachine_model::error::{Error, Result};

use super::Context;

/// How often a terminal is told how far a copy is, and how often something else is.
const OFTEN: Duration = Duration::from_millis(100);
const SELDOM: Duration = Duration::from_secs(10);

/// Copy files to, from and between machines
///
/// A place is [[USER@]MACHINE:]PATH. A relative PATH begins in the login user's home directory there, and may be a pattern
/// (quote it). A file has its name when it is whole; permissions and times are kept, links followed.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rmachine scp site.tar aws-test:/srv/            to a machine
  rmachine scp -r 'aws-test:/var/log/app*' logs   from it, into the directory logs
  rmachine scp build1:out.bin aws-test:           from one to another, through this computer
  rmachine scp -d -r site/ aws-test:/srv/site     only what differs, by rsync")]
pub struct Args {
    /// From where, and last to where: [[USER@]MACHINE:]PATH
    #[arg(value_name = "PLACE", num_args = 1.., required = true)]
    places: Vec<OsString>,
    /// Copy directories, with all in them
    #[arg(short, long)]
    recursive: bool,
    /// Copy only what differs, by the rsync of both ends
    #[arg(short, long)]
    delta: bool,
    /// Say nothing but warnings and errors
    #[arg(short, long)]
    quiet: bool,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let mut sources = args.places.clone();
    let destination = sources.pop().unwrap_or_default();
    if sources.is_empty() {
        return Err(Error::usage("the place to copy to is missing").hint("`.` is the directory that you are in"));
    }
    let every = if std::io::stderr().is_terminal() { OFTEN } else { SELDOM };
    let progress = (!args.quiet).then_some(every);
    let options = CopyOptions { sources, destination, recursive: args.recursive, progress };
    if args.delta {
        return context.run(context.core.copy_delta(&options));
    }
    let copied = context.run_to_end(context.core.copy(&options))?;
    if !args.quiet {
        let files = if copied.files == 1 { "1 file".to_owned() } else { format!("{} files", copied.files) };
        context.terminal.say(&format!("Copied {files}, {}.", amount(copied.bytes)));
    }
    Ok(())
}
