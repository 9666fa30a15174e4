//! The driver against the lab's EC2 API, without hosts: the promises of every provider, and EC2's own faults.
//!
//! `tests/run` starts the lab; by hand: `eval "$(tests/lab/up --no-hosts)"; cargo test -p rmachine-provider-amazonec2 --test lab`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

#[path = "lab/capacity.rs"]
mod capacity;
#[path = "lab/checkup.rs"]
mod checkup;
#[path = "../../../tests/lab/client.rs"]
mod client;
#[path = "lab/policy.rs"]
mod policy;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use client::{lab, resources};
use rmachine_provider_amazonec2::AmazonEc2;
use rmachine_provider_api::{
    CreateRequest, Cx, Driver, Finding, Health, Kind, LeftBehind, MachineRef, MachineState, MachineToken, Notify,
    Owner, PreflightRequest, Provider, ResourceKind, Retry, Secrets, Silent, Value, Values,
    conformance::{self, Harness, Recorder, Support, Trouble, machine_ref},
};
use serde_json::json;

/// The lab has one account and one list of faults: one test at a time.
static ONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
static NUMBER: AtomicUsize = AtomicUsize::new(1);

struct Ec2 {
    provider: Arc<dyn Provider>,
    config: serde_json::Value,
}

#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Notify for Heard {
    fn progress(&self, _: &str) {}
    fn warn(&self, message: &str) {
        self.0.lock().unwrap().push(message.to_owned());
    }
}

