//! What the audit log tells: keys, certificates, machines, and who has access to them. No secrets.

mod chain;
mod file;

use serde::Serialize;
use time::OffsetDateTime;

pub use self::chain::{Break, Chain, Entry, GENESIS, Writer, lines};

/// Something that is about to be done, or was.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", content = "details", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Event {
    /// A certificate is issued.
    CertificateIssued {
        /// What it is for.
        role: Role,
        /// Its serial number, in hexadecimal.
        serial: String,
        /// Whom it names.
        subject: String,
        /// Subject alternative names.
        names: Vec<String>,
        /// When it ends.
        #[serde(with = "time::serde::rfc3339")]
        until: OffsetDateTime,
    },
    /// A CA is trusted no more.
    AuthorityDropped {
        /// Its certificate's serial number, in hexadecimal.
        serial: String,
    },
    /// A key pair is made.
    KeyMade {
        /// What it is for.
        key: Key,
        /// Fingerprint of its public half.
        fingerprint: String,
    },
    /// A copy of a key of the user's is kept.
    KeyCopied {
        /// What it is for.
        key: Key,
        /// Fingerprint of its public half.
        fingerprint: String,
    },
    /// A host is known by this key from here on.
    HostKeyPinned {
        /// Its fingerprint.
        fingerprint: String,
        /// Who vouches for it.
        by: String,
    },
    /// A host is not known by this key any more.
    HostKeyDropped {
        /// Its fingerprint.
        fingerprint: String,
    },
    /// A login key is let in on the host.
    LoginKeyAllowed {
        /// Its fingerprint.
        fingerprint: String,
    },
    /// A login key is let in no more.
    LoginKeyRemoved {
        /// Its fingerprint, or the line where it has none.
        fingerprint: String,
        /// The comment on its line.
        comment: String,
    },
    /// Somebody else is given access to the engine.
    Shared {
        /// The share's id.
        share: String,
        /// SHA-256 of the recipient's public key.
        key: String,
        /// When it ends by itself.
        #[serde(with = "time::serde::rfc3339")]
        until: OffsetDateTime,
    },
    /// A share is ended.
    ShareEnded {
        /// The share's id.
        share: String,
    },
    /// A machine's name is taken, and it is made.
    CreationBegun {
        /// Name of the driver.
        driver: String,
        /// The tag on all that is made for it.
        token: String,
    },
    /// A machine is ready.
    Created {
        /// The provider's id of its instance.
        instance: String,
    },
    /// A machine and all that was made for it is removed.
    RemovalBegun {
        /// The provider's id of its instance.
        instance: String,
    },
    /// Nothing of a machine is left.
    Removed,
    /// A machine's record is given up, and something of it may be left.
    Forgotten,
    /// A machine gets another name.
    Renamed {
        /// The one that it had.
        from: String,
    },
    /// What was made for a machine becomes this store's.
    Claimed {
        /// Id of the store that it belonged to.
        from: String,
    },
    /// A machine that had lost its record gets one.
    Adopted {
        /// The provider's id of its instance.
        instance: String,
        /// Id of the store that it belonged to.
        from: String,
    },
    /// A machine of another store becomes one of this store.
    Imported {
        /// Where it comes from.
        from: String,
        /// Its token.
        token: String,
    },
    /// A machine's record and keys are put into an archive.
    Exported {
        /// For whom it is encrypted.
        to: String,
    },
    /// What no record stands for is deleted.
    Collected {
        /// Name of the driver.
        driver: String,
        /// Id of the store that made it.
        owner: String,
        /// The tag on it.
        token: String,
        /// Ids of what was found.
        resources: Vec<String>,
    },
    /// The line before this one was cut off when its writer was killed.
    LineTorn,
}

/// What a certificate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// To sign others.
    Ca,
    /// To be let in by engines.
    Client,
    /// An engine's own.
    Server,
    /// To be let in by one engine, for somebody else.
    Share,
}

/// What a key pair is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Key {
    /// To log in.
    Login,
    /// The host's at its first boot, until it has one of its own.
    Seed,
    /// The host's.
    Host,
}
