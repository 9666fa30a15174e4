//! What a machine shall be, as data: the one input of `create`.

use rmachine_model::EngineSpec;
use rmachine_provider_api::Values;
use serde::{Deserialize, Serialize};

use super::SshRoute;

/// What a machine shall be. It reads and writes as JSON, or whatever else serde knows; what is left out is as usual, and a
/// field that is none is an error. Flags and options of the engine may hold secrets: where it is written down, it is a secret.
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
    /// What the engine shall be.
    #[serde(default)]
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

#[cfg(test)]
mod tests {
    use rmachine_provider_api::Value;

    use super::*;

    #[test]
    fn a_spec_reads_back_as_it_was() {
        let mut spec = MachineSpec::new("m", "fake");
        spec.flags.set("fake-size", Value::Integer(16));
        spec.flags.set("fake-spot", Value::Switch(true));
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
        ] {
            assert!(serde_json::from_str::<MachineSpec>(bad).is_err(), "{bad}");
        }
    }
}
