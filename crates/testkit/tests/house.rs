//! The crates and who knows whom, as ARCHITECTURE.md draws them.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    process::Command,
};

use serde_json::Value;

/// Each crate with those of the workspace that it depends on; what only tests need is left out.
type Crates = BTreeMap<String, BTreeSet<String>>;

/// Of the checkout that runs the test; several may share what is built.
fn root() -> PathBuf {
    let here = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap());
    here.ancestors().nth(2).unwrap().to_owned()
}

fn drawn() -> Crates {
    let text = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let (_, picture) = text.split_once("\n```crates\n").unwrap();
    let (picture, _) = picture.split_once("\n```").unwrap();
    let crates = picture.lines().map(|line| line.split_once('→').unwrap());
    crates
        .map(|(name, knows)| (name.trim().to_owned(), knows.split_whitespace().map(str::to_owned).collect()))
        .collect()
}

fn built() -> Crates {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap());
    cargo.args(["metadata", "--format-version", "1", "--no-deps", "--offline"]).current_dir(root());
    let output = cargo.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let knows = |package: &Value| {
        let dependencies = package["dependencies"].as_array().unwrap().iter();
        // One of the workspace has a path; `kind` is null where it is no matter of tests or of a build script.
        let ours = dependencies.filter(|found| found["path"].is_string() && found["kind"].is_null());
        ours.map(|found| text(&found["name"])).collect()
    };
    metadata["packages"].as_array().unwrap().iter().map(|package| (text(&package["name"]), knows(package))).collect()
}

#[test]
fn crates_know_whom_the_picture_says() {
    let (drawn, built) = (drawn(), built());
    assert!(built.len() > 10, "{built:?}");
    assert_eq!(built, drawn, "what is built, and what ARCHITECTURE.md draws");
}
