//! Copies from a machine whose SFTP server lies.

use std::path::Path;

use rmachine_provider_api::Silent;
use rmachine_ssh::{FakeSay as Say, fake_sftp};

use super::{walk::Walk, *};

const FILE: u32 = 0o100_644;
const DIRECTORY: u32 = 0o040_755;
/// Kinds of requests (draft-ietf-secsh-filexfer-02, section 3).
const OPENDIR: u8 = 11;
const READDIR: u8 = 12;
const REMOVE: u8 = 13;
const REALPATH: u8 = 16;
const STAT: u8 = 17;
const LSTAT: u8 = 7;
const RENAME: u8 = 18;

/// A server all of whose directories hold a directory of that name.
async fn endless(name: &'static [u8]) -> Side {
    let mut listed = false;
    let sftp = fake_sftp(move |kind, _| match kind {
        STAT => Say::Mode(DIRECTORY),
        OPENDIR => {
            listed = false;
            Say::Handle(b"h")
        }
        READDIR if !std::mem::replace(&mut listed, true) => Say::Names(vec![(name, DIRECTORY)]),
        READDIR => Say::Status(1),
        REALPATH => Say::Names(vec![(b"/x", 0)]),
        _ => Say::Status(0),
    })
    .await;
    Side::There(Arc::new(Remote::new("m", sftp)))
}

async fn copy(from: Side, target: &Path) -> Result<Walk> {
    let notify: Arc<dyn rmachine_provider_api::Notify> = Arc::new(Silent);
    let mut walk = Walk::new(from, Side::Here, true, Meter::new(notify.clone(), None), notify);
    walk.copy(b"d", target.as_os_str().as_bytes(), false).await.map(|()| walk)
}

fn count(directory: &Path) -> usize {
    std::fs::read_dir(directory).unwrap().count()
}

#[tokio::test]
async fn a_listing_cannot_lead_out_of_the_target() {
    let root = tempfile::tempdir().unwrap();
    for name in [&b"../evil"[..], b"/tmp/rmachine-evil", b"a/../../evil"] {
        let error = copy(endless(name).await, &root.path().join("d")).await.err().unwrap();
        assert_eq!(error.kind(), Kind::Ssh);
        assert_eq!(error.causes(), ["the host's SFTP server answers with names that no directory can hold"]);
        assert_eq!(count(root.path()), 0, "nothing is made of it");
    }
    assert!(!Path::new("/tmp/rmachine-evil").exists());
}

#[tokio::test]
async fn a_tree_without_end_has_one() {
    let root = tempfile::tempdir().unwrap();
    let walk = copy(endless(b"d").await, &root.path().join("d")).await.unwrap();
    assert_eq!(walk.failures, 1, "one directory was too deep");
}

/// The link here leads to a directory; what comes is a file.
#[tokio::test]
async fn a_file_does_not_replace_a_directory_behind_a_link() {
    let root = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/", root.path().join("d")).unwrap();
    let sftp = fake_sftp(|kind, _| match kind {
        STAT => Say::Mode(FILE),
        3 => Say::Handle(b"h"),
        5 => Say::Status(1),
        _ => Say::Status(0),
    })
    .await;
    let error = copy(Side::There(Arc::new(Remote::new("m", sftp))), &root.path().join("d")).await.err().unwrap();
    assert_eq!(error.causes(), ["it is a directory"]);
}

/// Copies a file over one that is there, on a server that cannot replace at once and renames nothing; answers the
/// error, the machine, and how many files were removed. `old`: whether one is there.
async fn without_names(old: bool) -> (Error, Arc<Remote>, usize) {
    let root = tempfile::tempdir().unwrap();
    let source = root.path().join("f");
    #[allow(clippy::disallowed_methods, reason = "a test's own file")]
    std::fs::write(&source, "new").unwrap();
    let removed = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = removed.clone();
    let sftp = fake_sftp(move |kind, _| match kind {
        LSTAT if old => Say::Mode(FILE),
        LSTAT => Say::Status(2),
        3 => Say::Handle(b"h"),
        REMOVE if count.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0 && !old => Say::Status(2),
        RENAME => Say::Status(4),
        _ => Say::Status(0),
    })
    .await;
    let remote = Arc::new(Remote::new("m", sftp));
    let notify: Arc<dyn rmachine_provider_api::Notify> = Arc::new(Silent);
    let mut walk = Walk::new(Side::Here, Side::There(remote.clone()), false, Meter::new(notify.clone(), None), notify);
    let error = walk.copy(source.as_os_str().as_bytes(), b"d/f", false).await.unwrap_err();
    (error, remote, removed.load(std::sync::atomic::Ordering::SeqCst))
}

#[tokio::test]
async fn what_took_the_place_of_an_old_file_is_kept_when_it_gets_no_name() {
    let (error, remote, removed) = without_names(true).await;
    assert_eq!(
        error.causes(),
        ["the old one is removed, and the new one does not get its name: the host refuses it: no"]
    );
    let hint = error.hints().last().unwrap();
    assert!(hint.starts_with("the new file is whole, and is left on m as d/.f.rmachine-"), "{hint}");
    assert_eq!(removed, 1, "the old one only");
    // An interrupt that comes then does not take it, either; it is there as far as that server says.
    assert_eq!(take_back(&remote).await.as_ref(), Some(hint));

    let (error, remote, removed) = without_names(false).await;
    assert_eq!(error.causes(), ["the host refuses it: no"]);
    assert_eq!((removed, remote.unfinished().take()), (2, None), "the source is all that there was");
}
