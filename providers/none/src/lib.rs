//! The `none` driver: a URL and nothing else. It makes, powers and deletes nothing.

use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use rmachine_provider_api::{
    Addresses, Capabilities, Configured, CreateRequest, Cx, Driver, DriverInfo, Elsewhere, Error, Flag, HostAddress,
    Imported, Instance, InstanceId, LegacyFields, Login, LoginKey, MachineRef, MachineState, Notify, Observed, Owner,
    Plan, PreflightRequest, Provider, Resource, Result, Secrets, StopMode, Values, Vetted,
};
use serde_json::{Value, json};

static INFO: LazyLock<DriverInfo> = LazyLock::new(|| DriverInfo {
    name: "none".to_owned(),
    summary: "an engine that runs already, known by its URL".to_owned(),
    flags: vec![Flag::text("url", "URL", "URL of the engine, such as tcp://10.0.0.5:2376")],
    capabilities: Capabilities { ssh: false, engine: false, power: false, ingress: false },
});

/// The driver.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoneDriver {
    any_url: bool,
}

impl NoneDriver {
    /// The driver as docker-machine has it: it records whatever it is given. A URL that no engine can have gets a machine
    /// without an address.
    pub fn of_any_url() -> Self {
        Self { any_url: true }
    }
}

#[async_trait]
impl Driver for NoneDriver {
    fn info(&self) -> &DriverInfo {
        &INFO
    }

    fn configure(&self, values: &Values) -> Result<Configured> {
        let url = values.text("url").ok_or_else(|| {
            Error::invalid("the driver \"none\" needs the engine's URL").hint("add --url tcp://HOST:2376")
        })?;
        if !self.any_url {
            host_of(url)?;
        }
        Ok(Configured { config: json!({ "url": url }), secrets: Secrets::default(), engine_port: None })
    }

    fn scope(&self, _: &Value) -> String {
        String::new()
    }

    async fn connect(&self, _: &Value, _: &Secrets, _: Arc<dyn Notify>) -> Result<Arc<dyn Provider>> {
        Ok(Arc::new(NoneProvider))
    }

    fn legacy_fields(&self, config: &Value, _: Option<&Plan>, _: Option<&Instance>) -> serde_json::Map<String, Value> {
        let mut fields = serde_json::Map::new();
        fields.insert("URL".into(), config["url"].clone());
        fields
    }

    fn import_legacy(&self, fields: LegacyFields<'_>) -> Result<Imported> {
        let url = fields.text("URL").ok_or_else(|| Error::invalid("URL is missing"))?;
        let name = fields.text("MachineName").unwrap_or_default();
        Ok(Imported {
            config: json!({ "url": url }),
            secrets: Secrets::default(),
            secret_fields: &[],
            engine_port: None,
            plan: plan(&json!({ "url": url })),
            instance: Some(instance(name, url, Some(host_of(url)?))?),
            made: Vec::new(),
        })
    }

    fn vet(&self, said: &Elsewhere<'_>) -> Result<Vetted> {
        vetted(said)
    }

    fn destination(&self, config: &Value, _: Option<&Instance>) -> Vec<(&'static str, String)> {
        vec![("url", config["url"].as_str().unwrap_or_default().to_owned())]
    }
}

fn vetted(said: &Elsewhere<'_>) -> Result<Vetted> {
    let url = said.config.text("url").ok_or_else(|| Error::invalid("Config.url is missing"))?;
    host_of(url).map_err(|e| Error::invalid(format!("Config.url: {e}")))?;
    let config = json!({ "url": url });
    Ok(Vetted { plan: plan(&config), config, details: Value::Null, url: Some(url.to_owned()) })
}

fn plan(config: &Value) -> Plan {
    Plan {
        summary: vec![("url".into(), config["url"].as_str().unwrap_or_default().to_owned())],
        ..Plan::of_existing(config.clone(), Login { user: String::new(), port: 22, key: LoginKey::Default })
    }
}

