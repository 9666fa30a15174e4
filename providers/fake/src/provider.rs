//! The provider: what a careful client of such a cloud does.

use std::net::{IpAddr, Ipv4Addr};

use async_trait::async_trait;
use ipnet::IpNet;
use rmachine_provider_api::{
    Alternative, BootData, BootForm, Console, CreateRequest, Cx, Error, Finding, HostTrust, Instance, InstanceId, Kind,
    LeftBehind, Login, LoginKey, MachineRef, MachineState, MachineToken, Notify, Observed, Owner, Plan,
    PreflightRequest, Provider, Resource, ResourceKind, Result, StopMode, Stray,
};

use time::OffsetDateTime;

use crate::{account::Account, cloud::Held, fault::Operation};

/// Looks in a row that have to find nothing before absence counts; also how often a look is repeated.
const PATIENCE: usize = 20;

/// The intent of the call that makes the instance.
const RUN: &str = "RunInstance";

/// A client of one account.
#[derive(Debug)]
pub struct FakeProvider {
    pub(crate) account: Account,
    pub(crate) ingress: bool,
}

impl FakeProvider {
    /// The ids of what carries `token`: what the filter answers is compared.
    fn ids_of(&self, token: &MachineToken) -> Vec<String> {
        let found = self.account.filtered(token).into_iter();
        found.filter(|h| h.resource.token.as_ref() == Some(token)).map(|h| h.resource.id).collect()
    }

    /// The instance, once it can be seen.
    async fn seen(&self, id: &InstanceId) -> Result<Held> {
        for _ in 0..PATIENCE {
            if let Some(held) = self.account.describe(std::slice::from_ref(id)).await?.into_iter().next() {
                return Ok(held);
            }
        }
        Err(Error::new(Kind::Timeout, format!("{id} does not show up")).left(LeftBehind::Present(vec![id.to_string()])))
    }

    /// Deletes what the record knows and no tag of ours finds: docker-machine made it. Refuses an instance of others.
    async fn destroy_untagged(&self, machine: &MachineRef<'_>, cx: &Cx<'_>) -> Result<()> {
        if let Some(instance) = machine.instance {
            let found = self.account.describe(std::slice::from_ref(&instance.id)).await?;
            let gone = |state| matches!(state, MachineState::Terminated | MachineState::Terminating);
            match found.first().filter(|h| !gone(h.state)) {
                Some(held) if held.resource.token.is_none() && machine.by_id => {
                    cx.check()?;
                    self.account.terminate(instance.id.as_str()).await?;
                }
                Some(held) if held.resource.token.as_ref() != Some(machine.token) => {
                    return Err(Error::new(
                        Kind::Conflict,
                        format!("the instance {} does not carry the token of the machine", instance.id),
                    ));
                }
                _ => {}
            }
        }
        for key in machine.made.iter().filter(|made| made.kind == ResourceKind::KeyPair) {
            cx.check()?;
            self.account.delete(&key.id).await?;
        }
        Ok(())
    }

    /// Deletes all of `machine` that can be seen now; answers whether there was any.
    async fn sweep(&self, machine: &MachineRef<'_>, cx: &Cx<'_>) -> Result<bool> {
        let found = self.account.find(Some(machine.owner)).await?;
        let mine: Vec<Held> = found.into_iter().filter(|h| h.resource.token.as_ref() == Some(machine.token)).collect();
        let (instances, others): (Vec<_>, Vec<_>) =
            mine.iter().partition(|h: &&Held| h.resource.kind == ResourceKind::Instance);
        for held in &instances {
            if held.state != MachineState::Terminating {
                cx.check()?;
                self.account.terminate(&held.resource.id).await?;
            }
        }
        if instances.is_empty() {
            for held in others.iter().filter(|h| h.resource.kind == ResourceKind::SecurityGroup) {
                cx.check()?;
                self.account.delete_group(&held.resource.id).await?;
            }
        }
        Ok(!mine.is_empty())
    }
}

