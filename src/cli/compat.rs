//! `rmachine compat`: standing in for docker-machine under its name.

use std::{
    fs::Permissions,
    io::{BufRead, BufReader},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use rmachine_model::{
    error::{Error, Kind, Result},
    modes,
};

use super::Context;

/// The name that is stood in for.
const NAME: &str = "docker-machine";

/// Stand in for docker-machine: scripts that call it get rmachine
///
/// Where DIR is root's and somebody else could replace this program, a copy is put there instead of a link.
/// Called by that name the program takes docker-machine's store, words and exit codes: docs/migration.md.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rmachine compat install                  a link docker-machine beside rmachine
  rmachine compat install /usr/local/bin   or in another directory of PATH
  rmachine compat status                   what `docker-machine` runs
  rmachine compat uninstall                it goes; a program that was there comes back")]
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
    /// Take the link or the copy away
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

/// Whether `link` leads to this program, or is a copy of it.
fn is_ours(link: &Path) -> Result<bool> {
    let own = program()?;
    Ok(std::fs::canonicalize(link).is_ok_and(|target| target == own) || is_copy(link)?)
}

/// In every version of this program, so that a copy is known.
const MARK: &[u8] = b"rmachine: stands in for docker-machine, as a copy or by a link\n";

/// Whether `file` is a copy of this program, of whatever version, and not this program itself.
fn is_copy(file: &Path) -> Result<bool> {
    let is_file = file.symlink_metadata().is_ok_and(|data| data.is_file());
    if !is_file || std::fs::canonicalize(file).is_ok_and(|path| program().is_ok_and(|own| own == path)) {
        return Ok(false);
    }
    // The compiler may not take the mark to pieces: it has to be in the program as it is.
    let mark = std::hint::black_box(MARK);
    let Ok(mut reader) = std::fs::File::open(file).map(BufReader::new) else { return Ok(false) };
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
        if line.ends_with(mark) {
            return Ok(true);
        }
        line.clear();
    }
    Ok(false)
}

/// Who else could put another program in the place of this one, where `directory` is root's: root runs what is there.
fn replaceable(directory: &Path) -> Result<Option<modes::Loose>> {
    let is_roots = std::fs::metadata(directory).is_ok_and(|found| found.uid() == 0);
    let own = program()?;
    let failed = |e| Error::new(Kind::Failure, format!("cannot look at {}", own.display())).source(e);
    if is_roots { modes::loose(&own, 0).map_err(failed) } else { Ok(None) }
}

/// A link to this program at `to`, or a copy (0755); what is there is replaced at once or not at all.
fn put(own: &Path, to: &Path, as_copy: bool) -> std::io::Result<()> {
    let directory = to.parent().unwrap_or(Path::new("/"));
    if !as_copy {
        let link = tempfile::Builder::new().make_in(directory, |path| std::os::unix::fs::symlink(own, path))?;
        return link.into_temp_path().persist(to).map_err(|e| e.error);
    }
    let mut from = std::fs::File::open(own)?;
    let mut file = tempfile::Builder::new().permissions(Permissions::from_mode(0o755)).tempfile_in(directory)?;
    std::io::copy(&mut from, file.as_file_mut())?;
    // The umask has cut what was asked for.
    file.as_file().set_permissions(Permissions::from_mode(0o755))?;
    file.as_file().sync_all()?;
    file.persist(to).map(drop).map_err(|e| e.error)
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
    let replaceable = replaceable(link.parent().unwrap_or(Path::new("/")))?;
    let mut is_moved = false;
    if link.symlink_metadata().is_ok() {
        // A link to what somebody can replace becomes a copy, and a copy that of this version.
        let leads_here = link == own || std::fs::canonicalize(&link).is_ok_and(|target| target == own);
        if leads_here && (link == own || replaceable.is_none()) {
            context.terminal.say(&format!("{} is rmachine already.", link.display()));
            return Ok(());
        }
        is_moved = !leads_here && !is_copy(&link)?;
        if is_moved && !force {
            return Err(Error::new(Kind::Conflict, format!("{} is another program", link.display())).hint(
                "--force moves it to docker-machine.before-rmachine, and `rmachine compat uninstall` brings it back",
            ));
        }
        if is_moved {
            moved(&link, before(&link)).map_err(failed)?;
        }
    }
    if let Err(error) = put(&own, &link, replaceable.is_some()) {
        let error = failed(error);
        return Err(match is_moved.then(|| moved(before(&link), &link)) {
            Some(Err(e)) => error.hint(format!("{} could not be moved back: {e}", before(&link).display())),
            _ => error,
        });
    }
    context.terminal.say(&format!("{} is rmachine now; its store is ~/.docker/machine.", link.display()));
    if let Some(loose) = replaceable {
        context.terminal.say(&format!(
            "It is a copy, as {} can be replaced by others ({}: {}); repeat this after an update.",
            own.display(),
            loose.path.display(),
            loose.reason()
        ));
    }
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
    if !(is_copy(&link)? || is_link && is_ours(&link)?) {
        return Err(Error::new(
            Kind::Conflict,
            format!("{} is no link to this program and no copy of it", link.display()),
        ));
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
