//! The account: what the cloud holds, how it answers, and a handle for tests.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ipnet::IpNet;
use rmachine_provider_api::{
    Addresses, CreateRequest, Error, InstanceId, Kind, LeftBehind, MachineState, MachineToken, Owner, Resource,
    ResourceKind, Result, Retry,
};
use time::OffsetDateTime;

use crate::fault::{Effect, Fault, Operation, When};

/// One thing that the account holds.
#[derive(Debug, Clone)]
pub struct Held {
    /// Kind, id and tags.
    pub resource: Resource,
    /// State, of an instance.
    pub state: MachineState,
    /// Addresses, of an instance.
    pub addresses: Addresses,
    /// Networks that are admitted, of a security group.
    pub rules: Vec<IpNet>,
    /// Whether it is a one-time spot instance.
    spot: bool,
    /// Idempotency token and request, of an instance.
    attempt: Option<(String, String)>,
    /// Looks that it takes until it is seen, or until a terminating one is terminated.
    looks: usize,
}

#[derive(Debug, Default)]
struct Cloud {
    held: Vec<Held>,
    faults: Vec<Fault>,
    counts: BTreeMap<Operation, usize>,
    calls: Vec<Operation>,
    next: u16,
    visible_after: usize,
    token: Option<String>,
}

/// A handle on one account; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Account(Arc<Mutex<Cloud>>);

impl Account {
    /// An empty account.
    pub fn new() -> Self {
        Self::default()
    }

    /// All that it holds, terminated instances left out.
    pub fn held(&self) -> Vec<Held> {
        self.cloud().held.iter().filter(|h| h.state != MachineState::Terminated).cloned().collect()
    }

    /// The requests that it had, in order.
    pub fn calls(&self) -> Vec<Operation> {
        self.cloud().calls.clone()
    }

    /// Scripts a fault.
    pub fn script(&self, operation: Operation, call: usize, when: When, effect: Effect) {
        self.cloud().faults.push(Fault { operation, call, when, effect });
    }

    /// Forgets all faults and counts.
    pub fn calm(&self) {
        let mut cloud = self.cloud();
        cloud.faults.clear();
        cloud.counts.clear();
        cloud.calls.clear();
    }

    /// From now on, what is made is not seen by this many looks.
    pub fn show_after(&self, looks: usize) {
        self.cloud().visible_after = looks;
    }

    /// From now on, a client needs this secret.
    pub fn require_token(&self, token: &str) {
        self.cloud().token = Some(token.to_owned());
    }

    /// Terminates an instance behind everybody's back, as from the cloud's console.
    pub fn lose(&self, id: &str) {
        let mut cloud = self.cloud();
        let instance = cloud.held.iter().find(|h| h.resource.id == id);
        let token = instance.and_then(|h| h.resource.token.clone());
        cloud.held.retain(|h| {
            let its_volume = h.resource.kind == ResourceKind::Volume && h.resource.token == token;
            h.resource.id != id && !its_volume
        });
    }

    /// Gives a running instance another address, as a stop and start from the console do.
    pub fn move_to(&self, id: &str, address: &str) {
        let mut cloud = self.cloud();
        for held in cloud.held.iter_mut().filter(|h| h.resource.id == id) {
            held.addresses.dial = Some(address.to_owned());
            held.addresses.public = address.parse().into_iter().collect();
        }
    }

    /// Puts a thing in that is none of ours.
    pub fn plant(&self, kind: ResourceKind, id: &str) {
        let resource = Resource {
            kind,
            id: id.to_owned(),
            owner: None,
            token: None,
            machine: None,
            created: None,
            location: None,
            detail: None,
            monthly_usd: None,
        };
        self.cloud().held.push(Held::of(resource, 0));
    }

    fn cloud(&self) -> MutexGuard<'_, Cloud> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One request: its faults before, its effect, its faults after.
    async fn request<T>(&self, operation: Operation, effect: impl FnOnce(&mut Cloud) -> Result<T> + Send) -> Result<T> {
        let count = {
            let mut cloud = self.cloud();
            cloud.calls.push(operation);
            let count = cloud.counts.entry(operation).or_default();
            *count += 1;
            *count
        };
        // The others get a turn: a request takes time.
        tokio::task::yield_now().await;
        self.faults(operation, count, When::Before).await?;
        let result = effect(&mut self.cloud());
        self.faults(operation, count, When::After).await?;
        result
    }

