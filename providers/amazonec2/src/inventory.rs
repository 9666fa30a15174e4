//! Everything that carries our tags.

use aws_sdk_ec2::types::{SpotInstanceState, Tag};
use aws_smithy_types::DateTime;
use rmachine_provider_api::{MachineState, MachineToken, Owner, Resource, ResourceKind, Result};
use time::OffsetDateTime;

use crate::{
    client::Aws,
    cost, instance,
    tags::{self, Search},
    watch,
};

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
    Resource {
        kind,
        id: id.unwrap_or_default().to_owned(),
        owner: tags::value(tags, tags::OWNER).and_then(|text| text.parse().ok()),
        token: tags::value(tags, tags::TOKEN).and_then(|text| text.parse().ok()),
        machine: tags::value(tags, tags::MACHINE).map(str::to_owned),
        created,
        location: Some(place.to_owned()),
        detail: None,
        monthly_usd: None,
    }
}

/// Adds what a thing is like and what it costs.
fn described(mut resource: Resource, detail: String, monthly_usd: Option<f64>) -> Resource {
    resource.detail = (!detail.is_empty()).then_some(detail);
    resource.monthly_usd = monthly_usd.map(|usd| (usd * 100.0).round() / 100.0);
    resource
}

fn moment(time: Option<&DateTime>) -> Option<OffsetDateTime> {
    time.and_then(|time| OffsetDateTime::from_unix_timestamp(time.secs()).ok())
}

/// Instances that are not gone.
pub(crate) async fn instances(aws: &Aws, search: impl Into<Search<'_>>) -> Result<Vec<Resource>> {
    let search = search.into();
    let filter = search.filter();
    let listed = watch::by_filter(aws, filter).await?;
    let alive = listed.iter().filter(|i| instance::state(i) != MachineState::Terminated);
    Ok(search.only(
        alive
            .map(|i| {
                let zone = i.placement().and_then(|p| p.availability_zone()).unwrap_or(aws.region());
                let found = resource(ResourceKind::Instance, i.instance_id(), i.tags(), moment(i.launch_time()), zone);
                let name = i.instance_type().map(|name| name.as_str()).unwrap_or_default();
                let state = i.state().and_then(|state| state.name()).map(|name| name.as_str()).unwrap_or_default();
                // A stopped one costs nothing but its disks; a spot one costs less than this.
                let usd = match instance::state(i) {
                    MachineState::Starting | MachineState::Running => {
                        cost::instance(name).map(|usd| usd + i.public_ip_address().map_or(0.0, |_| cost::address()))
                    }
                    _ => Some(0.0),
                };
                let market = if i.instance_lifecycle().is_some() { ", spot" } else { "" };
                described(found, format!("{name}, {state}{market}"), usd)
            })
            .collect(),
    ))
}

