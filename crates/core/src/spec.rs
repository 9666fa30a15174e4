//! What a machine shall be, as data: the one input of `create`.

use rmachine_model::{
    EngineSource, EngineSpec,
    error::{Error, Result},
};
use rmachine_provider_api::{Configured, Driver, Values};
use rmachine_text::near::nearest;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::SshRoute;

/// What a machine shall be. It reads and writes as JSON, or another format that describes itself; what is left out is as
/// usual, and what is no field or no flag is an error. Flags and options of the engine may hold secrets: where it is
/// written down, it is a secret.
///
/// ```
/// let spec: rmachine_core::MachineSpec = serde_json::from_str(
///     r#"{ "name": "build-1", "driver": "amazonec2",
///          "flags": { "amazonec2-region": "eu-west-1", "amazonec2-instance-type": ["t3.small", "t3.medium"] },
///          "engine": { "labels": ["tier=ci"] } }"#,
/// )?;
/// assert_eq!(spec.flags.list("amazonec2-instance-type").len(), 2);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MachineSpec {
    /// Name of the new machine.
    pub name: String,
    /// Name of the driver.
    pub driver: String,
    /// Values of the driver's flags.
    #[serde(default)]
    pub flags: Values,
    /// What the engine shall be. Its port, and whether it is on the loopback only, follow from the rest.
    #[serde(default, with = "engine")]
    pub engine: EngineSpec,
    /// More names and addresses for the server certificate.
    #[serde(default)]
    pub tls_sans: Vec<String>,
    /// Reach the engine through SSH only.
    #[serde(default)]
    pub ssh_tunnel: bool,
    /// The way to its sshd.
    #[serde(default)]
    pub ssh_route: SshRoute,
    /// Keep what was made when it fails.
    #[serde(default)]
    pub keep_on_failure: bool,
}

impl MachineSpec {
    /// Machine `name` by `driver`, with what is usual for the rest.
    pub fn new(name: &str, driver: &str) -> Self {
        Self {
            name: name.to_owned(),
            driver: driver.to_owned(),
            flags: Values::default(),
            engine: EngineSpec::default(),
            tls_sans: Vec::new(),
            ssh_tunnel: false,
            ssh_route: SshRoute::default(),
            keep_on_failure: false,
        }
    }
}

/// What `driver` makes of `values`, each as its flag takes it, with the defaults where there is none.
///
/// # Errors
///
/// [`rmachine_model::error::Kind::Usage`] that names the flag.
pub(super) fn configured(driver: &dyn Driver, values: &Values) -> Result<Configured> {
    let flags = &driver.info().flags;
    let values = values.checked(flags).map_err(|error| {
        let known = || flags.iter().map(|flag| flag.name.as_str());
        let unknown = values.names().find(|name| !known().any(|flag| flag == *name));
        match unknown.and_then(|name| nearest(name, known()).first().copied()) {
            Some(near) => Error::from(error).hint(format!("did you mean --{near}?")),
            None => error.into(),
        }
    })?;
    Ok(driver.configure(&values)?)
}

/// What of an engine can be asked for.
mod engine {
    use super::{Deserialize, Deserializer, EngineSource, EngineSpec, Serialize, Serializer};

    #[derive(Serialize, Deserialize, Default)]
    #[serde(default, deny_unknown_fields)]
    struct Asked {
        source: EngineSource,
        install_url: Option<String>,
        install_checksum: Option<String>,
        storage_driver: Option<String>,
        insecure_registries: Vec<String>,
        registry_mirrors: Vec<String>,
        labels: Vec<String>,
        opts: Vec<String>,
        env: Vec<String>,
    }

    pub(super) fn serialize<S: Serializer>(spec: &EngineSpec, serializer: S) -> Result<S::Ok, S::Error> {
        let spec = spec.clone();
        Asked {
            source: spec.source,
            install_url: spec.install_url,
            install_checksum: spec.install_checksum,
            storage_driver: spec.storage_driver,
            insecure_registries: spec.insecure_registries,
            registry_mirrors: spec.registry_mirrors,
            labels: spec.labels,
            opts: spec.opts,
            env: spec.env,
        }
        .serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<EngineSpec, D::Error> {
        let asked = Asked::deserialize(deserializer)?;
        Ok(EngineSpec {
            source: asked.source,
            install_url: asked.install_url,
            install_checksum: asked.install_checksum,
            storage_driver: asked.storage_driver,
            insecure_registries: asked.insecure_registries,
            registry_mirrors: asked.registry_mirrors,
            labels: asked.labels,
            opts: asked.opts,
            env: asked.env,
            ..EngineSpec::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use rmachine_provider_api::Value;

    use super::*;

    #[test]
    fn a_spec_reads_back_as_it_was() {
        let mut spec = MachineSpec::new("m", "fake");
        spec.flags.set("fake-size", Value::Integer(16));
        spec.flags.set("fake-spot", Value::Switch(true));
        spec.engine.labels = vec!["tier=ci".to_owned()];
        spec.tls_sans = vec!["m.example".to_owned()];
        spec.ssh_route.jump = Some("bastion".to_owned());
        let text = serde_json::to_string(&spec).unwrap();
        assert_eq!(serde_json::from_str::<MachineSpec>(&text).unwrap(), spec, "{text}");
        let least: MachineSpec = serde_json::from_str(r#"{"name": "m", "driver": "fake"}"#).unwrap();
        assert_eq!(least, MachineSpec::new("m", "fake"));
    }

    #[test]
    fn what_is_no_field_is_an_error() {
        for bad in [
            r#"{"name": "m"}"#,
            r#"{"name": "m", "driver": "fake", "region": "x"}"#,
            r#"{"name": "m", "driver": "fake", "ssh_route": {"port": 1}}"#,
            r#"{"name": "m", "driver": "fake", "flags": {"fake-size": {}}}"#,
            r#"{"name": "m", "driver": "fake", "engine": {"label": ["a=b"]}}"#,
            r#"{"name": "m", "driver": "fake", "engine": {"port": 2377}}"#,
        ] {
            assert!(serde_json::from_str::<MachineSpec>(bad).is_err(), "{bad}");
        }
    }
}
