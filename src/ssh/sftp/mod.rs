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
}

#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod tests;
