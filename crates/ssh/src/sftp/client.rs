//! Requests and their answers: several may be under way at once.

use std::{
    collections::HashMap,
    fmt,
    pin::pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use super::{
    Attributes, Download, Name, SftpError, Upload,
    wire::{self, LONGEST, Packet, Reply, VERSION, code, kind, open},
};
use crate::Budgets;

/// How many packets wait to be written; with the window of the channel behind them.
const QUEUE: usize = 4;
/// What an entry of a listing takes of memory besides its name, in bytes.
const ENTRY: usize = size_of::<Name>();
/// How many parts of a listing may be without an entry; one is an oddity, many have no end.
const EMPTY_PARTS: usize = 100;
/// `rename` that replaces (OpenSSH's PROTOCOL file, section 4.3).
const POSIX_RENAME: &str = "posix-rename@openssh.com";
/// `~user` (the same, section 4.9).
const EXPAND_PATH: &str = "expand-path@openssh.com";

/// Requests without an answer yet; `None` when no more answers come.
type Waiting = Arc<Mutex<Option<HashMap<u32, oneshot::Sender<Reply>>>>>;

/// A host's SFTP server. Ends when it is dropped.
pub struct Sftp {
    queue: mpsc::Sender<Vec<u8>>,
    waiting: Waiting,
    next: AtomicU32,
    extensions: Vec<Vec<u8>>,
    listing: usize,
    tasks: [JoinHandle<()>; 2],
}

impl fmt::Debug for Sftp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sftp").finish_non_exhaustive()
    }
}

impl Drop for Sftp {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// An answer that is under way.
pub(super) struct Answer(oneshot::Receiver<Reply>);

impl Answer {
    pub(super) async fn reply(self) -> Result<Reply, SftpError> {
        match self.0.await {
            Ok(Reply::Status(number, text)) if number != code::OK && number != code::EOF => Err(refusal(number, text)),
            Ok(reply) => Ok(reply),
            Err(_) => Err(SftpError::Lost),
        }
    }

    pub(super) async fn done(self) -> Result<(), SftpError> {
        match self.reply().await? {
            Reply::Status(code::OK, _) => Ok(()),
            _ => Err(SftpError::Malformed("something else than \"done\"")),
        }
    }
}

fn refusal(number: u32, text: String) -> SftpError {
    match number {
        code::NO_SUCH_FILE => SftpError::NotFound,
        code::PERMISSION_DENIED => SftpError::Denied,
        _ if text.trim().is_empty() => SftpError::Refused(format!("code {number}")),
        _ => SftpError::Refused(text),
    }
}

impl Sftp {
    /// Speaks to the server at the other end of `stream`. It has the times and the memory of `budgets`.
    ///
    /// # Errors
    ///
    /// [`SftpError::Lost`] when there is none, [`SftpError::Malformed`] when it speaks something else.
    pub async fn start(
        stream: impl AsyncRead + AsyncWrite + Send + 'static,
        budgets: &Budgets,
    ) -> Result<Self, SftpError> {
        let (mut reader, mut writer) = tokio::io::split(stream);
        let hello = Packet::new(kind::INIT).u32(VERSION).bytes();
        writer.write_all(&hello).await.map_err(|_| SftpError::Lost)?;
        writer.flush().await.map_err(|_| SftpError::Lost)?;
        let Some(Ok((None, Reply::Version(version, extensions)))) = packet(&mut reader).await else {
            return Err(SftpError::Lost);
        };
        if version < VERSION {
            return Err(SftpError::Malformed("with a version that is too old"));
        }
        let waiting = Waiting::new(Mutex::new(Some(HashMap::new())));
        let (queue, mut queued) = mpsc::channel::<Vec<u8>>(QUEUE);
        let writing = tokio::spawn(async move {
            while let Some(packet) = queued.recv().await {
                if writer.write_all(&packet).await.is_err() || writer.flush().await.is_err() {
                    break;
                }
            }
        });
        let (open, silence) = (waiting.clone(), budgets.sftp);
        let reading = tokio::spawn(async move {
            while let Some(Ok((Some(id), reply))) = heard(&mut reader, &open, silence).await {
                let mut open = open.lock().unwrap_or_else(PoisonError::into_inner);
                // Nobody waits any more for what was given up.
                if let Some(waits) = open.as_mut().and_then(|open| open.remove(&id)) {
                    let _ = waits.send(reply);
                }
            }
            // Whoever waits hears that nothing comes.
            open.lock().unwrap_or_else(PoisonError::into_inner).take();
        });
        let next = AtomicU32::new(1);
        Ok(Self { queue, waiting, next, extensions, listing: budgets.listing, tasks: [writing, reading] })
    }

    fn has(&self, extension: &str) -> bool {
        self.extensions.iter().any(|known| known == extension.as_bytes())
    }

