//! What can be wrong with certificates.

use rmachine_model::error;

/// A failure with a certificate, key or name.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// rcgen could not make or read one.
    #[error("cannot issue a certificate")]
    Issue(#[source] rcgen::Error),
    /// The PEM text holds no certificate.
    #[error("a certificate does not read: {0}")]
    Unreadable(String),
    /// What was to get a certificate is no public key.
    #[error("no public key to share with: {0}")]
    Recipient(String),
    /// A name or address that cannot stand in a certificate.
    #[error("invalid name for a certificate: {0:?}")]
    Name(String),
}

impl From<Error> for error::Error {
    fn from(e: Error) -> Self {
        match &e {
            Error::Name(_) => Self::usage(e.to_string())
                .hint("--tls-san takes IP addresses and DNS names, such as 10.0.0.5 or build.example.com"),
            Error::Recipient(_) => Self::usage(e.to_string())
                .hint("`openssl pkey -in key.pem -pubout` prints the public half of a key")
                .hint("`openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out key.pem` makes one"),
            Error::Issue(_) | Error::Unreadable(_) => {
                let text = e.to_string();
                match e {
                    Error::Issue(source) => Self::new(error::Kind::Failure, text).source(source),
                    _ => Self::new(error::Kind::Failure, text),
                }
            }
        }
    }
}
