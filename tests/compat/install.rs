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
