//! Where to put the instance: subnet and zone, and the groups and key pair that the user names.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::{InstanceType, LocationType, Subnet};
use rmachine_provider_api::{Error, Kind, Result};

use crate::{client::Aws, config::Config, tags::filter};

/// Where the instance goes.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) subnet: String,
    pub(crate) vpc: String,
    pub(crate) zone: String,
    /// IPv4 network of the subnet.
    pub(crate) cidr: String,
    pub(crate) has_ipv6: bool,
    /// Account that owns the subnet.
    pub(crate) account: Option<String>,
}

/// The subnets to choose from, one a zone, in the order of preference: the given one, or those of the VPC.
pub(crate) async fn places(aws: &Aws, config: &Config) -> Result<Vec<Place>> {
    match &config.subnet {
        Some(id) => Ok(vec![given_subnet(aws, config, id).await?]),
        None => default_subnets(aws, config).await,
    }
}

async fn given_subnet(aws: &Aws, config: &Config, id: &str) -> Result<Place> {
    let answer = aws
        .call("DescribeSubnets", |ec2| ec2.describe_subnets().subnet_ids(id).send())
        .await
        .map_err(|e| e.error(&format!("use the subnet {id}")))?;
    let subnet = answer.subnets.unwrap_or_default().into_iter().next();
    let place = subnet.as_ref().and_then(read).ok_or_else(|| {
        Error::new(Kind::NotFound, format!("there is no subnet {id} in {}", aws.region()))
            .hint("check --amazonec2-subnet-id and --amazonec2-region")
    })?;
    if let Some(vpc) = config.vpc.as_ref().filter(|vpc| **vpc != place.vpc) {
        return Err(Error::invalid(format!("the subnet {id} is not in {vpc}, but in {}", place.vpc))
            .hint("leave out --amazonec2-vpc-id: the subnet settles it"));
    }
    if !config.zones.is_empty() && !config.zones.contains(&place.zone) {
        let wanted = config.zones.join(" or ");
        return Err(Error::invalid(format!("the subnet {id} is not in the zone {wanted}, but in {}", place.zone))
            .hint("leave out --amazonec2-zone: the subnet settles it"));
    }
    Ok(place)
}

async fn default_subnets(aws: &Aws, config: &Config) -> Result<Vec<Place>> {
    let mut filters = vec![filter("state", ["available"])];
    match &config.vpc {
        Some(vpc) => filters.push(filter("vpc-id", [vpc.as_str()])),
        None => filters.push(filter("default-for-az", ["true"])),
    }
    if !config.zones.is_empty() {
        filters.push(filter("availability-zone", &config.zones));
    }
    let answer = aws
        .call("DescribeSubnets", |ec2| ec2.describe_subnets().set_filters(Some(filters.clone())).send())
        .await
        .map_err(|e| e.error("look up the subnets"))?;
    let places = in_order(answer.subnets.unwrap_or_default().iter().filter_map(read).collect(), &config.zones);
    match places.is_empty() {
        true => Err(none_found(aws, config).await),
        false => Ok(places),
    }
}

/// One subnet a zone, in the order of `zones`, or of their names.
fn in_order(mut places: Vec<Place>, zones: &[String]) -> Vec<Place> {
    let rank = |place: &Place| zones.iter().position(|zone| *zone == place.zone);
    places.sort_by(|a, b| (rank(a), &a.zone, &a.subnet).cmp(&(rank(b), &b.zone, &b.subnet)));
    places.dedup_by(|a, b| a.zone == b.zone);
    places
}

/// Why there is no subnet: asked only when there is none.
async fn none_found(aws: &Aws, config: &Config) -> Error {
    let zones = in_zones(config);
    if let Some(vpc) = &config.vpc {
        let answer = aws.call("DescribeVpcs", |ec2| ec2.describe_vpcs().vpc_ids(vpc).send()).await;
        return match answer {
            Err(failure) => failure.error(&format!("use the VPC {vpc}")),
            Ok(answer) if answer.vpcs().is_empty() => {
                Error::new(Kind::NotFound, format!("there is no VPC {vpc} in {}", aws.region()))
                    .hint("check --amazonec2-vpc-id and --amazonec2-region")
            }
            Ok(_) => Error::new(Kind::NotFound, format!("the VPC {vpc} has no subnet{zones}"))
                .hint("name another zone with --amazonec2-zone, or a subnet with --amazonec2-subnet-id"),
        };
    }
    Error::new(Kind::NotFound, format!("the account has no default subnet in {}{zones}", aws.region())).hint(
        "name a subnet with --amazonec2-subnet-id, another --amazonec2-zone or --amazonec2-region, \
               or make a default VPC with `aws ec2 create-default-vpc`",
    )
}

fn in_zones(config: &Config) -> String {
    if config.zones.is_empty() { String::new() } else { format!(" in the zone {}", config.zones.join(" or ")) }
}

/// The zones that offer each of `types`.
pub(crate) async fn offers(aws: &Aws, types: &[String]) -> Result<BTreeMap<String, BTreeSet<String>>> {
    let mut offers: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut token: Option<String> = None;
    loop {
        let answer = aws
            .call("DescribeInstanceTypeOfferings", |ec2| {
                ec2.describe_instance_type_offerings()
                    .location_type(LocationType::AvailabilityZone)
                    .filters(filter("instance-type", types))
                    .set_next_token(token.clone())
                    .send()
            })
            .await
            .map_err(|e| e.error("look up the zones"))?;
        for offer in answer.instance_type_offerings() {
            if let (Some(name), Some(zone)) = (offer.instance_type(), offer.location()) {
                offers.entry(name.as_str().to_owned()).or_default().insert(zone.to_owned());
            }
        }
        token = answer.next_token.filter(|token| !token.is_empty());
        if token.is_none() {
            return Ok(offers);
        }
    }
}