async fn connect(given: &[(&'static str, &str)], retries: i64, notify: Arc<dyn Notify>, keep: bool) -> Ec2 {
    let mut given: BTreeMap<_, _> = given.iter().map(|(name, value)| (*name, value_of(name, value))).collect();
    given.entry("amazonec2-ami-name").or_insert(Value::Text("rmachine-lab-debian-13".into()));
    given.entry("amazonec2-retries").or_insert(Value::Integer(retries));
    let driver = AmazonEc2;
    let values = Values::resolve(
        &driver.info().flags,
        |flag| given.get(flag.name.as_str()).cloned(),
        |name| std::env::var(name).ok(),
    );
    let configured = driver.configure(&values.unwrap()).unwrap();
    let secrets = if keep { configured.secrets } else { Secrets::default() };
    let provider = driver.connect(&configured.config, &secrets, notify).await.unwrap();
    Ec2 { provider, config: configured.config }
}

fn value_of(name: &str, text: &str) -> Value {
    let flag = AmazonEc2.info().flags.iter().find(|flag| flag.name == name).unwrap();
    flag.parse(text).unwrap()
}

async fn plain() -> Ec2 {
    connect(&[], 5, Arc::new(Silent), false).await
}

/// Takes all scripted faults away when a test ends, however it ends.
struct Faults;

impl Faults {
    fn script(fault: &serde_json::Value) -> Self {
        lab("POST", "faults", Some(fault));
        Self
    }
}

impl Drop for Faults {
    fn drop(&mut self) {
        lab("DELETE", "faults", None);
    }
}

#[async_trait]
impl Harness for Ec2 {
    fn provider(&self) -> &dyn Provider {
        self.provider.as_ref()
    }

    fn support(&self) -> Support {
        Support { makes: true, power: true, ingress: true }
    }

    fn owner(&self) -> Owner {
        "conformance".parse().unwrap()
    }

    fn spec(&self, name: &str) -> PreflightRequest {
        PreflightRequest { name: name.into(), config: self.config.clone(), engine_port: 2376 }
    }

    async fn request(&self, name: &str) -> CreateRequest {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        CreateRequest {
            name: name.into(),
            owner: self.owner(),
            token: MachineToken::from_bits((u128::try_from(number).unwrap() << 96) | u128::from(std::process::id())),
            attempt: format!("attempt-{number}-{}", std::process::id()).parse().unwrap(),
            plan: self.provider.preflight(&self.spec(name), &Cx::silent()).await.unwrap(),
            user_data: Some(b"#!/bin/sh\n".to_vec()),
            public_key: None,
            engine_port: 2376,
            engine_through_ssh: false,
            sent_before: false,
        }
    }

    async fn begin(&self, trouble: Trouble) -> bool {
        lab("DELETE", "calls", None);
        let fault = match trouble {
            Trouble::Refused => json!({ "action": "RunInstances", "error": "UnauthorizedOperation", "status": 403 }),
            Trouble::AnswerLost => json!({ "action": "RunInstances", "drop_answer": true }),
        };
        lab("POST", "faults", Some(&fault));
        true
    }

    async fn end(&self) -> usize {
        lab("DELETE", "faults", None);
        count("RunInstances")
    }
}

/// How many calls of this name the lab had since they were last forgotten.
fn count(action: &str) -> usize {
    let calls = lab("GET", "calls", None);
    calls.as_array().unwrap().iter().filter(|call| call["action"] == action).count()
}

/// The machine of a create whose answer never came.
fn interrupted<'a>(request: &'a CreateRequest, intents: &'a [String]) -> MachineRef<'a> {
    MachineRef { intents, unanswered: Some(request), ..machine_ref(request, None) }
}

#[tokio::test]
async fn amazonec2_keeps_every_promise() {
    let _one = ONE.lock().await;
    let before = resources();
    // Few tries: answers are lost on purpose.
    conformance::all(&connect(&[], 1, Arc::new(Silent), false).await).await;
    assert_eq!(resources(), before);
}

#[tokio::test]
async fn a_create_takes_ten_calls_at_most_besides_polls() {
    let _one = ONE.lock().await;
    let ec2 = plain().await;
    lab("DELETE", "calls", None);
    let request = ec2.request("counted").await;
    let instance = ec2.provider.create(&request, &Cx::silent().journal(&Recorder::default())).await.unwrap();
    let calls = lab("GET", "calls", None);
    let actions: Vec<&str> = calls.as_array().unwrap().iter().filter_map(|call| call["action"].as_str()).collect();
    let work = actions.iter().filter(|action| **action != "DescribeInstances").count();
    assert!(work <= 10, "{actions:?}");
    ec2.provider.destroy(&machine_ref(&request, Some(&instance)), &Cx::silent()).await.unwrap();
}

#[tokio::test]
async fn a_lost_answer_makes_one_instance() {
    let _one = ONE.lock().await;
    let before = resources();
    let ec2 = plain().await;
    let request = ec2.request("lost-once").await;
    let faults = Faults::script(&json!({ "action": "RunInstances", "drop_answer": true, "times": 1 }));
    let instance = ec2.provider.create(&request, &Cx::silent().journal(&Recorder::default())).await.unwrap();
    drop(faults);
    let instances =
        resources().into_iter().filter(|held| held.starts_with("instances/") && !before.contains(held)).count();
    assert_eq!(instances, 1);
    ec2.provider.destroy(&machine_ref(&request, Some(&instance)), &Cx::silent()).await.unwrap();
    assert_eq!(resources(), before);
}

#[tokio::test]
async fn an_instance_whose_answer_never_came_is_found_and_removed() {
    let _one = ONE.lock().await;
    let before = resources();
    let ec2 = connect(&[], 2, Arc::new(Silent), false).await;
    let request = ec2.request("lost").await;
    // Shown at once: one that shows later is looked for by its request, which is another test's.
    lab("POST", "delays", Some(&json!({ "visible": 0 })));
    let faults = Faults::script(&json!({ "action": "RunInstances", "drop_answer": true }));
    let error = ec2.provider.create(&request, &Cx::silent().journal(&Recorder::default())).await.unwrap_err();
    assert_eq!((error.kind(), error.left_behind()), (Kind::Unreachable, &LeftBehind::Unknown), "{error:?}");
    drop(faults);
    assert!(resources().len() > before.len(), "there is an instance that nobody has an id of");
    let intents = ["CreateSecurityGroup".to_owned(), "RunInstances".to_owned()];
    lab("DELETE", "calls", None);
    // The second one is that of an rm which was killed after it had removed all but the record.
    for _ in 0..2 {
        ec2.provider.destroy(&interrupted(&request, &intents), &Cx::silent()).await.unwrap();
        assert_eq!(resources(), before);
    }
    lab("POST", "delays", Some(&json!({ "visible": 0.3 })));
    assert_eq!(count("RunInstances"), 0, "it is found by its token, and nothing is started in order to be ended");
}

/// EC2 does not show the instance yet: only the same request finds it.
#[tokio::test]
async fn an_instance_that_does_not_show_yet_is_found_by_its_request() {
    let _one = ONE.lock().await;
    let before = resources();
    let ec2 = connect(&[], 2, Arc::new(Silent), false).await;
    let request = ec2.request("late").await;
    lab("POST", "delays", Some(&json!({ "visible": 6 })));
    let faults = Faults::script(&json!({ "action": "RunInstances", "drop_answer": true }));
    ec2.provider.create(&request, &Cx::silent().journal(&Recorder::default())).await.unwrap_err();
    drop(faults);
    let intents = ["CreateSecurityGroup".to_owned(), "RunInstances".to_owned()];
    let destroyed = ec2.provider.destroy(&interrupted(&request, &intents), &Cx::silent()).await;
    lab("POST", "delays", Some(&json!({ "visible": 0.3 })));
    destroyed.unwrap();
    assert_eq!(resources(), before);
}

/// As gc does it, with tags alone, right after a crash.
#[tokio::test]
async fn an_instance_that_shows_late_goes_with_its_group() {
    let _one = ONE.lock().await;
    let before = resources();
    let ec2 = connect(&[], 2, Arc::new(Silent), false).await;
    let request = ec2.request("orphan").await;
    lab("POST", "delays", Some(&json!({ "visible": 4 })));
    let faults = Faults::script(&json!({ "action": "RunInstances", "drop_answer": true }));
    ec2.provider.create(&request, &Cx::silent().journal(&Recorder::default())).await.unwrap_err();
    drop(faults);
    let machine = MachineRef { plan: None, ..machine_ref(&request, None) };
    let destroyed = ec2.provider.destroy(&machine, &Cx::silent()).await;
    lab("POST", "delays", Some(&json!({ "visible": 0.3 })));
    destroyed.unwrap();
    assert_eq!(resources(), before);
}

#[tokio::test]
async fn no_capacity_is_said_and_leaves_nothing() {
    let _one = ONE.lock().await;
    let before = resources();
    let ec2 = plain().await;
    let request = ec2.request("full").await;
    let fault = json!({ "action": "RunInstances", "error": "InsufficientInstanceCapacity", "status": 400 });
    let faults = Faults::script(&fault);
    let error = ec2.provider.create(&request, &Cx::silent().journal(&Recorder::default())).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Capacity);
    let intents = ["RunInstances".to_owned()];
    ec2.provider.destroy(&interrupted(&request, &intents), &Cx::silent()).await.unwrap();
    drop(faults);
    assert_eq!(resources(), before);
}

/// The first try is carried out and its answer lost, the second one is refused: that says nothing of the first.
#[tokio::test]
async fn a_refusal_after_a_lost_answer_is_none() {
    let _one = ONE.lock().await;
    let before = resources();
    let ec2 = plain().await;
    let request = ec2.request("half-lost").await;
    lab("POST", "delays", Some(&json!({ "visible": 0 })));
    let lost = Faults::script(&json!({ "action": "RunInstances", "drop_answer": true, "times": 1 }));
    let _refused =
        Faults::script(&json!({ "action": "RunInstances", "error": "UnauthorizedOperation", "status": 403 }));
    let journal = Recorder::default();
    let error = ec2.provider.create(&request, &Cx::silent().journal(&journal)).await.unwrap_err();
    drop(lost);
    assert_eq!((error.kind(), error.left_behind()), (Kind::Denied, &LeftBehind::Unknown), "{error:?}");
    let intents = journal.intents();
    assert!(intents.contains(&"RunInstances".to_owned()), "{intents:?}");
    ec2.provider.destroy(&interrupted(&request, &intents), &Cx::silent()).await.unwrap();
    lab("POST", "delays", Some(&json!({ "visible": 0.3 })));
    assert_eq!(resources(), before);
}

#[tokio::test]
async fn throttled_and_broken_calls_are_repeated() {
    let _one = ONE.lock().await;
    let before = resources();
    let ec2 = plain().await;
    lab("DELETE", "calls", None);
    let throttle = Faults::script(&json!({ "rate": 0.3, "error": "RequestLimitExceeded", "status": 503 }));
    let _resets = Faults::script(&json!({ "rate": 0.05, "reset": true }));
    let requests = futures::future::join_all((0..5).map(|n| {
        let ec2 = &ec2;
        async move { ec2.request(&format!("busy-{n}")).await }
    }))
    .await;
    let journal = Recorder::default();
    let cx = Cx::silent().journal(&journal);
    let made = futures::future::join_all(requests.iter().map(|request| ec2.provider.create(request, &cx))).await;
    drop(throttle);
    for (request, made) in requests.iter().zip(&made) {
        let instance = made.as_ref().unwrap();
        ec2.provider.destroy(&machine_ref(request, Some(instance)), &Cx::silent()).await.unwrap();
    }
    assert_eq!(resources(), before);
}

#[tokio::test]
async fn expired_stored_keys_give_way_to_the_chain_and_that_is_said() {
    let _one = ONE.lock().await;
    let heard = Arc::new(Heard::default());
    let key = std::env::var("AWS_ACCESS_KEY_ID").unwrap();
    let secret = std::env::var("AWS_SECRET_ACCESS_KEY").unwrap();
    let keys = [
        ("amazonec2-access-key", key.as_str()),
        ("amazonec2-secret-key", secret.as_str()),
        ("amazonec2-session-token", "expired"),
    ];
    let ec2 = connect(&keys, 2, heard.clone(), true).await;
    ec2.provider.find(Some(&ec2.owner())).await.unwrap();
    let said = heard.0.lock().unwrap().clone();
    assert_eq!(said, ["the stored access keys have expired; using those of the environment"]);
}

#[tokio::test]
async fn a_stray_is_read_back_and_taken_over() {
    let _one = ONE.lock().await;
    let before = resources();
    let ec2 = plain().await;
    let request = ec2.request("stray").await;
    let instance = ec2.provider.create(&request, &Cx::silent().journal(&Recorder::default())).await.unwrap();
    let stray = ec2.provider.examine(&instance.id).await.unwrap();
    assert_eq!(stray.resource.token.as_ref(), Some(&request.token));
    assert_eq!((stray.resource.machine.as_deref(), stray.state), (Some("stray"), MachineState::Running));
    assert_eq!((stray.plan.login.user.as_str(), &stray.instance.addresses), ("admin", &instance.addresses));
    assert_eq!(stray.instance.details["own_groups"], instance.details["own_groups"]);
    assert_eq!(stray.config["region"], ec2.config["region"]);
    let other = "another-store".parse::<Owner>().unwrap();
    for _ in 0..2 {
        ec2.provider.claim(&request.token, &other, "renamed", &Cx::silent()).await.unwrap();
    }
    let found = ec2.provider.find(Some(&other)).await.unwrap();
    assert_eq!(found.len(), 4, "instance, volume, interface, group: {found:?}");
    assert!(found.iter().all(|resource| resource.monthly_usd.is_some() && resource.detail.is_some()), "{found:?}");
    assert!(found.iter().find(|r| r.kind == ResourceKind::Instance).unwrap().monthly_usd.unwrap() > 7.0);
    assert!(ec2.provider.regions().await.unwrap().contains(&"eu-west-1".to_owned()));
    let machine = MachineRef { owner: &other, plan: None, ..machine_ref(&request, None) };
    ec2.provider.destroy(&machine, &Cx::silent()).await.unwrap();
    assert_eq!(resources(), before);
    let gone = ec2.provider.examine(&instance.id).await.unwrap_err();
    assert_eq!(gone.kind(), Kind::NotFound);
}
