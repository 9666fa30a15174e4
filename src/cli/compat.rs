//! `rmachine compat`: standing in for docker-machine under its name.

use std::path::{Path, PathBuf};

use super::Context;
use crate::error::{Error, Kind, Result};

/// The name that is stood in for.
const NAME: &str = "docker-machine";

/// Stand in for docker-machine: scripts that call it get rmachine
///
/// Called by that name the program takes docker-machine's store, words and exit codes: docs/migration.md.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rmachine compat install                  a link docker-machine beside rmachine
  rmachine compat install /usr/local/bin   or in another directory of PATH
  rmachine compat status                   what `docker-machine` runs
  rmachine compat uninstall                the link goes; a program that was there comes back")]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Put a link `docker-machine` to rmachine into a directory
    Install {
        /// The directory; the one where rmachine is if not given
        #[arg(value_name = "DIR")]
        directory: Option<PathBuf>,
        /// Move another docker-machine that is there out of the way, to docker-machine.before-rmachine
        #[arg(short, long)]
        force: bool,
    },
    /// Say which program `docker-machine` is
    Status,
    /// Take the link away
    Uninstall {
        /// The directory; the one where rmachine is if not given
        #[arg(value_name = "DIR")]
        directory: Option<PathBuf>,
    },
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    match &args.what {
        What::Install { directory, force } => install(context, directory.as_deref(), *force),
        What::Status => status(context),
        What::Uninstall { directory } => uninstall(context, directory.as_deref()),
    }
}

/// This program's own file, links followed.
fn program() -> Result<PathBuf> {
    let found = std::env::current_exe().and_then(std::fs::canonicalize);
    found.map_err(|e| Error::new(Kind::Failure, "cannot find this program's own file").source(e))
}

fn place(directory: Option<&Path>) -> Result<PathBuf> {
    let own = program()?;
    let beside = own.parent().unwrap_or(Path::new("/"));
    Ok(directory.unwrap_or(beside).join(NAME))
}

/// Whether `link` leads to this program.
fn is_ours(link: &Path) -> Result<bool> {
    let own = program()?;
    Ok(std::fs::canonicalize(link).is_ok_and(|target| target == own))
}

fn before(link: &Path) -> PathBuf {
    link.with_file_name(format!("{NAME}.before-rmachine"))
}

fn install(context: &Context, directory: Option<&Path>, force: bool) -> Result<()> {
    let (link, own) = (place(directory)?, program()?);
    let failed = |e: std::io::Error| {
        Error::new(Kind::Failure, format!("cannot make {}", link.display()))
            .source(e)
            .hint("choose a directory of PATH that you may write to: `rmachine compat install DIR`")
    };
    if link.symlink_metadata().is_ok() {
        if is_ours(&link)? {
            context.terminal.say(&format!("{} is rmachine already.", link.display()));
            return Ok(());
        }
        if !force {
            return Err(Error::new(Kind::Conflict, format!("{} is another program", link.display())).hint(
                "--force moves it to docker-machine.before-rmachine, and `rmachine compat uninstall` brings it back",
            ));
        }
        moved(&link, before(&link)).map_err(failed)?;
    }
    if let Err(error) = std::os::unix::fs::symlink(&own, &link) {
        let error = failed(error);
        return Err(match before(&link).exists().then(|| moved(before(&link), &link)) {
            Some(Err(e)) => error.hint(format!("{} could not be moved back: {e}", before(&link).display())),
            _ => error,
        });
    }
    context.terminal.say(&format!("{} is rmachine now; its store is ~/.docker/machine.", link.display()));
    match found() {
        Some(first) if first == link => {}
        Some(first) => context.terminal.say(&format!(
            "Warning: `{NAME}` is still {}, which comes first on your PATH.",
            shown(Some(first.as_path()))
        )),
        None => context.terminal.say(&format!("Warning: the directory of {} is not on your PATH.", link.display())),
    }
    Ok(())
}

fn status(context: &Context) -> Result<()> {
    let text = match found() {
        Some(path) if is_ours(&path)? => format!("{} is rmachine.", path.display()),
        Some(path) => format!("{} is another program.", path.display()),
        None => format!("No program on PATH is called {NAME}; `rmachine compat install` makes one."),
    };
    context.terminal.say(&text);
    Ok(())
}

fn uninstall(context: &Context, directory: Option<&Path>) -> Result<()> {
    let link = place(directory)?;
    let is_link = link.symlink_metadata().is_ok_and(|data| data.is_symlink());
    if !is_link || !is_ours(&link)? {
        return Err(Error::new(Kind::Conflict, format!("{} is no link to this program", link.display())));
    }
    let failed = |e: std::io::Error| Error::new(Kind::Failure, format!("cannot remove {}", link.display())).source(e);
    std::fs::remove_file(&link).map_err(failed)?;
    if before(&link).symlink_metadata().is_ok() {
        moved(before(&link), &link).map_err(failed)?;
        context.terminal.say(&format!("{} is the program again that it was.", link.display()));
    } else {
        context.terminal.say(&format!("{} is gone.", link.display()));
    }
    Ok(())
}

#[allow(clippy::disallowed_methods, reason = "programs on PATH, no files of the store")]
fn moved(from: impl AsRef<Path>, to: impl AsRef<Path>) -> std::io::Result<()> {
    std::fs::rename(from, to)
}

/// What a shell runs as `docker-machine`.
fn found() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(NAME)).find(|program| program.is_file())
}

fn shown(path: Option<&Path>) -> String {
    path.map_or_else(|| "nothing".to_owned(), |path| path.display().to_string())
}
