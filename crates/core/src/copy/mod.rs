//! `scp`: files between this computer and machines, or from machine to machine through this computer.

mod glob;
mod meter;
mod place;
mod rsync;
mod side;
mod walk;
mod writer;

use std::{ffi::OsString, os::unix::ffi::OsStrExt, sync::Arc, time::Duration};

use rmachine_model::error::{Error, Kind, Result};
use rmachine_ssh::{Session, SftpError};

use self::{
    meter::Meter,
    place::{join, last},
    side::{Part, Remote, Side, Trouble, What},
    walk::{Walk, explain},
};
pub use self::{meter::amount, place::Place};
use super::Core;

/// How long a half copied file may take to be removed after Ctrl-C.
const SWEEP: Duration = Duration::from_secs(5);

/// What to copy, and how.
#[derive(Debug, Clone)]
pub struct CopyOptions {
    /// From where, `[[USER@]MACHINE:]PATH`.
    pub sources: Vec<OsString>,
    /// To where, likewise.
    pub destination: OsString,
    /// Whether directories are copied, with all in them.
    pub recursive: bool,
    /// How often to say how far it is; `None`: never.
    pub progress: Option<Duration>,
}

/// What was copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copied {
    /// Files.
    pub files: u64,
    /// Bytes in them.
    pub bytes: u64,
}

/// A machine and the user to be there, where it is not its own.
type Login = (String, Option<String>);

/// The machines of one copy, each logged in to once.
#[derive(Default)]
struct Ends {
    sessions: Vec<Session>,
    remotes: Vec<(Login, Arc<Remote>)>,
}

impl Core {
    /// Copies files. A file has its name when it is whole, and not before.
    ///
    /// # Errors
    ///
    /// [`Kind::Usage`] when nothing of it is on a machine, [`Kind::Ssh`] when a machine does not answer or the connection
    /// breaks, [`Kind::Failure`] when something cannot be read or written.
    pub async fn copy(&self, options: &CopyOptions) -> Result<Copied> {
        let mut ends = Ends::default();
        let mut result = self.interrupt.or(Box::pin(self.copy_between(options, &mut ends))).await;
        for (_, remote) in &ends.remotes {
            // Only an interrupt leaves it to us; an error has tried, and said so.
            if self.interrupt.is_raised()
                && let Some(left) = take_back(remote).await
            {
                result = result.map_err(|e| e.hint(left));
            }
        }
        ends.remotes.clear();
        for session in ends.sessions {
            session.close().await;
        }
        result
    }

    async fn copy_between(&self, options: &CopyOptions, ends: &mut Ends) -> Result<Copied> {
        let (sources, destination) = parse(options)?;
        let (to, target) = self.end(&destination, ends).await?;
        let found = to.look(&target, true).await.map_err(|t| explain("write", &to, &target, &t))?;
        let is_directory = found.is_some_and(|found| found.what == What::Directory);
        let mut all = Vec::new();
        for source in &sources {
            let (from, path) = self.end(source, ends).await?;
            let paths = match &from {
                Side::Here => vec![path],
                Side::There(_) => matches(&from, path).await?,
            };
            all.extend(paths.into_iter().map(|path| (from.clone(), path)));
        }
        if !is_directory && (all.len() > 1 || (target.ends_with(b"/") && !options.recursive)) {
            let shown = place::shown(&target);
            return Err(Error::new(Kind::Failure, format!("{shown}{} is not a directory", to.place()))
                .hint("several files, and a path that ends with /, need a directory that is there already"));
        }
        let voice = destination.machine().or_else(|| sources.iter().find_map(Place::machine)).unwrap_or_default();
        let notify = self.talk.about(voice);
        let mut meter = Meter::new(notify.clone(), options.progress);
        let (mut failures, several) = (0, all.len() > 1);
        for (from, path) in all {
            let place = match last(&path) {
                Some(name) if is_directory => join(&target, name),
                _ => target.clone(),
            };
            let mut walk = Walk::new(from, to.clone(), options.recursive, meter, notify.clone());
            walk.copy(&path, &place, several).await?;
            failures += walk.failures;
            meter = walk.meter;
        }
        match failures {
            0 => Ok(Copied { files: meter.files, bytes: meter.bytes }),
            count => Err(Error::new(Kind::Failure, format!("{count} of the files were not copied"))
                .hint("the warnings above say which and why; the others are copied")),
        }
    }

