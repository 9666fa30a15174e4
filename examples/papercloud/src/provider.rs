//! The promises of [`Provider`], kept over the cloud's client.

use std::{io::ErrorKind, net::IpAddr};

use async_trait::async_trait;
use rmachine_provider_api::{
    Addresses, CreateRequest, Cx, Error, HostTrust, Instance, InstanceId, Kind, LeftBehind, Login, LoginKey,
    MachineRef, MachineState, Notify, Observed, Owner, Plan, PreflightRequest, Provider, Resource, ResourceKind,
    Result, StopMode,
};
use serde_json::Value;

use crate::cloud::{Cloud, Fault, Machine, Power};

/// How the journal knows the call that makes an instance.
const RUN: &str = "RunInstance";
/// How often `destroy` looks again whether something came up meanwhile.
const LOOKS: usize = 5;

/// A client of one papercloud.
#[derive(Debug)]
pub(crate) struct Paper {
    cloud: Cloud,
}

/// The table of errors. What certainly had no effect leaves nothing; of all else it is not known.
fn error(fault: Fault) -> Error {
    let unknown = |kind, text: &str| Error::new(kind, text).left(LeftBehind::Unknown);
    match fault {
        Fault::Refused(cause) => {
            let (kind, text) = match cause.kind() {
                ErrorKind::PermissionDenied => (Kind::Denied, "the papercloud refuses it"),
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded => (Kind::Quota, "the papercloud is full"),
                ErrorKind::NotFound => (Kind::NotFound, "there is no papercloud in this directory"),
                _ => (Kind::Other, "the papercloud cannot do it"),
            };
            Error::new(kind, text).source(cause)
        }
        Fault::Lost(cause) => unknown(Kind::Unreachable, "the papercloud does not answer")
            .hint("see whether the directory of --papercloud-root is there")
            .source(cause),
        Fault::Missing => Error::new(Kind::NotFound, "there is no such instance in the papercloud"),
        Fault::Foreign(id) => Error::new(Kind::Conflict, format!("the instance {id} is another machine's")),
        Fault::Garbled(path, why) => {
            unknown(Kind::Other, "the papercloud has a file that is no instance").source(format!("{path:?}: {why}"))
        }
    }
}

fn id(machine: &Machine) -> Result<InstanceId> {
    Ok(machine.id().parse()?)
}

fn addresses(machine: &Machine) -> Addresses {
    let ip = IpAddr::from(machine.address);
    Addresses { dial: Some(ip.into()), private: vec![ip], ..Addresses::default() }
}

fn observed(id: InstanceId, machine: Option<&Machine>) -> Observed {
    let state = match machine.map(|machine| machine.state) {
        None => MachineState::Absent,
        Some(Power::Running) => MachineState::Running,
        Some(Power::Stopped) => MachineState::Stopped,
    };
    Observed { id, state, addresses: machine.map(addresses).unwrap_or_default(), reason: None }
}

fn resource(machine: Machine) -> Resource {
    Resource {
        kind: ResourceKind::Instance,
        id: machine.id(),
        owner: Some(machine.owner),
        token: Some(machine.token),
        machine: Some(machine.name),
        created: Some(machine.created),
        location: None,
        detail: None,
        monthly_usd: None,
    }
}

impl Paper {
    pub(crate) fn new(cloud: Cloud) -> Self {
        Self { cloud }
    }

    /// Does `work`, which blocks, on a thread of its own. It goes to its end even where nobody waits for it any more.
    async fn ask<T: Send + 'static>(&self, work: impl FnOnce(Cloud) -> Result<T, Fault> + Send + 'static) -> Result<T> {
        let cloud = self.cloud.clone();
        match tokio::task::spawn_blocking(move || work(cloud)).await {
            Ok(answer) => answer.map_err(error),
            Err(died) => Err(Error::new(Kind::Other, "a call broke off").left(LeftBehind::Unknown).source(died)),
        }
    }

    async fn list(&self) -> Result<Vec<Machine>> {
        self.ask(|cloud| cloud.list()).await
    }

    async fn power(&self, id: &InstanceId, state: Power, cx: &Cx<'_>) -> Result<Machine> {
        cx.check()?;
        let id = id.clone();
        self.ask(move |cloud| cloud.power(&id, state)).await
    }
}

