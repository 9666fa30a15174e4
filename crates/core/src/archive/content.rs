//! What is in an archive: the list of machines, then their files; anything else is refused.

use std::{
    collections::BTreeMap,
    io::{Cursor, Read},
    path::Component,
};

use rmachine_model::error::{Error, Kind, Result};
use rmachine_provider_api::Owner;
use rmachine_store::{check_name, file};
use serde::{Deserialize, Serialize};
use tar::{Archive, Builder, EntryType, Header};
use zeroize::Zeroizing;

use crate::import::files::is_key_name;

/// Version of the format as written now; a newer one is refused. One of format 1 has no CAs of machines.
const VERSION: u32 = 2;
/// The list of machines, which comes first.
const LIST: &str = "archive.json";
/// Where the files of machines are.
const MACHINES: &str = "machines";
/// Most bytes of one file and of all; a machine has some 50 KB.
pub(super) const MOST: u64 = 64 << 20;
const MOST_OF_A_FILE: u64 = 1 << 20;
/// Most machines of one archive.
const MOST_MACHINES: usize = 10_000;

/// The files of a machine that go with it; login keys come besides.
pub(super) const FILES: [&str; 11] = [
    file::CONFIG,
    file::ENGINE,
    file::CREDENTIALS,
    file::SHARES,
    file::AUTHORITY,
    file::OLD_AUTHORITY,
    file::CA_CERT,
    file::CLIENT_CERT,
    file::CLIENT_KEY,
    file::SERVER_CERT,
    file::SERVER_KEY,
];

/// Files by their names.
pub(super) type Contents = BTreeMap<String, Zeroizing<Vec<u8>>>;

/// What an archive holds.
#[derive(Debug)]
pub(super) struct Content {
    /// The store that it comes from.
    pub(super) owner: Owner,
    /// The machines by name.
    pub(super) machines: BTreeMap<String, Contents>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct List {
    version: u32,
    owner: Owner,
    machines: Vec<String>,
}

/// Makes the archive.
pub(super) fn pack(content: &Content) -> Result<Zeroizing<Vec<u8>>> {
    let failed = |e: std::io::Error| Error::new(Kind::Failure, "the archive cannot be made").source(e);
    let list =
        List { version: VERSION, owner: content.owner.clone(), machines: content.machines.keys().cloned().collect() };
    let list = serde_json::to_vec_pretty(&list)
        .map_err(|e| Error::new(Kind::Failure, "the archive cannot be made").source(e))?;
    let mut builder = Builder::new(Vec::new());
    add(&mut builder, LIST, &list).map_err(failed)?;
    for (machine, files) in &content.machines {
        for (name, bytes) in files {
            add(&mut builder, &format!("{MACHINES}/{machine}/{name}"), bytes).map_err(failed)?;
        }
    }
    Ok(Zeroizing::new(builder.into_inner().map_err(failed)?))
}

fn add(builder: &mut Builder<Vec<u8>>, path: &str, bytes: &[u8]) -> std::io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o600);
    builder.append_data(&mut header, path, bytes)
}

/// Reads an archive; nothing of it is written anywhere here.
pub(super) fn unpack(bytes: &[u8]) -> Result<Content> {
    let mut archive = Archive::new(Cursor::new(bytes));
    let mut content: Option<(List, Content)> = None;
    let mut left = MOST;
    for entry in archive.entries().map_err(|e| damaged("it is no tar archive").source(e))? {
        let entry = entry.map_err(|e| damaged("it ends early").source(e))?;
        if entry.header().entry_type() != EntryType::Regular {
            return Err(damaged("it holds something that is no file"));
        }
        let path = entry.path().map_err(|e| damaged("a name does not read").source(e))?.into_owned();
        let mut parts = Vec::new();
        for part in path.components() {
            match part {
                Component::Normal(part) => parts.push(part.to_str().unwrap_or_default().to_owned()),
                _ => return Err(damaged("a name leads out of it")),
            }
        }
        let mut bytes = Zeroizing::new(Vec::new());
        let limit = MOST_OF_A_FILE.min(left);
        entry.take(limit + 1).read_to_end(&mut bytes).map_err(|e| damaged("it ends early").source(e))?;
        let size = bytes.len() as u64;
        if size > limit {
            return Err(damaged("a file in it is too large"));
        }
        left -= size;
        match (&mut content, parts.as_slice()) {
            (None, [name]) if name == LIST => content = Some(list(&bytes)?),
            (Some((_, content)), [directory, machine, name]) if directory == MACHINES => {
                let Some(files) = content.machines.get_mut(machine) else {
                    return Err(damaged("it holds a machine that its list does not have"));
                };
                if !belongs(name) || files.insert(name.clone(), bytes).is_some() {
                    return Err(damaged(&format!("the file {name:?} of machine \"{machine}\" does not belong there")));
                }
            }
            _ => return Err(damaged(&format!("{:?} does not belong there", path.display().to_string()))),
        }
    }
    let (_, content) = content.ok_or_else(|| damaged("it has no list of machines"))?;
    match content.machines.iter().find(|(_, files)| !files.contains_key(file::CONFIG)) {
        Some((machine, _)) => Err(damaged(&format!("the record of machine \"{machine}\" is missing"))),
        None => Ok(content),
    }
}

