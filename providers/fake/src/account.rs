//! The account: how it answers, and a handle for tests.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rmachine_provider_api::{
    CreateRequest, Error, InstanceId, Kind, LeftBehind, MachineState, MachineToken, Owner, Resource, ResourceKind,
    Result, Retry,
};
use time::OffsetDateTime;

use crate::{
    cloud::{Cloud, Held, Host, fits},
    fault::{Effect, Fault, Operation, When},
    file,
};

/// Requests to an account in a file take this long: as with a real cloud, the program does other things meanwhile.
const REQUEST: Duration = Duration::from_millis(1);

/// Faults and counts of one process.
#[derive(Debug, Default)]
struct Script {
    faults: Vec<Fault>,
    counts: BTreeMap<Operation, usize>,
    calls: Vec<Operation>,
}

/// A handle on one account; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Account {
    cloud: Arc<Mutex<Cloud>>,
    script: Arc<Mutex<Script>>,
    file: Option<Arc<PathBuf>>,
}

impl Account {
    /// An empty account in memory.
    pub fn new() -> Self {
        Self::default()
    }

    /// The account in the file `path`, empty when there is none yet. Processes share it, and it outlives them.
    /// Faults are not in the file.
    pub fn in_file(path: impl Into<PathBuf>) -> Self {
        Self { file: Some(Arc::new(path.into())), ..Self::default() }
    }

    /// All that it holds, terminated instances left out.
    pub fn held(&self) -> Vec<Held> {
        self.change(|cloud| cloud.held.iter().filter(|h| h.state != MachineState::Terminated).cloned().collect())
    }

    /// How often what a killed preflight may have left was swept.
    pub fn swept(&self) -> u32 {
        self.change(|cloud| cloud.swept)
    }

    /// The requests that it had from this process, in order.
    pub fn calls(&self) -> Vec<Operation> {
        self.scripted().calls.clone()
    }

    /// Scripts a fault.
    pub fn script(&self, operation: Operation, call: usize, when: When, effect: Effect) {
        self.scripted().faults.push(Fault { operation, call, when, effect });
    }

    /// Forgets all faults and counts.
    pub fn calm(&self) {
        *self.scripted() = Script::default();
    }

    /// From now on, what is made is not seen by this many looks.
    pub fn show_after(&self, looks: usize) {
        self.change(|cloud| cloud.visible_after = looks);
    }

    /// From now on, a filter for a token or an owner answers all that has tags: a client has to compare.
    pub fn answer_everything(&self) {
        self.change(|cloud| cloud.answers_everything = true);
    }

    /// From now on, a client needs this secret.
    pub fn require_token(&self, token: &str) {
        self.change(|cloud| cloud.token = Some(token.to_owned()));
    }

    /// From now on, new addresses are those of a host that answers: SSH at `ssh`, the engine at `engine_port` there.
    pub fn answer_at(&self, ssh: SocketAddr, engine_port: u16) {
        self.change(|cloud| cloud.host = Some(Host { ssh, engine_port }));
    }

    /// Terminates an instance behind everybody's back, as from the cloud's console.
    pub fn lose(&self, id: &str) {
        self.change(|cloud| {
            let instance = cloud.held.iter().find(|h| h.resource.id == id);
            let token = instance.and_then(|h| h.resource.token.clone());
            cloud.held.retain(|h| {
                let its_volume = h.resource.kind == ResourceKind::Volume && h.resource.token == token;
                h.resource.id != id && !its_volume
            });
        });
    }

    /// Gives a running instance another address, as a stop and start from the console do.
    pub fn move_to(&self, id: &str, address: &str) {
        self.change(|cloud| {
            for held in cloud.held.iter_mut().filter(|h| h.resource.id == id) {
                held.addresses.dial = address.parse().ok();
                held.addresses.public = address.parse().into_iter().collect();
            }
        });
    }

    /// Puts a thing in with these tags.
    pub fn plant_with(&self, kind: ResourceKind, id: &str, owner: Option<Owner>, token: &str) {
        self.plant(kind, id);
        let token: Option<MachineToken> = token.parse().ok();
        self.change(|cloud| {
            for held in cloud.held.iter_mut().filter(|h| h.resource.id == id) {
                held.resource.owner.clone_from(&owner);
                held.resource.token.clone_from(&token);
            }
        });
    }

    /// Puts a thing in that is none of ours.
    pub fn plant(&self, kind: ResourceKind, id: &str) {
        self.plant_of(kind, id, None);
    }

    /// Puts a running instance in that is none of ours, as docker-machine made it.
    pub fn plant_instance(&self, id: &str, address: &str) {
        self.plant(ResourceKind::Instance, id);
        let its = |h: &&mut Held| h.resource.id == id;
        self.change(|cloud| cloud.held.iter_mut().filter(its).for_each(|h| h.state = MachineState::Running));
        self.move_to(id, address);
    }

    /// From here on the console of every instance has `text`, which was read `at`.
    pub fn print_to_console(&self, text: &str, at: Option<OffsetDateTime>) {
        self.change(|cloud| cloud.console = Some((text.to_owned(), at.map(OffsetDateTime::unix_timestamp))));
    }

