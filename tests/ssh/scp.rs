//! `rmachine scp` with OpenSSH's SFTP server.

use std::{
    ffi::{OsStr, OsString},
    fs,
    os::unix::{
        ffi::{OsStrExt, OsStringExt},
        fs::{MetadataExt, PermissionsExt, symlink},
    },
    path::{Path, PathBuf},
    process::Output,
    time::{Duration, SystemTime},
};

use super::{
    binary::Machine,
    sshd::{Sshd, user},
    transcript::Said as _,
};

/// A machine, its files (where relative paths begin), and a directory here.
pub struct Pair {
    pub machine: Machine,
    here: tempfile::TempDir,
}

impl Pair {
    pub fn new() -> Self {
        Self::of(Machine::new())
    }

    pub fn of(machine: Machine) -> Self {
        Self { machine, here: tempfile::tempdir().unwrap() }
    }

    pub fn here(&self, path: impl AsRef<Path>) -> PathBuf {
        self.here.path().join(path)
    }

    pub fn there(&self, path: impl AsRef<Path>) -> PathBuf {
        self.machine.sshd.path("files").join(path)
    }

    /// `rmachine scp` in the directory here.
    pub fn scp(&self, arguments: &[impl AsRef<OsStr>]) -> Output {
        self.machine.command(&["scp"]).args(arguments).current_dir(self.here.path()).said()
    }

    /// What it says when all goes well.
    #[track_caller]
    pub fn ok(&self, arguments: &[impl AsRef<OsStr>]) -> String {
        let output = self.scp(arguments);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success() && output.stdout.is_empty(), "{stderr}");
        stderr
    }

    /// What it says when it fails with this code: one error line.
    #[track_caller]
    pub fn fails(&self, code: i32, arguments: &[impl AsRef<OsStr>]) -> String {
        let output = self.scp(arguments);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{stderr}");
        assert_eq!(stderr.lines().filter(|line| line.starts_with("Error: ")).count(), 1, "{stderr}");
        stderr
    }
}

/// Makes a file with this mode and time of its last change.
pub fn write(path: &Path, content: &[u8], mode: u32, changed: u64) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
    stamp(path, mode, changed);
}

fn stamp(path: &Path, mode: u32, changed: u64) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(changed);
    fs::File::open(path).unwrap().set_times(fs::FileTimes::new().set_modified(time)).unwrap();
}

/// Mode and time of the last change.
fn stamps(path: &Path) -> (u32, i64) {
    let found = fs::symlink_metadata(path).unwrap();
    (found.mode() & 0o7777, found.mtime())
}

/// The names in a directory, sorted.
pub fn names(path: &Path) -> Vec<OsString> {
    let mut names: Vec<OsString> = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    names
}

/// Bytes without a short period.
pub fn noise(length: usize) -> Vec<u8> {
    (0..u32::MAX).flat_map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()).take(length).collect()
}

#[test]
fn a_file_goes_both_ways_with_its_mode_and_time() {
    let pair = Pair::new();
    for (name, content) in [("big", noise(5_000_001)), ("empty", Vec::new()), ("chunk", noise(32 * 1024))] {
        write(&pair.here(name), &content, 0o640, 1_000_000_000);
        let said = pair.ok(&[name, "m:"]);
        assert!(said.ends_with("B.\n") || said.ends_with("bytes.\n"), "{said}");
        assert_eq!(stamps(&pair.there(name)), (0o640, 1_000_000_000));
        assert!(fs::read(pair.there(name)).unwrap() == content, "{name} arrives as it is");
        pair.ok(&[&format!("m:{name}"), "back"]);
        assert_eq!(stamps(&pair.here("back")), (0o640, 1_000_000_000));
        assert!(fs::read(pair.here("back")).unwrap() == content, "{name} comes back as it is");
        assert_eq!(pair.ok(&["-q", &format!("m:{}", pair.there(name).display()), "."]), "", "quiet");
    }
    assert_eq!(names(&pair.there("")), ["big", "chunk", "empty"], "nothing is left besides");
}

