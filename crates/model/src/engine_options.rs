//! `--engine-opt`: options of dockerd's command line as keys of its configuration file.
//!
//! Keys and types: docs.docker.com/reference/cli/dockerd, "Daemon configuration file".

use serde_json::{Map, Value, json};

use super::{EngineSpec, InvalidOption};

/// How dockerd's configuration file spells an option of the command line, and its type.
pub enum Form {
    /// A string.
    Text,
    /// A truth value.
    Bool,
    /// A whole number.
    Integer,
    /// A list under another key.
    List(&'static str),
    /// An object of strings under another key.
    Map(&'static str),
}

/// The form of the command line's `option`.
pub fn form(option: &str) -> Form {
    match option {
        "allow-nondistributable-artifacts" => Form::List("allow-nondistributable-artifacts"),
        "authorization-plugin" => Form::List("authorization-plugins"),
        "cdi-spec-dir" => Form::List("cdi-spec-dirs"),
        "dns" => Form::List("dns"),
        "dns-opt" => Form::List("dns-opts"),
        "dns-search" => Form::List("dns-search"),
        "exec-opt" => Form::List("exec-opts"),
        "insecure-registry" => Form::List("insecure-registries"),
        "label" => Form::List("labels"),
        "node-generic-resource" => Form::List("node-generic-resources"),
        "registry-mirror" => Form::List("registry-mirrors"),
        "storage-opt" => Form::List("storage-opts"),
        "log-opt" => Form::Map("log-opts"),
        "mtu"
        | "max-concurrent-downloads"
        | "max-concurrent-uploads"
        | "max-download-attempts"
        | "shutdown-timeout"
        | "network-control-plane-mtu"
        | "oom-score-adjust" => Form::Integer,
        "debug" | "experimental" | "icc" | "init" | "ip-forward" | "ip-masq" | "ip6tables" | "iptables" | "ipv6"
        | "live-restore" | "no-new-privileges" | "raw-logs" | "selinux-enabled" | "userland-proxy" => Form::Bool,
        _ => Form::Text,
    }
}

/// Options that would take the machine away from us.
pub const OURS: [&str; 8] = ["H", "host", "hosts", "tls", "tlsverify", "tlscacert", "tlscert", "tlskey"];

impl EngineSpec {
    /// The options as keys of daemon.json.
    ///
    /// # Errors
    ///
    /// That names the option whose value has not its form, or that only rmachine sets.
    pub fn options(&self) -> Result<Map<String, Value>, InvalidOption> {
        let mut map = Map::new();
        for opt in &self.opts {
            let (key, value) = opt.split_once('=').unwrap_or((opt, ""));
            let key = key.trim_start_matches('-');
            let bad = |what: &str| InvalidOption(format!("--engine-opt {key} takes {what}"));
            if key.is_empty() || key.contains(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '.')) {
                return Err(InvalidOption(format!("--engine-opt takes KEY=VALUE or KEY, not one that begins {key:?}")));
            }
            if OURS.contains(&key) || key == "config-file" {
                return Err(InvalidOption(format!("--engine-opt {key} is set by rmachine and cannot be given")));
            }
            match form(key) {
                Form::List(name) => push(&mut map, name, json!(value)),
                Form::Map(name) => {
                    let (inner, value) = value.split_once('=').ok_or_else(|| bad("KEY=VALUE"))?;
                    let object = map.entry(name).or_insert_with(|| json!({}));
                    object[inner] = json!(value);
                }
                Form::Integer => {
                    let number: i64 = value.parse().map_err(|_| bad("a whole number"))?;
                    map.insert(key.to_owned(), json!(number));
                }
                Form::Bool => {
                    let on = match value {
                        "" | "true" | "1" => true,
                        "false" | "0" => false,
                        _ => return Err(bad("true or false")),
                    };
                    map.insert(key.to_owned(), json!(on));
                }
                Form::Text if !opt.contains('=') => {
                    map.insert(key.to_owned(), json!(true));
                }
                Form::Text => match value {
                    "true" | "false" => {
                        map.insert(key.to_owned(), json!(value == "true"));
                    }
                    _ => {
                        map.insert(key.to_owned(), json!(value));
                    }
                },
            }
        }
        if let Some(driver) = &self.storage_driver {
            map.insert("storage-driver".to_owned(), json!(driver));
        }
        self.insecure_registries.iter().for_each(|r| push(&mut map, "insecure-registries", json!(r)));
        self.registry_mirrors.iter().for_each(|m| push(&mut map, "registry-mirrors", json!(m)));
        self.labels.iter().for_each(|l| push(&mut map, "labels", json!(l)));
        if let Some(provider) = &self.provider_label
            && !self.labels.iter().any(|label| label.starts_with("provider="))
        {
            push(&mut map, "labels", json!(format!("provider={provider}")));
        }
        Ok(map)
    }
}

fn push(map: &mut Map<String, Value>, key: &str, value: Value) {
    match map.entry(key).or_insert_with(|| json!([])) {
        Value::Array(items) if !items.contains(&value) => items.push(value),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(opts: &[&str]) -> EngineSpec {
        EngineSpec { opts: opts.iter().map(|o| (*o).to_owned()).collect(), ..EngineSpec::default() }
    }

    #[test]
    fn options_get_their_types() {
        let mut spec =
            spec(&["dns=1.1.1.1", "dns=9.9.9.9", "mtu=1400", "debug", "log-opt=max-size=10m", "bip=10.9.0.1/16"]);
        spec.labels = vec!["tier=ci".into()];
        spec.provider_label = Some("generic".into());
        let options = spec.options().unwrap();
        assert_eq!(
            Value::Object(options),
            json!({"dns": ["1.1.1.1", "9.9.9.9"], "mtu": 1400, "debug": true, "log-opts": {"max-size": "10m"},
                   "bip": "10.9.0.1/16", "labels": ["tier=ci", "provider=generic"]})
        );
        assert!(self::spec(&["mtu=big"]).options().is_err());
        assert!(self::spec(&["tlsverify=false"]).options().is_err());
    }
}
