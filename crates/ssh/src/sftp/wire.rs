//! Packets of SFTP version 3 (draft-ietf-secsh-filexfer-02), which every server speaks. Paths and handles are bytes.

use bytes::{Buf, Bytes};

/// Kinds of packets (section 3).
pub(super) mod kind {
    pub const INIT: u8 = 1;
    pub const VERSION: u8 = 2;
    pub const OPEN: u8 = 3;
    pub const CLOSE: u8 = 4;
    pub const READ: u8 = 5;
    pub const WRITE: u8 = 6;
    pub const LSTAT: u8 = 7;
    pub const SETSTAT: u8 = 9;
    pub const FSETSTAT: u8 = 10;
    pub const OPENDIR: u8 = 11;
    pub const READDIR: u8 = 12;
    pub const REMOVE: u8 = 13;
    pub const MKDIR: u8 = 14;
    pub const REALPATH: u8 = 16;
    pub const STAT: u8 = 17;
    pub const RENAME: u8 = 18;
    pub const STATUS: u8 = 101;
    pub const HANDLE: u8 = 102;
    pub const DATA: u8 = 103;
    pub const NAME: u8 = 104;
    pub const ATTRS: u8 = 105;
    pub const EXTENDED: u8 = 200;
}

/// Codes of a status packet (section 7).
pub(super) mod code {
    pub const OK: u32 = 0;
    pub const EOF: u32 = 1;
    pub const NO_SUCH_FILE: u32 = 2;
    pub const PERMISSION_DENIED: u32 = 3;
}

/// Bits of what an open file is for (section 6.3).
pub(super) mod open {
    pub const READ: u32 = 0x01;
    pub const WRITE: u32 = 0x02;
    pub const CREATE: u32 = 0x08;
    pub const TRUNCATE: u32 = 0x10;
    pub const EXCLUSIVE: u32 = 0x20;
}

/// The version that is spoken.
pub(super) const VERSION: u32 = 3;
/// Longest packet that is taken; OpenSSH's own bound is 256 KiB.
pub(super) const LONGEST: u32 = 256 * 1024 + 1024;

const SIZE: u32 = 0x1;
const OWNER: u32 = 0x2;
const PERMISSIONS: u32 = 0x4;
const TIMES: u32 = 0x8;
const EXTENDED: u32 = 0x8000_0000;

/// What is known of a file, or is to be set (section 5).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Bytes.
    pub size: Option<u64>,
    /// User and group.
    pub owner: Option<(u32, u32)>,
    /// `st_mode`: type and permissions.
    pub permissions: Option<u32>,
    /// Of the last access and the last change, in seconds since 1970.
    pub times: Option<(u32, u32)>,
}

/// An entry of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// Its name, as the host says it.
    pub name: Vec<u8>,
    /// What it is; a symbolic link itself, not what it leads to.
    pub attributes: Attributes,
}

/// What a server answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reply {
    Version(u32, Vec<Vec<u8>>),
    Status(u32, String),
    Handle(Bytes),
    Data(Bytes),
    Names(Vec<Name>),
    Attributes(Attributes),
}

/// A packet that is being written.
pub(super) struct Packet(Vec<u8>);

impl Packet {
    pub(super) fn new(kind: u8) -> Self {
        Self(vec![0, 0, 0, 0, kind])
    }

    pub(super) fn request(kind: u8, id: u32) -> Self {
        Self::new(kind).u32(id)
    }

    pub(super) fn u32(mut self, value: u32) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub(super) fn u64(mut self, value: u64) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub(super) fn string(self, value: &[u8]) -> Self {
        let mut packet = self.u32(length(value.len()));
        packet.0.extend(value);
        packet
    }

    pub(super) fn attributes(self, of: &Attributes) -> Self {
        let present = [
            (of.size.is_some(), SIZE),
            (of.owner.is_some(), OWNER),
            (of.permissions.is_some(), PERMISSIONS),
            (of.times.is_some(), TIMES),
        ];
        let mut packet = self.u32(present.iter().filter(|(is, _)| *is).map(|(_, bit)| bit).sum());
        if let Some(size) = of.size {
            packet = packet.u64(size);
        }
        if let Some((first, second)) = of.owner {
            packet = packet.u32(first).u32(second);
        }
        if let Some(permissions) = of.permissions {
            packet = packet.u32(permissions);
        }
        if let Some((first, second)) = of.times {
            packet = packet.u32(first).u32(second);
        }
        packet
    }

    /// The bytes with their length in front.
    pub(super) fn bytes(mut self) -> Vec<u8> {
        let size = length(self.0.len() - 4).to_be_bytes();
        self.0[..4].copy_from_slice(&size);
        self.0
    }
}