#[test]
fn what_is_there_is_replaced_as_a_whole() {
    let pair = Pair::new();
    write(&pair.here("new"), b"new", 0o755, 1);
    write(&pair.there("old"), b"a longer old one", 0o600, 2);
    fs::hard_link(pair.there("old"), pair.there("opened")).unwrap();
    symlink("old", pair.there("link")).unwrap();
    pair.ok(&["new", "m:link"]);
    assert_eq!(fs::read(pair.there("old")).unwrap(), b"new");
    assert!(pair.there("link").is_symlink(), "the file behind the link is meant");
    assert_eq!(fs::read(pair.there("opened")).unwrap(), b"a longer old one", "who reads it reads on");
    assert_eq!(names(&pair.there("")), ["link", "old", "opened"]);

    write(&pair.here("mine"), b"mine", 0o600, 2);
    symlink("mine", pair.here("link")).unwrap();
    pair.ok(&["m:old", "link"]);
    assert_eq!((fs::read(pair.here("mine")).unwrap(), pair.here("link").is_symlink()), (b"new".to_vec(), true));
}

#[test]
fn permissions_are_no_more_than_read_write_and_run() {
    let pair = Pair::new();
    write(&pair.there("tool"), b"x", 0o6755, 1);
    pair.ok(&["m:tool", "."]);
    assert_eq!(stamps(&pair.here("tool")).0, 0o755);
}

#[test]
fn the_owner_stays_when_root_replaces_a_file() {
    if user() != "root" {
        eprintln!("NOT TESTED: only root gives files away");
        return;
    }
    let pair = Pair::new();
    write(&pair.here("a"), b"new", 0o644, 1);
    write(&pair.there("a"), b"old", 0o644, 1);
    std::os::unix::fs::chown(pair.there("a"), Some(12345), Some(54321)).unwrap();
    pair.ok(&["a", "m:a"]);
    let found = fs::metadata(pair.there("a")).unwrap();
    assert_eq!((found.uid(), found.gid(), found.len()), (12345, 54321, 3));
}

fn tree(root: &Path) {
    write(&root.join("a"), b"a", 0o600, 1_000_000_001);
    write(&root.join("deep/er/b"), &noise(100_000), 0o755, 1_000_000_002);
    fs::create_dir(root.join("empty")).unwrap();
    symlink("deep/er", root.join("link")).unwrap();
    stamp(&root.join("deep/er"), 0o750, 1_000_000_003);
    stamp(&root.join("empty"), 0o700, 1_000_000_004);
}

#[track_caller]
fn assert_tree(root: &Path) {
    assert_eq!(names(root), ["a", "deep", "empty", "link"]);
    assert_eq!(stamps(&root.join("a")), (0o600, 1_000_000_001));
    assert!(fs::read(root.join("deep/er/b")).unwrap() == noise(100_000));
    assert_eq!(stamps(&root.join("deep/er")), (0o750, 1_000_000_003));
    assert_eq!(stamps(&root.join("empty")), (0o700, 1_000_000_004));
    assert!(!root.join("link").is_symlink(), "links are followed");
    assert_eq!(stamps(&root.join("link/b")), (0o755, 1_000_000_002));
}

#[test]
fn directories_go_both_ways() {
    let pair = Pair::new();
    tree(&pair.here("tree"));
    let refused = pair.fails(1, &["tree", "m:"]);
    assert!(refused.contains("it is a directory") && refused.contains("Hint: -r copies directories"), "{refused}");
    assert_eq!(names(&pair.there("")).len(), 0);

    pair.ok(&["-r", "tree", "m:new"]);
    assert_tree(&pair.there("new"));
    pair.ok(&["-r", "tree/", "m:new"]);
    assert_tree(&pair.there("new/tree"));
    fs::remove_dir_all(pair.there("new/tree")).unwrap();
    pair.ok(&["-r", "tree/.", "m:new"]);
    assert_eq!(names(&pair.there("new")), ["a", "deep", "empty", "link"], "into what is there");
    pair.ok(&["-r", "tree/.", "m:dots"]);
    assert_tree(&pair.there("dots"));
    fs::remove_dir_all(pair.there("new")).unwrap();
    pair.ok(&["-r", "tree", "m:new"]);

    pair.ok(&["-r", "m:new", "back"]);
    assert_tree(&pair.here("back"));
    pair.ok(&["-r", "m:new", "back"]);
    assert_tree(&pair.here("back/new"));
    pair.ok(&["-r", "m:new/..", "parent"]);
    assert_tree(&pair.here("parent/new"));
}

