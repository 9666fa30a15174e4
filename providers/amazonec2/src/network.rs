//! Where to put the instance: subnet and zone, and the groups and key pair that the user names.

use std::collections::BTreeSet;

use aws_sdk_ec2::types::{LocationType, Subnet};
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

/// Chooses the subnet: the given one, or the default one of a zone that offers the instance type.
pub(crate) async fn place(aws: &Aws, config: &Config) -> Result<Place> {
    let zone = config.zone.as_ref().map(|zone| whole_zone(zone, &config.region));
    match &config.subnet {
        Some(id) => given_subnet(aws, config, id, zone.as_deref()).await,
        None => {
            let offered = async {
                match zone {
                    Some(_) => Ok(None),
                    None => zones_with(aws, &config.instance_type).await.map(Some),
                }
            };
            let (subnets, offered) =
                futures::future::try_join(default_subnets(aws, config, zone.as_deref()), offered).await?;
            choose(subnets, offered.as_ref(), config, zone.as_deref())
        }
    }
}

/// `a` → `us-east-1a`.
fn whole_zone(zone: &str, region: &str) -> String {
    if zone.starts_with(region) { zone.to_owned() } else { format!("{region}{zone}") }
}

async fn given_subnet(aws: &Aws, config: &Config, id: &str, zone: Option<&str>) -> Result<Place> {
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
    if let Some(zone) = zone.filter(|zone| *zone != place.zone) {
        return Err(Error::invalid(format!("the subnet {id} is not in the zone {zone}, but in {}", place.zone))
            .hint("leave out --amazonec2-zone: the subnet settles it"));
    }
    Ok(place)
}

async fn default_subnets(aws: &Aws, config: &Config, zone: Option<&str>) -> Result<Vec<Place>> {
    let mut filters = vec![filter("state", ["available"])];
    match &config.vpc {
        Some(vpc) => filters.push(filter("vpc-id", [vpc.as_str()])),
        None => filters.push(filter("default-for-az", ["true"])),
    }
    if let Some(zone) = zone {
        filters.push(filter("availability-zone", [zone]));
    }
    let answer = aws
        .call("DescribeSubnets", |ec2| ec2.describe_subnets().set_filters(Some(filters.clone())).send())
        .await
        .map_err(|e| e.error("look up the subnets"))?;
    let mut places: Vec<Place> = answer.subnets.unwrap_or_default().iter().filter_map(read).collect();
    places.sort_by(|a, b| (&a.zone, &a.subnet).cmp(&(&b.zone, &b.subnet)));
    if places.is_empty() {
        return Err(none_found(aws, config, zone).await);
    }
    Ok(places)
}

/// Why there is no subnet: asked only when there is none.
async fn none_found(aws: &Aws, config: &Config, zone: Option<&str>) -> Error {
    if let Some(vpc) = &config.vpc {
        let answer = aws.call("DescribeVpcs", |ec2| ec2.describe_vpcs().vpc_ids(vpc).send()).await;
        return match answer {
            Err(failure) => failure.error(&format!("use the VPC {vpc}")),
            Ok(answer) if answer.vpcs().is_empty() => {
                Error::new(Kind::NotFound, format!("there is no VPC {vpc} in {}", aws.region()))
                    .hint("check --amazonec2-vpc-id and --amazonec2-region")
            }
            Ok(_) => Error::new(Kind::NotFound, format!("the VPC {vpc} has no subnet{}", in_zone(zone)))
                .hint("name another zone with --amazonec2-zone, or a subnet with --amazonec2-subnet-id"),
        };
    }
    Error::new(Kind::NotFound, format!("the account has no default subnet in {}{}", aws.region(), in_zone(zone))).hint(
        "name a subnet with --amazonec2-subnet-id, another --amazonec2-zone or --amazonec2-region, \
               or make a default VPC with `aws ec2 create-default-vpc`",
    )
}

fn in_zone(zone: Option<&str>) -> String {
    zone.map(|zone| format!(" in the zone {zone}")).unwrap_or_default()
}

async fn zones_with(aws: &Aws, instance_type: &str) -> Result<BTreeSet<String>> {
    let answer = aws
        .call("DescribeInstanceTypeOfferings", |ec2| {
            ec2.describe_instance_type_offerings()
                .location_type(LocationType::AvailabilityZone)
                .filters(filter("instance-type", [instance_type]))
                .send()
        })
        .await
        .map_err(|e| e.error("look up the zones"))?;
    Ok(answer.instance_type_offerings().iter().filter_map(|o| o.location().map(str::to_owned)).collect())
}

fn choose(
    places: Vec<Place>,
    offered: Option<&BTreeSet<String>>,
    config: &Config,
    zone: Option<&str>,
) -> Result<Place> {
    let fits = |place: &Place| offered.is_none_or(|zones| zones.contains(&place.zone));
    places.into_iter().find(fits).ok_or_else(|| {
        Error::new(
            Kind::NotFound,
            format!("no zone with a subnet offers the instance type {}{}", config.instance_type, in_zone(zone)),
        )
        .hint("choose another --amazonec2-instance-type, --amazonec2-subnet-id or --amazonec2-region")
    })
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

/// The architectures of an instance type, in EC2's words.
pub(crate) async fn architectures(aws: &Aws, instance_type: &str) -> Result<Vec<String>> {
    let unknown = || {
        Error::new(Kind::InvalidInput, format!("there is no instance type {instance_type} in {}", aws.region()))
            .hint("check --amazonec2-instance-type; types differ between regions")
    };
    let answer = aws
        .call("DescribeInstanceTypes", |ec2| ec2.describe_instance_types().instance_types(instance_type.into()).send())
        .await;
    let answer = match answer {
        Err(failure) if failure.is(&["InvalidInstanceType", "InvalidParameterValue"]) => return Err(unknown()),
        other => other.map_err(|e| e.error("look up the instance type"))?,
    };
    let info = answer.instance_types().first().ok_or_else(unknown)?;
    Ok(info
        .processor_info()
        .map(|p| p.supported_architectures())
        .unwrap_or_default()
        .iter()
        .map(|a| a.as_str().to_owned())
        .collect())
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
    fn zones_as_a_letter_or_whole() {
        assert_eq!(whole_zone("b", "eu-west-1"), "eu-west-1b");
        assert_eq!(whole_zone("eu-west-1b", "eu-west-1"), "eu-west-1b");
    }

    #[test]
    fn a_zone_without_the_type_is_passed_over() {
        let place = |zone: &str| Place {
            subnet: format!("subnet-{zone}"),
            vpc: "vpc-1".into(),
            zone: zone.into(),
            cidr: String::new(),
            has_ipv6: false,
            account: None,
        };
        let config = crate::config::for_test(&[]).unwrap();
        let offered = BTreeSet::from(["b".to_owned()]);
        let places = vec![place("a"), place("b")];
        assert_eq!(choose(places.clone(), Some(&offered), &config, None).unwrap().zone, "b");
        assert_eq!(choose(places.clone(), None, &config, None).unwrap().zone, "a");
        assert!(choose(places, Some(&BTreeSet::new()), &config, None).is_err());
    }
}