    /// Sends a request; the answer may be awaited later.
    pub(super) async fn ask(&self, kind: u8, fill: impl FnOnce(Packet) -> Packet) -> Result<Answer, SftpError> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.as_mut().ok_or(SftpError::Lost)?.insert(id, sender);
        }
        let packet = fill(Packet::request(kind, id)).bytes();
        self.queue.send(packet).await.map_err(|_| SftpError::Lost)?;
        Ok(Answer(receiver))
    }

    async fn told(&self, kind: u8, fill: impl FnOnce(Packet) -> Packet) -> Result<(), SftpError> {
        self.ask(kind, fill).await?.done().await
    }

    async fn handle(&self, kind: u8, fill: impl FnOnce(Packet) -> Packet) -> Result<Bytes, SftpError> {
        match self.ask(kind, fill).await?.reply().await? {
            Reply::Handle(handle) => Ok(handle),
            _ => Err(SftpError::Malformed("something else than a handle")),
        }
    }

    pub(super) async fn close(&self, handle: &[u8]) -> Result<(), SftpError> {
        self.told(kind::CLOSE, |p| p.string(handle)).await
    }

    /// What is at `path`; a symbolic link is followed if `follow`. `None`: nothing.
    ///
    /// # Errors
    ///
    /// [`SftpError`].
    pub async fn look(&self, path: &[u8], follow: bool) -> Result<Option<Attributes>, SftpError> {
        let kind = if follow { kind::STAT } else { kind::LSTAT };
        match self.ask(kind, |p| p.string(path)).await?.reply().await {
            Ok(Reply::Attributes(attributes)) => Ok(Some(attributes)),
            Ok(_) => Err(SftpError::Malformed("something else than attributes")),
            Err(SftpError::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The entries of a directory, sorted, without `.` and `..`.
    ///
    /// # Errors
    ///
    /// [`SftpError::Malformed`] when a name is one that no directory can hold: it would lead somewhere else.
    pub async fn list(&self, path: &[u8]) -> Result<Vec<Name>, SftpError> {
        let handle = self.handle(kind::OPENDIR, |p| p.string(path)).await?;
        let (mut all, mut left) = (Vec::new(), self.listing);
        let result = loop {
            match self.ask(kind::READDIR, |p| p.string(&handle)).await?.reply().await {
                Ok(Reply::Names(names)) => {
                    let empty = if names.is_empty() { self.listing / EMPTY_PARTS } else { 0 };
                    let size = names.iter().fold(empty, |size, entry| size + ENTRY + entry.name.len());
                    match left.checked_sub(size) {
                        Some(rest) => left = rest,
                        None => break Err(SftpError::Malformed("with a listing without end")),
                    }
                    all.extend(names);
                }
                Ok(Reply::Status(code::EOF, _)) => break Ok(()),
                Ok(_) => break Err(SftpError::Malformed("something else than a listing")),
                Err(error) => break Err(error),
            }
        };
        // What came is given back before the error is told.
        if result.is_err() {
            all = Vec::new();
        }
        self.close(&handle).await?;
        result?;
        all.retain(|entry| entry.name != b"." && entry.name != b"..");
        if all.iter().any(|entry| entry.name.is_empty() || entry.name.iter().any(|b| matches!(b, b'/' | 0))) {
            return Err(SftpError::Malformed("with names that no directory can hold"));
        }
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    /// The absolute path behind `path`, without symbolic links.
    ///
    /// # Errors
    ///
    /// [`SftpError`].
    pub async fn resolve(&self, path: &[u8]) -> Result<Vec<u8>, SftpError> {
        Self::one_name(self.ask(kind::REALPATH, |p| p.string(path)).await?).await
    }

    /// The path behind one that begins with `~`.
    ///
    /// # Errors
    ///
    /// [`SftpError::Refused`] where the server knows no way to.
    pub async fn expand(&self, path: &[u8]) -> Result<Vec<u8>, SftpError> {
        match path.strip_prefix(b"~") {
            // It begins in the home directory.
            Some(b"" | b"/") => Ok(b".".to_vec()),
            Some([b'/', rest @ ..]) => Ok(rest.to_vec()),
            _ if self.has(EXPAND_PATH) => {
                let asked = self.ask(kind::EXTENDED, |p| p.string(EXPAND_PATH.as_bytes()).string(path)).await?;
                Self::one_name(asked).await
            }
            _ => Err(SftpError::Refused("its SFTP server does not know ~USER".to_owned())),
        }
    }

    async fn one_name(answer: Answer) -> Result<Vec<u8>, SftpError> {
        match answer.reply().await? {
            Reply::Names(names) if names.len() == 1 => {
                names.into_iter().next().map(|entry| entry.name).ok_or(SftpError::Malformed("nothing"))
            }
            _ => Err(SftpError::Malformed("something else than one path")),
        }
    }

    /// Opens a file to read all of it.
    ///
    /// # Errors
    ///
    /// [`SftpError`].
    pub async fn download(self: &Arc<Self>, path: &[u8]) -> Result<Download, SftpError> {
        let nothing = Attributes::default();
        let handle = self.handle(kind::OPEN, |p| p.string(path).u32(open::READ).attributes(&nothing)).await?;
        Ok(Download::new(self.clone(), handle))
    }

    /// Opens a file to write all of it: a new one with these permissions, or one that is there if `replace`.
    ///
    /// # Errors
    ///
    /// [`SftpError`]; without `replace`, also when it is there.
    pub async fn upload(self: &Arc<Self>, path: &[u8], replace: bool, permissions: u32) -> Result<Upload, SftpError> {
        let how = if replace { open::TRUNCATE } else { open::EXCLUSIVE };
        let attributes = Attributes { permissions: Some(permissions), ..Attributes::default() };
        let flags = open::WRITE | open::CREATE | how;
        let handle = self.handle(kind::OPEN, |p| p.string(path).u32(flags).attributes(&attributes)).await?;
        Ok(Upload::new(self.clone(), handle))
    }

    /// Makes a directory.
    ///
    /// # Errors
    ///
    /// [`SftpError`]; also when it is there.
    pub async fn make_directory(&self, path: &[u8], permissions: u32) -> Result<(), SftpError> {
        let attributes = Attributes { permissions: Some(permissions), ..Attributes::default() };
        self.told(kind::MKDIR, |p| p.string(path).attributes(&attributes)).await
    }

    /// Sets what `attributes` has of the file at `path`.
    ///
    /// # Errors
    ///
    /// [`SftpError`].
    pub async fn set(&self, path: &[u8], attributes: &Attributes) -> Result<(), SftpError> {
        self.told(kind::SETSTAT, |p| p.string(path).attributes(attributes)).await
    }

    pub(super) async fn set_open(&self, handle: &[u8], attributes: &Attributes) -> Result<(), SftpError> {
        self.told(kind::FSETSTAT, |p| p.string(handle).attributes(attributes)).await
    }

    /// Deletes a file.
    ///
    /// # Errors
    ///
    /// [`SftpError`].
    pub async fn remove(&self, path: &[u8]) -> Result<(), SftpError> {
        self.told(kind::REMOVE, |p| p.string(path)).await
    }

    /// Whether [`Sftp::rename`] replaces at once: either the old file or the new one is there, whatever happens.
    pub fn replaces_at_once(&self) -> bool {
        self.has(POSIX_RENAME)
    }

    /// Gives the file at `from` the name `to`, in place of one that is there: at once where the server knows how.
    ///
    /// # Errors
    ///
    /// [`SftpError`]; [`SftpError::NotReplaced`] when the file at `from` is the only one that is left.
    pub async fn rename(&self, from: &[u8], to: &[u8]) -> Result<(), SftpError> {
        if self.replaces_at_once() {
            let name = POSIX_RENAME.as_bytes();
            return self.told(kind::EXTENDED, |p| p.string(name).string(from).string(to)).await;
        }
        let rename = || self.told(kind::RENAME, |p| p.string(from).string(to));
        match self.remove(to).await {
            Ok(()) => rename().await.map_err(|e| SftpError::NotReplaced(Box::new(e))),
            Err(SftpError::NotFound) => rename().await,
            // It may be removed all the same.
            Err(error) if error.is_final() => Err(SftpError::NotReplaced(Box::new(error))),
            Err(error) => Err(error),
        }
    }
}

/// The next packet, as [`packet`]; `None` too when the server owes an answer and says nothing for too long.
async fn heard(
    reader: &mut (impl AsyncRead + Unpin),
    waiting: &Waiting,
    silence: Duration,
) -> Option<Result<(Option<u32>, Reply), ()>> {
    let owes = || {
        let waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.as_ref().and_then(|waiting| waiting.keys().min().copied())
    };
    let mut next = pin!(packet(reader));
    loop {
        let before = owes();
        match tokio::time::timeout(silence, &mut next).await {
            Ok(packet) => return packet,
            // What was asked for meanwhile has its own time.
            Err(_) if before.is_some() && owes() == before => return None,
            Err(_) => {}
        }
    }
}

/// The next packet; `None` at the end, an error when it is none.
async fn packet(reader: &mut (impl AsyncRead + Unpin)) -> Option<Result<(Option<u32>, Reply), ()>> {
    let length = reader.read_u32().await.ok()?;
    if length > LONGEST {
        return Some(Err(()));
    }
    let mut bytes = vec![0; usize::try_from(length).ok()?];
    reader.read_exact(&mut bytes).await.ok()?;
    Some(wire::parse(Bytes::from(bytes)).ok_or(()))
}
