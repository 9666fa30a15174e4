//! The files of a machine of docker-machine's that come along.

use std::path::Path;

use rmachine_model::error::{Error, Kind, Result};
use rmachine_store::{Record, Store, file};
use zeroize::Zeroizing;

/// What docker clients need.
const CLIENT: [&str; 3] = [file::CA_CERT, file::CLIENT_CERT, file::CLIENT_KEY];
/// What the engine has, as the source remembers it.
const SERVER: [&str; 2] = [file::SERVER_CERT, file::SERVER_KEY];

/// Names and contents in the machine's new directory.
pub(crate) struct Files {
    pub(crate) files: Vec<(String, Zeroizing<Vec<u8>>)>,
    /// The login key among them; empty: the user's default keys.
    pub(crate) key_file: String,
    pub(crate) notes: Vec<String>,
}

/// Whether a file of this name in a machine's directory is a login key, and none of the store's.
pub(crate) fn is_key_name(name: &str) -> bool {
    // Those two are of keys in the middle of a rotation: another's would become this machine's.
    let of_rotation = [file::NEXT_LOGIN_KEY, file::OLD_LOGIN_KEY].contains(&name.trim_end_matches(".pub"));
    !of_rotation
        && name.strip_prefix("id_").is_some_and(|rest| {
            !rest.is_empty()
                && rest.len() < 60
                && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        })
}

/// Reads the files of `record` in `store`, which are all that is needed to go on with it elsewhere.
/// Where rmachine can log in, it can issue what is missing.
pub(crate) fn collect(store: &Store, record: &Record, has_host: bool) -> Result<Files> {
    let name = &record.name;
    let mut taken = Files { files: Vec::new(), key_file: String::new(), notes: Vec::new() };
    let read = |path: &Path| Ok::<_, Error>(store.read_bytes(path)?.map(Zeroizing::new));
    let key = &record.ssh.key_file;
    if !key.is_empty() {
        let path = store.machine_file(name, key);
        let content = read(&path)?.ok_or_else(|| {
            Error::new(Kind::Store, format!("the login key {} of machine \"{name}\" is missing", path.display()))
                .hint("copy it back there; without it nobody can log in to the machine")
        })?;
        // Nothing else of that computer is copied because a record names it.
        if !content.starts_with(b"-----BEGIN ") {
            return Err(Error::new(
                Kind::Store,
                format!("{}, the login key of machine \"{name}\", is no private key", path.display()),
            )
            .hint("put the key there, in the form of OpenSSH or PEM; without it nobody can log in to the machine"));
        }
        // One from elsewhere is the user's own, and another name may be one of our files.
        taken.key_file = if is_key_name(key) { key.clone() } else { file::LOGIN_KEY.to_owned() };
        taken.files.push((taken.key_file.clone(), content));
        let public = format!("{key}.pub");
        if let Some(content) = read(&store.machine_file(name, &public))? {
            taken.files.push((format!("{}.pub", taken.key_file), content));
        }
    }
    // All three of one place belong together.
    let places = [store.machine_directory(name), store.certs_directory()];
    let mut found = Vec::new();
    for place in &places {
        found = Vec::new();
        for name in CLIENT {
            if let Some(content) = read(&place.join(name))? {
                found.push((name.to_owned(), content));
            }
        }
        if found.len() == CLIENT.len() {
            break;
        }
    }
    if found.len() == CLIENT.len() {
        taken.files.extend(found);
    } else {
        let remedy = match has_host {
            true => format!("`rmachine regenerate-certs {name}` issues them"),
            false => "put those that its engine knows into its directory of the store".to_owned(),
        };
        taken.notes.push(format!("ca.pem, cert.pem or key.pem of its clients is missing; {remedy}"));
    }
    for file in SERVER {
        if let Some(content) = read(&store.machine_file(name, file))? {
            taken.files.push((file.to_owned(), content));
        }
    }
    Ok(taken)
}
