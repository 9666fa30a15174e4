//! docker-machine's published behaviours from a shell, by bats, on an EC2 machine.

use std::{io::Write, process::Command};

use crate::{
    ec2::held_for,
    support::{PREBAKED, Store, program, run},
};

#[test]
fn published_behaviours_hold_from_a_shell() {
    let store = Store::new();
    let link = store.file("bin/docker-machine", "");
    std::fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink(program(), &link).unwrap();
    let mut bats: Command = store.command("bats");
    let path = bats.get_envs().find(|(name, _)| *name == "PATH").unwrap().1.unwrap().to_str().unwrap().to_owned();
    bats.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/bats/drop_in.bats"));
    bats.env("PATH", format!("{}:{path}", link.parent().unwrap().display()));
    // bats puts both outputs into one.
    bats.env_remove("MACHINE_DEBUG").env("FLAGS", format!("--amazonec2-ami-name {PREBAKED}"));
    let said = run(&mut bats).ok();
    for line in said.lines().filter(|line| line.starts_with("SKIPPED")) {
        // Past the capture of tests that succeed.
        writeln!(std::io::stderr(), "{line}").unwrap();
    }
    assert!(!said.contains("not ok") && !said.contains("# skip"), "{said}");
    // The other tests' machines come and go meanwhile.
    assert_eq!(held_for("bats"), Vec::<String>::new());
}
