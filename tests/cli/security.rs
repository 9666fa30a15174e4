//! SECURITY.md promises what tests show: those that it names are there.

use std::{fs, path::Path};

/// Everything below `directory` that is a Rust source.
fn sources(directory: &Path, all: &mut String) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, all);
        } else if path.extension().is_some_and(|end| end == "rs") {
            all.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn the_tests_that_it_names_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("SECURITY.md")).unwrap();
    let mut all = String::new();
    ["tests", "src", "crates", "providers"].iter().for_each(|directory| sources(&root.join(directory), &mut all));
    let (_, promises) = text.split_once("\n## What we promise\n").unwrap();
    let (promises, _) = promises.split_once("\n## ").unwrap();
    let rows: Vec<&str> = promises.lines().filter(|line| line.starts_with('|')).skip(2).collect();
    assert!(rows.len() > 20, "{rows:?}");
    for row in rows {
        let (_, shown_by) = row.trim_end_matches(['|', ' ']).rsplit_once('|').unwrap();
        let named: Vec<&str> = shown_by.split('`').skip(1).step_by(2).collect();
        let is_path = |name: &&&str| name.contains('/');
        let paths: Vec<_> = named.iter().filter(is_path).collect();
        for path in &paths {
            assert!(root.join(path).exists(), "{path}: {row}");
        }
        for function in named.iter().filter(|name| !is_path(name)) {
            assert!(all.contains(&format!("fn {function}(")), "no test {function}: {row}");
        }
        assert!(!named.is_empty(), "{row}");
    }
}
