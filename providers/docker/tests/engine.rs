//! The driver against a real engine (`RMACHINE_DOCKER_HOST`): the behaviour suite, and what it leaves.
//! `tests/run` starts the engine; by hand: `eval "$(tests/local-engine up /tmp/engine)"`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod proxy;

use std::{
    hash::BuildHasher,
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use bollard::Docker;
use rmachine_provider_api::{
    AttemptToken, CreateRequest, Cx, Driver, Kind, MachineState, MachineToken, Owner, PreflightRequest, Provider,
    ResourceKind, Secrets, Silent, Value, Values,
    conformance::{self, Harness, Recorder, Support, Trouble, machine_ref},
};
use rmachine_provider_docker::DockerDriver;

struct Local {
    provider: Arc<dyn Provider>,
    /// What fails calls, where the test asks for that.
    proxy: Option<proxy::Proxy>,
    config: serde_json::Value,
    owner: Owner,
    next: AtomicU64,
    /// Of its tokens.
    seed: u128,
}

/// A number that no other test and no other run has.
fn unique() -> String {
    format!("{:016x}{:016x}", std::hash::RandomState::new().hash_one(0), std::process::id())
}

fn values(more: &[(&'static str, Value)]) -> Values {
    let host = std::env::var("RMACHINE_DOCKER_HOST").expect("RMACHINE_DOCKER_HOST: see tests/local-engine");
    let mut values = Values::default();
    values.set("docker-host", Value::Text(host));
    for (flag, value) in more {
        values.set(flag, value.clone());
    }
    values
}

impl Local {
    async fn new(more: &[(&'static str, Value)]) -> Self {
        let config = DockerDriver.configure(&values(more)).unwrap().config;
        let provider = DockerDriver.connect(&config, &Secrets::default(), Arc::new(Silent)).await.unwrap();
        Self {
            provider,
            proxy: None,
            config,
            seed: std::hash::RandomState::new().hash_one(0).into(),
            owner: unique().parse().unwrap(),
            next: AtomicU64::new(0),
        }
    }

    /// With a proxy before the engine, which can fail its calls.
    async fn behind_proxy() -> Self {
        let host = std::env::var("RMACHINE_DOCKER_HOST").unwrap();
        let proxy =
            proxy::Proxy::before(host.strip_prefix("unix://").expect("tests/local-engine has a socket").as_ref());
        let local = Self::new(&[("docker-host", Value::Text(proxy.url()))]).await;
        Self { proxy: Some(proxy), ..local }
    }

    async fn names(&self) -> Vec<String> {
        self.provider.find(Some(&self.owner)).await.unwrap().into_iter().map(|resource| resource.id).collect()
    }
}

#[async_trait]
impl Harness for Local {
    fn provider(&self) -> &dyn Provider {
        self.provider.as_ref()
    }

    fn support(&self) -> Support {
        Support { makes: true, power: true, ingress: false }
    }

    fn owner(&self) -> Owner {
        self.owner.clone()
    }

    fn spec(&self, name: &str) -> PreflightRequest {
        PreflightRequest { name: name.into(), config: self.config.clone(), engine_port: 2376 }
    }

    async fn request(&self, name: &str) -> CreateRequest {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        CreateRequest {
            name: name.into(),
            owner: self.owner.clone(),
            token: MachineToken::from_bits(u128::from(number) << 96 | self.seed),
            attempt: AttemptToken::from_bits(number.into()),
            plan: self.provider.preflight(&self.spec(name), &Cx::silent()).await.unwrap(),
            user_data: None,
            public_key: None,
            engine_port: 2376,
            engine_through_ssh: false,
            sent_before: false,
        }
    }

    async fn begin(&self, trouble: Trouble) -> bool {
        self.proxy.iter().for_each(|proxy| proxy.begin(trouble));
        self.proxy.is_some()
    }

    async fn end(&self) -> usize {
        self.proxy.as_ref().map_or(0, proxy::Proxy::end)
    }
}

#[tokio::test]
async fn docker_keeps_every_promise_and_leaves_nothing() {
    let local = Local::behind_proxy().await;
    conformance::all(&local).await;
    assert_eq!(local.names().await, Vec::<String>::new(), "not even the network is left");
}

#[tokio::test]
async fn the_network_goes_with_the_last_machine_and_comes_back_when_it_was_pruned() {
    let local = Local::new(&[]).await;
    let (first, second) = (local.request("first").await, local.request("second").await);
    let one = local.provider.create(&first, &Cx::silent().journal(&Recorder::default())).await.unwrap();
    let two = local.provider.create(&second, &Cx::silent().journal(&Recorder::default())).await.unwrap();
    local.provider.destroy(&machine_ref(&second, Some(&two)), &Cx::silent()).await.unwrap();
    let held = local.provider.find(Some(&local.owner)).await.unwrap();
    let networks: Vec<_> = held.iter().filter(|resource| resource.kind == ResourceKind::Network).collect();
    assert_eq!(networks.len(), 1, "one machine still hangs on it: {held:?}");
    // `docker network prune` takes a network away when its machines are stopped.
    local.provider.stop(&one.id, rmachine_provider_api::StopMode::Force, &Cx::silent()).await.unwrap();
    let docker = connect().await;
    docker.remove_network(&networks[0].id).await.unwrap();
    let started = local.provider.start(&one.id, &Cx::silent()).await.unwrap();
    assert_eq!(started.state, MachineState::Running);
    assert!(!started.addresses.private.is_empty(), "it hangs on a network again: {started:?}");
    local.provider.destroy(&machine_ref(&first, Some(&one)), &Cx::silent()).await.unwrap();
    assert_eq!(local.names().await, Vec::<String>::new());
}

#[tokio::test]
async fn limits_and_ports_are_what_was_asked_for_and_a_taken_port_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let publish = Value::List(vec![format!("127.0.0.1:{port}:80")]);
    let memory = Value::Text("512m".into());
    let more = [("docker-publish", publish), ("docker-memory", memory), ("docker-cpus", Value::Text("0.5".into()))];
    let local = Local::new(&more).await;
    let refused = local.provider.preflight(&local.spec("ports"), &Cx::silent()).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Conflict);
    assert!(refused.to_string().contains(&port.to_string()), "{refused}");
    drop(listener);
    let request = local.request("ports").await;
    // It is taken between the check and the start.
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let late = local.provider.create(&request, &Cx::silent().journal(&Recorder::default())).await.unwrap_err();
    assert_eq!(late.kind(), Kind::Conflict, "{late}: {:?}", std::error::Error::source(&late));
    drop(listener);
    let made = local.provider.create(&request, &Cx::silent().journal(&Recorder::default())).await.unwrap();
    let found = inspect(made.id.as_str()).await;
    let host = found.host_config.unwrap();
    assert_eq!((host.memory, host.nano_cpus), (Some(512 << 20), Some(500_000_000)));
    let bindings = host.port_bindings.unwrap();
    let at = |port: &str| bindings[port].as_ref().unwrap()[0].host_ip.clone().unwrap();
    assert_eq!(at("80/tcp"), "127.0.0.1");
    assert!(at("22/tcp").starts_with("127.") && at("22/tcp") != "127.0.0.1" && at("2376/tcp") == at("22/tcp"));
    assert_eq!(host.privileged, Some(false));
    local.provider.destroy(&machine_ref(&request, None), &Cx::silent()).await.unwrap();
    assert_eq!(local.names().await, Vec::<String>::new());
}

#[tokio::test]
async fn an_image_that_cannot_be_a_machine_says_so_and_is_removed() {
    let local = Local::new(&[]).await;
    let request = local.request("good").await;
    let image = request.plan.resolved["image"].as_str().unwrap().to_owned();
    // The same image, whose init is missing.
    let made = local.provider.create(&request, &Cx::silent().journal(&Recorder::default())).await.unwrap();
    let docker = connect().await;
    let broken = format!("rmachine-test-broken:{}", &local.owner.as_str()[..8]);
    let config = bollard::models::ContainerConfig::default();
    let (repository, tag) = broken.split_once(':').unwrap();
    execute(&docker, made.id.as_str(), &["rm", "-f", "/sbin/init"]).await;
    let options = bollard::query_parameters::CommitContainerOptionsBuilder::new()
        .container(made.id.as_str())
        .repo(repository)
        .tag(tag)
        .build();
    docker.commit_container(options, config).await.unwrap();
    local.provider.destroy(&machine_ref(&request, Some(&made)), &Cx::silent()).await.unwrap();
    let other = Local::new(&[("docker-image", Value::Text(broken.clone()))]).await;
    let request = other.request("bad").await;
    // Whether it has ended already when create looks is the engine's pace.
    let made = other.provider.create(&request, &Cx::silent().journal(&Recorder::default())).await;
    if let Ok(made) = &made {
        let machine = machine_ref(&request, Some(made));
        for _ in 0..200 {
            if other.provider.diagnose(&machine).await.is_some() {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        let (reason, hint) = other.provider.diagnose(&machine).await.unwrap();
        assert!(reason.contains("ended with code 127") && hint.contains("logs"), "{reason}: {hint}");
    } else if let Err(error) = &made {
        assert!(error.to_string().contains("ended as soon as"), "{error}");
    }
    other.provider.destroy(&machine_ref(&request, None), &Cx::silent()).await.unwrap();
    assert_eq!(other.names().await, Vec::<String>::new());
    docker.remove_image(&broken, None::<bollard::query_parameters::RemoveImageOptions>, None).await.unwrap();
    let here = docker.inspect_image(&image).await;
    assert!(here.is_ok(), "the machines' own image stays");
}

async fn connect() -> Docker {
    let host = std::env::var("RMACHINE_DOCKER_HOST").unwrap();
    let docker = Docker::connect_with_socket(&host, 60, bollard::API_DEFAULT_VERSION).unwrap();
    docker.negotiate_version().await.unwrap()
}

async fn execute(docker: &Docker, id: &str, command: &[&str]) {
    let config = bollard::models::ExecConfig {
        cmd: Some(command.iter().map(|word| (*word).to_owned()).collect()),
        attach_stdout: Some(true),
        ..bollard::models::ExecConfig::default()
    };
    let exec = docker.create_exec(id, config).await.unwrap();
    let started = docker.start_exec(&exec.id, None::<bollard::exec::StartExecOptions>).await.unwrap();
    if let bollard::exec::StartExecResults::Attached { output, .. } = started {
        use futures::StreamExt;
        output.for_each(|_| async {}).await;
    }
}

async fn inspect(id: &str) -> bollard::models::ContainerInspectResponse {
    connect().await.inspect_container(id, None::<bollard::query_parameters::InspectContainerOptions>).await.unwrap()
}

#[tokio::test]
async fn what_is_not_there_is_told_apart() {
    let config = |host: &str| {
        let mut values = Values::default();
        values.set("docker-host", Value::Text(host.to_owned()));
        DockerDriver.configure(&values).map(|configured| configured.config)
    };
    let nobody = config("unix:///nonexistent/docker.sock").unwrap();
    let error = DockerDriver.connect(&nobody, &Secrets::default(), Arc::new(Silent)).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unreachable);
    assert!(error.hint_text().unwrap().contains("apt-get install docker.io"));
    assert_eq!(config("tcp://192.0.2.1:2376").unwrap_err().kind(), Kind::InvalidInput);
}
