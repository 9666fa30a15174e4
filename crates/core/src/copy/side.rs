//! The two ends of a copy, this computer or a machine, under one set of calls.

use std::{
    ffi::OsStr,
    fs, io,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use rmachine_ssh::{Attributes, Download, Sftp, SftpError};
use tokio::io::AsyncReadExt;

use super::{place::split, writer::Writer};

/// Permissions that are carried over; never set-user-id and its kin.
pub(super) const PERMISSIONS: u32 = 0o777;
/// Bits of the type in a mode, and what they say (inode(7)).
const TYPE: u32 = 0o170_000;
const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
const LINK: u32 = 0o120_000;
/// How much is read at once here.
const CHUNK: usize = 256 * 1024;

/// What is at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    File,
    Directory,
    Link,
    /// A device, a pipe, a socket.
    Other,
}

/// What is known of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Facts {
    pub(super) what: What,
    pub(super) size: u64,
    pub(super) mode: u32,
    /// Of the last access and the last change.
    pub(super) times: Option<(u32, u32)>,
    pub(super) owner: Option<(u32, u32)>,
}

impl Facts {
    fn of_mode(mode: u32) -> (What, u32) {
        let what = match mode & TYPE {
            DIRECTORY => What::Directory,
            REGULAR => What::File,
            LINK => What::Link,
            _ => What::Other,
        };
        (what, mode & PERMISSIONS)
    }

    pub(super) fn there(of: &Attributes) -> Self {
        let (what, mode) = Self::of_mode(of.permissions.unwrap_or(REGULAR | 0o600));
        Self { what, mode, size: of.size.unwrap_or_default(), times: of.times, owner: of.owner }
    }

    fn here(of: &fs::Metadata) -> Self {
        let (what, mode) = Self::of_mode(of.mode());
        // SFTP's times are 32 bits without a sign: until 2106.
        let time = |seconds: i64| u32::try_from(seconds).unwrap_or_default();
        let times = Some((time(of.atime()), time(of.mtime())));
        Self { what, mode, size: of.size(), times, owner: Some((of.uid(), of.gid())) }
    }
}

/// Why something cannot be done at one end.
#[derive(Debug)]
pub(super) enum Trouble {
    Here(io::Error),
    There(SftpError),
    /// It is not done, for this reason.
    Refused(&'static str),
}

impl Trouble {
    /// Whether nothing more can be had from that end.
    pub(super) fn is_final(&self) -> bool {
        matches!(self, Self::There(e) if e.is_final())
    }

    pub(super) fn is_denied(&self) -> bool {
        match self {
            Self::Here(e) => e.kind() == io::ErrorKind::PermissionDenied,
            Self::There(e) => *e == SftpError::Denied,
            Self::Refused(_) => false,
        }
    }
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Here(e) => e.fmt(f),
            Self::There(e) => e.fmt(f),
            Self::Refused(why) => f.write_str(why),
        }
    }
}

impl From<io::Error> for Trouble {
    fn from(e: io::Error) -> Self {
        Self::Here(e)
    }
}

impl From<SftpError> for Trouble {
    fn from(e: SftpError) -> Self {
        Self::There(e)
    }
}

/// A machine's files.
pub(super) struct Remote {
    pub(super) machine: String,
    pub(super) sftp: Arc<Sftp>,
    /// The file under a name of its own that has not its own yet.
    unfinished: Mutex<Option<Part>>,
}

/// A file that has not its name yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) path: Vec<u8>,
    /// Whether it stays: the one in whose place it comes may be gone already, and this is all that there is.
    pub(super) stays: bool,
}

impl Remote {
    pub(super) fn new(machine: &str, sftp: Arc<Sftp>) -> Self {
        Self { machine: machine.to_owned(), sftp, unfinished: Mutex::default() }
    }

    pub(super) fn unfinished(&self) -> std::sync::MutexGuard<'_, Option<Part>> {
        self.unfinished.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One end.
#[derive(Clone)]
pub(super) enum Side {
    Here,
    There(Arc<Remote>),
}

/// An entry of a directory.
pub(super) struct Entry {
    pub(super) name: Vec<u8>,
    pub(super) is_link: bool,
}

pub(super) fn local(path: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(path))
}

impl Side {
    /// For messages: ` on machine "m"`, or nothing.
    pub(super) fn place(&self) -> String {
        match self {
            Self::Here => String::new(),
            Self::There(remote) => format!(" on machine \"{}\"", remote.machine),
        }
    }

