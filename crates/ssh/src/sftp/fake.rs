//! A server in memory that answers what a test wants, lies included.

#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a test's own server")]

use std::sync::Arc;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::{
    Attributes, Sftp,
    wire::{Packet, kind},
};
use crate::Budgets;

/// What a server answers.
pub enum Say {
    /// A code of the protocol (draft-ietf-secsh-filexfer-02, section 7).
    Status(u32),
    /// An open file's.
    Handle(&'static [u8]),
    /// What was read.
    Data(Vec<u8>),
    /// Names with their modes.
    Names(Vec<(&'static [u8], u32)>),
    /// A file's attributes, of which there is only the mode.
    Mode(u32),
    /// Bytes that are no packet.
    Raw(Vec<u8>),
    /// Nothing any more.
    End,
}

/// A session with a server that answers each request, by its kind and what follows its id, with `answer`.
pub async fn sftp(answer: impl FnMut(u8, Bytes) -> Say + Send + 'static) -> Arc<Sftp> {
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    tokio::spawn(serve(theirs, answer));
    Arc::new(Sftp::start(ours, &Budgets { listing: 1 << 20, ..Budgets::default() }).await.unwrap())
}

async fn serve(mut stream: DuplexStream, mut answer: impl FnMut(u8, Bytes) -> Say) {
    while let Ok(length) = stream.read_u32().await {
        let mut packet = vec![0; length as usize];
        stream.read_exact(&mut packet).await.unwrap();
        let mut packet = Bytes::from(packet);
        let kind = packet.get_u8();
        let id = packet.get_u32();
        let bytes = if kind == kind::INIT {
            Packet::new(kind::VERSION).u32(3).bytes()
        } else {
            match answer(kind, packet) {
                Say::Status(code) => Packet::request(kind::STATUS, id).u32(code).string(b"no").string(b"").bytes(),
                Say::Handle(handle) => Packet::request(kind::HANDLE, id).string(handle).bytes(),
                Say::Data(data) => Packet::request(kind::DATA, id).string(&data).bytes(),
                Say::Mode(mode) => Packet::request(kind::ATTRS, id).attributes(&of_mode(mode)).bytes(),
                Say::Names(names) => {
                    let count = Packet::request(kind::NAME, id).u32(u32::try_from(names.len()).unwrap());
                    let add = |packet: Packet, (name, mode): (&[u8], u32)| {
                        packet.string(name).string(b"").attributes(&of_mode(mode))
                    };
                    names.into_iter().fold(count, add).bytes()
                }
                Say::Raw(bytes) => bytes,
                Say::End => return,
            }
        };
        if stream.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

fn of_mode(mode: u32) -> Attributes {
    Attributes { permissions: Some(mode), ..Attributes::default() }
}