/// Lengths are of what we hold in memory, which is never 4 GiB; a longer one would be refused by its reader.
fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// Reads a packet (without its length): the id of the request that it answers, and the answer. `None`: it is none.
pub(super) fn parse(mut packet: Bytes) -> Option<(Option<u32>, Reply)> {
    let kind = packet.try_get_u8().ok()?;
    let first = packet.try_get_u32().ok()?;
    if kind == kind::VERSION {
        let mut extensions = Vec::new();
        while packet.has_remaining() {
            let (name, _) = (string(&mut packet)?, string(&mut packet)?);
            extensions.push(name.to_vec());
        }
        return Some((None, Reply::Version(first, extensions)));
    }
    let reply = match kind {
        kind::STATUS => {
            let code = packet.try_get_u32().ok()?;
            // Old servers leave the text out.
            let text = string(&mut packet).unwrap_or_default();
            Reply::Status(code, String::from_utf8_lossy(&text).into_owned())
        }
        kind::HANDLE => Reply::Handle(string(&mut packet)?),
        kind::DATA => Reply::Data(string(&mut packet)?),
        kind::NAME => {
            let count = packet.try_get_u32().ok()?;
            let mut names = Vec::new();
            for _ in 0..count {
                let (name, _) = (string(&mut packet)?, string(&mut packet)?);
                names.push(Name { name: name.to_vec(), attributes: attributes(&mut packet)? });
            }
            Reply::Names(names)
        }
        kind::ATTRS => Reply::Attributes(attributes(&mut packet)?),
        _ => return None,
    };
    Some((Some(first), reply))
}

fn string(packet: &mut Bytes) -> Option<Bytes> {
    let length = usize::try_from(packet.try_get_u32().ok()?).ok()?;
    (packet.remaining() >= length).then(|| packet.split_to(length))
}

fn attributes(packet: &mut Bytes) -> Option<Attributes> {
    let present = packet.try_get_u32().ok()?;
    let mut of = Attributes::default();
    if present & SIZE != 0 {
        of.size = Some(packet.try_get_u64().ok()?);
    }
    if present & OWNER != 0 {
        of.owner = Some((packet.try_get_u32().ok()?, packet.try_get_u32().ok()?));
    }
    if present & PERMISSIONS != 0 {
        of.permissions = Some(packet.try_get_u32().ok()?);
    }
    if present & TIMES != 0 {
        of.times = Some((packet.try_get_u32().ok()?, packet.try_get_u32().ok()?));
    }
    if present & EXTENDED != 0 {
        for _ in 0..packet.try_get_u32().ok()? {
            let _ = (string(packet)?, string(packet)?);
        }
    }
    Some(of)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(packet: Packet, name: &Name) -> Packet {
        packet.string(&name.name).string(b"-rw-r--r-- 1 a b").attributes(&name.attributes)
    }

    fn parsed(packet: Packet) -> Option<(Option<u32>, Reply)> {
        parse(Bytes::from(packet.bytes()).split_off(4))
    }

    fn any_attributes() -> impl Strategy<Value = Attributes> {
        any::<(Option<u64>, Option<(u32, u32)>, Option<u32>, Option<(u32, u32)>)>()
            .prop_map(|(size, owner, permissions, times)| Attributes { size, owner, permissions, times })
    }

    proptest! {
        #![proptest_config(rmachine_testkit::cases::config(1))]

        #[test]
        fn whatever_comes_is_read_or_refused(bytes: Vec<u8>) {
            let _ = parse(Bytes::from(bytes));
        }

        #[test]
        fn names_of_any_bytes_come_back(id: u32, of in any_attributes(), bytes: Vec<u8>) {
            let entry = Name { name: bytes, attributes: of };
            let packet = name(Packet::request(kind::NAME, id).u32(1), &entry);
            prop_assert_eq!(parsed(packet), Some((Some(id), Reply::Names(vec![entry]))));
        }

        #[test]
        fn a_packet_that_is_cut_short_is_refused(of in any_attributes(), cut in 1_usize..30) {
            let mut bytes = Bytes::from(Packet::request(kind::ATTRS, 7).attributes(&of).bytes()).split_off(4);
            bytes.truncate(bytes.len().saturating_sub(cut));
            prop_assert_eq!(parse(bytes), None);
        }
    }

    #[test]
    fn a_count_that_lies_costs_nothing() {
        assert_eq!(parsed(Packet::request(kind::NAME, 1).u32(u32::MAX)), None);
        assert_eq!(parsed(Packet::request(kind::DATA, 1).u32(u32::MAX)), None);
        assert_eq!(parsed(Packet::request(kind::ATTRS, 1).u32(EXTENDED).u32(u32::MAX)), None);
    }
}
