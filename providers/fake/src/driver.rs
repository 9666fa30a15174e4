//! The driver of the fake cloud.

use std::sync::Arc;

use async_trait::async_trait;
use rmachine_provider_api::{
    Addresses, Capabilities, Configured, Driver, DriverInfo, Elsewhere, Error, Flag, HostAddress, Imported, Instance,
    InstanceId, LegacyFields, Login, LoginKey, Notify, Plan, Provider, ResourceKind, Result, Secrets, Source, Values,
    Vetted,
};
use serde_json::{Value, json};

use crate::{account::Account, provider::FakeProvider};

fn flags() -> Vec<Flag> {
    vec![
        Flag::text("fake-region", "REGION", "where the machine is").env(&["FAKE_REGION"]).default("here").connects(),
        Flag::text("fake-token", "TOKEN", "secret of the account").env(&["FAKE_TOKEN"]).secret().connects(),
        Flag::integer("fake-size", "GB", "size of the disk").env(&["FAKE_SIZE"]).default("8"),
        Flag::list("fake-fallback", "REGION", "where to make it when there is no room, in order"),
        Flag::switch("fake-spot", "spot capacity, one-time: it cannot be stopped"),
        Flag::list("fake-tag", "KEY=VALUE", "tag (may be repeated)"),
    ]
}

/// The driver `fake`, on one account.
#[derive(Debug, Clone)]
pub struct FakeDriver {
    account: Account,
    info: DriverInfo,
}

impl FakeDriver {
    /// A driver whose machines have power and a firewall, but no SSH and no engine: a create needs no host.
    pub fn new(account: Account) -> Self {
        Self::with(account, Capabilities { ssh: false, engine: false, power: true, ingress: true })
    }

    /// A driver with these capabilities.
    pub fn with(account: Account, capabilities: Capabilities) -> Self {
        let summary = "a cloud in memory, for tests".to_owned();
        Self { account, info: DriverInfo { name: "fake".to_owned(), summary, flags: flags(), capabilities } }
    }

    /// The account behind it.
    pub fn account(&self) -> &Account {
        &self.account
    }
}

#[async_trait]
impl Driver for FakeDriver {
    fn info(&self) -> &DriverInfo {
        &self.info
    }

    fn configure(&self, values: &Values) -> Result<Configured> {
        let size = values.integer("fake-size").unwrap_or(8);
        if size < 1 {
            return Err(Error::invalid(format!("--fake-size takes a size from 1, not {size}")));
        }
        let mut secrets = Secrets::default();
        if let (Some(token), Some(Source::CommandLine)) = (values.text("fake-token"), values.source("fake-token")) {
            secrets.0.insert("token".to_owned(), token.to_owned());
        }
        let config = json!({
            "region": values.text("fake-region").unwrap_or("here"),
            "size": size,
            "spot": values.switch("fake-spot"),
            "tags": values.list("fake-tag"),
            "fallbacks": values.list("fake-fallback"),
        });
        Ok(Configured { config, secrets, engine_port: None })
    }

    fn scope(&self, config: &Value) -> String {
        config["region"].as_str().unwrap_or_default().to_owned()
    }

    fn sweep(&self, _: &Value) -> Result<()> {
        self.account.change(|cloud| cloud.swept += 1);
        Ok(())
    }

    fn places(&self, config: &Value, regions: &[String]) -> Result<Vec<Value>> {
        let there = |region: &String| {
            let mut config = config.clone();
            config["region"] = json!(region);
            config
        };
        Ok(if regions.is_empty() { vec![config.clone()] } else { regions.iter().map(there).collect() })
    }

    async fn connect(&self, _: &Value, secrets: &Secrets, _: Arc<dyn Notify>) -> Result<Arc<dyn Provider>> {
        self.account.connect(secrets.0.get("token").map(String::as_str)).await?;
        Ok(Arc::new(FakeProvider { account: self.account.clone(), ingress: self.info.capabilities.ingress }))
    }

    fn vet(&self, said: &Elsewhere<'_>) -> Result<Vetted> {
        let region = said.config.text("region").ok_or_else(|| Error::invalid("Config.region is missing"))?;
        if !region.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err(Error::invalid(format!("Config.region is {region:?}, which is no region")));
        }
        let mut config = json!({ "region": region, "size": 8, "spot": false, "tags": [], "fallbacks": [] });
        if let Some(endpoint) = said.config.text("endpoint") {
            config["endpoint"] = json!(endpoint);
        }
        Ok(Vetted {
            plan: Plan::of_existing(config.clone(), said.login.clone()),
            config,
            details: Value::Null,
            url: None,
        })
    }

    fn destination(&self, config: &Value, _: Option<&Instance>) -> Vec<(&'static str, String)> {
        let text = |name: &str| config[name].as_str().map(str::to_owned);
        let endpoint = text("endpoint").map(|url| ("endpoint", url));
        [("region", text("region").unwrap_or_default())].into_iter().chain(endpoint).collect()
    }

    fn foreign_endpoint(&self, config: &Value) -> Option<String> {
        config["endpoint"].as_str().map(str::to_owned)
    }

    fn import_legacy(&self, fields: LegacyFields<'_>) -> Result<Imported> {
        let region = fields.text("Region").ok_or_else(|| Error::invalid("Region is missing"))?;
        let config = json!({ "region": region, "size": 8, "spot": false, "tags": [], "fallbacks": [] });
        let mut config = config;
        if let Some(endpoint) = fields.text("Endpoint") {
            config["endpoint"] = json!(endpoint);
        }
        let login = Login {
            user: fields.text("SSHUser").unwrap_or("fake").to_owned(),
            port: fields.port("SSHPort", 22)?,
            key: LoginKey::Default,
        };
        let mut secrets = Secrets::default();
        if let Some(token) = fields.text("AccessToken") {
            secrets.0.insert("token".to_owned(), token.to_owned());
        }
        let dial: Option<HostAddress> = fields.parsed("IPAddress")?;
        let instance = fields.parsed::<InstanceId>("InstanceId")?.map(|id| Instance {
            id,
            addresses: Addresses {
                public: dial.as_ref().and_then(HostAddress::ip).into_iter().collect(),
                dial,
                ..Addresses::default()
            },
            url: None,
            engine_port: None,
            details: Value::Null,
        });
        Ok(Imported {
            plan: Plan::of_existing(config.clone(), login),
            config,
            secrets,
            secret_fields: &["AccessToken"],
            engine_port: None,
            instance,
            made: fields.text("KeyName").map(|name| (ResourceKind::KeyPair, name.to_owned())).into_iter().collect(),
        })
    }
}