fn list(bytes: &[u8]) -> Result<(List, Content)> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Head {
        version: u32,
    }
    let unread = |e| damaged("its list of machines does not read").source(e);
    let head: Head = serde_json::from_slice(bytes).map_err(unread)?;
    if head.version > VERSION {
        return Err(Error::new(Kind::Store, "the archive is from a newer rmachine")
            .hint(format!("it has format {}, this program knows {VERSION}: update rmachine", head.version)));
    }
    let list: List = serde_json::from_slice(bytes).map_err(unread)?;
    if list.machines.len() > MOST_MACHINES || list.machines.iter().any(|name| check_name(name).is_err()) {
        return Err(damaged("it names machines that cannot be"));
    }
    let machines = list.machines.iter().map(|name| (name.clone(), Contents::new())).collect();
    let content = Content { owner: list.owner.clone(), machines };
    Ok((list, content))
}

/// Whether a machine has a file of this name: one of ours, or a login key.
fn belongs(name: &str) -> bool {
    is_key_name(name) || FILES.contains(&name)
}

fn damaged(what: &str) -> Error {
    Error::new(Kind::Store, "the archive is not one of rmachine's, or damaged")
        .source(what.to_owned())
        .hint("export it anew")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content() -> Content {
        let files = [(file::CONFIG, "{}"), ("id_ed25519", "key")];
        let files = files.map(|(name, text)| (name.to_owned(), Zeroizing::new(text.as_bytes().to_vec())));
        Content { owner: "o".parse().unwrap(), machines: [("m".to_owned(), Contents::from(files))].into() }
    }

    /// An archive of these entries after a good list, their names as they are.
    fn with(entries: &[(&str, EntryType, &[u8])]) -> Vec<u8> {
        let mut builder = Builder::new(Vec::new());
        add(&mut builder, LIST, br#"{"Version":1,"Owner":"o","Machines":["m"]}"#).unwrap();
        add(&mut builder, "machines/m/config.json", b"{}").unwrap();
        for (path, kind, bytes) in entries {
            let mut header = Header::new_gnu();
            // `append_data` refuses what is tested here.
            header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
            header.set_size(bytes.len() as u64);
            header.set_entry_type(*kind);
            header.set_cksum();
            builder.append(&header, *bytes).unwrap();
        }
        builder.into_inner().unwrap()
    }

    #[test]
    fn what_is_packed_unpacks() {
        let again = unpack(&pack(&content()).unwrap()).unwrap();
        assert_eq!((again.owner, again.machines), (content().owner, content().machines));
        unpack(&with(&[("machines/m/id_rsa.pub", EntryType::Regular, b"x")])).unwrap();
    }

    #[test]
    fn what_does_not_belong_there_is_refused() {
        let large = vec![0; (1 << 20) + 1];
        let cases: [(&str, EntryType, &[u8]); 13] = [
            ("../evil", EntryType::Regular, b""),
            ("/etc/evil", EntryType::Regular, b""),
            ("machines/m/../../evil", EntryType::Regular, b""),
            ("machines/../m/config.json", EntryType::Regular, b""),
            ("machines/m/config.json", EntryType::Regular, b"twice"),
            ("machines/other/config.json", EntryType::Regular, b""),
            ("machines/m/authorized_keys", EntryType::Regular, b""),
            ("machines/m/deep/id_rsa", EntryType::Regular, b""),
            ("machines/m/id_", EntryType::Regular, b""),
            ("machines/m/id_ed25519", EntryType::Symlink, b""),
            ("machines/m", EntryType::Directory, b""),
            ("archive.json", EntryType::Regular, b"{}"),
            ("machines/m/engine.json", EntryType::Regular, &large),
        ];
        for (path, kind, bytes) in cases {
            assert!(unpack(&with(&[(path, kind, bytes)])).is_err(), "{path} {kind:?}");
        }
    }

    #[test]
    fn cut_and_foreign_bytes_are_refused() {
        let whole = pack(&content()).unwrap();
        for end in [0, 100, 512, 700, 1024] {
            assert!(unpack(&whole[..end]).is_err(), "{end}");
        }
        assert!(unpack(&[b'x'; 4096]).is_err());
        let newer = String::from_utf8(whole.to_vec()).unwrap().replace("\"Version\": 2", "\"Version\": 3");
        assert!(unpack(newer.as_bytes()).unwrap_err().to_string().contains("newer"));
    }
}