    pub(super) async fn look(&self, path: &[u8], follow: bool) -> Result<Option<Facts>, Trouble> {
        match self {
            Self::Here => {
                let found = if follow { fs::metadata(local(path)) } else { fs::symlink_metadata(local(path)) };
                match found {
                    Ok(found) => Ok(Some(Facts::here(&found))),
                    Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
                    Err(e) => Err(e.into()),
                }
            }
            Self::There(remote) => Ok(remote.sftp.look(path, follow).await?.as_ref().map(Facts::there)),
        }
    }

    pub(super) async fn list(&self, path: &[u8]) -> Result<Vec<Entry>, Trouble> {
        match self {
            Self::Here => {
                let mut entries = Vec::new();
                for entry in fs::read_dir(local(path))? {
                    let entry = entry?;
                    let is_link = entry.file_type()?.is_symlink();
                    entries.push(Entry { name: entry.file_name().as_bytes().to_vec(), is_link });
                }
                entries.sort_by(|a, b| a.name.cmp(&b.name));
                Ok(entries)
            }
            Self::There(remote) => {
                let entries = remote.sftp.list(path).await?.into_iter();
                let entries = entries.map(|e| Entry {
                    is_link: Facts::there(&e.attributes).what == What::Link || e.attributes.permissions.is_none(),
                    name: e.name,
                });
                Ok(entries.collect())
            }
        }
    }

    /// The path behind symbolic links.
    pub(super) async fn resolve(&self, path: &[u8]) -> Result<Vec<u8>, Trouble> {
        match self {
            Self::Here => Ok(fs::canonicalize(local(path))?.as_os_str().as_bytes().to_vec()),
            Self::There(remote) => Ok(remote.sftp.resolve(path).await?),
        }
    }

    /// Makes a directory that only its owner may enter, for now.
    pub(super) async fn make_directory(&self, path: &[u8]) -> Result<(), Trouble> {
        match self {
            Self::Here => {
                let mut builder = fs::DirBuilder::new();
                std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
                Ok(builder.create(local(path))?)
            }
            Self::There(remote) => Ok(remote.sftp.make_directory(path, 0o700).await?),
        }
    }

    /// Gives a directory the permissions and times of `facts`.
    pub(super) async fn set(&self, path: &[u8], facts: &Facts) -> Result<(), Trouble> {
        match self {
            Self::Here => {
                let directory = fs::File::open(local(path))?;
                super::writer::set_here(&directory, facts)?;
                Ok(())
            }
            Self::There(remote) => {
                let wanted = Attributes { permissions: Some(facts.mode), times: facts.times, ..Attributes::default() };
                Ok(remote.sftp.set(path, &wanted).await?)
            }
        }
    }

    pub(super) async fn read(&self, path: &[u8]) -> Result<Reader, Trouble> {
        match self {
            Self::Here => Ok(Reader::Here(tokio::fs::File::open(local(path)).await?)),
            Self::There(remote) => Ok(Reader::There(remote.sftp.download(path).await?)),
        }
    }

    /// A file that appears at `path` when it is whole; `old` is what is there. `in_place`: no such thing.
    pub(super) async fn write(&self, path: &[u8], old: Option<&Facts>, in_place: bool) -> Result<Writer, Trouble> {
        match self {
            Self::Here => Writer::here(local(path), old, in_place),
            Self::There(remote) => Writer::there(remote.clone(), path, old, in_place).await,
        }
    }
}

/// The name of a file that is not whole yet, beside the one that it will be.
pub(super) fn hidden(path: &[u8]) -> Vec<u8> {
    let (directory, name) = split(path);
    // A name has 255 bytes at most (NAME_MAX).
    let name = &name[..name.len().min(200)];
    let hidden = [b".", name, format!(".rmachine-{:08x}", rand::random::<u32>()).as_bytes()].concat();
    super::place::join(directory, &hidden)
}

/// A file that is being read.
pub(super) enum Reader {
    Here(tokio::fs::File),
    There(Download),
}

impl Reader {
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Trouble> {
        match self {
            Self::Here(file) => {
                let mut chunk = bytes::BytesMut::with_capacity(CHUNK);
                let got = file.read_buf(&mut chunk).await?;
                Ok((got > 0).then(|| chunk.freeze()))
            }
            Self::There(download) => Ok(download.next().await?),
        }
    }

    pub(super) async fn close(self) -> Result<(), Trouble> {
        match self {
            Self::Here(_) => Ok(()),
            Self::There(download) => Ok(download.close().await?),
        }
    }
}
