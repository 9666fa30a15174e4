//! The driver of the fake cloud.

use std::sync::Arc;

use async_trait::async_trait;
use rmachine_provider_api::{
    Addresses, Capabilities, Configured, Driver, DriverInfo, Error, Flag, HostTrust, Imported, Instance, InstanceId,
    LegacyFields, Login, LoginKey, Notify, Plan, Provider, ResourceKind, Result, Secrets, Source, Values,
};
use serde_json::{Value, json};

use crate::{account::Account, provider::FakeProvider};

static FLAGS: &[Flag] = &[
    Flag::text("fake-region", "REGION", "where the machine is").env(&["FAKE_REGION"]).default("here").connects(),
    Flag::text("fake-token", "TOKEN", "secret of the account").env(&["FAKE_TOKEN"]).secret().connects(),
    Flag::integer("fake-size", "GB", "size of the disk").env(&["FAKE_SIZE"]).default("8"),
    Flag::list("fake-fallback", "REGION", "where to make it when there is no room, in order"),
    Flag::switch("fake-spot", "spot capacity, one-time: it cannot be stopped"),
    Flag::list("fake-tag", "KEY=VALUE", "tag (may be repeated)"),
];

/// The driver `fake`, on one account.
#[derive(Debug, Clone)]
pub struct FakeDriver {
    account: Account,
    info: &'static DriverInfo,
}

impl FakeDriver {
    /// A driver whose machines have power and a firewall, but no SSH and no engine: a create needs no host.
    pub fn new(account: Account) -> Self {
        Self::with(account, Capabilities { ssh: false, engine: false, power: true, ingress: true })
    }

    /// A driver with these capabilities.
    pub fn with(account: Account, capabilities: Capabilities) -> Self {
        let info = DriverInfo { name: "fake", summary: "a cloud in memory, for tests", flags: FLAGS, capabilities };
        // Drivers are made once a test, and the trait asks for a static.
        Self { account, info: Box::leak(Box::new(info)) }
    }

    /// The account behind it.
    pub fn account(&self) -> &Account {
        &self.account
    }
}

#[async_trait]
impl Driver for FakeDriver {
    fn info(&self) -> &'static DriverInfo {
        self.info
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

    fn import_legacy(&self, fields: LegacyFields<'_>) -> Result<Imported> {
        let region = fields.text("Region").ok_or_else(|| Error::invalid("Region is missing"))?;
        let config = json!({ "region": region, "size": 8, "spot": false, "tags": [], "fallbacks": [] });
        let mut secrets = Secrets::default();
        if let Some(token) = fields.text("AccessToken") {
            secrets.0.insert("token".to_owned(), token.to_owned());
        }
        let dial = fields.text("IPAddress");
        let instance = fields.text("InstanceId").map(|id| Instance {
            id: InstanceId(id.to_owned()),
            addresses: Addresses {
                dial: dial.map(str::to_owned),
                public: dial.and_then(|text| text.parse().ok()).into_iter().collect(),
                ..Addresses::default()
            },
            url: None,
            engine_port: None,
            details: Value::Null,
        });
        Ok(Imported {
            plan: Plan {
                resolved: config.clone(),
                login: Login {
                    user: fields.text("SSHUser").unwrap_or("fake").to_owned(),
                    port: fields.port("SSHPort", 22)?,
                    key: LoginKey::Default,
                },
                boot_data: None,
                host_trust: HostTrust::KnownHosts,
                arch: None,
                summary: Vec::new(),
                alternatives: Vec::new(),
            },
            config,
            secrets,
            secret_fields: &["AccessToken"],
            engine_port: None,
            instance,
            made: fields.text("KeyName").map(|name| (ResourceKind::KeyPair, name.to_owned())).into_iter().collect(),
        })
    }
}
