//! An SFTP server that lies (packets of draft-ietf-secsh-filexfer-02).

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// How it lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lie {
    /// It never says its version.
    NoVersion,
    /// It never answers a request.
    Silence,
    /// A directory whose listing has no end.
    EndlessListing,
    /// The same, in parts without an entry.
    EmptyParts,
    /// Packets that are longer than any.
    Lengths,
    /// Errors with escapes and lines that look like ours.
    Escapes,
}

fn string(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
}

fn packet(kind: u8, rest: &[&[u8]]) -> Vec<u8> {
    string(&[&[kind][..], &rest.concat()].concat())
}

/// Serves one session until the client goes.
pub async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, lie: Lie) {
    // A directory that all may read.
    let attributes = [4_u32.to_be_bytes(), 0o040_755_u32.to_be_bytes()].concat();
    let entry = [string(&[b'n'; 200]), string(b""), attributes.clone()].concat();
    let listing = entry.repeat(1000);
    while let Ok(length) = stream.read_u32().await {
        let mut request = vec![0; length as usize];
        if stream.read_exact(&mut request).await.is_err() {
            return;
        }
        let (kind, id) = (request[0], &request[1..5]);
        let answer = match (kind, lie) {
            (1, Lie::NoVersion) => continue,
            (1, _) => packet(2, &[&3_u32.to_be_bytes()]),
            (_, Lie::Silence) => continue,
            (_, Lie::Lengths) => u32::MAX.to_be_bytes().to_vec(),
            (11, Lie::Escapes) => {
                packet(101, &[id, &4_u32.to_be_bytes(), &string(super::liar::FORGED.as_bytes()), &string(b"")])
            }
            // STAT and LSTAT, OPENDIR, READDIR, REALPATH; anything else is well.
            (17 | 7, _) => packet(105, &[id, &attributes]),
            (11, _) => packet(102, &[id, &string(b"h")]),
            (12, Lie::EmptyParts) => packet(104, &[id, &0_u32.to_be_bytes()]),
            (12, _) => packet(104, &[id, &1000_u32.to_be_bytes(), &listing]),
            (16, _) => packet(104, &[id, &1_u32.to_be_bytes(), &string(b"/d"), &string(b""), &attributes]),
            _ => packet(101, &[id, &0_u32.to_be_bytes(), &string(b""), &string(b"")]),
        };
        if stream.write_all(&answer).await.is_err() || stream.flush().await.is_err() {
            return;
        }
    }
}
