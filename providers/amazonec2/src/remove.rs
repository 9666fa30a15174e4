//! `destroy`: ends with nothing, or with an error that says what is left.

use std::time::Duration;

use rmachine_provider_api::{
    Cx, Error, Kind, LeftBehind, MachineRef, MachineState, Notify, Resource, ResourceKind, Result,
};
use tokio::time::Instant;

use crate::{
    client::Aws,
    create::{self, Details},
    instance as view, inventory, legacy,
    plan::Resolved,
    replay::unanswered,
    tags::{self, filter},
    watch::{self, Verdict, Watch},
};

/// How long all of it may take; a group cannot go before its interface has.
const PATIENCE: Duration = Duration::from_secs(300);
/// How long a new instance may be invisible to the calls that look for it.
const GRACE: Duration = Duration::from_secs(20);
/// How long a group that was just made may be missing in lists.
const SHOWING: Duration = Duration::from_secs(6);

/// Deletes all that was made for `machine`.
pub(crate) async fn destroy(aws: &Aws, watch: &Watch, machine: &MachineRef<'_>, cx: &Cx<'_>) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let resolved = machine.plan.map(Resolved::read).transpose()?;
    // A create that ended early, or keys that were exchanged: with those of another account nothing would be found.
    let began = !machine.intents.is_empty() || !machine.made.is_empty();
    if aws.fell_back() || (machine.instance.is_none() && began) {
        check_account(aws, machine, resolved.as_ref()).await?;
    }
    let by_record = match machine.instance.map(|instance| instance.id.to_string()) {
        Some(id) => recorded(aws, machine, id).await?,
        None => None,
    };
    let login_key = legacy::login_key(aws, machine).await?;
    let started = unanswered(aws, machine, resolved.as_ref(), cx).await?;
    // What this call has started itself goes, whoever cancels it.
    let to_its_end = Cx::new(cx);
    let cx = if started.is_some() { &to_its_end } else { cx };
    // A persistent request would start another instance in the place of the one that goes.
    if resolved.as_ref().is_none_or(|resolved| resolved.spot.is_some() || resolved.config.may_be_spot()) {
        let known = started.as_ref().and_then(|started| started.spot_request.clone());
        let known = match known {
            Some(known) => Some(known),
            None => legacy::spot_request(aws, machine).await?,
        };
        cancel_spot_requests(aws, machine, known, cx).await?;
    }
    let by_token = tags::by_token(machine.token);
    let mut ids: Vec<String> = inventory::instances(aws, by_token).await?.into_iter().map(|r| r.id).collect();
    if let Some(started) = started
        && !ids.contains(&started.id)
    {
        ids.push(started.id);
    }
    match (machine.instance, by_record) {
        (Some(_), Some(id)) if !ids.contains(&id) => ids.push(id),
        (Some(_), _) => {}
        // The create ended before it had seen its instance, which may not show yet; terminating waits for that.
        (None, _) => {
            let made = machine.made.iter().filter(|made| made.kind == ResourceKind::Instance).map(|made| &made.id);
            let unseen: Vec<String> = made.filter(|id| !ids.contains(id)).cloned().collect();
            let gone = watch::by_ids(aws, &unseen).await?;
            let is_gone = |id: &String| gone.iter().any(|instance| instance.instance_id() == Some(id));
            ids.extend(unseen.into_iter().filter(|id| !is_gone(id)));
        }
    }
    terminate_all(aws, watch, &ids, cx, deadline).await?;
    cx.progress("removing disks and the security group");
    let found_more = sweep(aws, watch, machine, cx, deadline).await?;
    if ids.is_empty() && !found_more {
        check_account(aws, machine, resolved.as_ref()).await?;
    }
    legacy::delete_key_pairs(aws, machine, recorded_ids(machine, ResourceKind::KeyPair), login_key, cx).await
}

/// What the create wrote down of `kind`, in its order.
pub(crate) fn recorded_ids(machine: &MachineRef<'_>, kind: ResourceKind) -> impl Iterator<Item = String> {
    machine.made.iter().filter(move |made| made.kind == kind).map(|made| made.id.clone())
}

