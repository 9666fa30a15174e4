//! Everything that carries our tags.

use aws_sdk_ec2::types::{Filter, SpotInstanceState, Tag};
use aws_smithy_types::DateTime;
use rmachine_provider_api::{MachineState, MachineToken, Owner, Resource, ResourceKind, Result};
use time::OffsetDateTime;

use crate::{client::Aws, instance, tags, watch};

/// Repeats a paged describe call and collects one list of its answers.
macro_rules! all_pages {
    ($aws:expr, $what:literal, $call:ident, $list:ident, $filter:expr) => {{
        let (filter, mut found, mut token) = ($filter, Vec::new(), None::<String>);
        loop {
            let answer = $aws
                .call($what, |ec2| ec2.$call().filters(filter.clone()).set_next_token(token.clone()).send())
                .await
                .map_err(|e| e.error(concat!("make the call ", $what)))?;
            token = answer.next_token.clone().filter(|token| !token.is_empty());
            found.extend(answer.$list.unwrap_or_default());
            if token.is_none() {
                break found;
            }
        }
    }};
}

fn resource(
    kind: ResourceKind,
    id: Option<&str>,
    tags: &[Tag],
    created: Option<OffsetDateTime>,
    place: &str,
) -> Resource {
    let text = |key: &str| tags::value(tags, key).map(str::to_owned);
    Resource {
        kind,
        id: id.unwrap_or_default().to_owned(),
        owner: text(tags::OWNER).map(Owner),
        token: text(tags::TOKEN).map(MachineToken),
        machine: text(tags::MACHINE),
        created,
        location: Some(place.to_owned()),
        detail: None,
        monthly_usd: None,
    }
}

fn moment(time: Option<&DateTime>) -> Option<OffsetDateTime> {
    time.and_then(|time| OffsetDateTime::from_unix_timestamp(time.secs()).ok())
}

/// Instances that are not gone.
pub(crate) async fn instances(aws: &Aws, filter: Filter) -> Result<Vec<Resource>> {
    let listed = watch::by_filter(aws, filter).await?;
    let alive = listed.iter().filter(|i| instance::state(i) != MachineState::Terminated);
    Ok(alive
        .map(|i| {
            let zone = i.placement().and_then(|p| p.availability_zone()).unwrap_or(aws.region());
            resource(ResourceKind::Instance, i.instance_id(), i.tags(), moment(i.launch_time()), zone)
        })
        .collect())
}

/// Spot requests that may still start something.
pub(crate) async fn spot_requests(aws: &Aws, filter: Filter) -> Result<Vec<Resource>> {
    let listed = all_pages!(
        aws,
        "DescribeSpotInstanceRequests",
        describe_spot_instance_requests,
        spot_instance_requests,
        filter
    );
    let alive = listed.iter().filter(|request| {
        matches!(
            request.state(),
            Some(SpotInstanceState::Open | SpotInstanceState::Active | SpotInstanceState::Disabled)
        )
    });
    Ok(alive
        .map(|r| {
            resource(
                ResourceKind::SpotRequest,
                r.spot_instance_request_id(),
                r.tags(),
                moment(r.create_time()),
                aws.region(),
            )
        })
        .collect())
}

/// Volumes that are not being deleted.
pub(crate) async fn volumes(aws: &Aws, filter: Filter) -> Result<Vec<Resource>> {
    let listed = all_pages!(aws, "DescribeVolumes", describe_volumes, volumes, filter);
    let alive = listed.iter().filter(|v| !matches!(v.state().map(|s| s.as_str()), Some("deleting" | "deleted")));
    Ok(alive
        .map(|v| {
            let zone = v.availability_zone().unwrap_or(aws.region());
            resource(ResourceKind::Volume, v.volume_id(), v.tags(), moment(v.create_time()), zone)
        })
        .collect())
}

/// Network interfaces.
pub(crate) async fn interfaces(aws: &Aws, filter: Filter) -> Result<Vec<Resource>> {
    let listed = all_pages!(aws, "DescribeNetworkInterfaces", describe_network_interfaces, network_interfaces, filter);
    Ok(listed
        .iter()
        .map(|n| {
            let zone = n.availability_zone().unwrap_or(aws.region());
            resource(ResourceKind::NetworkInterface, n.network_interface_id(), n.tag_set(), None, zone)
        })
        .collect())
}

/// Security groups, oldest first as EC2 has them.
pub(crate) async fn groups(aws: &Aws, filter: Filter) -> Result<Vec<Resource>> {
    let listed = all_pages!(aws, "DescribeSecurityGroups", describe_security_groups, security_groups, filter);
    Ok(listed
        .iter()
        .map(|g| resource(ResourceKind::SecurityGroup, g.group_id(), g.tags(), None, aws.region()))
        .collect())
}

pub(crate) async fn addresses(aws: &Aws, filter: Filter) -> Result<Vec<Resource>> {
    let answer = aws
        .call("DescribeAddresses", |ec2| ec2.describe_addresses().filters(filter.clone()).send())
        .await
        .map_err(|e| e.error("look up the addresses"))?;
    let found = answer.addresses();
    Ok(found.iter().map(|a| resource(ResourceKind::Address, a.allocation_id(), a.tags(), None, aws.region())).collect())
}

pub(crate) async fn key_pairs(aws: &Aws, filter: Filter) -> Result<Vec<Resource>> {
    let answer = aws
        .call("DescribeKeyPairs", |ec2| ec2.describe_key_pairs().filters(filter.clone()).send())
        .await
        .map_err(|e| e.error("look up the key pairs"))?;
    let found = answer.key_pairs();
    Ok(found
        .iter()
        .map(|k| resource(ResourceKind::KeyPair, k.key_pair_id(), k.tags(), moment(k.create_time()), aws.region()))
        .collect())
}

/// All that carries `owner`'s tag, or any owner's.
pub(crate) async fn find(aws: &Aws, owner: Option<&Owner>) -> Result<Vec<Resource>> {
    let filter = || tags::by_owner(owner);
    let (instances, spot, volumes, interfaces, groups) = futures::future::try_join5(
        instances(aws, filter()),
        spot_requests(aws, filter()),
        volumes(aws, filter()),
        interfaces(aws, filter()),
        groups(aws, filter()),
    )
    .await?;
    let (addresses, keys) = futures::future::try_join(addresses(aws, filter()), key_pairs(aws, filter())).await?;
    Ok([instances, spot, volumes, interfaces, addresses, groups, keys].into_iter().flatten().collect())
}