    /// Puts a thing in that another store's machine owns.
    pub fn plant_of(&self, kind: ResourceKind, id: &str, owner: Option<&Owner>) {
        let resource = Resource {
            kind,
            id: id.to_owned(),
            owner: owner.cloned(),
            token: owner.map(|_| MachineToken::from_bits(0x5057)),
            machine: None,
            created: None,
            location: None,
            detail: None,
            monthly_usd: None,
        };
        self.change(|cloud| cloud.held.push(Held::of(resource, 0)));
    }

    /// Where the host behind it answers: the port of SSH, and that of the engine.
    pub(crate) fn ports(&self) -> Option<(u16, u16)> {
        self.change(|cloud| cloud.host.map(|host| (host.ssh.port(), host.engine_port)))
    }

    fn scripted(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Cloud) -> T) -> T {
        match &self.file {
            Some(path) => file::change(path, change),
            None => change(&mut self.cloud.lock().unwrap_or_else(PoisonError::into_inner)),
        }
    }

    /// One request: its faults before, its effect, its faults after.
    pub(crate) async fn request<T>(
        &self,
        operation: Operation,
        effect: impl FnOnce(&mut Cloud) -> Result<T> + Send,
    ) -> Result<T> {
        let count = {
            let mut script = self.scripted();
            script.calls.push(operation);
            let count = script.counts.entry(operation).or_default();
            *count += 1;
            *count
        };
        // The others get a turn: a request takes time.
        match self.file {
            Some(_) => tokio::time::sleep(REQUEST).await,
            None => tokio::task::yield_now().await,
        }
        tracing::trace!(target: "rmachine::effect", step = "before", what = ?operation);
        self.faults(operation, count, When::Before).await?;
        let result = self.change(effect);
        tracing::trace!(target: "rmachine::effect", step = "after", what = ?operation);
        self.faults(operation, count, When::After).await?;
        result
    }

    async fn faults(&self, operation: Operation, count: usize, when: When) -> Result<()> {
        let due = |f: &&Fault| f.operation == operation && f.when == when && (f.call == 0 || f.call == count);
        let faults: Vec<Fault> = self.scripted().faults.iter().filter(due).cloned().collect();
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
            let asked = fingerprint(request);
            let mine = |h: &&Held| h.attempt.as_ref().is_some_and(|(token, _)| *token == request.attempt.as_str());
            if let Some(known) = cloud.held.iter().find(mine) {
                if known.attempt.as_ref().is_some_and(|(_, before)| *before != asked) {
                    return Err(Error::new(Kind::Conflict, "the attempt was used for another request"));
                }
                return Ok(vec![known.resource.clone()]);
            }
            let addresses = cloud.addresses();
            // Without a host nobody reads it, and an account with many instances is quicker without.
            let user_data = cloud.host.and_then(|_| request.user_data.clone());
            let instance = cloud.make(ResourceKind::Instance, "i", request);
            instance.state = MachineState::Running;
            instance.addresses = addresses;
            instance.user_data = user_data;
            instance.spot = request.plan.resolved["spot"] == true;
            instance.attempt = Some((request.attempt.to_string(), asked));
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
            let asked = |h: &&Held| h.is_visible() && ids.iter().any(|id| id.as_str() == h.resource.id);
            Ok(cloud.held.iter().filter(asked).cloned().collect())
        })
        .await
    }

    /// What can be seen of `owner`'s things, or of everybody's.
    pub(crate) async fn find(&self, owner: Option<&Owner>) -> Result<Vec<Held>> {
        self.request(Operation::FindTags, |cloud| {
            cloud.time_passes();
            let everything = cloud.answers_everything;
            let asked = |h: &&Held| {
                h.is_visible()
                    && h.state != MachineState::Terminated
                    && h.resource.owner.is_some()
                    && owner.is_none_or(|owner| {
                        everything || h.resource.owner.as_ref().is_some_and(|its| fits(owner.as_str(), its.as_str()))
                    })
            };
            Ok(cloud.held.iter().filter(asked).cloned().collect())
        })
        .await
    }

    /// Starts (with new addresses) or stops an instance, or only looks whether it could.
    pub(crate) async fn power(&self, operation: Operation, id: &InstanceId) -> Result<Held> {
        self.request(operation, |cloud| {
            let addresses = cloud.addresses();
            let held = cloud.instance(id.as_str())?;
            match (operation, held.state) {
                (Operation::StartInstance, MachineState::Stopped) => {
                    held.state = MachineState::Running;
                    held.addresses = addresses;
                    held.boots += 1;
                }
                (Operation::RebootInstance, MachineState::Running) => held.boots += 1,
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
            if let Ok(held) = cloud.instance(id)
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

    /// Deletes what nothing uses, such as a key pair. Missing is success.
    pub(crate) async fn delete(&self, id: &str) -> Result<()> {
        self.request(Operation::DeleteGroup, |cloud| {
            cloud.held.retain(|h| h.resource.id != id);
            Ok(())
        })
        .await
    }
}

/// What a token has to be used for again.
fn fingerprint(request: &CreateRequest) -> u64 {
    let mut hasher = DefaultHasher::new();
    let asked = (request.plan.resolved.to_string(), &request.user_data, &request.public_key);
    asked.hash(&mut hasher);
    hasher.finish()
}
