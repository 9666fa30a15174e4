//! The cloud's client: all that reads and writes its files. Its calls block.
//!
//! An instance is the file `paper-ATTEMPT.json`. So the name says whether an attempt was made, and a hard link, which never
//! replaces a file, is the atomic "make it unless it is there". Changes and deletes hold the lock of the cloud.
//!
//! For tests: while there is a file `trouble`, each call that makes an instance adds a line to it and fails as its first line
//! says. `refused`: nothing is made; `lost`: it is made, and no answer comes.

#![allow(clippy::disallowed_methods, reason = "these files are the cloud's own, none is of a store")]

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{self, ErrorKind, Read, Write},
    net::Ipv4Addr,
    path::{Path, PathBuf},
};

use rmachine_provider_api::{AttemptToken, InstanceId, MachineToken, Owner};
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;
use time::OffsetDateTime;

/// Longest file that is read, in bytes.
const LONGEST: u64 = 4096;

/// Whether an instance runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Power {
    Running,
    Stopped,
}

/// An instance, as its file has it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) name: String,
    pub(crate) owner: Owner,
    pub(crate) token: MachineToken,
    pub(crate) attempt: AttemptToken,
    pub(crate) state: Power,
    pub(crate) address: Ipv4Addr,
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) created: OffsetDateTime,
}

impl Machine {
    /// One that runs from now on. Its address follows from the attempt; two may share one, as nothing listens there.
    pub(crate) fn new(name: &str, owner: &Owner, token: &MachineToken, attempt: &AttemptToken) -> Self {
        let fold = |hash: u16, byte: u8| hash.rotate_left(5) ^ u16::from(byte);
        let [third, fourth] = attempt.as_str().bytes().fold(0, fold).to_be_bytes();
        Self {
            name: name.to_owned(),
            owner: owner.clone(),
            token: token.clone(),
            attempt: attempt.clone(),
            state: Power::Running,
            address: Ipv4Addr::new(127, 9, third, fourth),
            created: OffsetDateTime::now_utc(),
        }
    }

    /// The text of its id.
    pub(crate) fn id(&self) -> String {
        format!("paper-{}", self.attempt)
    }
}

/// Why a call failed.
#[derive(Debug)]
pub(crate) enum Fault {
    /// For certain nothing was done.
    Refused(io::Error),
    /// It may have been done.
    Lost(io::Error),
    /// There is no such instance.
    Missing,
    /// The instance of this id is another machine's.
    Foreign(String),
    /// This file is not what the cloud writes.
    Garbled(PathBuf, String),
}

type Answer<T> = Result<T, Fault>;

/// The cloud in one directory.
#[derive(Debug, Clone)]
pub(crate) struct Cloud {
    root: PathBuf,
}

