//! The engine's options in docker-machine's records, and secrets that such records show.

use rmachine_model::EngineSpec;
use rmachine_provider_api::Secrets;
use rmachine_text::url::without_secrets;
use serde_json::{Map, Value, json};

use super::document::redacted;

/// The script that docker-machine installs with by default: ours has better ways to the same packages.
const DEFAULT_URL: &str = "get.docker.com";

/// Most options of one kind that are taken over.
const MOST: usize = 1000;

/// The engine as docker-machine was asked for it; what does not fit is left out and noted. Options and variables are
/// named in notes without their values.
pub(super) fn spec(document: &Map<String, Value>) -> (EngineSpec, Vec<String>) {
    let (mut spec, mut notes) = (EngineSpec::default(), Vec::new());
    let Some(options) = document.get("HostOptions").map(|options| &options["EngineOptions"]) else {
        return (spec, notes);
    };
    let text = |name: &str| options[name].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let list = |name: &str| -> Vec<String> {
        let items = options[name].as_array().into_iter().flatten();
        items.filter_map(Value::as_str).filter(|item| !item.is_empty()).map(str::to_owned).collect()
    };
    let mut opts = list("ArbitraryFlags");
    opts.extend(list("Dns").into_iter().map(|address| format!("dns={address}")));
    opts.extend(text("GraphDir").map(|path| format!("data-root={path}")));
    opts.extend(text("LogLevel").map(|level| format!("log-level={level}")));
    for (field, option) in [("Ipv6", "ipv6"), ("SelinuxEnabled", "selinux-enabled")] {
        if options[field].as_bool() == Some(true) {
            opts.push(option.to_owned());
        }
    }
    type Place = fn(&mut EngineSpec) -> &mut Vec<String>;
    let lists: [(&str, Vec<String>, Place); 5] = [
        ("option", opts, |spec| &mut spec.opts),
        ("variable", list("Env"), |spec| &mut spec.env),
        // docker-machine adds it itself; ours comes with the driver's name.
        ("label", list("Labels").into_iter().filter(|l| !l.starts_with("provider=")).collect(), |spec| {
            &mut spec.labels
        }),
        ("registry", list("InsecureRegistry"), |spec| &mut spec.insecure_registries),
        ("mirror", list("RegistryMirror"), |spec| &mut spec.registry_mirrors),
    ];
    for (what, items, place) in lists {
        if items.len() > MOST {
            notes.push(format!("the engine has more than {MOST} of the kind {what}; the others are left out"));
        }
        for item in items.into_iter().take(MOST) {
            let mut alone = EngineSpec::default();
            place(&mut alone).push(item.clone());
            if alone.validate().is_ok() {
                place(&mut spec).push(item);
            } else {
                let shown = item.split('=').next().unwrap_or_default();
                notes.push(format!("the engine's {what} {shown:?} is not one that rmachine can set, and is left out"));
            }
        }
    }
    spec.storage_driver = text("StorageDriver");
    // As docker-machine does: the engine that is there stays.
    if text("InstallURL").is_some_and(|url| !url.contains(DEFAULT_URL)) {
        notes.push("its engine came from an install script of your own; the engine that is there is kept".to_owned());
    }
    if document.get("HostOptions").is_some_and(|options| options["SwarmOptions"]["IsSwarm"] == true) {
        notes.push(
            "the classic Swarm is not taken over: its containers run on, and nothing looks after them".to_owned(),
        );
    }
    (spec, notes)
}

/// Hides what may be secret in docker-machine's document, as in records of our own; answers the keys of the driver's
/// fields.
pub fn hide_secrets(document: &mut Map<String, Value>) -> Secrets {
    redact(document);
    take_secrets(document)
}

fn redact(document: &mut Map<String, Value>) {
    let Some(options) = document.get_mut("HostOptions").and_then(|options| options.get_mut("EngineOptions")) else {
        return;
    };
    for (name, is_url) in [("ArbitraryFlags", false), ("Env", false), ("RegistryMirror", true)] {
        for item in options.get_mut(name).and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(text) = item.as_str() {
                *item = json!(if is_url { without_secrets(text) } else { redacted(text) });
            }
        }
    }
    if let Some(url) = options.get("InstallURL").and_then(Value::as_str).map(without_secrets) {
        options["InstallURL"] = json!(url);
    }
}