#[test]
fn what_cannot_be_read_does_not_keep_the_others_back() {
    let pair = Pair::new();
    let root = pair.there("t");
    write(&root.join("z"), b"z", 0o644, 1);
    symlink("nowhere", root.join("dangling")).unwrap();
    symlink("..", root.join("loop")).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(root.join("fifo")).status().unwrap().success());
    let said = pair.fails(1, &["-r", "m:t", "."]);
    assert!(said.contains("Error: 3 of the files were not copied"), "{said}");
    assert!(said.contains("t/dangling on machine \"m\" was not copied: no such file"), "{said}");
    assert!(said.contains("t/fifo on machine \"m\" was not copied: it is neither a file nor a directory"), "{said}");
    assert!(said.contains("t/loop/t on machine \"m\" was not copied: it is a link to a directory around it"), "{said}");
    assert_eq!(fs::read(pair.here("t/z")).unwrap(), b"z");
}

/// Names that are no trouble to a file system.
fn odd_names() -> Vec<OsString> {
    let mut odd: Vec<OsString> = [
        " a  b ",
        "'q\"",
        "line\nbreak",
        "-r",
        "--",
        "*",
        "?x[1]",
        "$(touch x)",
        "`x`",
        "~",
        "a:b",
        "\\",
        "é",
        "\x1b[2J",
    ]
    .map(OsString::from)
    .into();
    odd.push(OsString::from_vec(b"not-utf8-\xff\xfe".to_vec()));
    odd.push("n".repeat(255).into());
    odd.sort();
    odd
}

#[test]
fn names_may_be_any() {
    let pair = Pair::new();
    for name in odd_names() {
        write(&pair.here("odd").join(&name), name.as_bytes(), 0o644, 1);
    }
    pair.ok(&["-r", "odd", "m:"]);
    assert_eq!(names(&pair.there("odd")), odd_names());
    pair.ok(&["-r", "m:odd", "back"]);
    assert_eq!(names(&pair.here("back")), odd_names());
    for name in odd_names() {
        let here = Path::new("odd").join(&name);
        pair.ok(&[here.as_os_str(), OsStr::new("m:")]);
        assert_eq!(fs::read(pair.there(&name)).unwrap(), name.as_bytes());
        // A backslash before what would be a pattern.
        let mut place = b"m:./".to_vec();
        for byte in name.as_bytes() {
            if b"*?[\\".contains(byte) {
                place.push(b'\\');
            }
            place.push(*byte);
        }
        pair.ok(&[OsStr::from_bytes(&place), OsStr::new("one")]);
        assert_eq!(fs::read(pair.here("one")).unwrap(), name.as_bytes());
    }
}

#[test]
fn patterns_are_matched_there() {
    let pair = Pair::new();
    for name in ["log/a.txt", "log/b.txt", "log/.hidden.txt", "log/c.md", "log/dir/d.txt", "old/a.txt", "[x]"] {
        write(&pair.there(name), name.as_bytes(), 0o644, 1);
    }
    fs::create_dir(pair.here("got")).unwrap();
    pair.ok(&["m:log/*.txt", "got"]);
    assert_eq!(names(&pair.here("got")), ["a.txt", "b.txt"]);
    pair.ok(&[&format!("m:{}/l?g/[c]*", pair.there("").display()), "got"]);
    assert_eq!(names(&pair.here("got")), ["a.txt", "b.txt", "c.md"]);
    pair.ok(&["m:[x]", "got"]);
    assert!(pair.here("got/[x]").exists(), "what fits nothing else stands for itself");

    let said = pair.fails(1, &["m:log/*", "got"]);
    assert!(said.contains("log/dir on machine \"m\" was not copied: it is a directory"), "{said}");
    let said = pair.fails(1, &["m:log/*.txt", "new"]);
    assert!(said.starts_with("Error: new is not a directory\n"), "{said}");
    let said = pair.fails(1, &["m:log/*.none", "got"]);
    assert!(said.starts_with("Error: cannot read log/*.none on machine \"m\"\nCaused by: no such file"), "{said}");
}

