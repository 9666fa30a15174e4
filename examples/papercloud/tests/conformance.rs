//! The suite of `rmachine-provider-api`, over a papercloud in a temporary directory.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test, which breaks the toy cloud by its files")]

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use rmachine_example_papercloud::Papercloud;
use rmachine_provider_api::{
    AttemptToken, CreateRequest, Cx, Driver, Kind, MachineToken, Owner, PreflightRequest, Provider, Secrets, Silent,
    Value, Values,
    conformance::{self, Harness, Support, Trouble},
};
use tempfile::TempDir;

struct Toy {
    root: TempDir,
    config: serde_json::Value,
    provider: Arc<dyn Provider>,
    requests: AtomicU64,
}

impl Toy {
    async fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let mut values = Values::default();
        values.set("papercloud-root", Value::Text(root.path().to_str().unwrap().to_owned()));
        let config = Papercloud.configure(&values).unwrap().config;
        let provider = Papercloud.connect(&config, &Secrets::default(), Arc::new(Silent)).await.unwrap();
        Self { root, config, provider, requests: AtomicU64::new(1) }
    }
}

#[async_trait]
impl Harness for Toy {
    fn provider(&self) -> &dyn Provider {
        self.provider.as_ref()
    }

    fn support(&self) -> Support {
        Support { makes: true, power: true, ingress: false }
    }

    fn owner(&self) -> Owner {
        Owner::from_bits(7)
    }

    fn spec(&self, name: &str) -> PreflightRequest {
        PreflightRequest { name: name.to_owned(), config: self.config.clone(), engine_port: 2376 }
    }

    async fn request(&self, name: &str) -> CreateRequest {
        let bits = u128::from(self.requests.fetch_add(1, Ordering::Relaxed));
        CreateRequest {
            name: name.to_owned(),
            owner: self.owner(),
            token: MachineToken::from_bits(bits),
            attempt: AttemptToken::from_bits(bits),
            plan: self.provider.preflight(&self.spec(name), &Cx::silent()).await.unwrap(),
            user_data: None,
            public_key: None,
            engine_port: 2376,
            engine_through_ssh: false,
            sent_before: false,
        }
    }

    async fn begin(&self, trouble: Trouble) -> bool {
        let word = match trouble {
            Trouble::Refused => "refused\n",
            Trouble::AnswerLost => "lost\n",
        };
        std::fs::write(self.root.path().join("trouble"), word).unwrap();
        true
    }

    async fn end(&self) -> usize {
        let trouble = self.root.path().join("trouble");
        let calls = std::fs::read_to_string(&trouble).unwrap().lines().count() - 1;
        std::fs::remove_file(trouble).unwrap();
        calls
    }
}

#[tokio::test]
async fn keeps_every_promise() {
    let toy = Toy::new().await;
    conformance::all(&toy).await;
    assert_eq!(toy.provider.find(None).await.unwrap(), []);
}

#[tokio::test]
async fn a_garbled_file_ends_in_an_error_that_names_it() {
    let toy = Toy::new().await;
    let request = toy.request("m").await;
    let instance = toy.provider.create(&request, &Cx::silent()).await.unwrap();
    std::fs::write(toy.root.path().join("paper-x.json"), "{}").unwrap();
    let machine = conformance::machine_ref(&request, Some(&instance));
    // It may be this machine's, so nothing says that all is gone.
    let error = toy.provider.destroy(&machine, &Cx::silent()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Other);
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("paper-x.json"));
}

#[tokio::test]
async fn a_cloud_that_is_gone_is_no_empty_one() {
    let toy = Toy::new().await;
    let request = toy.request("m").await;
    std::fs::remove_dir(toy.root.path()).unwrap();
    let machine = conformance::machine_ref(&request, None);
    let error = toy.provider.destroy(&machine, &Cx::silent()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unreachable);
    assert!(toy.provider.create(&request, &Cx::silent()).await.is_err());
}
