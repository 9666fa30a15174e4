//! Files from end to end, with many requests under way, so that a far host is as fast as a near one.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;

use super::{
    Attributes, Sftp, SftpError,
    client::Answer,
    wire::{Reply, code, kind},
};

/// How much one request reads or writes: every server takes 32 KiB (section 3).
const CHUNK: u32 = 32 * 1024;
/// How many requests are under way at most: 2 MiB, as in OpenSSH's client.
const WINDOW: usize = 64;

struct Asked {
    at: u64,
    length: u32,
    answer: Answer,
}

/// A file of the host that is being read.
pub struct Download {
    sftp: Arc<Sftp>,
    handle: Bytes,
    asked: VecDeque<Asked>,
    /// Where the next request begins.
    at: u64,
    /// How many may be under way: few at first, as most files are small.
    window: usize,
}

impl Download {
    pub(super) fn new(sftp: Arc<Sftp>, handle: Bytes) -> Self {
        Self { sftp, handle, asked: VecDeque::new(), at: 0, window: 1 }
    }

    async fn request(&self, at: u64, length: u32) -> Result<Asked, SftpError> {
        let answer = self.sftp.ask(kind::READ, |p| p.string(&self.handle).u64(at).u32(length)).await?;
        Ok(Asked { at, length, answer })
    }

    /// The next bytes; `None` at the end of the file.
    ///
    /// # Errors
    ///
    /// [`SftpError`].
    pub async fn next(&mut self) -> Result<Option<Bytes>, SftpError> {
        while self.asked.len() < self.window {
            let asked = self.request(self.at, CHUNK).await?;
            self.asked.push_back(asked);
            self.at += u64::from(CHUNK);
        }
        let Some(Asked { at, length, answer }) = self.asked.pop_front() else { return Ok(None) };
        match answer.reply().await? {
            Reply::Status(code::EOF, _) => Ok(None),
            Reply::Data(data) => {
                let got = u32::try_from(data.len()).unwrap_or(u32::MAX);
                if got == 0 || got > length {
                    return Err(SftpError::Malformed("more or less than was asked for"));
                }
                if got < length {
                    // The rest, before what comes after it.
                    let rest = self.request(at + u64::from(got), length - got).await?;
                    self.asked.push_front(rest);
                } else {
                    self.window = (self.window * 2).min(WINDOW);
                }
                Ok(Some(data))
            }
            _ => Err(SftpError::Malformed("something else than data")),
        }
    }

    /// Ends it; what is still under way is not waited for.
    ///
    /// # Errors
    ///
    /// [`SftpError`].
    pub async fn close(self) -> Result<(), SftpError> {
        self.sftp.close(&self.handle).await
    }
}

/// A file of the host that is being written.
pub struct Upload {
    sftp: Arc<Sftp>,
    handle: Bytes,
    asked: VecDeque<Answer>,
    at: u64,
}

impl Upload {
    pub(super) fn new(sftp: Arc<Sftp>, handle: Bytes) -> Self {
        Self { sftp, handle, asked: VecDeque::new(), at: 0 }
    }

    /// Writes `data` at the end. An error may be that of something written before.
    ///
    /// # Errors
    ///
    /// [`SftpError`].
    pub async fn write(&mut self, data: &[u8]) -> Result<(), SftpError> {
        for part in data.chunks(CHUNK as usize) {
            while self.asked.len() >= WINDOW {
                self.settle().await?;
            }
            let answer = self.sftp.ask(kind::WRITE, |p| p.string(&self.handle).u64(self.at).string(part)).await?;
            self.asked.push_back(answer);
            self.at += part.len() as u64;
        }
        Ok(())
    }

    async fn settle(&mut self) -> Result<(), SftpError> {
        match self.asked.pop_front() {
            Some(answer) => answer.done().await,
            None => Ok(()),
        }
    }

    /// Sets what `attributes` has, once all is written.
    ///
    /// # Errors
    ///
    /// [`SftpError`].
    pub async fn set(&mut self, attributes: &Attributes) -> Result<(), SftpError> {
        while !self.asked.is_empty() {
            self.settle().await?;
        }
        self.sftp.set_open(&self.handle, attributes).await
    }

    /// Waits until the host has all of it, and ends it.
    ///
    /// # Errors
    ///
    /// [`SftpError`]: the file is not whole then.
    pub async fn close(mut self) -> Result<(), SftpError> {
        let mut result = Ok(());
        while !self.asked.is_empty() {
            let settled = self.settle().await;
            result = result.and(settled);
        }
        let closed = self.sftp.close(&self.handle).await;
        result.and(closed)
    }
}