    /// The end that `place` is at, and the path there.
    async fn end(&self, place: &Place, ends: &mut Ends) -> Result<(Side, Vec<u8>)> {
        let (user, machine, path) = match place {
            Place::Here(path) => return Ok((Side::Here, path.as_os_str().as_bytes().to_vec())),
            Place::There { user, machine, path } => (user, machine, path),
        };
        let key = (machine.clone(), user.clone());
        let known = ends.remotes.iter().find(|(known, _)| *known == key).map(|(_, remote)| remote.clone());
        let remote = match known {
            Some(remote) => remote,
            None => {
                let session = self.ssh_as(machine, user.as_deref()).await?;
                let sftp = session.sftp().await.map_err(|e| Error::from(e).about(machine))?;
                let remote = Arc::new(Remote::new(machine, sftp));
                ends.sessions.push(session);
                ends.remotes.push((key, remote.clone()));
                remote
            }
        };
        let path = match path.first() {
            None => b".".to_vec(),
            Some(b'~') => {
                let expanded = remote.sftp.expand(path).await.map_err(Trouble::from);
                expanded.map_err(|t| explain("find", &Side::There(remote.clone()), path, &t))?
            }
            Some(_) => path.clone(),
        };
        Ok((Side::There(remote), path))
    }
}

/// Removes what is not whole; answers what to say of what is left.
async fn take_back(remote: &Remote) -> Option<String> {
    let part = remote.unfinished().take()?;
    let gone = async {
        match part.stays {
            true => remote.sftp.look(&part.path, false).await.is_ok_and(|found| found.is_none()),
            false => remote.sftp.remove(&part.path).await.is_ok(),
        }
    };
    let gone = tokio::time::timeout(SWEEP, gone).await.unwrap_or_default();
    (!gone).then(|| left_behind(remote, &part))
}

/// What to say of a part that could not be taken back, or must not be.
fn left_behind(remote: &Remote, part: &Part) -> String {
    let what = if part.stays { "the new file is whole, and" } else { "the part that was copied" };
    let next = if part.stays { ": give it its name there, or copy it again and remove this one" } else { "" };
    format!("{what} is left on {} as {}{next}", remote.machine, place::shown(&part.path))
}

fn parse(options: &CopyOptions) -> Result<(Vec<Place>, Place)> {
    let destination = Place::parse(&options.destination)?;
    let sources: Vec<Place> = options.sources.iter().map(|text| Place::parse(text)).collect::<Result<_>>()?;
    if destination.machine().is_none() && sources.iter().any(|source| source.machine().is_none()) {
        return Err(Error::usage("neither of the two places is on a machine")
            .hint("name one as MACHINE:PATH; cp copies files of this computer"));
    }
    Ok((sources, destination))
}

/// The paths at `side` that a pattern stands for; a path that is none, or that nothing fits, stands for itself.
async fn matches(side: &Side, path: Vec<u8>) -> Result<Vec<Vec<u8>>> {
    if !glob::is_pattern(&path) {
        return Ok(vec![path]);
    }
    let mut found: Vec<Vec<u8>> = vec![if path.starts_with(b"/") { b"/".to_vec() } else { Vec::new() }];
    for word in path.split(|b| *b == b'/').filter(|word| !word.is_empty()) {
        let mut next = Vec::new();
        for directory in &found {
            if !glob::is_pattern(word) {
                let one = join(directory, word);
                if side.look(&one, false).await.is_ok_and(|there| there.is_some()) {
                    next.push(one);
                }
                continue;
            }
            let place = if directory.is_empty() { b"." } else { directory.as_slice() };
            match side.list(place).await {
                Ok(entries) => {
                    let fitting = entries.iter().filter(|entry| glob::fits(word, &entry.name));
                    next.extend(fitting.map(|entry| join(directory, &entry.name)));
                }
                Err(trouble @ Trouble::There(SftpError::Lost | SftpError::Malformed(_))) => {
                    return Err(explain("read", side, place, &trouble));
                }
                // No directory, or one that may not be read: nothing fits there, as in a shell.
                Err(_) => {}
            }
        }
        found = next;
    }
    Ok(if found.is_empty() { vec![path] } else { found })
}

#[cfg(test)]
mod tests;