#[async_trait]
impl Provider for FakeProvider {
    async fn preflight(&self, spec: &PreflightRequest, _: &Cx<'_>) -> Result<Plan> {
        self.account.preflight().await?;
        let fallbacks = spec.config["fallbacks"].as_array().cloned().unwrap_or_default();
        let alternative = |region: &serde_json::Value| Alternative {
            changes: serde_json::json!({ "region": region }),
            arch: None,
            label: region.as_str().unwrap_or_default().to_owned(),
        };
        Ok(Plan {
            resolved: spec.config.clone(),
            login: Login {
                user: "fake".into(),
                port: self.account.ports().map_or(22, |(ssh, _)| ssh),
                key: LoginKey::Generate,
            },
            boot_data: Some(BootData { form: BootForm::CloudInit, limit: 16384, user_supplied: None }),
            host_trust: HostTrust::Seeded,
            arch: Some("amd64".into()),
            alternatives: fallbacks.iter().map(alternative).collect(),
            summary: vec![("region".into(), spec.config["region"].as_str().unwrap_or_default().to_owned())],
        })
    }

    async fn create(&self, request: &CreateRequest, cx: &Cx<'_>) -> Result<Instance> {
        cx.intend("CreateGroup")?;
        let group = settled(self.account.create_group(request).await, "CreateGroup", cx)?;
        cx.made(&group)?;
        let rules = vec![caller()];
        let beside = |error: Error| match error.left_behind() {
            LeftBehind::Nothing => error.left(LeftBehind::Present(vec![group.id.clone()])),
            LeftBehind::Present(_) | LeftBehind::Unknown => error,
        };
        cx.check()?;
        self.account.set_rules(&self.ids_of(&request.token), rules).await?;
        cx.intend(RUN).map_err(beside)?;
        let made = settled(self.account.run_instance(request).await, RUN, cx).map_err(beside)?;
        for resource in &made {
            cx.made(resource)?;
        }
        let instance = made.into_iter().find(|r| r.kind == ResourceKind::Instance);
        let id: InstanceId = instance.map(|r| r.id).unwrap_or_default().parse()?;
        cx.progress("waiting for the instance");
        let held = cx.until_cancelled(self.seen(&id)).await?;
        let details = serde_json::json!({ "group": group.id, "spot": request.plan.resolved["spot"] });
        let engine_port = self.account.ports().map(|(_, engine)| engine);
        Ok(Instance { id, addresses: held.addresses, url: None, engine_port, details })
    }

    async fn observe(&self, ids: &[InstanceId]) -> Result<Vec<Observed>> {
        let held = self.account.describe(ids).await?;
        let observed = |id: &InstanceId| {
            let known = held.iter().find(|h| h.resource.id == id.as_str());
            Observed {
                id: id.clone(),
                state: known.map_or(MachineState::Absent, |h| h.state),
                addresses: known.map(|h| h.addresses.clone()).unwrap_or_default(),
                reason: None,
            }
        };
        Ok(ids.iter().map(observed).collect())
    }

    async fn start(&self, id: &InstanceId, cx: &Cx<'_>) -> Result<Observed> {
        cx.check()?;
        cx.progress("waiting for the instance");
        let held = self.account.power(Operation::StartInstance, id).await?;
        Ok(Observed { id: id.clone(), state: held.state, addresses: held.addresses, reason: None })
    }

    async fn stop(&self, id: &InstanceId, _: StopMode, cx: &Cx<'_>) -> Result<()> {
        cx.check()?;
        self.account.power(Operation::StopInstance, id).await.map(|_| ())
    }

    async fn reboot(&self, id: &InstanceId, cx: &Cx<'_>) -> Result<()> {
        cx.check()?;
        self.account.power(Operation::RebootInstance, id).await.map(|_| ())
    }

    async fn find(&self, owner: Option<&Owner>) -> Result<Vec<Resource>> {
        let mut found: Vec<Resource> = self.account.find(owner).await?.into_iter().map(|h| h.resource).collect();
        found.retain(|resource| owner.is_none_or(|owner| resource.owner.as_ref() == Some(owner)));
        Ok(found)
    }

