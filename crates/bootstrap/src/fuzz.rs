//! Fuzz targets of what a host answers and of the user's first-boot data.

#![allow(clippy::expect_used, clippy::missing_panics_doc, reason = "a panic is how a fuzz target tells")]

use std::collections::BTreeSet;

use rmachine_model::{EngineSource, EngineSpec};
use rmachine_provider_api::BootForm;

use super::{Answer, BootSpec, HostFacts, UnitFacts, daemon, userdata::archive};

/// The answers of `probe.sh` and `unit.sh`, and the files that are made of them: what cannot be read back is a bug.
pub fn answer(data: &[u8]) {
    let answer = Answer::parse(data);
    let facts = HostFacts::read(&answer, "debian");
    let _ = facts.require_engine_host();
    let Ok(unit) = UnitFacts::read(&answer) else { return };
    let spec = EngineSpec { port: 2376, ..EngineSpec::default() };
    let drop_in = unit.drop_in(&facts, &spec, &BTreeSet::new());
    assert!(drop_in.starts_with("# Made by rmachine.\n[Service]\n"));
    for keep in [false, true] {
        if let Ok(files) = daemon::files(&spec, &unit, &facts, keep) {
            let daemon: serde_json::Value = serde_json::from_str(&files.daemon_json).expect("what we write reads");
            assert!(daemon.get("hosts").is_none() && daemon.get("live-restore").is_some());
        }
    }
    let _ = daemon::for_renewal(&facts);
}

/// The user's first-boot data: it is kept whole in an archive with ours last, or refused.
pub fn user_data(data: &[u8]) {
    let engine = EngineSpec { source: EngineSource::None, ..EngineSpec::default() };
    let spec = BootSpec {
        form: BootForm::CloudInit,
        hostname: "m",
        login_user: "debian",
        login_public_key: None,
        seed_host_key: None,
        engine: &engine,
        user_supplied: Some(data),
        limit: 16 * 1024,
    };
    if let Ok(text) = archive(&spec) {
        let boundary = text.split('"').nth(1).expect("the first header names it").to_owned();
        let parts = text.matches(&format!("\n--{boundary}\n")).count();
        assert_eq!(
            parts,
            if data.is_empty() { 2 } else { 3 },
            "the user's data ends the archive or begins a part of ours"
        );
        assert!(text.ends_with(&format!("--{boundary}--\n")));
    }
}