    async fn faults(&self, operation: Operation, count: usize, when: When) -> Result<()> {
        let due = |f: &&Fault| f.operation == operation && f.when == when && (f.call == 0 || f.call == count);
        let faults: Vec<Fault> = self.cloud().faults.iter().filter(due).cloned().collect();
        for fault in faults {
            match &fault.effect {
                Effect::Fail { kind, retry, left } => return Err(fault.error(*kind, *retry, left.clone())),
                Effect::Call(call) => call(),
                Effect::Hang(call) => {
                    call();
                    std::future::pending::<()>().await;
                }
            }
        }
        Ok(())
    }

    pub(crate) async fn connect(&self, token: Option<&str>) -> Result<()> {
        self.request(Operation::Connect, |cloud| match &cloud.token {
            Some(wanted) if token != Some(wanted) => {
                Err(Error::new(Kind::Credentials, "the fake cloud refuses the token").hint("give it by --fake-token"))
            }
            _ => Ok(()),
        })
        .await
    }

    pub(crate) async fn preflight(&self) -> Result<()> {
        self.request(Operation::Preflight, |_| Ok(())).await
    }

    pub(crate) async fn checkup(&self) -> Result<()> {
        self.request(Operation::Checkup, |_| Ok(())).await
    }

    /// The group of `request`'s machine; made when it is not there yet.
    pub(crate) async fn create_group(&self, request: &CreateRequest) -> Result<Resource> {
        self.request(Operation::CreateGroup, |cloud| {
            let mine = |h: &&Held| h.is_of(ResourceKind::SecurityGroup, &request.token);
            if let Some(known) = cloud.held.iter().find(mine) {
                return Ok(known.resource.clone());
            }
            Ok(cloud.make(ResourceKind::SecurityGroup, "sg", request).resource.clone())
        })
        .await
    }

    /// Instance and volume, one for an attempt.
    pub(crate) async fn run_instance(&self, request: &CreateRequest) -> Result<Vec<Resource>> {
        self.request(Operation::RunInstance, |cloud| {
            let asked = format!("{:?} {:?} {:?}", request.plan.resolved, request.user_data, request.public_key);
            let mine = |h: &&Held| h.attempt.as_ref().is_some_and(|(token, _)| *token == request.attempt.0);
            if let Some(known) = cloud.held.iter().find(mine) {
                if known.attempt.as_ref().is_some_and(|(_, before)| *before != asked) {
                    return Err(Error::new(Kind::Conflict, "the attempt was used for another request"));
                }
                return Ok(vec![known.resource.clone()]);
            }
            let addresses = cloud.addresses();
            let instance = cloud.make(ResourceKind::Instance, "i", request);
            instance.state = MachineState::Running;
            instance.addresses = addresses;
            instance.spot = request.plan.resolved["spot"] == true;
            instance.attempt = Some((request.attempt.0.clone(), asked));
            let instance = instance.resource.clone();
            let volume = cloud.make(ResourceKind::Volume, "vol", request).resource.clone();
            Ok(vec![instance, volume])
        })
        .await
    }

    /// The instances among `ids` that can be seen.
    pub(crate) async fn describe(&self, ids: &[InstanceId]) -> Result<Vec<Held>> {
        self.request(Operation::Describe, |cloud| {
            cloud.time_passes();
            let asked = |h: &&Held| h.is_visible() && ids.iter().any(|id| id.0 == h.resource.id);
            Ok(cloud.held.iter().filter(asked).cloned().collect())
        })
        .await
    }

    /// What can be seen of `owner`'s things, or of everybody's.
    pub(crate) async fn find(&self, owner: Option<&Owner>) -> Result<Vec<Held>> {
        self.request(Operation::FindTags, |cloud| {
            cloud.time_passes();
            let asked = |h: &&Held| {
                h.is_visible()
                    && h.state != MachineState::Terminated
                    && h.resource.token.is_some()
                    && (owner.is_none() || h.resource.owner.as_ref() == owner)
            };
            Ok(cloud.held.iter().filter(asked).cloned().collect())
        })
        .await
    }

    /// Starts (with new addresses) or stops an instance, or only looks whether it could.
    pub(crate) async fn power(&self, operation: Operation, id: &InstanceId) -> Result<Held> {
        self.request(operation, |cloud| {
            let addresses = cloud.addresses();
            let held = cloud.instance(id)?;
            match (operation, held.state) {
                (Operation::StartInstance, MachineState::Stopped) => {
                    held.state = MachineState::Running;
                    held.addresses = addresses;
                }
                (Operation::StopInstance, _) if held.spot => {
                    return Err(Error::unsupported("a one-time spot instance cannot be stopped"));
                }
                (Operation::StopInstance, MachineState::Running) => {
                    held.state = MachineState::Stopped;
                    held.addresses.public.clear();
                    held.addresses.dial = None;
                }
                _ => {}
            }
            Ok(held.clone())
        })
        .await
    }

