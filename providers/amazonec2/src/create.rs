//! Making an instance: its group, then the one RunInstances, all tagged in the call that makes them.

use std::time::Duration;

use aws_sdk_ec2::types::{
    BlockDeviceMapping, EbsBlockDevice, HttpTokensState, IamInstanceProfileSpecification, InstanceInterruptionBehavior,
    InstanceMarketOptionsRequest, InstanceMetadataEndpointState, InstanceMetadataOptionsRequest,
    InstanceNetworkInterfaceSpecification, MarketType, ResourceType, RunInstancesMonitoringEnabled, SpotInstanceType,
    SpotMarketOptions, Tag, VolumeType,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use rmachine_provider_api::{
    CreateRequest, Cx, Error, Instance, Kind, LeftBehind, MachineState, Notify, Resource, ResourceKind, Result,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    client::Aws,
    codes::RUN,
    config::{Config, Reach},
    errors::Failure,
    ingress, instance as view,
    plan::Resolved,
    settle::settled,
    tags::{self, filter},
    watch::{self, Verdict, Watch},
};

/// How long an instance may take to run; EC2 itself gives up earlier.
const RUNNING: Duration = Duration::from_secs(300);

/// How long a group that was just made may be missing in lists.
const LISTED: Duration = Duration::from_secs(6);

/// The intent of the call that makes a group.
pub(crate) const MAKE_GROUP: &str = "CreateSecurityGroup";

/// What the record keeps of an instance besides its id and addresses.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Details {
    /// Account that owns the instance.
    pub(crate) account: Option<String>,
    pub(crate) zone: String,
    pub(crate) subnet: String,
    pub(crate) vpc: String,
    /// Groups that were made for this machine.
    pub(crate) own_groups: Vec<String>,
    /// All of its groups.
    pub(crate) groups: Vec<String>,
    pub(crate) spot_request: Option<String>,
    pub(crate) spot_persistent: bool,
    pub(crate) private_address: Option<String>,
}

impl Details {
    pub(crate) fn read(value: &Value) -> Self {
        Self::deserialize(value).unwrap_or_default()
    }
}

pub(crate) async fn create(aws: &Aws, watch: &Watch, request: &CreateRequest, cx: &Cx<'_>) -> Result<Instance> {
    let resolved = Resolved::read(&request.plan)?;
    let tags = tags::of(request, &resolved.config.tags);
    let mut own_groups = Vec::new();
    if resolved.makes_group() {
        cx.progress("making a security group");
        for name in group_names(request, &resolved) {
            let made = make_group(aws, request, &resolved, &name, &tags, cx).await;
            own_groups.push(made.map_err(|error| beside(error, &own_groups))?);
        }
    }
    let groups: Vec<String> = resolved.groups.iter().chain(&own_groups).cloned().collect();
    cx.progress("starting the instance");
    // EC2 remembers a token for a day or so; what an earlier process started is there longer.
    let known = if request.sent_before { cx.until_cancelled(by_attempt(aws, request)).await } else { Ok(None) };
    let known = known.map_err(|error| beside(error, &own_groups))?;
    let started = match known.as_ref().and_then(Started::of) {
        Some(started) => started,
        None => {
            cx.intend(RUN).map_err(|error| beside(error, &own_groups))?;
            let sent = run_settled(aws, request, &resolved, &groups, &tags, cx).await;
            sent.map_err(|failure| {
                if !failure.may_have_worked() {
                    cx.refused(RUN);
                }
                beside(failure.error("start the instance"), &own_groups)
            })?
        }
    };
    cx.made(&Resource::made(ResourceKind::Instance, &started.id, request, Some(&resolved.zone)))?;
    if let Some(id) = &started.spot_request {
        cx.made(&Resource::made(ResourceKind::SpotRequest, id, request, Some(aws.region())))?;
    }
    let running = wait_running(aws, watch, &started.id, resolved.config.reach, cx).await;
    let addresses = running.map_err(|error| {
        error.left(LeftBehind::Present(own_groups.iter().cloned().chain([started.id.clone()]).collect()))
    })?;
    let details = Details {
        account: started.account.or(resolved.account),
        zone: resolved.zone,
        subnet: resolved.subnet,
        vpc: resolved.vpc,
        own_groups,
        groups,
        spot_persistent: resolved.spot.as_ref().is_some_and(|spot| spot.persistent),
        spot_request: started.spot_request,
        private_address: addresses.private.first().map(ToString::to_string),
    };
    let details =
        serde_json::to_value(details).map_err(|e| Error::invalid("the instance cannot be recorded").source(e))?;
    let id = started.id.parse().map_err(|e| Error::from(e).left(LeftBehind::Present(vec![started.id.clone()])))?;
    Ok(Instance { id, addresses, url: None, engine_port: None, details })
}

