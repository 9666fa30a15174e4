//! Observe, start, stop, reboot.

use std::{collections::HashMap, time::Duration};

use rmachine_provider_api::{Cx, Error, InstanceId, Kind, MachineState, Observed, Result, StopMode};

use crate::{
    client::Aws,
    config::Reach,
    create, instance as view,
    watch::{self, Verdict, Watch},
};

/// How long a system may take to shut down; EC2 pulls the plug in the end by itself.
const STOPPED: Duration = Duration::from_secs(600);

pub(crate) async fn observe(aws: &Aws, ids: &[InstanceId], reach: Reach) -> Result<Vec<Observed>> {
    let wanted: Vec<String> = ids.iter().map(ToString::to_string).collect();
    let listed = watch::by_ids(aws, &wanted).await?;
    let by_id: HashMap<&str, _> = listed.iter().filter_map(|i| i.instance_id().map(|id| (id, i))).collect();
    if aws.fell_back() && by_id.len() < ids.len() {
        aws.warn("instances that are not found may belong to the account whose stored keys have expired");
    }
    Ok(ids.iter().map(|id| view::observed(id, by_id.get(id.as_str()).copied(), reach)).collect())
}

pub(crate) async fn start(aws: &Aws, watch: &Watch, id: &InstanceId, reach: Reach, cx: &Cx<'_>) -> Result<Observed> {
    cx.check()?;
    let send = || aws.effect(cx, "StartInstances", |ec2| ec2.start_instances().instance_ids(id.as_str()).send());
    match send().await {
        Ok(_) => {}
        // It is still on its way down.
        Err(failure) if failure.is(&["IncorrectInstanceState"]) => {
            stopped(aws, watch, id, cx).await?;
            send().await.map_err(|e| e.error(&format!("start the instance {id}")))?;
        }
        Err(failure) => return Err(failure.error(&format!("start the instance {id}"))),
    }
    let addresses = create::wait_running(aws, watch, id.as_str(), reach, cx).await?;
    Ok(Observed { id: id.clone(), state: MachineState::Running, addresses, reason: None })
}

pub(crate) async fn stop(aws: &Aws, watch: &Watch, id: &InstanceId, mode: StopMode, cx: &Cx<'_>) -> Result<()> {
    aws.effect(cx, "StopInstances", |ec2| {
        ec2.stop_instances().instance_ids(id.as_str()).force(mode == StopMode::Force).send()
    })
    .await
    .map_err(|e| e.error(&format!("stop the instance {id}")))?;
    stopped(aws, watch, id, cx).await
}

async fn stopped(aws: &Aws, watch: &Watch, id: &InstanceId, cx: &Cx<'_>) -> Result<()> {
    let stopped = watch.until(aws, id.as_str(), STOPPED, "stopped", |instance| match instance.map(view::state) {
        Some(MachineState::Stopped) => Verdict::Done(()),
        None | Some(MachineState::Terminating | MachineState::Terminated) => Verdict::Failed(
            Error::new(Kind::NotFound, format!("the instance {id} is terminated"))
                .hint("remove its record with `rmachine rm NAME`"),
        ),
        Some(_) => Verdict::Wait,
    });
    cx.until_cancelled(stopped).await
}

pub(crate) async fn reboot(aws: &Aws, id: &InstanceId, cx: &Cx<'_>) -> Result<()> {
    aws.effect(cx, "RebootInstances", |ec2| ec2.reboot_instances().instance_ids(id.as_str()).send())
        .await
        .map(|_| ())
        .map_err(|e| e.error(&format!("reboot the instance {id}")))
}
