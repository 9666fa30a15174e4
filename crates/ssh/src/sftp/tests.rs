use std::sync::{Arc, Mutex};

use bytes::Buf;

use super::{
    fake::{Say, sftp},
    wire::{code, kind},
    *,
};
use crate::Budgets;

const FILE: u32 = 0o100_644;

/// Lists a directory that the server says to hold `name`.
async fn list(name: &'static [u8]) -> Result<Vec<Name>, SftpError> {
    let mut once = true;
    let sftp = sftp(move |kind, _| match kind {
        kind::OPENDIR => Say::Handle(b"\xff\x00"),
        kind::READDIR if std::mem::take(&mut once) => Say::Names(vec![(b".", FILE), (b"a", FILE), (name, FILE)]),
        kind::READDIR => Say::Status(code::EOF),
        _ => Say::Status(code::OK),
    })
    .await;
    sftp.list(b"d").await
}

#[tokio::test]
async fn names_that_lead_elsewhere_are_refused() {
    for name in [&b"../x"[..], b"/etc/passwd", b"a/b", b"", b"a\0b", b"..//"] {
        let refused = list(name).await;
        assert_eq!(refused, Err(SftpError::Malformed("with names that no directory can hold")), "{name:?}");
    }
    for (name, expected) in [(&b".."[..], 1), (b"..a", 2), (b"\xff", 2)] {
        assert_eq!(list(name).await.unwrap().len(), expected, "{name:?}");
    }
}

#[tokio::test]
async fn short_reads_are_made_whole_in_order() {
    let content: Vec<u8> = (0..1_000_003_u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    let (source, mut turn) = (content.clone(), 0);
    let sftp = sftp(move |kind, mut body| match kind {
        kind::READ => {
            let handle = body.get_u32() as usize;
            body.advance(handle);
            let (at, length) = (usize::try_from(body.get_u64()).unwrap(), body.get_u32() as usize);
            turn += 1;
            // Every third answer is a part of what was asked for.
            let length = if turn % 3 == 0 { (length / 3).max(1) } else { length };
            match source.get(at..) {
                None | Some([]) => Say::Status(code::EOF),
                Some(rest) => Say::Data(rest[..length.min(rest.len())].to_vec()),
            }
        }
        kind::OPEN => Say::Handle(b"h"),
        _ => Say::Status(code::OK),
    })
    .await;
    let mut download = sftp.download(b"f").await.unwrap();
    let mut got = Vec::new();
    while let Some(part) = download.next().await.unwrap() {
        got.extend(part);
    }
    download.close().await.unwrap();
    assert!(got == content, "{} of {} bytes", got.len(), content.len());
}

#[tokio::test]
async fn more_than_was_asked_for_is_refused() {
    for data in [vec![0; 32 * 1024 + 1], Vec::new()] {
        let sftp = sftp(move |kind, _| match kind {
            kind::READ => Say::Data(data.clone()),
            _ => Say::Handle(b"h"),
        })
        .await;
        let read = sftp.download(b"f").await.unwrap().next().await;
        assert_eq!(read, Err(SftpError::Malformed("more or less than was asked for")));
    }
}

#[tokio::test]
async fn a_write_that_fails_late_is_no_success() {
    let written = Arc::new(Mutex::new(0));
    let seen = written.clone();
    let sftp = sftp(move |kind, _| match kind {
        kind::OPEN => Say::Handle(b"h"),
        kind::WRITE => {
            *seen.lock().unwrap() += 1;
            Say::Status(if *seen.lock().unwrap() == 3 { 4 } else { code::OK })
        }
        _ => Say::Status(code::OK),
    })
    .await;
    let mut upload = sftp.upload(b"f", false, 0o600).await.unwrap();
    upload.write(&vec![0; 5 * 32 * 1024]).await.unwrap();
    assert_eq!(upload.close().await, Err(SftpError::Refused("no".to_owned())));
    assert_eq!(*written.lock().unwrap(), 5);
}

#[tokio::test]
async fn whoever_waits_hears_of_the_end() {
    for say in [|| Say::End, || Say::Raw(vec![0xff; 64]), || Say::Raw(vec![0, 0, 0, 1, 105])] {
        let sftp = sftp(move |_, _| say()).await;
        assert_eq!(sftp.look(b"f", true).await, Err(SftpError::Lost));
        assert_eq!(sftp.look(b"f", true).await, Err(SftpError::Lost), "and so does whoever asks later");
    }
}

#[tokio::test]
async fn without_a_rename_that_replaces_the_old_one_goes_first() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = asked.clone();
    let sftp = sftp(move |kind, _| {
        seen.lock().unwrap().push(kind);
        Say::Status(if kind == kind::REMOVE { code::NO_SUCH_FILE } else { code::OK })
    })
    .await;
    sftp.rename(b"a", b"b").await.unwrap();
    assert_eq!(*asked.lock().unwrap(), [kind::REMOVE, kind::RENAME]);
}

#[tokio::test]
async fn a_rename_that_fails_after_that_says_what_is_left() {
    for (removed, expected) in [
        (code::OK, SftpError::NotReplaced(Box::new(SftpError::Denied))),
        (code::NO_SUCH_FILE, SftpError::Denied),
        (4, SftpError::Refused("no".to_owned())),
    ] {
        let sftp = sftp(move |kind, _| match kind {
            kind::REMOVE => Say::Status(removed),
            _ => Say::Status(code::PERMISSION_DENIED),
        })
        .await;
        assert_eq!(sftp.rename(b"a", b"b").await, Err(expected));
    }
    for end in [kind::REMOVE, kind::RENAME] {
        let sftp = sftp(move |kind, _| if kind == end { Say::End } else { Say::Status(code::OK) }).await;
        let lost = sftp.rename(b"a", b"b").await.unwrap_err();
        assert_eq!(lost, SftpError::NotReplaced(Box::new(SftpError::Lost)));
        assert!(lost.is_final());
    }
}

#[tokio::test]
async fn a_listing_without_end_is_given_up() {
    for empty in [true, false] {
        let entries = if empty { 0 } else { 2000 };
        let sftp = sftp(move |kind, _| match kind {
            kind::OPENDIR => Say::Handle(b"h"),
            kind::READDIR => Say::Names(vec![(&[b'n'; 100], FILE); entries]),
            _ => Say::Status(code::OK),
        })
        .await;
        assert_eq!(sftp.list(b"d").await, Err(SftpError::Malformed("with a listing without end")), "{empty}");
    }
}

#[tokio::test]
async fn a_server_that_owes_an_answer_is_given_up() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let (ours, mut theirs) = tokio::io::duplex(1 << 16);
    let server = async move {
        let mut hello = [0; 9];
        theirs.read_exact(&mut hello).await.unwrap();
        theirs.write_all(&[0, 0, 0, 5, kind::VERSION, 0, 0, 0, 3]).await.unwrap();
        theirs
    };
    let silence = std::time::Duration::from_millis(200);
    let budgets = Budgets { sftp: silence, ..Budgets::default() };
    let (sftp, _open) = tokio::join!(Sftp::start(ours, &budgets), server);
    let sftp = sftp.unwrap();
    // Nothing is owed before something is asked for.
    tokio::time::sleep(silence * 2).await;
    assert_eq!(sftp.look(b"f", true).await, Err(SftpError::Lost));
}
