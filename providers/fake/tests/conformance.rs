//! The behaviour suite of `rmachine-provider-api`, for the fake cloud: kind, and as slow to show things as EC2.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use rmachine_provider_api::{
    AttemptToken, Capabilities, CreateRequest, Cx, Driver, Kind, LeftBehind, MachineToken, Owner, PreflightRequest,
    Provider, ResourceKind, Retry, Secrets, Silent, Values,
    conformance::{self, Harness, Recorder, Support, Trouble, machine_ref},
};
use rmachine_provider_fake::{Account, Effect, FakeDriver, Operation, When};

struct Cloud {
    account: Account,
    provider: Arc<dyn Provider>,
    config: serde_json::Value,
    ingress: bool,
    next: AtomicUsize,
    calls_before: AtomicUsize,
}

impl Cloud {
    /// How often an instance was asked for.
    fn runs(&self) -> usize {
        self.account.calls().iter().filter(|call| **call == Operation::RunInstance).count()
    }

    async fn with(ingress: bool) -> Self {
        let account = Account::new();
        let capabilities = Capabilities { ssh: false, engine: false, power: true, ingress };
        let driver = FakeDriver::with(account.clone(), capabilities);
        let config = driver.configure(&Values::default()).unwrap().config;
        let provider = driver.connect(&config, &Secrets::default(), Arc::new(Silent)).await.unwrap();
        Self { account, provider, config, ingress, next: AtomicUsize::new(1), calls_before: AtomicUsize::new(0) }
    }
}

#[async_trait]
impl Harness for Cloud {
    fn provider(&self) -> &dyn Provider {
        self.provider.as_ref()
    }

    fn support(&self) -> Support {
        Support { makes: true, power: true, ingress: self.ingress }
    }

    fn owner(&self) -> Owner {
        "owner".parse().unwrap()
    }

    fn spec(&self, name: &str) -> PreflightRequest {
        PreflightRequest { name: name.into(), config: self.config.clone(), engine_port: 2376 }
    }

    async fn request(&self, name: &str) -> CreateRequest {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        CreateRequest {
            name: name.into(),
            owner: self.owner(),
            token: MachineToken::from_bits(number as u128),
            attempt: AttemptToken::from_bits(number as u128),
            plan: self.provider.preflight(&self.spec(name), &Cx::silent()).await.unwrap(),
            user_data: Some(b"data".to_vec()),
            public_key: None,
            engine_port: 2376,
            engine_through_ssh: false,
            sent_before: false,
        }
    }

    async fn begin(&self, trouble: Trouble) -> bool {
        self.calls_before.store(self.runs(), Ordering::Relaxed);
        let lost = Effect::Fail { kind: Kind::Unreachable, retry: Retry::Same, left: LeftBehind::Unknown };
        let (when, effect) = match trouble {
            Trouble::Refused => (When::Before, Effect::refuse(Kind::Denied)),
            Trouble::AnswerLost => (When::After, lost),
        };
        self.account.script(Operation::RunInstance, 0, when, effect);
        true
    }

    async fn end(&self) -> usize {
        let calls = self.runs() - self.calls_before.load(Ordering::Relaxed);
        self.account.calm();
        calls
    }
}

#[tokio::test]
async fn fake_keeps_every_promise() {
    for ingress in [true, false] {
        let cloud = Cloud::with(ingress).await;
        conformance::all(&cloud).await;
        assert!(cloud.account.held().is_empty(), "{:?}", cloud.account.held());
    }
}

#[tokio::test]
async fn fake_keeps_every_promise_when_things_show_up_late() {
    let cloud = Cloud::with(true).await;
    cloud.account.show_after(7);
    conformance::all(&cloud).await;
    assert!(cloud.account.held().is_empty(), "{:?}", cloud.account.held());
}

#[tokio::test]
async fn an_attempt_answers_for_one_request_only() {
    let cloud = Cloud::with(true).await;
    let mut request = cloud.request("m").await;
    cloud.provider().create(&request, &Cx::silent().journal(&Recorder::default())).await.unwrap();
    request.user_data = Some(b"other".to_vec());
    let refused = cloud.provider().create(&request, &Cx::silent().journal(&Recorder::default())).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Conflict);
    assert_eq!(cloud.account.held().iter().filter(|h| h.resource.kind == ResourceKind::Instance).count(), 1);
}

#[tokio::test]
async fn an_answer_that_was_lost_leaves_an_instance_that_a_repeat_finds() {
    let cloud = Cloud::with(true).await;
    let effect = Effect::Fail { kind: Kind::Unreachable, retry: Retry::Same, left: LeftBehind::Unknown };
    cloud.account.script(Operation::RunInstance, 1, When::After, effect);
    let request = cloud.request("m").await;
    let lost = cloud.provider().create(&request, &Cx::silent().journal(&Recorder::default())).await.unwrap_err();
    assert_eq!((lost.retryable(), lost.left_behind()), (Retry::Same, &LeftBehind::Unknown));
    assert_eq!(cloud.account.held().len(), 3, "group, instance, volume");
    let instance = cloud.provider().create(&request, &Cx::silent().journal(&Recorder::default())).await.unwrap();
    assert_eq!(cloud.account.held().len(), 3, "the repeat found them");
    cloud.provider().destroy(&machine_ref(&request, Some(&instance)), &Cx::silent()).await.unwrap();
    assert!(cloud.account.held().is_empty());
}

#[tokio::test]
async fn a_group_in_use_does_not_go() {
    let cloud = Cloud::with(true).await;
    let request = cloud.request("m").await;
    cloud.account.script(Operation::TerminateInstance, 0, When::Before, Effect::fail(Kind::Throttled));
    cloud.provider().create(&request, &Cx::silent().journal(&Recorder::default())).await.unwrap();
    let left = cloud.provider().destroy(&machine_ref(&request, None), &Cx::silent()).await.unwrap_err();
    assert_eq!(left.kind(), Kind::Throttled);
    assert_eq!(cloud.account.held().len(), 3, "nothing went before the instance did");
}
