//! Machines in a file: `export` writes them, `import` reads them in another store.
//!
//! The file is age's (age-encryption.org/v1), for a passphrase or for keys, never plain. In it is a tar archive:
//! `archive.json` first, then the files of each machine, with the key of the CA that is its own. The store's CA's key stays where it is.

mod content;
mod export;
#[cfg(any(test, fuzzing, feature = "fuzz"))]
pub(super) mod fuzz;
mod read;
mod seal;
mod shares;

pub use self::{
    export::Exported,
    read::ArchiveOptions,
    seal::{Opener, Sealer},
};