#[async_trait]
impl Provider for Paper {
    async fn preflight(&self, _: &PreflightRequest, cx: &Cx<'_>) -> Result<Plan> {
        cx.until_cancelled(self.list()).await.map_err(|error| error.left(LeftBehind::Nothing))?;
        Ok(Plan {
            resolved: Value::Null,
            // Nobody logs in: the driver's capabilities say so.
            login: Login { user: "root".to_owned(), port: 22, key: LoginKey::Default },
            boot_data: None,
            host_trust: HostTrust::KnownHosts,
            arch: None,
            summary: Vec::new(),
            alternatives: Vec::new(),
        })
    }

    async fn create(&self, request: &CreateRequest, cx: &Cx<'_>) -> Result<Instance> {
        let wanted = Machine::new(&request.name, &request.owner, &request.token, &request.attempt);
        cx.progress("writing the instance down");
        cx.intend(RUN)?;
        // The attempt is the cloud's idempotency token: a repeat answers what is there.
        let made = self.ask(move |cloud| cloud.run(&wanted)).await.inspect_err(|error| {
            if *error.left_behind() == LeftBehind::Nothing {
                cx.refused(RUN);
            }
        })?;
        let id = id(&made)?;
        let present = |error: Error| error.left(LeftBehind::Present(vec![id.to_string()]));
        cx.made(&resource(made)).map_err(present)?;
        // An earlier call may have made it, and somebody stopped it since. It is the next effect, if there is one.
        let running = self.power(&id, Power::Running, cx).await.map_err(present)?;
        Ok(Instance { addresses: addresses(&running), id, url: None, engine_port: None, details: Value::Null })
    }

    async fn observe(&self, ids: &[InstanceId]) -> Result<Vec<Observed>> {
        let all = self.list().await?;
        let seen = |id: &InstanceId| observed(id.clone(), all.iter().find(|machine| machine.id() == id.as_str()));
        Ok(ids.iter().map(seen).collect())
    }

    async fn start(&self, id: &InstanceId, cx: &Cx<'_>) -> Result<Observed> {
        let machine = self.power(id, Power::Running, cx).await?;
        Ok(observed(id.clone(), Some(&machine)))
    }

    async fn stop(&self, id: &InstanceId, _: StopMode, cx: &Cx<'_>) -> Result<()> {
        self.power(id, Power::Stopped, cx).await.map(drop)
    }

    async fn reboot(&self, id: &InstanceId, cx: &Cx<'_>) -> Result<()> {
        cx.check()?;
        let asked = id.clone();
        match self.ask(move |cloud| cloud.get(&asked)).await?.state {
            // Paper has nothing that a reboot would change.
            Power::Running => Ok(()),
            Power::Stopped => {
                Err(Error::new(Kind::Conflict, format!("the instance {id} is stopped"))
                    .hint("`rmachine start` starts it"))
            }
        }
    }

    async fn find(&self, owner: Option<&Owner>) -> Result<Vec<Resource>> {
        let all = self.list().await?.into_iter();
        Ok(all.filter(|machine| owner.is_none_or(|owner| machine.owner == *owner)).map(resource).collect())
    }

    async fn destroy(&self, machine: &MachineRef<'_>, cx: &Cx<'_>) -> Result<()> {
        // Each instance has its tags from the call that made it, so a lost one is found by them.
        let recorded = machine.instance.map(|instance| instance.id.as_str());
        let mut left = Vec::new();
        for _ in 0..LOOKS {
            let all = cx.until_cancelled(self.list()).await?;
            let (own, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|found| found.token == *machine.token);
            if let Some(other) = others.into_iter().find(|other| Some(other.id().as_str()) == recorded) {
                return Err(error(Fault::Foreign(other.id())));
            }
            if own.is_empty() {
                return Ok(());
            }
            left = own.iter().map(Machine::id).collect();
            for found in own {
                cx.check()?;
                let id = id(&found)?;
                self.ask(move |cloud| cloud.delete(&id, &found.token)).await?;
            }
        }
        Err(Error::new(Kind::Timeout, "instances of this machine come up again and again")
            .left(LeftBehind::Present(left)))
    }
}
