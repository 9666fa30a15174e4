//! `scp --delta` and `mount`: what rsync and sshfs are called with, and what they then do.

use std::{
    fs,
    io::Write,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
    process::{Command, Output},
};

use super::{
    binary::Machine,
    scp::{Pair, noise, write},
    sshd::Sshd,
    transcript::Said as _,
};

/// `rmachine` with this PATH.
fn with_path(pair: &Pair, path: &Path, arguments: &[&str]) -> Output {
    pair.machine.command(arguments).env("PATH", path).current_dir(pair.here("")).said()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// A directory of programs: links to those of the system, and scripts.
fn programs(pair: &Pair, links: &[&str], scripts: &[(&str, &str)]) -> std::path::PathBuf {
    let directory = pair.here("bin");
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir(&directory).unwrap();
    for link in links {
        std::os::unix::fs::symlink(Path::new("/usr/bin").join(link), directory.join(link)).unwrap();
    }
    for (name, body) in scripts {
        fs::write(directory.join(name), format!("#!/bin/sh\n{body}\n")).unwrap();
        fs::set_permissions(directory.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    directory
}

#[test]
fn delta_copies_what_differs_and_nothing_else() {
    assert!(Path::new("/usr/bin/rsync").exists(), "rsync is missing: apt-get install rsync");
    let pair = Pair::new();
    let place = |name: &str| format!("m:{}", pair.there(name).display());
    write(&pair.here("site/index"), &noise(2_000_000), 0o640, 1_000_000_000);
    write(&pair.here("site/it's a \"name\" $(x)\n"), b"x", 0o644, 2);
    pair.ok(&["-q", "-d", "-r", "site/", &place("site")]);
    assert!(fs::read(pair.there("site/index")).unwrap() == noise(2_000_000));
    assert_eq!(fs::read(pair.there("site/it's a \"name\" $(x)\n")).unwrap(), b"x");
    let found = fs::metadata(pair.there("site/index")).unwrap();
    assert_eq!((found.mode() & 0o777, found.mtime()), (0o640, 1_000_000_000));

    let said = pair.ok(&["--delta", "-r", "site/", &place("site")]);
    assert!(said.contains("100%") || said.contains("0%"), "how far it is, on stderr: {said}");
    assert_eq!(fs::metadata(pair.there("site/index")).unwrap().ino(), found.ino(), "what is the same stays");

    pair.ok(&["-qd", &place("site/it*"), "./a:b"]);
    assert_eq!(fs::read(pair.here("a:b")).unwrap(), b"x");
    let said = pair.fails(1, &["-d", &place("none"), "x"]);
    assert!(said.contains("Error: rsync failed: exit status: 23"), "{said}");
}

#[test]
fn delta_logs_in_with_the_machines_key_to_the_pinned_host_only() {
    let mut pair = Pair::new();
    write(&pair.here("a"), b"a", 0o644, 1);
    let place = format!("m:{}", pair.there("a").display());
    let config = pair.machine.machine_directory().join("ssh_config");
    pair.ok(&["-qd", "a", &place]);
    assert_eq!(fs::metadata(&config).unwrap().mode() & 0o777, 0o600);
    assert!(fs::read_to_string(config).unwrap().contains("StrictHostKeyChecking yes"));

    let other = Sshd::prepare(&["ed25519"]);
    for name in ["host_ed25519", "host_ed25519.pub"] {
        fs::copy(other.path(name), pair.machine.sshd.path(name)).unwrap();
    }
    pair.machine.sshd.stop();
    pair.machine.sshd.run();
    let logins = pair.machine.sshd.log().matches("Accepted publickey").count();
    let said = pair.fails(7, &["-d", "a", &place]);
    assert!(said.contains("Error: the host key of 127.0.0.1 is not the one that is known"), "{said}");
    assert_eq!(pair.machine.sshd.log().matches("Accepted publickey").count(), logins);
}

#[test]
fn delta_says_which_end_has_no_rsync() {
    let mut pair = Pair::new();
    write(&pair.here("a"), b"a", 0o644, 1);
    let scp = ["scp", "-d", "a", "m:a"];
    let none = with_path(&pair, &programs(&pair, &["ssh"], &[]), &scp);
    let said = text(&none.stderr);
    assert_eq!(none.status.code(), Some(1), "{said}");
    assert!(
        said.starts_with("Error: --delta needs the program rsync, which is not on this computer\nHint: "),
        "{said}"
    );
    let none = with_path(&pair, &programs(&pair, &["rsync"], &[]), &scp);
    assert!(text(&none.stderr).starts_with("Error: --delta needs the program ssh,"), "{}", text(&none.stderr));
    let said = pair.fails(2, &["-d", "m:a", "m:b"]);
    assert!(said.contains("not between two machines"), "{said}");

    // A host whose shells find nothing.
    let mut config = fs::read_to_string(pair.machine.sshd.path("sshd_config")).unwrap();
    config.push_str("SetEnv PATH=/nowhere\n");
    fs::write(pair.machine.sshd.path("sshd_config"), config).unwrap();
    pair.machine.sshd.stop();
    pair.machine.sshd.run();
    let said = pair.fails(1, &scp[1..]);
    assert!(said.contains("Error: rsync failed") && said.contains("Hint: the machine needs rsync as well"), "{said}");
}

/// NOT A MOUNT: a stand-in for sshfs shows what it is called with, because many places where these tests run have no FUSE.
/// `a_real_mount_where_there_is_fuse` mounts where it can.
#[test]
fn mount_calls_a_stub_of_sshfs_with_the_pinned_key_and_nothing_is_really_mounted() {
    let pair = Pair::new();
    fs::create_dir(pair.here("-dir")).unwrap();
    let stub = "for word; do echo \"<$word>\"; done >&2; echo data";
    let bin = programs(&pair, &["ssh"], &[("sshfs", stub), ("fusermount3", stub)]);
    let output = with_path(&pair, &bin, &["mount", "me@m:/srv/a b", "--", "-dir"]);
    let config = pair.machine.machine_directory().join("ssh_config");
    let expected = format!(
        "<-F>\n<{}>\n<-o>\n<ServerAliveInterval=15>\n<-o>\n<ServerAliveCountMax=3>\n<me@m:/srv/a b>\n<./-dir>\ndata\n",
        config.display()
    );
    let said = text(&output.stderr);
    assert!(said.starts_with(&expected), "{said}");
    assert!(said.contains("./-dir is mounted;") && output.stdout.is_empty(), "{said}");
    let config = fs::read_to_string(config).unwrap();
    for line in
        ["Host m\n", "IdentitiesOnly yes", "StrictHostKeyChecking yes", "UserKnownHostsFile", "HostKeyAlias rmachine-m"]
    {
        assert!(config.contains(line), "{line}: {config}");
    }

    // The same path is meant where none is given, also to unmount; the machine need not be there for that.
    let here = pair.here("");
    let place = format!("gone:{}", here.display());
    let output = with_path(&pair, &bin, &["mount", "-u", &place]);
    assert!(
        text(&output.stderr).starts_with(&format!("<-u>\n<-->\n<{}>\n", here.display())),
        "{}",
        text(&output.stderr)
    );
    let output = with_path(&pair, &bin, &["mount", &format!("m:{}", here.display())]);
    assert!(text(&output.stderr).contains(&format!("<{}>\ndata\n", here.display())), "{}", text(&output.stderr));
}

#[test]
fn mount_says_what_is_missing() {
    let pair = Pair::new();
    let said = |bin: &Path, arguments: &[&str]| {
        let output = with_path(&pair, bin, arguments);
        assert!(!output.status.success());
        text(&output.stderr).to_owned()
    };
    let none = programs(&pair, &["ssh"], &[]);
    let shown = said(&none, &["mount", "m:/srv", "."]);
    assert!(
        shown.starts_with("Error: mount needs the program sshfs, which is not on this computer\nHint: install"),
        "{shown}"
    );
    let shown = said(&none, &["mount", "-u", "m:/srv", "."]);
    assert!(shown.starts_with("Error: mount -u needs the program umount,"), "{shown}");
    let failing = programs(&pair, &["ssh"], &[("sshfs", "exit 1"), ("fusermount", "exit 1")]);
    let shown = said(&failing, &["mount", "m:/srv", "."]);
    assert!(shown.starts_with("Error: sshfs could not mount .: exit status: 1"), "{shown}");
    let shown = said(&failing, &["mount", "m:/srv/none"]);
    assert!(shown.starts_with("Error: /srv/none is not a directory\nHint: make it"), "{shown}");
    let shown = said(&failing, &["mount", "-u", "m:/srv", "."]);
    assert!(shown.contains("Hint: nothing may have its files or directories open"), "{shown}");
    let shown = said(&failing, &["mount", "m:"]);
    assert!(shown.starts_with("Error: no directory of this computer was named"), "{shown}");
    let shown = said(&failing, &["mount", "/srv", "."]);
    assert!(shown.contains("machine \"default\" does not exist"), "as docker-machine has it: {shown}");
}

/// Really mounts, and says on stderr when it could not be tried.
#[test]
fn a_real_mount_where_there_is_fuse() {
    let ready = ["/dev/fuse", "/usr/bin/sshfs", "/usr/bin/fusermount3"].iter().all(|path| Path::new(path).exists())
        && fs::OpenOptions::new().read(true).write(true).open("/dev/fuse").is_ok();
    if !ready {
        let _ = writeln!(std::io::stderr(), "NOT TESTED: no FUSE or no sshfs here, so nothing was mounted");
        return;
    }
    let machine = Machine::new();
    let pair = Pair::of(machine);
    write(&pair.there("a"), b"over there", 0o644, 1);
    fs::create_dir(pair.here("d")).unwrap();
    let place = format!("m:{}", pair.there("").display());
    let output = pair.machine.command(&["mount", &place, "d"]).current_dir(pair.here("")).said();
    if !output.status.success() && text(&output.stderr).contains("Operation not permitted") {
        let _ = writeln!(std::io::stderr(), "NOT TESTED: this container may not mount: {}", text(&output.stderr));
        return;
    }
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(fs::read(pair.here("d/a")).unwrap(), b"over there");
    fs::write(pair.here("d/b"), b"from here").unwrap();
    assert_eq!(fs::read(pair.there("b")).unwrap(), b"from here");
    let mut unmount = pair.machine.command(&["mount", "-u", &place, "d"]);
    let output = unmount.current_dir(pair.here("")).said();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(fs::read_dir(pair.here("d")).unwrap().count(), 0);
    let mounted = Command::new("grep").arg("-c").arg(pair.here("d")).arg("/proc/mounts").said();
    assert_eq!(text(&mounted.stdout), "0\n");
}
