//! `rmachine compat`: the link, and the way back.

use std::{path::Path, process::Command};

fn rmachine(home: &Path, arguments: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rmachine"));
    command.env_clear().env("HOME", home).env("PATH", home.join("bin")).args(arguments);
    let output = command.output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_link_is_made_and_what_was_there_comes_back() {
    let home = tempfile::tempdir().unwrap();
    let (home, bin) = (home.path(), home.path().join("bin"));
    std::fs::create_dir(&bin).unwrap();
    let (link, place) = (bin.join("docker-machine"), bin.to_str().unwrap());
    assert!(rmachine(home, &["compat", "status"]).1.starts_with("No program on PATH is called docker-machine"));
    assert_eq!(rmachine(home, &["compat", "install", place]).0, 0);
    assert!(rmachine(home, &["compat", "install", place]).1.contains("is rmachine already"));
    assert!(rmachine(home, &["compat", "status"]).1.ends_with("docker-machine is rmachine.\n"));
    let said = Command::new(&link).arg("version").env("HOME", home).output().unwrap();
    assert!(said.stdout.starts_with(b"docker-machine version 0.16.2"));
    assert_eq!(rmachine(home, &["compat", "uninstall", place]).0, 0);
    assert!(!link.exists());

    std::fs::write(&link, "#!/bin/sh\necho the old one\n").unwrap();
    std::fs::set_permissions(&link, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let (code, said) = rmachine(home, &["compat", "install", place]);
    assert!(code == 5 && said.contains("is another program"), "{said}");
    assert_eq!(rmachine(home, &["compat", "uninstall", place]).0, 5, "what is not ours stays");
    assert_eq!(rmachine(home, &["compat", "install", "--force", place]).0, 0);
    assert!(rmachine(home, &["compat", "status"]).1.ends_with("is rmachine.\n"));
    assert!(rmachine(home, &["compat", "uninstall", place]).1.ends_with("is the program again that it was.\n"));
    assert_eq!(Command::new(&link).output().unwrap().stdout, b"the old one\n");

    let (code, said) = rmachine(home, &["compat", "install", "/nonexistent"]);
    assert!(code == 1 && said.contains("Hint: choose a directory of PATH"), "{said}");
}

/// Runs as root, as CI does: nobody else can make a directory root's.
#[test]
fn in_a_directory_of_roots_a_program_that_others_can_replace_is_copied() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
    let home = tempfile::tempdir().unwrap();
    let (home, bin, theirs) = (home.path(), home.path().join("bin"), home.path().join("theirs"));
    if home.metadata().unwrap().uid() != 0 {
        return;
    }
    std::fs::create_dir(&bin).unwrap();
    std::fs::create_dir(&theirs).unwrap();
    let own = theirs.join("rmachine");
    // By a process: a child of another test would inherit what we write to, and nobody can start it meanwhile (ETXTBSY).
    assert!(Command::new("cp").arg(env!("CARGO_BIN_EXE_rmachine")).arg(&own).status().unwrap().success());
    let (link, place) = (bin.join("docker-machine"), bin.to_str().unwrap());
    let run = |what: &str| {
        let mut command = Command::new(&own);
        command.env_clear().env("HOME", home).env("PATH", &bin).args(["compat", what, place]);
        let output = command.output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    // What root alone can change is linked.
    assert_eq!(run("install").0, 0);
    assert!(link.symlink_metadata().unwrap().is_symlink());

    chown(&theirs, Some(4242), None).unwrap();
    let (code, said) = run("install");
    assert!(code == 0 && said.contains("It is a copy, as ") && said.contains("user with the id 4242"), "{said}");
    let is_whole = || {
        let data = link.symlink_metadata().unwrap();
        assert!(data.is_file() && data.uid() == 0 && data.permissions().mode() & 0o7777 == 0o755, "{data:?}");
        std::fs::read(&link).unwrap() == std::fs::read(&own).unwrap()
    };
    assert!(is_whole());
    let said = Command::new(&link).arg("version").env("HOME", home).output().unwrap();
    assert!(said.stdout.starts_with(b"docker-machine version 0.16.2"));
    let status = Command::new(&own).args(["compat", "status"]).env("PATH", &bin).output().unwrap();
    assert!(String::from_utf8_lossy(&status.stderr).ends_with("docker-machine is rmachine.\n"), "{status:?}");

    // An older copy is replaced, and goes as a link does.
    std::fs::OpenOptions::new()
        .append(true)
        .open(&link)
        .and_then(|mut f| std::io::Write::write_all(&mut f, b"x"))
        .unwrap();
    assert!(!is_whole());
    assert_eq!(run("install").0, 0);
    assert!(is_whole());
    chown(&own, Some(4242), None).unwrap();
    chown(&theirs, Some(0), None).unwrap();
    assert!(run("install").1.contains("rmachine can be replaced by others"), "its own owner counts, too");
    assert_eq!(run("uninstall").0, 0);
    assert!(!link.exists());
    assert_eq!(std::fs::read_dir(&bin).unwrap().count(), 0, "nothing half written is left");
}