/// No place has any of the types.
pub(crate) fn nowhere(config: &Config) -> Error {
    let types = config.instance_types.join(" or ");
    Error::new(Kind::NotFound, format!("no zone with a subnet offers the instance type {types}{}", in_zones(config)))
        .hint("choose another --amazonec2-instance-type, --amazonec2-subnet-id or --amazonec2-region")
}

fn read(subnet: &Subnet) -> Option<Place> {
    Some(Place {
        subnet: subnet.subnet_id()?.to_owned(),
        vpc: subnet.vpc_id()?.to_owned(),
        zone: subnet.availability_zone()?.to_owned(),
        cidr: subnet.cidr_block().unwrap_or_default().to_owned(),
        has_ipv6: !subnet.ipv6_cidr_block_association_set().is_empty(),
        account: subnet.owner_id().map(str::to_owned),
    })
}

/// The architectures of each of `types`, in EC2's words.
pub(crate) async fn architectures(aws: &Aws, types: &[String]) -> Result<BTreeMap<String, Vec<String>>> {
    let unknown = |name: &str| {
        Error::new(Kind::InvalidInput, format!("there is no instance type {name} in {}", aws.region()))
            .hint("check --amazonec2-instance-type; types differ between regions")
    };
    let names: Vec<InstanceType> = types.iter().map(|name| name.as_str().into()).collect();
    let answer = aws
        .call("DescribeInstanceTypes", |ec2| {
            ec2.describe_instance_types().set_instance_types(Some(names.clone())).send()
        })
        .await;
    let answer = match answer {
        Err(failure) if failure.is(&["InvalidInstanceType", "InvalidParameterValue"]) => {
            return Err(unknown(&types.join(" or ")));
        }
        other => other.map_err(|e| e.error("look up the instance type"))?,
    };
    let known: BTreeMap<String, Vec<String>> = answer
        .instance_types()
        .iter()
        .filter_map(|info| {
            let name = info.instance_type()?.as_str().to_owned();
            let architectures = info.processor_info().map(|p| p.supported_architectures()).unwrap_or_default();
            Some((name, architectures.iter().map(|a| a.as_str().to_owned()).collect()))
        })
        .collect();
    match types.iter().find(|name| !known.contains_key(*name)) {
        Some(name) => Err(unknown(name)),
        None => Ok(known),
    }
}

/// Checks that the key pair is there.
pub(crate) async fn check_key_pair(aws: &Aws, config: &Config) -> Result<()> {
    let Some(name) = &config.key_pair else { return Ok(()) };
    aws.call("DescribeKeyPairs", |ec2| ec2.describe_key_pairs().key_names(name).send())
        .await
        .map(|_| ())
        .map_err(|e| e.error(&format!("use the key pair {name}")))
}

/// The named groups: ids of those that are there, names of those that have to be made.
#[derive(Debug, Clone, Default)]
pub(crate) struct NamedGroups {
    pub(crate) existing: Vec<String>,
    pub(crate) absent: Vec<String>,
}

/// Looks the named groups up in the VPC.
pub(crate) async fn named_groups(aws: &Aws, config: &Config, vpc: &str) -> Result<NamedGroups> {
    let mut found = NamedGroups::default();
    if config.groups.is_empty() {
        return Ok(found);
    }
    let (ids, names): (Vec<&String>, Vec<&String>) = config.groups.iter().partition(|group| group.starts_with("sg-"));
    let mut known = Vec::new();
    for (key, values) in [("group-id", ids), ("group-name", names)] {
        if values.is_empty() {
            continue;
        }
        let filters = vec![filter("vpc-id", [vpc]), filter(key, values)];
        let answer = aws
            .call("DescribeSecurityGroups", |ec2| {
                ec2.describe_security_groups().set_filters(Some(filters.clone())).send()
            })
            .await
            .map_err(|e| e.error("look up the security groups"))?;
        known.extend(answer.security_groups.unwrap_or_default());
    }
    for wanted in &config.groups {
        let is_it = |group: &&aws_sdk_ec2::types::SecurityGroup| {
            group.group_id() == Some(wanted) || group.group_name() == Some(wanted)
        };
        match known.iter().find(is_it).and_then(|group| group.group_id()) {
            Some(id) => found.existing.push(id.to_owned()),
            None if wanted.starts_with("sg-") || config.groups_readonly => {
                return Err(Error::new(Kind::NotFound, format!("there is no security group {wanted:?} in {vpc}"))
                    .hint("check --amazonec2-security-group and the VPC"));
            }
            None => found.absent.push(wanted.clone()),
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_subnet_a_zone_in_the_order_asked_for() {
        let place = |zone: &str, subnet: &str| Place {
            subnet: subnet.into(),
            vpc: "vpc-1".into(),
            zone: zone.into(),
            cidr: String::new(),
            has_ipv6: false,
            account: None,
        };
        let places = || vec![place("b", "s-3"), place("a", "s-2"), place("a", "s-1"), place("c", "s-4")];
        let subnets = |zones: &[&str]| -> Vec<String> {
            let zones: Vec<String> = zones.iter().map(|zone| (*zone).to_owned()).collect();
            in_order(places(), &zones).into_iter().map(|place| place.subnet).collect()
        };
        assert_eq!(subnets(&[]), ["s-1", "s-3", "s-4"]);
        assert_eq!(subnets(&["c", "a", "b"]), ["s-4", "s-1", "s-3"]);
    }
}