    pub(crate) async fn terminate(&self, id: &str) -> Result<()> {
        self.request(Operation::TerminateInstance, |cloud| {
            let delay = cloud.visible_after;
            if let Ok(held) = cloud.instance(&InstanceId(id.to_owned()))
                && held.state != MachineState::Terminated
            {
                held.state = MachineState::Terminating;
                held.looks = delay + 1;
            }
            Ok(())
        })
        .await
    }

    pub(crate) async fn delete_group(&self, id: &str) -> Result<()> {
        self.request(Operation::DeleteGroup, |cloud| {
            let Some(at) = cloud.held.iter().position(|h| h.resource.id == id) else { return Ok(()) };
            let token = cloud.held[at].resource.token.clone();
            let in_use = cloud.held.iter().any(|h| {
                h.resource.kind == ResourceKind::Instance
                    && h.state != MachineState::Terminated
                    && h.resource.token == token
            });
            if in_use {
                return Err(Error::new(Kind::Conflict, format!("{id} is in use"))
                    .retry(Retry::Same)
                    .left(LeftBehind::Present(vec![id.to_owned()])));
            }
            cloud.held.remove(at);
            Ok(())
        })
        .await
    }

    pub(crate) async fn set_rules(&self, token: &MachineToken, rules: Vec<IpNet>) -> Result<Vec<IpNet>> {
        self.request(Operation::SetRules, |cloud| {
            let group = cloud.held.iter_mut().find(|h| h.is_of(ResourceKind::SecurityGroup, token));
            let group = group.ok_or_else(|| Error::unsupported("the machine has no security group of its own"))?;
            group.rules = rules;
            Ok(group.rules.clone())
        })
        .await
    }
}

impl Held {
    fn of(resource: Resource, looks: usize) -> Self {
        Self {
            resource,
            state: MachineState::Unknown,
            addresses: Addresses::default(),
            rules: Vec::new(),
            spot: false,
            attempt: None,
            looks,
        }
    }

    fn is_of(&self, kind: ResourceKind, token: &MachineToken) -> bool {
        self.resource.kind == kind && self.resource.token.as_ref() == Some(token)
    }

    fn is_visible(&self) -> bool {
        self.looks == 0 || self.state == MachineState::Terminating
    }
}

impl Cloud {
    /// A look: what was hidden comes nearer, what is terminating goes, with its volume.
    fn time_passes(&mut self) {
        let mut gone = Vec::new();
        for held in &mut self.held {
            held.looks = held.looks.saturating_sub(1);
            if held.looks == 0 && held.state == MachineState::Terminating {
                held.state = MachineState::Terminated;
                gone.push(held.resource.token.clone());
            }
        }
        self.held.retain(|h| h.resource.kind != ResourceKind::Volume || !gone.contains(&h.resource.token));
    }

    fn make(&mut self, kind: ResourceKind, prefix: &str, request: &CreateRequest) -> &mut Held {
        self.next += 1;
        let resource = Resource {
            kind,
            id: format!("{prefix}-{:08x}", self.next),
            owner: Some(request.owner.clone()),
            token: Some(request.token.clone()),
            machine: Some(request.name.clone()),
            created: Some(OffsetDateTime::now_utc()),
            location: Some("here".to_owned()),
            detail: None,
            monthly_usd: None,
        };
        self.held.push(Held::of(resource, self.visible_after));
        let last = self.held.len() - 1;
        &mut self.held[last]
    }

    fn instance(&mut self, id: &InstanceId) -> Result<&mut Held> {
        self.held
            .iter_mut()
            .find(|h| h.resource.id == id.0 && h.state != MachineState::Terminated)
            .ok_or_else(|| Error::new(Kind::NotFound, format!("there is no instance {id}")))
    }

    /// New addresses, all of them loopback: nothing may ever dial a stranger.
    fn addresses(&mut self) -> Addresses {
        self.next += 1;
        let [high, low] = self.next.to_be_bytes();
        let public = IpAddr::V4(Ipv4Addr::new(127, 77, high, low));
        Addresses {
            published: None,
            dial: Some(public.to_string()),
            public: vec![public],
            private: vec![IpAddr::V4(Ipv4Addr::new(127, 78, high, low))],
            names: vec![format!("ip-{}.fake.test", public.to_string().replace('.', "-"))],
        }
    }
}
