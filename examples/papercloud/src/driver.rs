//! From flags to a client.

use std::{
    path::PathBuf,
    sync::{Arc, LazyLock},
};

use async_trait::async_trait;
use rmachine_provider_api::{
    Capabilities, Configured, Driver, DriverInfo, Error, Flag, Notify, Provider, Result, Secrets, Values, one_place,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{cloud::Cloud, provider::Paper};

const ROOT: &str = "papercloud-root";

static INFO: LazyLock<DriverInfo> = LazyLock::new(|| DriverInfo {
    name: "papercloud".to_owned(),
    summary: "machines on paper: files in a directory (an example)".to_owned(),
    flags: vec![Flag::text(ROOT, "DIR", "directory that is the cloud").env(&["PAPERCLOUD_ROOT"]).connects()],
    capabilities: Capabilities { ssh: false, engine: false, power: true, ingress: false },
});

/// The driver `papercloud`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Papercloud;

/// What is saved in a machine's record.
#[derive(Serialize, Deserialize)]
struct Config {
    root: PathBuf,
}

/// Reads a config, which an earlier version may have written.
fn read(config: &Value) -> Result<Config> {
    let read: Config = Config::deserialize(config)
        .map_err(|error| Error::invalid("the config of this machine is none of papercloud").source(error))?;
    match read.root.is_absolute() {
        true => Ok(read),
        false => Err(Error::invalid(format!("the papercloud {:?} is no absolute path", read.root))),
    }
}

#[async_trait]
impl Driver for Papercloud {
    fn info(&self) -> &DriverInfo {
        &INFO
    }

    fn configure(&self, values: &Values) -> Result<Configured> {
        let typed = values.text(ROOT).ok_or_else(|| {
            Error::invalid("there is no papercloud to work with")
                .hint("name its directory with --papercloud-root or in PAPERCLOUD_ROOT")
        })?;
        // Later commands run in other directories.
        let root = std::path::absolute(typed)
            .map_err(|error| Error::invalid(format!("--{ROOT} cannot be {typed:?}")).source(error))?;
        let config = serde_json::to_value(Config { root })
            .map_err(|error| Error::invalid("the path of the papercloud is not UTF-8").source(error))?;
        Ok(Configured { config, secrets: Secrets::default(), engine_port: None })
    }

    fn scope(&self, config: &Value) -> String {
        config["root"].as_str().unwrap_or("nowhere").to_owned()
    }

    fn places(&self, config: &Value, regions: &[String]) -> Result<Vec<Value>> {
        one_place(&INFO.name, config, regions)
    }

    fn is_local(&self) -> bool {
        true
    }

    async fn connect(&self, config: &Value, _: &Secrets, _: Arc<dyn Notify>) -> Result<Arc<dyn Provider>> {
        Ok(Arc::new(Paper::new(Cloud::new(read(config)?.root))))
    }
}

#[cfg(test)]
mod tests {
    use rmachine_provider_api::{Kind, Silent, Value as Given};
    use serde_json::json;

    use super::*;

    #[test]
    fn a_root_is_required_and_made_absolute() {
        let mut values = Values::default();
        let error = Papercloud.configure(&values).unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidInput);
        assert!(error.hint_text().unwrap().contains("--papercloud-root"));
        values.set(ROOT, Given::Text("here".to_owned()));
        let config = Papercloud.configure(&values).unwrap().config;
        assert_eq!(config["root"], json!(std::env::current_dir().unwrap().join("here")));
        assert_eq!(Papercloud.places(&config, &[]).unwrap(), [config]);
    }

    #[tokio::test]
    async fn a_config_that_does_not_read_is_an_error() {
        for config in [json!(null), json!({}), json!({ "root": 7 }), json!({ "root": "../x" }), json!([[]])] {
            let error = Papercloud.connect(&config, &Secrets::default(), Arc::new(Silent)).await.unwrap_err();
            assert_eq!(error.kind(), Kind::InvalidInput, "{config}");
            Papercloud.scope(&config);
        }
    }
}
