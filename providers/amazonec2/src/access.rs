//! `allow` and `diagnose`: the machine's own group, and whether it lets the caller in.

use aws_sdk_ec2::types::{IpPermission, SecurityGroup};
use ipnet::IpNet;
use rmachine_provider_api::{Cx, Error, Kind, MachineRef, MachineState, Result};

use crate::{client::Aws, create::Details, ingress, instance as view, plan::Resolved, tags, watch};

/// Replaces who may connect to SSH and the engine; the new rules come before the old ones go.
pub(crate) async fn allow(
    aws: &Aws,
    machine: &MachineRef<'_>,
    sources: Option<&[IpNet]>,
    cx: &Cx<'_>,
) -> Result<Vec<IpNet>> {
    let resolved = resolved(machine)?;
    let groups = own_groups(aws, machine).await?;
    if groups.is_empty() {
        return Err(Error::unsupported(format!("the machine \"{}\" has no security group of its own", machine.name))
            .hint("others use its groups as well, as --amazonec2-security-group or docker-machine have it; change them where they are managed"));
    }
    let sources = match sources {
        Some(sources) => sources.to_vec(),
        None => vec![ingress::caller(aws, resolved.config.reach, &subnet_cidr(aws, &resolved).await?).await?],
    };
    let ports = ingress::ports(resolved.config.ssh_port, machine.engine_port, machine.engine_through_ssh);
    for group in &groups {
        let id = group.group_id().unwrap_or_default();
        let (stale, present) = split(group.ip_permissions(), &ports, &sources);
        let missing: Vec<IpPermission> = ports
            .iter()
            .flat_map(|port| {
                let new: Vec<IpNet> =
                    sources.iter().filter(|net| !present.contains(&(*port, **net))).copied().collect();
                if new.is_empty() { Vec::new() } else { ingress::permissions(&[*port], &new, &[]) }
            })
            .collect();
        if !missing.is_empty() {
            let allowed = aws
                .effect(cx, "AuthorizeSecurityGroupIngress", |ec2| {
                    ec2.authorize_security_group_ingress().group_id(id).set_ip_permissions(Some(missing.clone())).send()
                })
                .await;
            match allowed {
                Err(failure) if !failure.is(&["InvalidPermission.Duplicate"]) => {
                    return Err(failure.error("open the ports of SSH and the engine"));
                }
                _ => {}
            }
        }
        if !stale.is_empty() {
            let revoked = aws
                .effect(cx, "RevokeSecurityGroupIngress", |ec2| {
                    ec2.revoke_security_group_ingress().group_id(id).set_ip_permissions(Some(stale.clone())).send()
                })
                .await;
            match revoked {
                Err(failure) if !failure.is(&["InvalidPermission.NotFound"]) => {
                    return Err(failure.error("close the ports to the old addresses"));
                }
                _ => {}
            }
        }
    }
    Ok(sources)
}

/// What of `rules` on exactly `ports` names other networks than `sources`, and what is there already.
fn split(rules: &[IpPermission], ports: &[u16], sources: &[IpNet]) -> (Vec<IpPermission>, Vec<(u16, IpNet)>) {
    let (mut stale, mut present) = (Vec::new(), Vec::new());
    for rule in rules {
        let port = ports.iter().find(|port| {
            let port = Some(i32::from(**port));
            rule.ip_protocol() == Some("tcp") && rule.from_port() == port && rule.to_port() == port
        });
        let Some(port) = port else { continue };
        let (keep, old): (Vec<IpNet>, Vec<IpNet>) = ingress::networks(rule).partition(|net| sources.contains(net));
        present.extend(keep.into_iter().map(|net| (*port, net)));
        if !old.is_empty() {
            stale.extend(ingress::permissions(&[*port], &old, &[]));
        }
    }
    (stale, present)
}

