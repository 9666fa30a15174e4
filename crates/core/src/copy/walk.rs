//! From one end to the other, file by file.

use std::{future::Future, pin::Pin, sync::Arc};

use rmachine_model::error::{Error, Kind};
use rmachine_provider_api::Notify;
use rmachine_ssh::SftpError;

use super::{
    meter::Meter,
    place::{join, shown},
    side::{Facts, Side, Trouble, What},
    writer::Writer,
};

/// How deep a tree may be; deeper is one that has no end.
const DEEPEST: usize = 128;

/// What went wrong, and at which end.
pub(super) struct Flaw {
    trouble: Trouble,
    path: Vec<u8>,
    of_source: bool,
}

/// One copy.
pub(super) struct Walk {
    pub(super) from: Side,
    pub(super) to: Side,
    pub(super) recursive: bool,
    pub(super) meter: Meter,
    pub(super) notify: Arc<dyn Notify>,
    /// Files and directories that could not be read.
    pub(super) failures: u64,
    /// The real paths of the directories that are being read, outermost first.
    above: Vec<Vec<u8>>,
}

type Walking<'a> = Pin<Box<dyn Future<Output = Result<(), Flaw>> + Send + 'a>>;

impl Walk {
    pub(super) fn new(from: Side, to: Side, recursive: bool, meter: Meter, notify: Arc<dyn Notify>) -> Self {
        Self { from, to, recursive, meter, notify, failures: 0, above: Vec::new() }
    }

    /// Copies what is at `source` to `target`, both as the user named them; `several`: it is one of several.
    pub(super) async fn copy(&mut self, source: &[u8], target: &[u8], several: bool) -> Result<(), Error> {
        let result = self.entry(source, target, true, true).await;
        match if several { self.pass_over(result) } else { result } {
            Ok(()) => Ok(()),
            Err(Flaw { trouble, path, of_source: true }) => Err(explain("read", &self.from, &path, &trouble)),
            Err(Flaw { trouble, path, of_source: false }) => Err(explain("write", &self.to, &path, &trouble)),
        }
    }

    /// What cannot be read does not keep the others back.
    fn pass_over(&mut self, result: Result<(), Flaw>) -> Result<(), Flaw> {
        match result {
            Err(flaw) if flaw.of_source && !flaw.trouble.is_final() => {
                self.failures += 1;
                let (path, place) = (shown(&flaw.path), self.from.place());
                self.notify.warn(&format!("{path}{place} was not copied: {}", flaw.trouble));
                Ok(())
            }
            result => result,
        }
    }

