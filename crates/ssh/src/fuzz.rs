//! Fuzz targets of what an SSH server, a key file and known_hosts say.

#![allow(clippy::expect_used, clippy::missing_panics_doc, reason = "a panic is how a fuzz target tells")]

use std::io::Write;

use bytes::Bytes;

use super::{keys, sftp, trust};

/// Packets of an SFTP server.
pub fn sftp(data: &[u8]) {
    let _ = sftp::is_packet(Bytes::copy_from_slice(data));
}

/// A key file, private or public.
pub fn key(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = keys::parse(text, || None);
    if let Ok(fingerprint) = keys::fingerprint(text) {
        assert!(fingerprint.starts_with("SHA256:"), "{fingerprint}");
    }
}

/// A known_hosts file. Who is trusted by it is trusted without the line breaks of another system, too.
pub fn known_hosts(data: &[u8]) {
    let mut file = tempfile::NamedTempFile::new().expect("a file can be made");
    file.write_all(data).expect("it can be written");
    let _ = trust::known_hosts_knows(&[file.path().to_owned()], "127.2.0.1", 22);
    let _ = trust::known_hosts_knows(&[file.path().to_owned()], "host.example", 2222);
}