    async fn destroy(&self, machine: &MachineRef<'_>, cx: &Cx<'_>) -> Result<()> {
        cx.progress("terminating");
        cx.check()?;
        // The same request answers the instance that it made, or makes one, which goes at once, whoever cancels: as on EC2.
        let to_its_end = Cx::new(cx);
        let mut cx = cx;
        if let Some(request) = machine.unanswered.filter(|_| machine.intents.iter().any(|intent| intent == RUN)) {
            self.account.run_instance(request).await?;
            cx = &to_its_end;
        }
        self.destroy_untagged(machine, cx).await?;
        let mut quiet = 0;
        for _ in 0..PATIENCE * 4 {
            quiet = if self.sweep(machine, cx).await? { 0 } else { quiet + 1 };
            if quiet > PATIENCE {
                return Ok(());
            }
        }
        let left = machine.instance.map(|i| i.id.to_string()).into_iter().collect();
        Err(Error::new(Kind::Timeout, "something would not go").left(LeftBehind::Present(left)))
    }

    async fn regions(&self) -> Result<Vec<String>> {
        Ok(vec!["here".to_owned(), "there".to_owned()])
    }

    async fn console(&self, id: &InstanceId) -> Result<Option<Console>> {
        if self.account.describe(std::slice::from_ref(id)).await?.is_empty() {
            return Err(Error::new(Kind::NotFound, format!("there is no instance {id}")));
        }
        let read = |at: i64| OffsetDateTime::from_unix_timestamp(at).ok();
        let console = self.account.change(|cloud| cloud.console.clone());
        Ok(console.map(|(text, at)| Console { text, read: at.and_then(read) }))
    }

    async fn examine(&self, id: &InstanceId) -> Result<Stray> {
        let held = self.account.describe(std::slice::from_ref(id)).await?.into_iter().next();
        let held = held.ok_or_else(|| Error::new(Kind::NotFound, format!("there is no instance {id}")))?;
        if held.resource.token.is_none() {
            return Err(Error::invalid(format!("the instance {id} has no tag of rmachine")));
        }
        let config = serde_json::json!({ "region": held.resource.location, "size": 8, "spot": false, "tags": [] });
        let port = self.account.ports().map_or(22, |(ssh, _)| ssh);
        let login = Login { user: "fake".into(), port, key: LoginKey::Generate };
        let plan = Plan { arch: Some("amd64".into()), ..Plan::of_existing(config.clone(), login) };
        let instance = Instance {
            id: id.clone(),
            addresses: held.addresses,
            url: None,
            engine_port: self.account.ports().map(|(_, engine)| engine),
            details: serde_json::Value::Null,
        };
        Ok(Stray { resource: held.resource, state: held.state, plan, config, instance })
    }

    async fn claim(&self, token: &MachineToken, owner: &Owner, name: &str, cx: &Cx<'_>) -> Result<()> {
        cx.check()?;
        self.account.claim(&self.ids_of(token), owner, name).await
    }

    async fn rename(&self, machine: &MachineRef<'_>, to: &str, cx: &Cx<'_>) -> Result<()> {
        cx.check()?;
        self.account.rename(&self.ids_of(machine.token), to).await
    }

    async fn allow(&self, machine: &MachineRef<'_>, sources: Option<&[IpNet]>, cx: &Cx<'_>) -> Result<Vec<IpNet>> {
        if !self.ingress {
            return Err(Error::unsupported("this fake cloud has no firewall"));
        }
        cx.check()?;
        let rules = sources.map_or_else(|| vec![caller()], <[IpNet]>::to_vec);
        self.account.set_rules(&self.ids_of(machine.token), rules).await
    }

    async fn checkup(&self) -> Vec<Finding> {
        vec![match self.account.checkup().await {
            Ok(()) => Finding::good("credentials", "the fake cloud takes them"),
            Err(error) => Finding::failed("credentials", &error),
        }]
    }

    async fn diagnose(&self, machine: &MachineRef<'_>) -> Option<(String, String)> {
        let instance = machine.instance?;
        let held = self.account.describe(std::slice::from_ref(&instance.id)).await.ok()?;
        match held.first() {
            None => Some((format!("the instance {} is gone", instance.id), "remove the machine".to_owned())),
            Some(_) => None,
        }
    }
}

/// Takes an intent back that was refused for good.
fn settled<T>(outcome: Result<T>, intent: &str, cx: &Cx<'_>) -> Result<T> {
    if outcome.as_ref().is_err_and(|error| *error.left_behind() == LeftBehind::Nothing) {
        cx.refused(intent);
    }
    outcome
}

/// The address that the caller of a cloud in memory has.
fn caller() -> IpNet {
    IpNet::from(IpAddr::V4(Ipv4Addr::LOCALHOST))
}