/// Takes what looks like a key out of the fields of a driver that is not here.
fn take_secrets(document: &mut Map<String, Value>) -> Secrets {
    let mut secrets = Secrets::default();
    let Some(Value::Object(fields)) = document.get_mut("Driver") else { return secrets };
    for (name, value) in fields {
        let Some(text) = value.as_str().filter(|text| !text.is_empty() && is_secret(name)) else { continue };
        secrets.0.insert(name.clone(), text.to_owned());
        *value = json!("");
    }
    secrets
}

/// Whether a field of such a name holds a key, as in docker-machine's drivers and in the plugins of others.
fn is_secret(name: &str) -> bool {
    let name: String = name.to_ascii_lowercase().chars().filter(char::is_ascii_alphanumeric).collect();
    // Whether IMDS wants a token, in the words of Rancher and GitLab.
    let mode = name.starts_with("httptoken") || name.starts_with("metadatatoken");
    let public = mode || ["path", "file", "fingerprint", "id", "name", "url"].iter().any(|end| name.ends_with(end));
    let words = ["secret", "token", "password", "passwd", "apikey", "accesskey", "privatekey", "credential"];
    !public && words.iter().any(|word| name.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rmachine_model::EngineSource;

    fn document(engine: Value) -> Map<String, Value> {
        match json!({ "HostOptions": { "EngineOptions": engine } }) {
            Value::Object(document) => document,
            _ => Map::new(),
        }
    }

    #[test]
    fn options_are_taken_over_and_what_does_not_fit_is_said() {
        let (spec, notes) = spec(&document(json!({
            "ArbitraryFlags": ["mtu=1400", "host=tcp://0.0.0.0:1", "debug"], "Dns": ["192.0.2.53"], "Env": ["A=b", "bad-name=s3cret"],
            "Labels": ["tier=one", "provider=generic"], "InsecureRegistry": ["r:5000"], "RegistryMirror": ["https://m/"],
            "StorageDriver": "overlay2", "InstallURL": "https://get.docker.com", "LogLevel": "warn", "Ipv6": true,
        })));
        assert_eq!(spec.opts, ["mtu=1400", "debug", "dns=192.0.2.53", "log-level=warn", "ipv6"]);
        assert_eq!(
            (spec.env.as_slice(), spec.labels.as_slice()),
            (["A=b".to_owned()].as_slice(), ["tier=one".to_owned()].as_slice())
        );
        assert_eq!((spec.source, spec.install_url.as_deref()), (EngineSource::Auto, None));
        assert_eq!(notes.len(), 2, "{notes:?}");
        assert!(!notes.join(" ").contains("s3cret") && notes[0].contains("host"), "{notes:?}");
        spec.validate().unwrap();
    }

    #[test]
    fn an_engine_that_a_script_installed_stays() {
        let (taken, notes) = spec(&document(json!({ "InstallURL": "https://u:s3cret@releases.example/docker.sh" })));
        assert_eq!((taken.source, taken.install_url.as_deref(), notes.len()), (EngineSource::Auto, None, 1));
        assert!(!notes[0].contains("s3cret"));
    }

    #[test]
    fn secrets_are_hidden_and_taken() {
        let mut shown = document(
            json!({ "Env": ["P=http://u:s3cret@h"], "ArbitraryFlags": ["x=s3cret"], "InstallURL": "https://u:s3cret@h/" }),
        );
        redact(&mut shown);
        assert!(!json!(shown).to_string().contains("s3cret"), "{shown:?}");
        let mut other = match json!({ "Driver": { "AccessToken": "s3cret", "SSHKeyPath": "/k", "ClientSecret": "s3cret", "TokenFile": "/t", "APIKey": "s3cret", "SSHKeyFingerprint": "f" } })
        {
            Value::Object(other) => other,
            _ => Map::new(),
        };
        let taken = take_secrets(&mut other);
        assert_eq!(taken.0.keys().collect::<Vec<_>>(), ["APIKey", "AccessToken", "ClientSecret"]);
        assert!(!json!(other).to_string().contains("s3cret") && other["Driver"]["TokenFile"] == "/t");
    }
}
