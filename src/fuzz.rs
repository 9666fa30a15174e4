//! Fuzz targets: each takes any bytes and panics where a promise about a reader of foreign bytes does not hold.
//!
//! `tests/fuzz` makes a program of each; here each is run on its corpus, so that no find comes back.

use rmachine_bootstrap as bootstrap;
use rmachine_certs as certs;
use rmachine_core as core;
use rmachine_ssh as ssh;

use crate::drivers;

/// A target: its name, which is that of its program and its corpus, and what it does.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: &[Target] = &[
    ("answer", bootstrap::fuzz::answer),
    ("archive", core::fuzz::archive),
    ("console", core::fuzz::console),
    ("key", ssh::fuzz::key),
    ("known_hosts", ssh::fuzz::known_hosts),
    ("pem", certs::fuzz::pem),
    ("record", record),
    ("sftp", ssh::fuzz::sftp),
    ("ssh_config", core::fuzz::ssh_config),
    ("template", rmachine_gotemplate::fuzz::template),
    ("user_data", bootstrap::fuzz::user_data),
];

fn record(data: &[u8]) {
    core::fuzz::record(&drivers::compiled_in(), data);
}

/// Runs the target `name` on `data`.
///
/// # Panics
///
/// Where there is no such target, and where `data` finds a bug.
pub fn run(name: &str, data: &[u8]) {
    let target = TARGETS.iter().find(|(known, _)| *known == name);
    assert!(target.is_some(), "no target {name}");
    target.into_iter().for_each(|(_, target)| target(data));
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::TARGETS;

    /// A crash names the file in the test's output.
    #[test]
    fn every_target_passes_its_corpus() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus");
        for (name, target) in TARGETS {
            let files = fs::read_dir(corpus.join(name)).unwrap_or_else(|e| panic!("the corpus of {name}: {e}"));
            let mut count = 0;
            for file in files {
                let path = file.unwrap().path();
                let data = fs::read(&path).unwrap();
                println!("{}", path.display());
                target(&data);
                count += 1;
            }
            assert!(count > 2, "{name} has a corpus of {count}");
            target(b"");
        }
    }

    #[test]
    fn programs_and_targets_are_the_same() {
        let manifest = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/Cargo.toml")).unwrap();
        let programs: BTreeSet<_> =
            manifest.lines().filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"')).skip(1).collect();
        assert_eq!(programs, TARGETS.iter().map(|(name, _)| *name).collect());
    }
}
