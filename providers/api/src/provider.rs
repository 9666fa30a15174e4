//! The provider trait: instances, and nothing else.

use std::fmt::Debug;

use async_trait::async_trait;
use ipnet::IpNet;

use crate::{
    Console, CreateRequest, Cx, Error, Finding, Instance, InstanceId, MachineRef, MachineToken, Observed, Owner, Plan,
    PreflightRequest, Resource, Result, StopMode, Stray,
};

/// Where a provider writes down side effects before and after it has them. Each call returns
/// when the entry is on disk; an error means that the effect must not be started.
pub trait Journal: Send + Sync {
    /// `what` (such as `RunInstances`) is about to be asked for.
    ///
    /// # Errors
    ///
    /// When the entry could not be saved.
    fn intend(&self, what: &str) -> Result<()>;

    /// `what`, which was intended last, was refused for good: nothing came of it, and it is never sent again to find
    /// out. What may have had its effect (no answer came, or an error of the provider's own) is not refused.
    /// Where the entry cannot be saved, the intent stays and counts as unanswered.
    fn refused(&self, what: &str);

    /// `resource` exists now.
    ///
    /// # Errors
    ///
    /// When the entry could not be saved.
    fn made(&self, resource: &Resource) -> Result<()>;
}

/// A client for one account and place.
///
/// All methods may be called from several tasks at once. Those that have effects are given a [`Cx`], and owe what it says:
/// a call that is cancelled returns before its next effect. All others only look, and may be dropped anywhere.
#[async_trait]
pub trait Provider: Debug + Send + Sync + 'static {
    /// Checks the request and resolves defaults (image, zone, type). Makes nothing of the machine; repeating it may answer
    /// differently, as the world does. What machines share and none owns (an image) may be fetched and kept: the caller may
    /// drop the future, which ends that, and [`crate::Driver::sweep`] removes what is left where the process was killed.
    ///
    /// # Errors
    ///
    /// `Credentials`, `Denied`, `NotFound` (image, subnet, …), `InvalidInput`; never leaves anything of the machine.
    async fn preflight(&self, spec: &PreflightRequest, cx: &Cx<'_>) -> Result<Plan>;

    /// Makes the instance and returns when it runs and has its addresses.
    ///
    /// Repeat: with the same `attempt` and the same request it finds what the first call made and
    /// goes on from there. Every resource carries `owner` and `token` from the call that makes it;
    /// the journal of `cx` is told before and after each.
    ///
    /// # Errors
    ///
    /// Each error says what it left behind; [`Provider::destroy`] removes it.
    async fn create(&self, request: &CreateRequest, cx: &Cx<'_>) -> Result<Instance>;

    /// Looks at many instances at once: one call a page, not a call an instance.
    ///
    /// Answers one entry for each id, in that order; a missing one is
    /// [`crate::MachineState::Absent`], never an error.
    ///
    /// # Errors
    ///
    /// Only when the provider could not be asked.
    async fn observe(&self, ids: &[InstanceId]) -> Result<Vec<Observed>>;

    /// Starts a stopped instance and returns when it runs, with its (maybe new) addresses.
    ///
    /// Repeat: running already is success. Missing: `NotFound`. No power interface: `Unsupported`.
    ///
    /// # Errors
    ///
    /// As above, and `Timeout`.
    async fn start(&self, id: &InstanceId, cx: &Cx<'_>) -> Result<Observed>;

    /// Stops a running instance and returns when it is stopped.
    ///
    /// Repeat: stopped already is success. Missing: `NotFound`. Not possible for this instance
    /// (no power interface, one-time spot): `Unsupported`, with the reason.
    ///
    /// # Errors
    ///
    /// As above, and `Timeout`.
    async fn stop(&self, id: &InstanceId, mode: StopMode, cx: &Cx<'_>) -> Result<()>;

    /// Asks for a reboot and returns when the request was taken; the host may still be up.
    ///
    /// Missing: `NotFound`. One that does not run is not asked for. No such interface: `Unsupported`; the core then reboots over SSH.
    ///
    /// # Errors
    ///
    /// As above.
    async fn reboot(&self, id: &InstanceId, cx: &Cx<'_>) -> Result<()>;

    /// Everything that carries `owner`'s tag, known to a record or not; every owner with `None`.
    ///
    /// # Errors
    ///
    /// Only when the provider could not be asked.
    async fn find(&self, owner: Option<&Owner>) -> Result<Vec<Resource>>;

    /// Deletes all that was made for a machine, found by its token and by the record, and returns
    /// when nothing is left. Repeat and missing: success. What the user named (an own group, an
    /// own key pair, a generic host) is not touched. What a filter answers is compared with the token before it is
    /// changed: an instance that carries another one is never ended, one that carries none only where it is known
    /// [by its id](MachineRef::by_id).
    ///
    /// # Errors
    ///
    /// `Conflict` when the instance of the record is there and carries another token, or none: nothing was changed.
    /// `Timeout` when something would not go in time: repeat later. Never success while something is left.
    async fn destroy(&self, machine: &MachineRef<'_>, cx: &Cx<'_>) -> Result<()>;

    /// Replaces who may connect to the machine's SSH and engine ports by `sources`, or by the
    /// caller's address when `None`; answers the networks that are admitted now.
    ///
    /// Repeat: success. No own group or no such interface: `Unsupported`.
    ///
    /// # Errors
    ///
    /// As above; `Unreachable` when the caller's address cannot be found.
    async fn allow(&self, machine: &MachineRef<'_>, sources: Option<&[IpNet]>, cx: &Cx<'_>) -> Result<Vec<IpNet>> {
        let _ = (machine, sources, cx);
        Err(Error::unsupported("this driver has no firewall of its own to change"))
    }

    /// The regions that the account may use; for looking in all of them.
    ///
    /// # Errors
    ///
    /// `Unsupported` where there are no regions.
    async fn regions(&self) -> Result<Vec<String>> {
        Err(Error::unsupported("this driver knows no regions"))
    }

    /// Reads back what is known of the instance `id`, which carries our tags and has no record. Read-only.
    ///
    /// # Errors
    ///
    /// `NotFound`; `InvalidInput` when it carries no tag of ours; `Unsupported` where a lost record cannot be made anew.
    async fn examine(&self, id: &InstanceId) -> Result<Stray> {
        let _ = id;
        Err(Error::unsupported("this driver cannot give a record back to a machine"))
    }

    /// The console's output of the instance `id`, 64 KiB of it at most. Read-only. `None`: there is none to be had.
    ///
    /// # Errors
    ///
    /// `Denied`, `NotFound`, `Unreachable`.
    async fn console(&self, id: &InstanceId) -> Result<Option<Console>> {
        let _ = id;
        Ok(None)
    }

    /// Lets `public_key` (one OpenSSH line) log in as `user` for some seconds (EC2 Instance Connect).
    ///
    /// # Errors
    ///
    /// `Unsupported` where there is no such way, `Denied` where it may not be used.
    async fn let_in(&self, id: &InstanceId, user: &str, public_key: &str, cx: &Cx<'_>) -> Result<()> {
        let _ = (id, user, public_key, cx);
        Err(Error::unsupported("this driver has no way in besides the machine's own login key"))
    }

    /// Makes `owner` the owner of all that carries `token`, under the machine's name `name`. Repeat: success.
    ///
    /// # Errors
    ///
    /// `Unsupported` where tags cannot be changed.
    async fn claim(&self, token: &MachineToken, owner: &Owner, name: &str, cx: &Cx<'_>) -> Result<()> {
        let _ = (token, owner, name, cx);
        Err(Error::unsupported("this driver cannot change the owner of a machine"))
    }

    /// Shows `machine` under the name `to` where it shows its name at all; what a user named stays. Repeat: success.
    ///
    /// # Errors
    ///
    /// `Unsupported` where names cannot be changed: the machine is renamed in the store all the same.
    async fn rename(&self, machine: &MachineRef<'_>, to: &str, cx: &Cx<'_>) -> Result<()> {
        let _ = (machine, to, cx);
        Err(Error::unsupported("this driver cannot change the name that it shows"))
    }

    /// What `doctor` should know of the account: credentials, clock, quotas. Never fails: a failure is a finding.
    async fn checkup(&self) -> Vec<Finding> {
        Vec::new()
    }

    /// Says why `machine` may not answer, when the provider can tell (its state, a rule that does
    /// not admit the caller); one fragment, and a hint. `None`: no idea.
    async fn diagnose(&self, machine: &MachineRef<'_>) -> Option<(String, String)> {
        let _ = machine;
        None
    }
}