/// The recorded instance, where it is there. One that carries the token is the machine's, also where its tag does not find
/// it yet; one without any is docker-machine's, if the record is; all others are somebody else's.
async fn recorded(aws: &Aws, machine: &MachineRef<'_>, id: String) -> Result<Option<String>> {
    let listed = watch::by_ids(aws, std::slice::from_ref(&id)).await?;
    let Some(found) = listed.first().filter(|instance| view::state(instance) != MachineState::Terminated) else {
        return Ok(None);
    };
    let is_untagged = tags::value(found.tags(), tags::TOKEN).is_none();
    if tags::are_of(found.tags(), machine.token) || (machine.by_id && is_untagged) {
        return Ok(Some(id));
    }
    let name = machine.name;
    Err(Error::new(
        Kind::Conflict,
        format!("the instance {id} does not carry the token of machine \"{name}\", so it is another one's"),
    )
    .hint(format!("`rmachine rm -f {name}` forgets the record")))
}

async fn cancel_spot_requests(aws: &Aws, machine: &MachineRef<'_>, known: Option<String>, cx: &Cx<'_>) -> Result<()> {
    let mut ids: Vec<String> =
        inventory::spot_requests(aws, tags::by_token(machine.token)).await?.into_iter().map(|r| r.id).collect();
    let is_new = known.is_some() || machine.instance.is_none();
    let recorded = machine.instance.and_then(|instance| Details::read(&instance.details).spot_request);
    for id in recorded.into_iter().chain(known).chain(recorded_ids(machine, ResourceKind::SpotRequest)) {
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    // One a call: one that is not known fails the call for all.
    all_of(ids.iter().map(|id| cancel(aws, id, is_new, cx))).await
}

/// Does all of `work` at once and to its end, as each has an effect; then the first error.
async fn all_of(work: impl Iterator<Item = impl Future<Output = Result<()>>>) -> Result<()> {
    futures::future::join_all(work).await.into_iter().collect()
}

/// Cancels one spot request; one that was made just now, `is_new`, may be unknown for a moment.
async fn cancel(aws: &Aws, id: &str, is_new: bool, cx: &Cx<'_>) -> Result<()> {
    let began = Instant::now();
    loop {
        let cancelled = aws
            .effect(cx, "CancelSpotInstanceRequests", |ec2| {
                ec2.cancel_spot_instance_requests().spot_instance_request_ids(id).send()
            })
            .await;
        match cancelled {
            Err(failure) if failure.is_not_found() && is_new && began.elapsed() < GRACE => {
                cx.pause(Duration::from_secs(1)).await?;
            }
            Err(failure) if !failure.is_not_found() => return Err(failure.error("cancel the spot request")),
            _ => return Ok(()),
        }
    }
}

async fn terminate_all(aws: &Aws, watch: &Watch, ids: &[String], cx: &Cx<'_>, deadline: Instant) -> Result<()> {
    if !ids.is_empty() {
        cx.progress("terminating the instance");
    }
    all_of(ids.iter().map(|id| terminate(aws, watch, id, cx, deadline))).await
}

/// Terminates `id` and waits until it is gone.
async fn terminate(aws: &Aws, watch: &Watch, id: &str, cx: &Cx<'_>, deadline: Instant) -> Result<()> {
    let began = Instant::now();
    loop {
        match aws.effect(cx, "TerminateInstances", |ec2| ec2.terminate_instances().instance_ids(id).send()).await {
            Ok(_) => break,
            // A new instance may be unknown for a moment.
            Err(failure) if failure.is_not_found() && began.elapsed() < GRACE => {
                cx.pause(Duration::from_secs(1)).await?;
            }
            Err(failure) if failure.is_not_found() => return Ok(()),
            Err(failure) if failure.is(&["OperationNotPermitted"]) => {
                return Err(failure
                    .error(&format!("terminate the instance {id}"))
                    .hint(format!(
                        "it is protected: `aws ec2 modify-instance-attribute --instance-id {id} --no-disable-api-termination`, then again"
                    ))
                    .left(LeftBehind::Present(vec![id.to_owned()])));
            }
            Err(failure) => {
                let error = failure.error(&format!("terminate the instance {id}"));
                return Err(error.left(LeftBehind::Present(vec![id.to_owned()])));
            }
        }
    }
    let left = deadline.saturating_duration_since(Instant::now());
    let gone = watch.until(aws, id, left, "terminated", |instance| match instance.map(view::state) {
        None | Some(MachineState::Terminated) => Verdict::Done(()),
        Some(_) => Verdict::Wait,
    });
    cx.until_cancelled(gone).await.map_err(|error| error.left(LeftBehind::Present(vec![id.to_owned()])))
}

/// Deletes what remains besides instances, again and again until nothing does; answers whether
/// there was anything.
async fn sweep(aws: &Aws, watch: &Watch, machine: &MachineRef<'_>, cx: &Cx<'_>, deadline: Instant) -> Result<bool> {
    let mut found_any = false;
    let mut shared: Vec<String> = Vec::new();
    let mut gone: Vec<String> = Vec::new();
    let began = Instant::now();
    let mut pause = Duration::from_millis(300);
    loop {
        let by_token = || tags::by_token(machine.token);
        // rmachine makes neither addresses nor key pairs; what others made under our tags goes with the rest.
        let extras = async {
            match machine.plan {
                Some(_) => Ok((Vec::new(), Vec::new())),
                None => {
                    futures::future::try_join(
                        inventory::addresses(aws, by_token()),
                        inventory::key_pairs(aws, by_token()),
                    )
                    .await
                }
            }
        };
        let (volumes, interfaces, groups, (addresses, keys)) = futures::future::try_join4(
            inventory::volumes(aws, by_token()),
            inventory::interfaces(aws, by_token()),
            inventory::groups(aws, by_token()),
            extras,
        )
        .await?;
        let mut left: Vec<Resource> = Vec::new();
        let listed: Vec<String> = groups.iter().map(|group| group.id.clone()).collect();
        let unlisted = unlisted_groups(aws, machine, &listed, &gone, began, cx).await?;
        for resource in volumes.into_iter().chain(addresses).chain(interfaces).chain(groups).chain(keys) {
            found_any = true;
            if shared.contains(&resource.id) {
                continue;
            }
            if delete(aws, &resource, cx).await? {
                gone.push(resource.id);
            } else {
                if resource.kind == ResourceKind::SecurityGroup && is_used_by_others(aws, machine, &resource.id).await?
                {
                    cx.warn(&format!("the security group {} is used by others as well, so it stays", resource.id));
                    shared.push(resource.id);
                    continue;
                }
                left.push(resource);
            }
        }
        if left.is_empty() && unlisted == Unlisted::None {
            return Ok(found_any);
        }
        if left.is_empty() {
            cx.pause(Duration::from_secs(1)).await?;
            continue;
        }
        let ids: Vec<String> = left.into_iter().map(|resource| resource.id).collect();
        if Instant::now() + pause >= deadline {
            return Err(Error::new(Kind::Timeout, format!("{} could not be deleted yet: in use", ids.join(", ")))
                .left(LeftBehind::Present(ids)));
        }
        // An instance that nobody has an id of may show only now; it is what uses them.
        let late = inventory::instances(aws, by_token()).await?.into_iter().map(|r| r.id).collect::<Vec<_>>();
        terminate_all(aws, watch, &late, cx, deadline).await?;
        cx.progress(&format!("waiting until {} can be deleted", ids.join(", ")));
        cx.pause(pause.mul_f64(rand::random_range(0.75..1.25))).await?;
        pause = (pause * 3 / 2).min(Duration::from_secs(5));
    }
}

/// Whether a group of an interrupted create may still show.
#[derive(Debug, PartialEq, Eq)]
enum Unlisted {
    None,
    Maybe,
}

/// Groups of a create that ended early and that no tag finds (yet): those that were written down go by their id, and
/// one whose answer was never written down is waited for.
async fn unlisted_groups(
    aws: &Aws,
    machine: &MachineRef<'_>,
    listed: &[String],
    gone: &[String],
    began: Instant,
    cx: &Cx<'_>,
) -> Result<Unlisted> {
    if machine.instance.is_some() || began.elapsed() >= SHOWING {
        return Ok(Unlisted::None);
    }
    let recorded: Vec<String> = recorded_ids(machine, ResourceKind::SecurityGroup).collect();
    let intended = machine.intents.iter().filter(|intent| *intent == create::MAKE_GROUP).count();
    // The one of the last intent; alternatives use the group again, and intend it again.
    let answered = !recorded.is_empty() || intended == 0;
    if !answered && listed.is_empty() && gone.is_empty() {
        return Ok(Unlisted::Maybe);
    }
    for id in recorded.iter().filter(|id| !listed.contains(id) && !gone.contains(id)) {
        let deleted =
            aws.effect(cx, "DeleteSecurityGroup", |ec2| ec2.delete_security_group().group_id(id).send()).await;
        match deleted {
            // In use by what shows late, or not known yet; deleted long ago looks the same.
            Err(failure) if failure.is_not_found() || failure.is(&["DependencyViolation"]) => {
                return Ok(Unlisted::Maybe);
            }
            Err(failure) => return Err(failure.error(&format!("delete {id}"))),
            Ok(_) => {}
        }
    }
    Ok(Unlisted::None)
}

/// Deletes one thing; `false`: it is still in use.
async fn delete(aws: &Aws, resource: &Resource, cx: &Cx<'_>) -> Result<bool> {
    let id = &resource.id;
    let outcome = match resource.kind {
        ResourceKind::Volume => {
            aws.effect(cx, "DeleteVolume", |ec2| ec2.delete_volume().volume_id(id).send()).await.map(|_| ())
        }
        ResourceKind::NetworkInterface => aws
            .effect(cx, "DeleteNetworkInterface", |ec2| ec2.delete_network_interface().network_interface_id(id).send())
            .await
            .map(|_| ()),
        ResourceKind::SecurityGroup => aws
            .effect(cx, "DeleteSecurityGroup", |ec2| ec2.delete_security_group().group_id(id).send())
            .await
            .map(|_| ()),
        ResourceKind::Address => {
            aws.effect(cx, "ReleaseAddress", |ec2| ec2.release_address().allocation_id(id).send()).await.map(|_| ())
        }
        ResourceKind::KeyPair => {
            aws.effect(cx, "DeleteKeyPair", |ec2| ec2.delete_key_pair().key_pair_id(id).send()).await.map(|_| ())
        }
        _ => return Ok(true),
    };
    match outcome {
        Ok(()) => Ok(true),
        Err(failure) if failure.is_not_found() => Ok(true),
        Err(failure)
            if failure.is(&[
                "DependencyViolation",
                "VolumeInUse",
                "InvalidParameterValue",
                "InvalidNetworkInterface.InUse",
                "InvalidGroup.InUse",
                "InvalidIPAddress.InUse",
                "IncorrectState",
            ]) =>
        {
            Ok(false)
        }
        Err(failure) => Err(failure.error(&format!("delete {id}")).left(LeftBehind::Present(vec![id.clone()]))),
    }
}

/// Whether interfaces of other machines are in the group `id`.
async fn is_used_by_others(aws: &Aws, machine: &MachineRef<'_>, id: &str) -> Result<bool> {
    let users = inventory::interfaces(aws, filter("group-id", [id])).await?;
    Ok(users.iter().any(|user| user.token.as_ref() != Some(machine.token)))
}

/// Nothing was found. That counts only in the account that the machine was made in: with other
/// credentials nothing would be found either.
async fn check_account(aws: &Aws, machine: &MachineRef<'_>, resolved: Option<&Resolved>) -> Result<()> {
    let recorded = machine.instance.and_then(|instance| Details::read(&instance.details).account);
    let recorded = recorded.or_else(|| resolved.and_then(|resolved| resolved.account.clone()));
    let Some(recorded) = recorded else { return legacy::check_place(aws, machine).await };
    let owners = inventory::accounts(aws).await?;
    if owners.is_empty() || owners.contains(&recorded) {
        return Ok(());
    }
    Err(Error::new(
        Kind::Credentials,
        format!("the machine was made in the account {recorded}, and the credentials are of {}", owners[0]),
    )
    .hint("use the credentials of that account (AWS_PROFILE)")
    .left(LeftBehind::Unknown))
}