/// Says why the machine may not answer: its state, or a group that does not admit the caller.
pub(crate) async fn diagnose(aws: &Aws, machine: &MachineRef<'_>) -> Result<Option<(String, String)>> {
    let Some(instance) = machine.instance else { return Ok(None) };
    let name = machine.name;
    let listed = watch::by_ids(aws, &[instance.id.to_string()]).await?;
    let Some(now) = listed.first() else {
        return Ok(Some((
            format!("the instance {} is gone", instance.id),
            format!("remove the record with `rmachine rm {name}`"),
        )));
    };
    match view::state(now) {
        MachineState::Running => {}
        MachineState::Stopped | MachineState::Stopping => {
            return Ok(Some(("the instance is stopped".to_owned(), format!("start it with `rmachine start {name}`"))));
        }
        MachineState::Terminated | MachineState::Terminating => {
            let reason = view::reason(now).unwrap_or_default();
            let text = format!("the instance {} was terminated {reason}", instance.id);
            return Ok(Some((text.trim_end().to_owned(), format!("remove what is left with `rmachine rm {name}`"))));
        }
        state => {
            let text = format!("the instance is {state:?}").to_lowercase();
            return Ok(Some((text, "wait a moment".to_owned())));
        }
    }
    let resolved = resolved(machine)?;
    let addresses = view::addresses(now, resolved.config.reach);
    if addresses.dial != instance.addresses.dial {
        let text = format!(
            "the instance has another address now, {}",
            addresses.dial.map(|dial| dial.to_string()).unwrap_or_default()
        );
        return Ok(Some((text, format!("take it over with `rmachine start {name}`"))));
    }
    let groups = own_groups(aws, machine).await?;
    if groups.is_empty() {
        return Ok(None);
    }
    let caller = ingress::caller(aws, resolved.config.reach, &subnet_cidr(aws, &resolved).await?).await?;
    for port in ingress::ports(resolved.config.ssh_port, machine.engine_port, machine.engine_through_ssh) {
        let admitted: Vec<IpNet> =
            groups.iter().flat_map(|group| ingress::admitted(group.ip_permissions(), port)).collect();
        if !admitted.iter().any(|net| net.contains(&caller)) {
            let texts: Vec<String> = admitted.iter().map(ToString::to_string).collect();
            let text = format!(
                "the security group admits {} to port {port}, and you come from {}",
                if texts.is_empty() { "nobody".to_owned() } else { texts.join(", ") },
                caller.addr()
            );
            return Ok(Some((text, format!("let your address in with `rmachine allow {name}`"))));
        }
    }
    Ok(None)
}

fn resolved(machine: &MachineRef<'_>) -> Result<Resolved> {
    match machine.plan {
        Some(plan) => Resolved::read(plan),
        None => Err(Error::new(Kind::Conflict, format!("the create of machine \"{}\" did not end", machine.name))),
    }
}

/// The groups that were made for the machine.
async fn own_groups(aws: &Aws, machine: &MachineRef<'_>) -> Result<Vec<SecurityGroup>> {
    let recorded = machine.instance.map(|instance| Details::read(&instance.details).own_groups).unwrap_or_default();
    let by_token = || tags::by_token(machine.token).filter();
    let filter = if recorded.is_empty() { by_token() } else { tags::filter("group-id", recorded) };
    let answer = aws
        .call("DescribeSecurityGroups", |ec2| ec2.describe_security_groups().filters(filter.clone()).send())
        .await
        .map_err(|e| e.error("look up the security group"))?;
    let mut groups = answer.security_groups.unwrap_or_default();
    groups.retain(|group| tags::are_of(group.tags(), machine.token));
    Ok(groups)
}

/// The subnet's network; asked only where the caller's address depends on it.
async fn subnet_cidr(aws: &Aws, resolved: &Resolved) -> Result<String> {
    if !resolved.config.reach.is_private() {
        return Ok(String::new());
    }
    let answer = aws
        .call("DescribeSubnets", |ec2| ec2.describe_subnets().subnet_ids(&resolved.subnet).send())
        .await
        .map_err(|e| e.error("look up the subnet"))?;
    Ok(answer.subnets().first().and_then(|subnet| subnet.cidr_block()).unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_rules_of_our_ports_change() {
        let net = |text: &str| text.parse::<IpNet>().unwrap();
        let open = [crate::values::OpenPort { protocol: "tcp".into(), first: 80, last: 80 }];
        let rules = ingress::permissions(&[22, 2376], &[net("192.0.2.1/32"), net("192.0.2.2/32")], &open);
        let (stale, present) = split(&rules, &[22, 2376], &[net("192.0.2.2/32"), net("192.0.2.3/32")]);
        assert_eq!(stale.len(), 2);
        assert!(stale.iter().all(|rule| ingress::networks(rule).eq([net("192.0.2.1/32")])));
        assert_eq!(present, [(22, net("192.0.2.2/32")), (2376, net("192.0.2.2/32"))]);
    }
}