/// An error of a create that has made `groups` before.
fn beside(error: Error, groups: &[String]) -> Error {
    let all: Vec<String> = match error.left_behind() {
        LeftBehind::Unknown => return error,
        LeftBehind::Nothing => groups.to_vec(),
        LeftBehind::Present(ids) => groups.iter().chain(ids).cloned().collect(),
    };
    if all.is_empty() { error } else { error.left(LeftBehind::Present(all)) }
}

/// Names of the groups to make: those that the user named and that are absent, or one of our own.
fn group_names(request: &CreateRequest, resolved: &Resolved) -> Vec<String> {
    if resolved.config.groups.is_empty() {
        vec![format!("rmachine-{}-{}", request.name, request.token.as_str().get(..8).unwrap_or_default())]
    } else {
        resolved.new_groups.clone()
    }
}

async fn make_group(
    aws: &Aws,
    request: &CreateRequest,
    resolved: &Resolved,
    name: &str,
    tags: &[Tag],
    cx: &Cx<'_>,
) -> Result<String> {
    cx.intend(MAKE_GROUP)?;
    let made = aws
        .effect(cx, "CreateSecurityGroup", |ec2| {
            ec2.create_security_group()
                .group_name(name)
                .description(format!("rmachine: machine {}", request.name))
                .vpc_id(&resolved.vpc)
                .tag_specifications(tags::specification(ResourceType::SecurityGroup, tags))
                .send()
        })
        .await;
    let id = match made {
        Ok(answer) => answer.group_id.unwrap_or_default(),
        Err(failure) if failure.is(&["InvalidGroup.Duplicate"]) => {
            cx.until_cancelled(ours(aws, request, resolved, name)).await?
        }
        Err(failure) => {
            if !failure.may_have_worked() {
                cx.refused(MAKE_GROUP);
            }
            return Err(failure.error(&format!("make the security group {name}")));
        }
    };
    cx.made(&Resource::made(ResourceKind::SecurityGroup, &id, request, Some(aws.region())))?;
    let ports = ingress::ports(resolved.config.ssh_port, request.engine_port, request.engine_through_ssh);
    let rules = ingress::permissions(&ports, &resolved.sources, &resolved.config.open_ports);
    let left = || LeftBehind::Present(vec![id.clone()]);
    cx.check().map_err(|error| error.left(left()))?;
    let allowed = settled(cx, || {
        let rules = rules.clone();
        let id = &id;
        async move {
            aws.effect(cx, "AuthorizeSecurityGroupIngress", |ec2| {
                ec2.authorize_security_group_ingress().group_id(id).set_ip_permissions(Some(rules.clone())).send()
            })
            .await
            .map(|_| ())
        }
    })
    .await;
    match allowed {
        Err(failure) if !failure.is(&["InvalidPermission.Duplicate"]) => {
            Err(failure.error("open the ports of SSH and the engine").left(left()))
        }
        _ => Ok(id),
    }
}