#[test]
fn from_one_machine_to_another_through_here() {
    let pair = Pair::new();
    let other = Sshd::start();
    pair.machine.add("n", &other);
    tree(&pair.there("tree"));
    write(&pair.there("file"), &noise(3_000_000), 0o640, 7);
    pair.ok(&["m:file", "n:copy"]);
    assert!(fs::read(other.path("files/copy")).unwrap() == noise(3_000_000));
    assert_eq!(stamps(&other.path("files/copy")), (0o640, 7));
    pair.ok(&["-r", "m:tree", "n:"]);
    assert_tree(&other.path("files/tree"));
    pair.ok(&["m:file", "m:twin"]);
    assert!(fs::read(pair.there("twin")).unwrap() == noise(3_000_000), "on one machine");
    pair.ok(&["-r", "m:tree", "m:tree/inside"]);
    assert_tree(&pair.there("tree/inside"));

    // Each sees its own key, and nothing of the other one.
    let fingerprint = |sshd: &Sshd| {
        let shown = std::process::Command::new("ssh-keygen").arg("-lf").arg(sshd.path("login.pub")).said();
        String::from_utf8(shown.stdout).unwrap().split_whitespace().nth(1).unwrap().to_owned()
    };
    for (one, another) in [(&pair.machine.sshd, &other), (&other, &pair.machine.sshd)] {
        assert!(one.log().contains(&fingerprint(one)) && !one.log().contains(&fingerprint(another)));
        assert!(!one.log().contains("auth-agent-req@openssh.com"), "no agent is forwarded");
    }
}

#[test]
fn several_files_and_several_places() {
    let pair = Pair::new();
    for name in ["a", "b"] {
        write(&pair.here(name), name.as_bytes(), 0o644, 1);
    }
    let said = pair.ok(&["a", "b", "m:"]);
    assert_eq!(said, "Copied 2 files, 2 bytes.\n");
    fs::create_dir(pair.here("d")).unwrap();
    pair.ok(&["m:a", &format!("{}@m:b", user()), "d"]);
    assert_eq!(names(&pair.here("d")), ["a", "b"]);
    pair.ok(&["localhost:d/a", "m:c"]);
    assert_eq!(fs::read(pair.there("c")).unwrap(), b"a");
    let login = pair.fails(7, &["a", "nobody-here@m:x"]);
    assert!(login.contains("refuses the login of \"nobody-here\""), "{login}");
    let absent = pair.fails(1, &["a", "m:none/"]);
    assert!(absent.starts_with("Error: none/ on machine \"m\" is not a directory"), "{absent}");
    let absent = pair.fails(1, &["a", "m:none/x"]);
    assert!(absent.contains("Hint: the directory is not there"), "{absent}");
    let absent = pair.fails(4, &["a", "other:x"]);
    assert!(absent.contains("machine \"other\" does not exist"), "{absent}");
}

#[test]
fn a_device_is_written_to_and_not_replaced() {
    let pair = Pair::new();
    write(&pair.there("a"), b"text", 0o644, 1);
    let output = pair.scp(&["-q", "m:a", "/dev/stdout"]);
    assert_eq!((output.stdout.as_slice(), output.stderr.as_slice()), (&b"text"[..], &b""[..]));
    write(&pair.here("b"), b"text", 0o644, 1);
    pair.ok(&["b", "m:/dev/null"]);
    assert!(!fs::metadata("/dev/null").unwrap().is_file());
}