impl Cloud {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// Makes `wanted`, or answers what was made of its attempt before.
    pub(crate) fn run(&self, wanted: &Machine) -> Answer<Machine> {
        let trouble = self.trouble().map_err(Fault::Refused)?;
        if trouble == "refused" {
            return Err(Fault::Refused(ErrorKind::PermissionDenied.into()));
        }
        let path = self.path(&wanted.attempt);
        let draft = self.draft(wanted).map_err(Fault::Refused)?;
        match fs::hard_link(draft.path(), &path) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(Fault::Lost(error)),
            _ if trouble == "lost" => Err(Fault::Lost(ErrorKind::TimedOut.into())),
            _ => match read(&path)?.ok_or(Fault::Missing)? {
                made if made.token == wanted.token && made.owner == wanted.owner => Ok(made),
                other => Err(Fault::Foreign(other.id())),
            },
        }
    }

    /// All instances, in the order of their ids.
    pub(crate) fn list(&self) -> Answer<Vec<Machine>> {
        let mut paths = fs::read_dir(&self.root)
            .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<PathBuf>>>())
            .map_err(Fault::Lost)?;
        paths.retain(|path| path.extension() == Some(OsStr::new("json")));
        paths.sort();
        // One that was deleted since is missing, and no error.
        paths.iter().filter_map(|path| read(path).transpose()).collect()
    }

    /// Brings an instance to `state`, where it is not; answers how it is then.
    pub(crate) fn power(&self, id: &InstanceId, state: Power) -> Answer<Machine> {
        let _lock = self.lock().map_err(Fault::Refused)?;
        let mut machine = self.get(id)?;
        if machine.state != state {
            machine.state = state;
            let draft = self.draft(&machine).map_err(Fault::Refused)?;
            draft.persist(self.path(&machine.attempt)).map_err(|failed| Fault::Lost(failed.error))?;
        }
        Ok(machine)
    }

    /// Deletes an instance of the machine with `token`; a missing one is gone.
    pub(crate) fn delete(&self, id: &InstanceId, token: &MachineToken) -> Answer<()> {
        let _lock = self.lock().map_err(Fault::Refused)?;
        match self.get(id) {
            Ok(machine) if machine.token == *token => fs::remove_file(self.path(&machine.attempt)).map_err(Fault::Lost),
            Ok(other) => Err(Fault::Foreign(other.id())),
            Err(Fault::Missing) => Ok(()),
            Err(fault) => Err(fault),
        }
    }

    /// One instance. An id that this cloud would not give is missing, whatever it would be as a path.
    pub(crate) fn get(&self, id: &InstanceId) -> Answer<Machine> {
        let attempt = id.as_str().strip_prefix("paper-").and_then(|attempt| attempt.parse().ok());
        read(&self.path(&attempt.ok_or(Fault::Missing)?))?.ok_or(Fault::Missing)
    }

    fn path(&self, attempt: &AttemptToken) -> PathBuf {
        self.root.join(format!("paper-{attempt}.json"))
    }

    /// Writes `machine` to a file that is removed when it is dropped.
    fn draft(&self, machine: &Machine) -> io::Result<NamedTempFile> {
        let mut file = NamedTempFile::with_prefix_in(".draft-", &self.root)?;
        file.write_all(&serde_json::to_vec_pretty(machine)?)?;
        file.as_file().sync_all()?;
        Ok(file)
    }

    /// Holds the lock of this cloud until it is dropped, against other processes too.
    fn lock(&self) -> io::Result<File> {
        let file = File::options().create(true).append(true).open(self.root.join(".lock"))?;
        file.lock()?;
        Ok(file)
    }

    /// What is wrong with this cloud, as a word; nothing: empty. Counts the call.
    fn trouble(&self) -> io::Result<String> {
        let mut file = match File::options().read(true).append(true).open(self.root.join("trouble")) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(String::new()),
            opened => opened?,
        };
        let mut text = String::new();
        (&file).take(LONGEST).read_to_string(&mut text)?;
        file.write_all(b"called\n")?;
        Ok(text.lines().next().unwrap_or_default().to_owned())
    }
}

/// Reads the file of an instance; anybody may have written it.
fn read(path: &Path) -> Answer<Option<Machine>> {
    let garbled = |why: String| Fault::Garbled(path.to_owned(), why);
    // Opening a pipe would wait for its writer.
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Ok(found) if found.is_file() && found.len() <= LONGEST => {}
        Ok(_) => return Err(garbled(format!("no file of at most {LONGEST} bytes"))),
        Err(error) => return Err(Fault::Lost(error)),
    }
    let mut bytes = Vec::new();
    match File::open(path).and_then(|file| file.take(LONGEST).read_to_end(&mut bytes)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        read => read.map_err(Fault::Lost)?,
    };
    let machine: Machine = serde_json::from_slice(&bytes).map_err(|error| garbled(error.to_string()))?;
    match () {
        () if !machine.address.is_loopback() => Err(garbled(format!("{} is no loopback address", machine.address))),
        () if path.file_stem() != Some(OsStr::new(&machine.id())) => Err(garbled(format!("it is of {}", machine.id()))),
        () => Ok(Some(machine)),
    }
}

#[cfg(test)]
mod tests;
