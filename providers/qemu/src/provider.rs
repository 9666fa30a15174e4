//! The client of one directory of machines.

use std::path::PathBuf;

use async_trait::async_trait;
use rmachine_provider_api::{
    Addresses, CreateRequest, Cx, Error, Finding, Instance, InstanceId, Kind, MachineRef, MachineState, Notify,
    Observed, Owner, Plan, PreflightRequest, Provider, Resource, Result, StopMode,
};

use crate::{
    checkup, create, files, image,
    machine::{self, Machine, Place},
    plan, power, process,
};

/// More of a console's log than this is cut, whenever the machine is looked at, to what is kept: its end.
const LONGEST_CONSOLE: u64 = 8 << 20;
const KEPT_OF_CONSOLE: u64 = 1 << 20;

pub(crate) struct Qemu {
    root: PathBuf,
}

impl std::fmt::Debug for Qemu {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Qemu").field("root", &self.root).finish_non_exhaustive()
    }
}

impl Qemu {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    fn find_machine(&self, id: &InstanceId) -> Result<(Place, Machine)> {
        let place = Place::of_id(&self.root, id);
        let found = place.map(|place| place.load().map(|machine| machine.map(|m| (place, m)))).transpose()?.flatten();
        found.ok_or_else(|| {
            Error::new(Kind::NotFound, format!("there is no machine {id} in {}", self.root.display()))
                .hint("its directory was removed; `rmachine rm` forgets the machine")
        })
    }

    async fn look(&self, id: &InstanceId, running: &[String]) -> Result<Observed> {
        let absent =
            Observed { id: id.clone(), state: MachineState::Absent, addresses: Addresses::default(), reason: None };
        let Some(place) = Place::of_id(&self.root, id) else { return Ok(absent) };
        let Some(machine) = place.load()? else { return Ok(absent) };
        let mut observed = Observed { addresses: machine.addresses(), ..absent };
        if !running.contains(&place.uuid()) {
            observed.state = MachineState::Stopped;
            if !machine.complete {
                observed.reason = Some("its create did not end".to_owned());
            }
            return Ok(observed);
        }
        // Whoever is in the machine writes there what he likes.
        let _ = files::shorten(&place.console(), LONGEST_CONSOLE, KEPT_OF_CONSOLE);
        observed.reason = power::paused(&place).await;
        observed.state = if observed.reason.is_some() { MachineState::Paused } else { MachineState::Running };
        Ok(observed)
    }
}

#[async_trait]
impl Provider for Qemu {
    async fn preflight(&self, spec: &PreflightRequest, cx: &Cx<'_>) -> Result<Plan> {
        plan::preflight(spec, cx).await
    }

    async fn create(&self, request: &CreateRequest, cx: &Cx<'_>) -> Result<Instance> {
        create::create(request, cx).await
    }

    async fn observe(&self, ids: &[InstanceId]) -> Result<Vec<Observed>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let running: Vec<String> = process::running()?.into_iter().map(|(_, uuid)| uuid).collect();
        futures::future::try_join_all(ids.iter().map(|id| self.look(id, &running))).await
    }

    async fn start(&self, id: &InstanceId, cx: &Cx<'_>) -> Result<Observed> {
        let (place, machine) = self.find_machine(id)?;
        power::start(&machine, &place, cx, cx).await?;
        Ok(Observed { id: id.clone(), state: MachineState::Running, addresses: machine.addresses(), reason: None })
    }

    async fn stop(&self, id: &InstanceId, mode: StopMode, cx: &Cx<'_>) -> Result<()> {
        let (place, machine) = self.find_machine(id)?;
        power::stop(&machine, &place, mode, cx).await
    }

    /// Shuts the system down and starts it again: qemu's own reset would be a power cut.
    async fn reboot(&self, id: &InstanceId, cx: &Cx<'_>) -> Result<()> {
        let (place, machine) = self.find_machine(id)?;
        power::stop(&machine, &place, StopMode::Graceful, cx).await?;
        power::start(&machine, &place, cx, cx).await
    }

    async fn find(&self, owner: Option<&Owner>) -> Result<Vec<Resource>> {
        let all = machine::all(&self.root)?;
        let of_owner = all.into_iter().filter(|(_, machine)| owner.is_none_or(|owner| *owner == machine.owner));
        Ok(of_owner.flat_map(|(place, machine)| machine.resources(&place)).collect())
    }

    async fn destroy(&self, machine: &MachineRef<'_>, cx: &Cx<'_>) -> Result<()> {
        // By the token, whatever its record knows: a create may have been killed before it knew anything.
        let place = Place::of_token(&self.root, machine.token);
        if let Some(instance) = machine.instance.filter(|instance| instance.id != place.id()) {
            let (id, name) = (&instance.id, machine.name);
            let text =
                format!("the instance {id} does not carry the token of machine \"{name}\", so it is another one's");
            return Err(Error::new(Kind::Conflict, text).hint(format!("`rmachine rm -f {name}` forgets the record")));
        }
        cx.check()?;
        cx.progress("ending qemu");
        process::kill(&place.uuid()).await?;
        cx.check()?;
        cx.progress("removing the disk");
        files::remove(&place.directory)?;
        image::sweep(&self.root)
    }

    async fn checkup(&self) -> Vec<Finding> {
        checkup::checkup(&self.root).await
    }

    async fn diagnose(&self, machine: &MachineRef<'_>) -> Option<(String, String)> {
        let place = Place::of_token(&self.root, machine.token);
        place.load().ok().flatten()?;
        let name = machine.name;
        let console = place.console();
        if process::of(&place.uuid()).ok()?.is_empty() {
            let what = "its qemu does not run: it was stopped, or this computer restarted";
            return Some((
                what.to_owned(),
                format!("`rmachine start {name}`; {} has what it said last", console.display()),
            ));
        }
        if let Some(why) = power::paused(&place).await {
            return Some((why, format!("make room on the disk, then `rmachine start {name}` lets it go on")));
        }
        Some((
            "its qemu runs, so the system may still boot, or does not come up".to_owned(),
            format!("{} has what it says", console.display()),
        ))
    }
}