/// The group that an earlier try of this create made; another's of this name is a conflict.
async fn ours(aws: &Aws, request: &CreateRequest, resolved: &Resolved, name: &str) -> Result<String> {
    let filters = vec![
        filter("vpc-id", [resolved.vpc.as_str()]),
        filter("group-name", [name]),
        tags::by_token(&request.token).filter(),
    ];
    let began = tokio::time::Instant::now();
    loop {
        let answer = aws
            .call("DescribeSecurityGroups", |ec2| {
                ec2.describe_security_groups().set_filters(Some(filters.clone())).send()
            })
            .await
            .map_err(|e| e.error("look up the security group"))?;
        if let Some(id) = answer.security_groups().first().and_then(|group| group.group_id()) {
            return Ok(id.to_owned());
        }
        // One whose answer was lost may not be listed yet.
        if began.elapsed() >= LISTED {
            let text = format!("there is a security group {name} already, made by somebody else just now");
            return Err(Error::new(Kind::Conflict, text).hint("try again; it is used as it is then"));
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// What RunInstances answered.
pub(crate) struct Started {
    pub(crate) id: String,
    pub(crate) spot_request: Option<String>,
    pub(crate) account: Option<String>,
}

impl Started {
    /// Of an instance as EC2 lists it.
    pub(crate) fn of(instance: &aws_sdk_ec2::types::Instance) -> Option<Self> {
        Some(Self {
            id: instance.instance_id()?.to_owned(),
            spot_request: instance.spot_instance_request_id().map(str::to_owned),
            account: None,
        })
    }
}

/// The instance of the attempt of `request`, in whatever state, as far as EC2 lists it.
pub(crate) async fn by_attempt(aws: &Aws, request: &CreateRequest) -> Result<Option<aws_sdk_ec2::types::Instance>> {
    let listed = watch::by_filter(aws, filter("client-token", [request.attempt.as_str()])).await?;
    Ok(listed.into_iter().next())
}

async fn run_settled(
    aws: &Aws,
    request: &CreateRequest,
    resolved: &Resolved,
    groups: &[String],
    tags: &[Tag],
    cx: &Cx<'_>,
) -> Result<Started, Failure> {
    settled(cx, || run(aws, request, resolved, groups, tags, cx)).await
}

/// Sends the one call that makes the instance. The same request answers the same instance:
/// docs.aws.amazon.com/ec2/latest/devguide/ec2-api-idempotency.html.
pub(crate) async fn run(
    aws: &Aws,
    request: &CreateRequest,
    resolved: &Resolved,
    groups: &[String],
    tags: &[Tag],
    cx: &Cx<'_>,
) -> Result<Started, Failure> {
    let config = &resolved.config;
    let interface = InstanceNetworkInterfaceSpecification::builder()
        .device_index(0)
        .subnet_id(&resolved.subnet)
        .set_groups(Some(groups.to_vec()))
        .associate_public_ip_address(config.reach != Reach::PrivateOnly)
        .set_ipv6_address_count(config.ipv6.then_some(1))
        .delete_on_termination(true)
        .build();
    let root = EbsBlockDevice::builder()
        .volume_size(resolved.root_size)
        .volume_type(VolumeType::from(config.volume_type.as_str()))
        .set_iops(config.volume_iops)
        .set_throughput(config.volume_throughput)
        .set_encrypted(config.encrypt.then_some(true))
        .set_kms_key_id(config.kms_key.clone())
        .delete_on_termination(true)
        .build();
    let metadata = metadata_options(config);
    let profile = config.iam_profile.as_ref().map(|profile| {
        let builder = IamInstanceProfileSpecification::builder();
        if profile.starts_with("arn:") { builder.arn(profile) } else { builder.name(profile) }.build()
    });
    let mut kinds = vec![ResourceType::Instance, ResourceType::Volume, ResourceType::NetworkInterface];
    let market = resolved.spot.as_ref().map(|spot| {
        kinds.push(ResourceType::SpotInstancesRequest);
        let kind = if spot.persistent { SpotInstanceType::Persistent } else { SpotInstanceType::OneTime };
        let options = SpotMarketOptions::builder()
            .spot_instance_type(kind)
            .set_max_price(spot.price.clone())
            .set_instance_interruption_behavior(spot.persistent.then_some(InstanceInterruptionBehavior::Stop))
            .build();
        InstanceMarketOptionsRequest::builder().market_type(MarketType::Spot).spot_options(options).build()
    });
    let specifications: Vec<_> = kinds.into_iter().map(|kind| tags::specification(kind, tags)).collect();
    let user_data = request.user_data.as_ref().map(|bytes| STANDARD.encode(bytes));
    let answer = aws
        .effect(cx, "RunInstances", |ec2| {
            ec2.run_instances()
                .client_token(request.attempt.as_str())
                .image_id(&resolved.image)
                .instance_type(resolved.instance_type.as_str().into())
                .min_count(1)
                .max_count(1)
                .network_interfaces(interface.clone())
                .block_device_mappings(
                    BlockDeviceMapping::builder().device_name(&resolved.device).ebs(root.clone()).build(),
                )
                .metadata_options(metadata.clone())
                .monitoring(RunInstancesMonitoringEnabled::builder().enabled(config.monitoring).build())
                .set_ebs_optimized(config.ebs_optimized.then_some(true))
                .set_iam_instance_profile(profile.clone())
                .set_key_name(config.key_pair.clone())
                .set_instance_market_options(market.clone())
                .set_tag_specifications(Some(specifications.clone()))
                .set_user_data(user_data.clone())
                .send()
        })
        .await?;
    let account = answer.owner_id().map(str::to_owned);
    let started = answer.instances().first().and_then(Started::of);
    started.map(|started| Started { account, ..started }).ok_or_else(|| Failure::empty("RunInstances", aws.region()))
}

/// Who may ask IMDS. The hop limit is always said: an image with `imds-support` v2.0 raises it to 2, for containers
/// (docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-IMDS-new-instances.html).
fn metadata_options(config: &Config) -> InstanceMetadataOptionsRequest {
    let endpoint = config.metadata_endpoint.as_deref().map(InstanceMetadataEndpointState::from);
    // Where IMDS does not answer at all, EC2 takes no other word on it.
    let (tokens, hops) = match endpoint {
        Some(InstanceMetadataEndpointState::Disabled) => (None, None),
        _ => (Some(HttpTokensState::from(config.metadata_tokens.as_str())), config.metadata_hops),
    };
    InstanceMetadataOptionsRequest::builder()
        .set_http_tokens(tokens)
        .set_http_endpoint(endpoint)
        .set_http_put_response_hop_limit(hops)
        .build()
}

/// Waits until the instance runs and has the address to dial.
pub(crate) async fn wait_running(
    aws: &Aws,
    watch: &Watch,
    id: &str,
    reach: Reach,
    cx: &Cx<'_>,
) -> Result<rmachine_provider_api::Addresses> {
    let running = watch.until(aws, id, RUNNING, "running", |instance| {
        // Not listed yet is no bad sign: a new instance shows a moment later.
        let Some(instance) = instance else { return Verdict::Wait };
        match view::state(instance) {
            MachineState::Running => {
                let addresses = view::addresses(instance, reach);
                if addresses.dial.is_some() { Verdict::Done(addresses) } else { Verdict::Wait }
            }
            MachineState::Terminating | MachineState::Terminated => {
                let reason = view::reason(instance).unwrap_or_else(|| "EC2 gives no reason".to_owned());
                // docs.aws.amazon.com/AWSEC2/latest/APIReference/API_StateReason.html
                let no_room = ["InsufficientInstanceCapacity", "SpotInstanceTermination", "InsufficientCapacity"];
                let kind = if no_room.iter().any(|code| reason.contains(code)) { Kind::Capacity } else { Kind::Other };
                Verdict::Failed(
                    Error::new(kind, format!("the instance {id} was ended by EC2 while it started"))
                        .source(reason)
                        .hint("check quotas and, with encrypted volumes, the permissions on the KMS key"),
                )
            }
            _ => Verdict::Wait,
        }
    });
    cx.until_cancelled(running).await
}