    /// `is_link`: whether the source may be a symbolic link. `named`: whether the user named it, and not a directory
    /// around it.
    fn entry<'a>(&'a mut self, source: &'a [u8], target: &'a [u8], is_link: bool, named: bool) -> Walking<'a> {
        Box::pin(async move {
            let at = |trouble| Flaw { trouble, path: source.to_vec(), of_source: true };
            let facts = self.from.look(source, true).await.map_err(at)?;
            let facts = facts.ok_or_else(|| at(Trouble::Refused("no such file or directory")))?;
            match facts.what {
                What::File => self.file(source, target, &facts, named).await,
                What::Directory if !self.recursive => Err(at(Trouble::Refused("it is a directory"))),
                What::Directory => self.directory(source, target, &facts, is_link, named).await,
                What::Link | What::Other => Err(at(Trouble::Refused("it is neither a file nor a directory"))),
            }
        })
    }

    async fn directory(
        &mut self,
        source: &[u8],
        target: &[u8],
        facts: &Facts,
        is_link: bool,
        named: bool,
    ) -> Result<(), Flaw> {
        let at_source = |trouble| Flaw { trouble, path: source.to_vec(), of_source: true };
        let at_target = |trouble| Flaw { trouble, path: target.to_vec(), of_source: false };
        let real = match self.above.last() {
            Some(parent) if !is_link => join(parent, super::place::last(source).unwrap_or(source)),
            _ => self.from.resolve(source).await.map_err(at_source)?,
        };
        if self.above.contains(&real) {
            return Err(at_source(Trouble::Refused("it is a link to a directory around it")));
        }
        if self.above.len() >= DEEPEST {
            return Err(at_source(Trouble::Refused("the directories have no end")));
        }
        // Before the target is made, which may be inside.
        let entries = self.from.list(source).await.map_err(at_source)?;
        // A link below what the user named may lead anywhere.
        let made = match self.to.look(target, named).await.map_err(at_target)?.map(|there| there.what) {
            None => {
                self.to.make_directory(target).await.map_err(at_target)?;
                true
            }
            Some(What::Directory) => false,
            Some(What::Link) => {
                return Err(at_target(Trouble::Refused("it is a symbolic link, which is not followed")));
            }
            Some(_) => return Err(at_target(Trouble::Refused("it is not a directory"))),
        };
        self.above.push(real);
        for entry in entries {
            let (from, to) = (join(source, &entry.name), join(target, &entry.name));
            let result = self.entry(&from, &to, entry.is_link, false).await;
            self.pass_over(result)?;
        }
        self.above.pop();
        if made && let Err(trouble) = self.to.set(target, facts).await {
            self.not_kept(target, &trouble.to_string());
        }
        Ok(())
    }

    async fn file(&mut self, source: &[u8], target: &[u8], facts: &Facts, named: bool) -> Result<(), Flaw> {
        let mut target = target.to_vec();
        let at_source = |trouble| Flaw { trouble, path: source.to_vec(), of_source: true };
        let at = |target: &[u8], trouble| Flaw { trouble, path: target.to_vec(), of_source: false };
        let mut old = self.to.look(&target, false).await.map_err(|t| at(&target, t))?;
        if named && old.is_some_and(|old| old.what == What::Link) {
            // The file behind the link is meant; where there is none, the link goes.
            if let Some(behind) = self.to.look(&target, true).await.map_err(|t| at(&target, t))? {
                // A pipe behind /dev/stdout has no path of its own.
                if behind.what == What::File {
                    target = self.to.resolve(&target).await.map_err(|t| at(&target, t))?;
                }
                old = Some(behind);
            }
        }
        if old.is_some_and(|old| old.what == What::Directory) {
            return Err(at(&target, Trouble::Refused("it is a directory")));
        }
        let is_device = named && old.is_some_and(|old| old.what == What::Other);
        let mut reader = self.from.read(source).await.map_err(at_source)?;
        let replaced = old.as_ref().filter(|old| old.what == What::File);
        let writer = match self.to.write(&target, replaced, is_device).await {
            // The directory takes no new file, but the file that is there may be written.
            Err(trouble) if trouble.is_denied() && named && replaced.is_some() => {
                self.to.write(&target, replaced, true).await
            }
            result => result,
        };
        let mut writer = writer.map_err(|t| at(&target, t))?;
        self.meter.begin(source, facts.size);
        if let Err(flaw) = self.pump(&mut reader, &mut writer, source, &target).await {
            // What cannot be taken back is said with the error.
            let _ = writer.discard().await;
            let _ = reader.close().await;
            return Err(flaw);
        }
        let kept = writer.finish(facts).await.map_err(|t| at(&target, t))?;
        reader.close().await.map_err(at_source)?;
        if !kept {
            self.not_kept(&target, "its file system or server does not take them");
        }
        self.meter.end();
        Ok(())
    }

    async fn pump(
        &mut self,
        reader: &mut super::side::Reader,
        writer: &mut Writer,
        source: &[u8],
        target: &[u8],
    ) -> Result<(), Flaw> {
        loop {
            let chunk = reader.next().await;
            let chunk = chunk.map_err(|trouble| Flaw { trouble, path: source.to_vec(), of_source: true })?;
            let Some(chunk) = chunk else { return Ok(()) };
            let written = writer.write(&chunk).await;
            written.map_err(|trouble| Flaw { trouble, path: target.to_vec(), of_source: false })?;
            self.meter.add(chunk.len());
        }
    }

    fn not_kept(&self, target: &[u8], why: &str) {
        let (path, place) = (shown(target), self.to.place());
        self.notify.warn(&format!("the permissions and times of {path}{place} were not kept: {why}"));
    }
}

/// The error for `trouble` with `path` at `side`.
pub(super) fn explain(verb: &str, side: &Side, path: &[u8], trouble: &Trouble) -> Error {
    let kind = if trouble.is_final() { Kind::Ssh } else { Kind::Failure };
    let error = Error::new(kind, format!("cannot {verb} {}{}", shown(path), side.place())).source(trouble.to_string());
    let Side::There(remote) = side else {
        return match trouble {
            Trouble::Refused("it is a directory") if verb == "read" => error.hint("-r copies directories"),
            _ => error,
        };
    };
    let name = &remote.machine;
    let error = match trouble {
        Trouble::There(SftpError::Lost) => error.hint(format!("`rmachine status {name}` shows its state")),
        Trouble::There(SftpError::Denied) if verb == "read" => {
            error.hint(format!("as root: `rmachine ssh {name} -- sudo cat FILE`, or log in as another user, USER@{name}:PATH"))
        }
        Trouble::There(SftpError::Denied) => error.hint(format!(
            "copy it to a place of the login user and move it: `rmachine ssh {name} -- sudo mv …`; or log in as another user, USER@{name}:PATH"
        )),
        Trouble::There(SftpError::NotFound) if verb == "write" => error.hint("the directory is not there"),
        Trouble::There(SftpError::Refused(_)) if verb == "write" => {
            error.hint(format!("is its disk full? `rmachine ssh {name} -- df -h` shows it"))
        }
        Trouble::Refused("it is a directory") if verb == "read" => error.hint("-r copies directories"),
        _ => error,
    };
    let left = remote.unfinished().clone();
    match left {
        Some(left) => error.hint(super::left_behind(remote, &left)),
        None => error,
    }
}