/// Spot requests that may still start something.
pub(crate) async fn spot_requests(aws: &Aws, search: impl Into<Search<'_>>) -> Result<Vec<Resource>> {
    let search = search.into();
    let filter = search.filter();
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
    Ok(search.only(
        alive
            .map(|r| {
                let (id, made) = (r.spot_instance_request_id(), moment(r.create_time()));
                let found = resource(ResourceKind::SpotRequest, id, r.tags(), made, aws.region());
                let words = [r.r#type().map(|kind| kind.as_str()), r.state().map(|state| state.as_str())];
                described(found, words.into_iter().flatten().collect::<Vec<_>>().join(", "), Some(0.0))
            })
            .collect(),
    ))
}

/// Volumes that are not being deleted.
pub(crate) async fn volumes(aws: &Aws, search: impl Into<Search<'_>>) -> Result<Vec<Resource>> {
    let search = search.into();
    let filter = search.filter();
    let listed = all_pages!(aws, "DescribeVolumes", describe_volumes, volumes, filter);
    let alive = listed.iter().filter(|v| !matches!(v.state().map(|s| s.as_str()), Some("deleting" | "deleted")));
    Ok(search.only(
        alive
            .map(|v| {
                let zone = v.availability_zone().unwrap_or(aws.region());
                let found = resource(ResourceKind::Volume, v.volume_id(), v.tags(), moment(v.create_time()), zone);
                let (kind, gib) =
                    (v.volume_type().map(|kind| kind.as_str()).unwrap_or_default(), v.size().unwrap_or(0));
                described(found, format!("{gib} GiB {kind}"), cost::volume(kind, gib))
            })
            .collect(),
    ))
}

/// Network interfaces.
pub(crate) async fn interfaces(aws: &Aws, search: impl Into<Search<'_>>) -> Result<Vec<Resource>> {
    let search = search.into();
    let filter = search.filter();
    let listed = all_pages!(aws, "DescribeNetworkInterfaces", describe_network_interfaces, network_interfaces, filter);
    Ok(search.only(
        listed
            .iter()
            .map(|n| {
                let zone = n.availability_zone().unwrap_or(aws.region());
                let found = resource(ResourceKind::NetworkInterface, n.network_interface_id(), n.tag_set(), None, zone);
                described(found, n.status().map(|status| status.as_str().to_owned()).unwrap_or_default(), Some(0.0))
            })
            .collect(),
    ))
}

/// Security groups, oldest first as EC2 has them.
pub(crate) async fn groups(aws: &Aws, search: impl Into<Search<'_>>) -> Result<Vec<Resource>> {
    let search = search.into();
    let filter = search.filter();
    let listed = all_pages!(aws, "DescribeSecurityGroups", describe_security_groups, security_groups, filter);
    Ok(search.only(
        listed
            .iter()
            .map(|g| {
                let found = resource(ResourceKind::SecurityGroup, g.group_id(), g.tags(), None, aws.region());
                described(found, g.group_name().unwrap_or_default().to_owned(), Some(0.0))
            })
            .collect(),
    ))
}

pub(crate) async fn addresses(aws: &Aws, search: impl Into<Search<'_>>) -> Result<Vec<Resource>> {
    let search = search.into();
    let filter = search.filter();
    let answer = aws
        .call("DescribeAddresses", |ec2| ec2.describe_addresses().filters(filter.clone()).send())
        .await
        .map_err(|e| e.error("look up the addresses"))?;
    let found = answer.addresses();
    Ok(search.only(
        found
            .iter()
            .map(|a| {
                let found = resource(ResourceKind::Address, a.allocation_id(), a.tags(), None, aws.region());
                described(found, a.public_ip().unwrap_or_default().to_owned(), Some(cost::address()))
            })
            .collect(),
    ))
}

pub(crate) async fn key_pairs(aws: &Aws, search: impl Into<Search<'_>>) -> Result<Vec<Resource>> {
    let search = search.into();
    let filter = search.filter();
    let answer = aws
        .call("DescribeKeyPairs", |ec2| ec2.describe_key_pairs().filters(filter.clone()).send())
        .await
        .map_err(|e| e.error("look up the key pairs"))?;
    let found = answer.key_pairs();
    Ok(search.only(
        found
            .iter()
            .map(|k| {
                let (id, made) = (k.key_pair_id(), moment(k.create_time()));
                let found = resource(ResourceKind::KeyPair, id, k.tags(), made, aws.region());
                described(found, k.key_name().unwrap_or_default().to_owned(), Some(0.0))
            })
            .collect(),
    ))
}

/// All that carries `owner`'s tag, or any owner's.
pub(crate) async fn find(aws: &Aws, owner: Option<&Owner>) -> Result<Vec<Resource>> {
    matching(aws, tags::by_owner(owner)).await
}

/// All that was made for one machine.
pub(crate) async fn of_token(aws: &Aws, token: &MachineToken) -> Result<Vec<Resource>> {
    matching(aws, tags::by_token(token)).await
}

async fn matching(aws: &Aws, search: Search<'_>) -> Result<Vec<Resource>> {
    let (instances, spot, volumes, interfaces, groups) = futures::future::try_join5(
        instances(aws, search.clone()),
        spot_requests(aws, search.clone()),
        volumes(aws, search.clone()),
        interfaces(aws, search.clone()),
        groups(aws, search.clone()),
    )
    .await?;
    let (addresses, keys) =
        futures::future::try_join(addresses(aws, search.clone()), key_pairs(aws, search.clone())).await?;
    Ok([instances, spot, volumes, interfaces, addresses, groups, keys].into_iter().flatten().collect())
}

/// The account of the credentials, as the owner of its default groups; none where it has no VPC.
pub(crate) async fn accounts(aws: &Aws) -> Result<Vec<String>> {
    let filter = tags::filter("group-name", ["default"]);
    let answer = aws
        .call("DescribeSecurityGroups", |ec2| ec2.describe_security_groups().filters(filter.clone()).send())
        .await
        .map_err(|e| e.error("find out the account"))?;
    Ok(answer.security_groups().iter().filter_map(|group| group.owner_id().map(str::to_owned)).collect())
}
