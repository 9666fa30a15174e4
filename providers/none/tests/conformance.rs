//! The behaviour suite of `rmachine-provider-api`, for `none`.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::sync::Arc;

use async_trait::async_trait;
use rmachine_provider_api::{
    CreateRequest, Cx, Driver, MachineToken, Owner, PreflightRequest, Provider, Secrets, Silent, Value, Values,
    conformance::{self, Harness, Support},
};
use rmachine_provider_none::NoneDriver;

struct None {
    provider: Arc<dyn Provider>,
    config: serde_json::Value,
}

#[async_trait]
impl Harness for None {
    fn provider(&self) -> &dyn Provider {
        self.provider.as_ref()
    }

    fn support(&self) -> Support {
        Support { makes: false, power: false, ingress: false }
    }

    fn owner(&self) -> Owner {
        "owner".parse().unwrap()
    }

    fn spec(&self, name: &str) -> PreflightRequest {
        PreflightRequest { name: name.into(), config: self.config.clone(), engine_port: 2376 }
    }

    async fn request(&self, name: &str) -> CreateRequest {
        CreateRequest {
            name: name.into(),
            owner: self.owner(),
            token: MachineToken::from_bits(name.len() as u128),
            attempt: format!("attempt-{name}").parse().unwrap(),
            plan: self.provider.preflight(&self.spec(name), &Cx::silent()).await.unwrap(),
            user_data: None,
            public_key: None,
            engine_port: 2376,
            engine_through_ssh: false,
            sent_before: false,
        }
    }
}

#[tokio::test]
async fn none_keeps_every_promise() {
    let mut values = Values::default();
    values.set("url", Value::Text("tcp://127.0.0.1:2376".into()));
    let config = NoneDriver::default().configure(&values).unwrap().config;
    let provider = NoneDriver::default().connect(&config, &Secrets::default(), Arc::new(Silent)).await.unwrap();
    conformance::all(&None { provider, config }).await;
}
