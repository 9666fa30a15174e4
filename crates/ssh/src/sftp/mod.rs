//! Files of a host over its SFTP subsystem (draft-ietf-secsh-filexfer-02, version 3).
//!
//! Our own, and small: the crates that speak it keep paths and handles as text, and a name on a Linux host is any bytes.

mod client;
mod stream;
mod wire;

pub use self::{
    client::Sftp,
    stream::{Download, Upload},
    wire::{Attributes, Name},
};

/// Reads a packet and says whether it is one, for the fuzz targets.
#[cfg(any(test, fuzzing, feature = "fuzz"))]
pub(super) fn is_packet(bytes: bytes::Bytes) -> bool {
    wire::parse(bytes).is_some()
}

/// Why something cannot be done to a file of a host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SftpError {
    /// It is not there.
    #[error("no such file or directory")]
    NotFound,
    /// The login user may not.
    #[error("permission denied")]
    Denied,
    /// Another reason, in the host's words; mostly it gives none.
    #[error("the host refuses it: {0}")]
    Refused(String),
    /// The connection or the host's SFTP server has ended.
    #[error("the connection broke")]
    Lost,
    /// The host answers what is no answer.
    #[error("the host's SFTP server answers {0}")]
    Malformed(&'static str),
    /// The server puts no file in the place of another at once: that one is removed, and the new one has not its name.
    #[error("the old one is removed, and the new one does not get its name: {0}")]
    NotReplaced(Box<SftpError>),
}

impl SftpError {
    /// Whether nothing more can be had from this server.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Lost | Self::Malformed(_) => true,
            Self::NotReplaced(why) => why.is_final(),
            Self::NotFound | Self::Denied | Self::Refused(_) => false,
        }
    }
}

#[cfg(any(test, feature = "fake"))]
pub mod fake;
#[cfg(test)]
mod tests;
