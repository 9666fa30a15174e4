//! `daemon.json`: the options of the engine, merged into what the host has.
//!
//! Keys and types: docs.docker.com/reference/cli/dockerd, "Daemon configuration file".

use std::collections::BTreeSet;

use rmachine_model::{
    EngineSpec,
    engine_options::{Form, OURS, form},
};
use serde_json::{Map, Value, json};

use super::{Error, HostFacts, Result, UnitFacts};

/// The files that `templates/apply.sh` puts in place.
#[derive(Debug, Clone)]
pub(super) struct Files {
    /// The final daemon.json.
    pub(super) daemon_json: String,
    /// The same with live-restore on, for the moment of a restart; empty: containers cannot be kept.
    pub(super) daemon_json_live: String,
    /// What the running engine has, with live-restore on: it refuses to read settings again that are on its command
    /// line, as docker-machine has labels there.
    pub(super) daemon_json_before: String,
    /// The drop-in; empty: only certificates are replaced.
    pub(super) drop_in: String,
}

fn read(text: &str) -> Result<Map<String, Value>> {
    if text.trim().is_empty() {
        return Ok(Map::new());
    }
    serde_json::from_str(text)
        .map_err(|e| Error::Invalid(format!("/etc/docker/daemon.json on the host is no JSON object: {e}")))
}

/// Names of command-line options that `daemon` settles, singular forms included.
fn settled(daemon: &Map<String, Value>) -> BTreeSet<String> {
    let mut names: BTreeSet<String> = daemon.keys().cloned().collect();
    for option in ["label", "dns-opt", "exec-opt", "insecure-registry", "registry-mirror", "storage-opt", "log-opt"] {
        if let Form::List(key) | Form::Map(key) = form(option)
            && daemon.contains_key(key)
        {
            names.insert(option.to_owned());
        }
    }
    if daemon.contains_key("storage-driver") {
        names.insert("s".to_owned());
    }
    names
}

/// The files for a full provision: the host's own daemon.json with the options of `spec` over it.
pub(super) fn files(spec: &EngineSpec, unit: &UnitFacts, facts: &HostFacts, keep: bool) -> Result<Files> {
    let mut daemon = read(&unit.daemon_json)?;
    let daemon_json_before = live(&mut daemon.clone(), keep);
    for ours in OURS {
        daemon.remove(ours);
    }
    for (key, value) in spec.options()? {
        merge(&mut daemon, key, value);
    }
    let drop_in = unit.drop_in(facts, spec, &settled(&daemon));
    let daemon_json_live = live(&mut daemon, keep);
    Ok(Files { daemon_json_live, daemon_json_before, daemon_json: pretty(&daemon), drop_in })
}

/// Puts `value` at `key`: lists and objects are added to what the host has, ours win. Labels are one a key:
/// dockerd refuses two values for one.
fn merge(daemon: &mut Map<String, Value>, key: String, value: Value) {
    match (daemon.get_mut(&key), value) {
        (Some(Value::Array(present)), Value::Array(ours)) => {
            if key == "labels" {
                let name = |label: &Value| label.as_str().and_then(|l| l.split('=').next()).map(str::to_owned);
                let named: BTreeSet<_> = ours.iter().map(name).collect();
                present.retain(|label| !named.contains(&name(label)) || ours.contains(label));
            }
            let new: Vec<Value> = ours.into_iter().filter(|item| !present.contains(item)).collect();
            present.extend(new);
        }
        (Some(Value::Object(present)), Value::Object(ours)) => present.extend(ours),
        (_, value) => {
            daemon.insert(key, value);
        }
    }
}

/// The files for a renewal: the host's daemon.json as it is.
pub(super) fn for_renewal(facts: &HostFacts) -> Result<Files> {
    let mut daemon = read(&facts.daemon_json)?;
    let daemon_json_live = live(&mut daemon, !facts.swarm);
    let daemon_json_before = daemon_json_live.clone();
    Ok(Files { daemon_json_live, daemon_json_before, daemon_json: pretty(&daemon), drop_in: String::new() })
}

/// Settles `live-restore` (off, unless the host or the user has it on: a swarm cannot start with it),
/// and answers the text that has it on for the moment of a restart.
fn live(daemon: &mut Map<String, Value>, keep: bool) -> String {
    daemon.entry("live-restore").or_insert(json!(false));
    if !keep {
        return String::new();
    }
    let mut live = daemon.clone();
    live.insert("live-restore".to_owned(), json!(true));
    pretty(&live)
}

fn pretty(daemon: &Map<String, Value>) -> String {
    format!("{:#}", Value::Object(daemon.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(opts: &[&str]) -> EngineSpec {
        EngineSpec { opts: opts.iter().map(|o| (*o).to_owned()).collect(), ..EngineSpec::default() }
    }

    #[test]
    fn lists_are_added_to_the_hosts_own() {
        let mut daemon =
            read(r#"{"labels": ["rack=7", "tier=old"], "log-opts": {"max-file": "3"}, "dns": ["9.9.9.9"]}"#).unwrap();
        let mut ours = spec(&["log-opt=max-size=1m", "dns=1.1.1.1"]);
        ours.labels = vec!["tier=ci".into()];
        for _ in 0..2 {
            for (key, value) in ours.options().unwrap() {
                merge(&mut daemon, key, value);
            }
            assert_eq!(
                Value::Object(daemon.clone()),
                json!({"labels": ["rack=7", "tier=ci"], "log-opts": {"max-file": "3", "max-size": "1m"},
                       "dns": ["9.9.9.9", "1.1.1.1"]})
            );
        }
    }

    /// docker-machine has the labels on the command line: a file that has them too would not be read again.
    #[test]
    fn the_running_engine_reads_its_own_settings_again() {
        let spec = EngineSpec { labels: vec!["tier=ci".into()], port: 2376, ..EngineSpec::default() };
        let argv = ["/usr/bin/dockerd", "--label", "provider=generic"].map(str::to_owned).to_vec();
        let unit = UnitFacts { argv, daemon_json: r#"{"dns": ["9.9.9.9"]}"#.into(), ..UnitFacts::default() };
        let facts = HostFacts::read(&super::super::Answer::default(), "root");
        let files = files(&spec, &unit, &facts, true).unwrap();
        let before: Value = serde_json::from_str(&files.daemon_json_before).unwrap();
        assert_eq!(before, json!({"dns": ["9.9.9.9"], "live-restore": true}));
        assert!(files.daemon_json_live.contains("tier=ci") && !files.drop_in.contains("--label"));
    }

    #[test]
    fn the_hosts_own_settings_stay() {
        let mut daemon = read(r#"{"data-root": "/data", "hosts": ["fd://"]}"#).unwrap();
        assert!(live(&mut daemon, true).contains("\"live-restore\": true"));
        assert_eq!(daemon["live-restore"], json!(false));
        let mut chosen = read(r#"{"live-restore": true}"#).unwrap();
        live(&mut chosen, false);
        assert_eq!(chosen["live-restore"], json!(true));
        assert!(read("[1").is_err());
    }
}
