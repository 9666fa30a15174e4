//! `rmachine man`.

use std::path::PathBuf;

use clap_mangen::Man;
use rmachine_model::error::{Error, Kind, Result};

use super::{Context, flags, ui, with_flags_of};

/// Print the manual page, or write one for each command
///
/// The flags of all drivers of this build are in it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rmachine man | man -l -
  mkdir -p ~/.local/share/man/man1 && rmachine man ~/.local/share/man/man1 && man rmachine-create")]
pub struct Args {
    /// Directory to write rmachine.1, rmachine-create.1 and so on to
    #[arg(value_name = "DIR")]
    directory: Option<PathBuf>,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let command = with_flags_of(context.core.drivers(), Some(flags::EVERY));
    let Some(directory) = &args.directory else {
        let mut page = Vec::new();
        let failed = |e| Error::new(Kind::Failure, "the manual page cannot be made").source(e);
        Man::new(command.disable_help_subcommand(true)).render(&mut page).map_err(failed)?;
        return ui::print(&String::from_utf8_lossy(&page));
    };
    let shown = directory.display();
    let count = pages(&command);
    clap_mangen::generate_to(command, directory).map_err(|e| {
        Error::new(Kind::Failure, format!("cannot write the manual pages to {shown}"))
            .source(e)
            .hint("it has to be a directory that is there and that you may write to")
    })?;
    context.terminal.say(&format!("{count} pages are in {shown}."));
    Ok(())
}

/// How many pages are made for `command`: one each for it and for all commands below.
fn pages(command: &clap::Command) -> usize {
    1 + command.get_subcommands().map(pages).sum::<usize>()
}
