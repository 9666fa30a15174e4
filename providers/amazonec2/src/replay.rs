//! `destroy` after a create whose answer never came.

use rmachine_provider_api::{Cx, Kind, LeftBehind, MachineRef, MachineState, ResourceKind, Result};

use crate::{
    client::Aws,
    codes,
    create::{self, Started},
    instance as view, inventory,
    plan::Resolved,
    remove::recorded_ids,
    tags,
};

/// The instance of an attempt whose answer never came (one that was refused is no intent any more): found by its token, or
/// the same request answers it again, or fails and so shows that there is none.
pub(crate) async fn unanswered(
    aws: &Aws,
    machine: &MachineRef<'_>,
    resolved: Option<&Resolved>,
    cx: &Cx<'_>,
) -> Result<Option<Started>> {
    let (Some(request), Some(resolved)) = (machine.unanswered, resolved) else { return Ok(None) };
    if !machine.intents.iter().any(|intent| intent == codes::RUN) {
        return Ok(None);
    }
    if let Some(instance) = create::by_attempt(aws, request).await? {
        return Ok(Started::of(&instance).filter(|_| view::state(&instance) != MachineState::Terminated));
    }
    // Those that were written down, in their order: the request has to be the same. Where an earlier rm has deleted
    // them, EC2 refuses a request that it has not seen before.
    let mut own: Vec<String> = recorded_ids(machine, ResourceKind::SecurityGroup).collect();
    if own.is_empty() && resolved.makes_group() {
        own.extend(inventory::groups(aws, tags::by_token(machine.token)).await?.into_iter().map(|group| group.id));
    }
    let groups: Vec<String> = resolved.groups.iter().chain(&own).cloned().collect();
    let tags = tags::of(request, &resolved.config.tags);
    match create::run(aws, request, resolved, &groups, &tags, cx).await {
        Ok(started) => Ok(Some(started)),
        // Its instance was there, and has been terminated.
        Err(failure) if failure.is(&["IdempotentInstanceTerminated"]) => Ok(None),
        Err(failure) if failure.is(&["IdempotentParameterMismatch"]) => {
            Err(failure.error("find the instance of an interrupted create").left(LeftBehind::Unknown))
        }
        Err(failure) => {
            let unsure = failure.may_have_worked();
            let error = failure.error("find the instance of an interrupted create");
            match error.kind() {
                // The request itself is refused: nothing came of it. A missing permission says nothing of what was made
                // when it was not missing.
                Kind::Capacity | Kind::Quota | Kind::NotFound | Kind::InvalidInput | Kind::Conflict if !unsure => {
                    Ok(None)
                }
                _ => Err(error.left(LeftBehind::Unknown)),
            }
        }
    }
}