fn instance(name: &str, url: &str, host: Option<HostAddress>) -> Result<Instance> {
    let public = host.iter().filter_map(HostAddress::ip).collect();
    Ok(Instance {
        id: name.parse()?,
        addresses: Addresses { public, dial: host, ..Addresses::default() },
        url: Some(url.to_owned()),
        engine_port: None,
        details: Value::Null,
    })
}

/// The host of a `tcp://HOST:PORT` URL, without the brackets of an IPv6 literal.
fn host_of(url: &str) -> Result<HostAddress> {
    let bad = || Error::invalid(format!("invalid engine URL {url:?}")).hint("an engine's URL is tcp://HOST:PORT");
    let rest = url.strip_prefix("tcp://").ok_or_else(bad)?;
    let (host, port) = rest.rsplit_once(':').ok_or_else(bad)?;
    let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    match (host.parse(), port.parse::<u16>()) {
        (Ok(host), Ok(port)) if port > 0 => Ok(host),
        _ => Err(bad()),
    }
}

#[derive(Debug)]
struct NoneProvider;

fn no_power(what: &str) -> Error {
    Error::unsupported(format!("the driver \"none\" cannot {what} a machine"))
        .hint("do it where the engine runs; rmachine only knows its URL")
}

#[async_trait]
impl Provider for NoneProvider {
    async fn preflight(&self, spec: &PreflightRequest, _: &Cx<'_>) -> Result<Plan> {
        Ok(plan(&spec.config))
    }

    async fn create(&self, request: &CreateRequest, _: &Cx<'_>) -> Result<Instance> {
        let url = request.plan.resolved["url"].as_str().unwrap_or_default();
        // What is no engine's URL was refused before, but for docker-machine's callers.
        instance(&request.name, url, host_of(url).ok())
    }

    async fn observe(&self, ids: &[InstanceId]) -> Result<Vec<Observed>> {
        let unknown = |id: &InstanceId| Observed {
            id: id.clone(),
            state: MachineState::Unknown,
            addresses: Addresses::default(),
            reason: None,
        };
        Ok(ids.iter().map(unknown).collect())
    }

    async fn start(&self, _: &InstanceId, _: &Cx<'_>) -> Result<Observed> {
        Err(no_power("start"))
    }

    async fn stop(&self, _: &InstanceId, mode: StopMode, _: &Cx<'_>) -> Result<()> {
        Err(no_power(if mode == StopMode::Force { "kill" } else { "stop" }))
    }

    async fn reboot(&self, _: &InstanceId, _: &Cx<'_>) -> Result<()> {
        Err(no_power("restart"))
    }

    async fn find(&self, _: Option<&Owner>) -> Result<Vec<Resource>> {
        Ok(Vec::new())
    }

    async fn destroy(&self, _: &MachineRef<'_>, _: &Cx<'_>) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_of_docker_machine_reads() {
        let read = |record: &Value| NoneDriver::default().import_legacy(LegacyFields(record.as_object().unwrap()));
        let imported =
            read(&json!({ "URL": "tcp://10.0.0.5:2376", "MachineName": "m", "IPAddress": "10.0.0.5" })).unwrap();
        assert_eq!(imported.config, json!({ "url": "tcp://10.0.0.5:2376" }));
        assert_eq!(imported.instance.unwrap().addresses.dial, "10.0.0.5".parse().ok());
        assert!(read(&json!({})).is_err() && read(&json!({ "URL": "unix:///x" })).is_err());
    }

    #[test]
    fn urls() {
        assert_eq!(host_of("tcp://10.0.0.5:2376").unwrap().as_str(), "10.0.0.5");
        assert_eq!(host_of("tcp://[::1]:2376").unwrap().as_str(), "::1");
        for bad in ["10.0.0.5:2376", "tcp://", "tcp://h", "tcp://h:0", "tcp://h:x", "tcp://:1", "http://h:1"] {
            assert!(host_of(bad).is_err(), "{bad}");
        }
    }
}
