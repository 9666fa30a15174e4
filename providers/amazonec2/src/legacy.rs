//! docker-machine's record of an EC2 machine: its fields as they are read (drivers/amazonec2/amazonec2.go).
//!
//! Nothing that it made carries our tags: the instance is found by its id, the key pair by its name. The group
//! `docker-machine` is shared by all of its machines; like it, we never delete it.

use rmachine_provider_api::{
    Addresses, Cx, Error, HostAddress, Imported, Instance, Kind, LeftBehind, LegacyFields, Login, LoginKey, MachineRef,
    Notify, Plan, ResourceKind, Result, Secrets,
};

use crate::{
    client::Aws,
    config::{self, Config, ImageChoice, Reach},
    create::Details,
    flags::{ACCESS_KEY, SECRET_KEY, SESSION_TOKEN},
    instance, inventory,
    lists::{Market, Spot},
    plan::Resolved,
    tags, values, watch,
};

/// Its fields for keys, and under which names ours has them.
const KEYS: [(&str, &str); 3] = [("AccessKey", ACCESS_KEY), ("SecretKey", SECRET_KEY), ("SessionToken", SESSION_TOKEN)];
/// The login name that docker-machine takes where none is given.
const USER: &str = "ubuntu";

/// Reads the fields of docker-machine's driver.
pub(crate) fn import(fields: LegacyFields<'_>) -> Result<Imported> {
    let text = |name: &str| fields.text(name).unwrap_or_default().to_owned();
    let region = fields.text("Region").ok_or_else(|| Error::invalid("Region is missing"))?;
    config::check_region(region)?;
    let secrets = Secrets(
        KEYS.iter().filter_map(|(field, flag)| Some(((*flag).to_owned(), fields.text(field)?.to_owned()))).collect(),
    );
    let login = Login {
        user: fields.text("SSHUser").unwrap_or(USER).to_owned(),
        port: fields.port("SSHPort", 22)?,
        key: LoginKey::Default,
    };
    let zone = zone(fields, region);
    let groups = groups(fields);
    let config = Config {
        key_digest: secrets.0.get(ACCESS_KEY).map(|key| config::digest(key)),
        ..config(fields, region, &zone, &groups, &login)?
    };
    let addresses = addresses(fields, config.reach)?;
    let instance = instance::id_of(fields, "InstanceId")?.map(|id| -> Result<Instance> {
        let details = Details {
            zone: zone.clone(),
            subnet: text("SubnetId"),
            vpc: text("VpcId"),
            groups: groups.clone(),
            private_address: fields.text("PrivateIPAddress").map(str::to_owned),
            ..Details::default()
        };
        Ok(Instance {
            id,
            addresses,
            url: None,
            engine_port: None,
            details: serde_json::to_value(details).map_err(saved)?,
        })
    });
    let resolved = Resolved {
        instance_type: text("InstanceType"),
        spot: fields.switch("RequestSpotInstance").then(|| config.spot.clone()),
        image: text("AMI"),
        device: text("DeviceName"),
        root_size: config.root_size.unwrap_or_default(),
        subnet: text("SubnetId"),
        vpc: text("VpcId"),
        zone,
        account: None,
        groups,
        new_groups: Vec::new(),
        sources: Vec::new(),
        config,
    };
    // A key pair that the user named is the user's.
    let key_pair = fields.text("KeyName").filter(|_| !fields.switch("ExistingKey"));
    let made = key_pair.map(|name| (ResourceKind::KeyPair, name.to_owned())).into_iter().collect();
    Ok(Imported {
        config: config::saved(&resolved.config)?,
        secrets,
        secret_fields: &["AccessKey", "SecretKey", "SessionToken"],
        engine_port: None,
        plan: Plan::of_existing(serde_json::to_value(&resolved).map_err(saved)?, login),
        instance: instance.transpose()?,
        made,
    })
}

fn config(fields: LegacyFields<'_>, region: &str, zone: &str, groups: &[String], login: &Login) -> Result<Config> {
    let owned = |name: &str| fields.text(name).map(str::to_owned);
    Ok(Config {
        region: region.to_owned(),
        profile: None,
        key_digest: None,
        endpoint: config::endpoint_of(fields, "Endpoint")?,
        // It would send what is signed in the clear.
        plain_http: false,
        // -1 turns repetitions off.
        retries: fields.number("RetryCount").map_or(5, |count| u8::try_from(count.clamp(0, 100)).unwrap_or(5)),
        image: ImageChoice::Id(owned("AMI").unwrap_or_default()),
        instance_types: vec![owned("InstanceType").unwrap_or_default()],
        user_data: None,
        iam_profile: owned("IamInstanceProfile"),
        monitoring: fields.switch("Monitoring"),
        ebs_optimized: fields.switch("UseEbsOptimizedInstance"),
        // Of GitLab's fork and of Rancher's.
        metadata_tokens: owned("MetadataTokenSetting")
            .or_else(|| owned("HttpTokens"))
            .unwrap_or_else(|| "optional".to_owned()),
        metadata_endpoint: owned("HttpEndpoint"),
        metadata_hops: None,
        device: owned("DeviceName"),
        root_size: fields.number("RootSize").and_then(|size| i32::try_from(size).ok()),
        volume_type: owned("VolumeType").unwrap_or_else(|| "gp2".to_owned()),
        volume_iops: None,
        volume_throughput: None,
        encrypt: false,
        kms_key: None,
        zones: if zone.is_empty() { Vec::new() } else { vec![zone.to_owned()] },
        vpc: owned("VpcId"),
        subnet: owned("SubnetId"),
        reach: reach(fields),
        ipv6: false,
        groups: groups.to_vec(),
        groups_readonly: fields.switch("SecurityGroupReadOnly"),
        // What cannot be read of these is of no use any more: the instance is made.
        open_ports: values::open_ports(&fields.list("OpenPorts")).unwrap_or_default(),
        ingress: Vec::new(),
        ingress_fallback: Vec::new(),
        key_pair: owned("KeyName").filter(|_| fields.switch("ExistingKey")),
        key_path: None,
        ssh_user: Some(login.user.clone()),
        ssh_port: login.port,
        markets: vec![if fields.switch("RequestSpotInstance") { Market::Spot } else { Market::OnDemand }],
        spot: Spot { price: owned("SpotPrice"), persistent: false },
        tags: values::tags(fields.text("Tags").unwrap_or_default()).unwrap_or_default(),
    })
}

/// docker-machine keeps the letter.
fn zone(fields: LegacyFields<'_>, region: &str) -> String {
    match fields.text("Zone") {
        Some(zone) if zone.starts_with(region) => zone.to_owned(),
        Some(letter) => format!("{region}{letter}"),
        None => String::new(),
    }
}

/// The ids, of which early versions knew one only.
fn groups(fields: LegacyFields<'_>) -> Vec<String> {
    let several = fields.list("SecurityGroupIds");
    if several.is_empty() { fields.text("SecurityGroupId").map(str::to_owned).into_iter().collect() } else { several }
}

fn reach(fields: LegacyFields<'_>) -> Reach {
    match (fields.switch("PrivateIPOnly"), fields.switch("UsePrivateIP")) {
        (true, _) => Reach::PrivateOnly,
        (false, true) => Reach::Private,
        (false, false) => Reach::Public,
    }
}

fn addresses(fields: LegacyFields<'_>, reach: Reach) -> Result<Addresses> {
    let dial: Option<HostAddress> = fields.parsed("IPAddress")?;
    let ip = dial.as_ref().and_then(HostAddress::ip);
    let private = fields.text("PrivateIPAddress").and_then(|text| text.parse().ok());
    Ok(Addresses {
        published: None,
        public: ip.filter(|_| !reach.is_private()).into_iter().collect(),
        private: private.or(ip.filter(|_| reach.is_private())).into_iter().collect(),
        names: Vec::new(),
        dial,
    })
}

fn saved(error: serde_json::Error) -> Error {
    Error::invalid("the machine cannot be recorded").source(error)
}

/// The spot request of an instance whose record does not have it.
pub(crate) async fn spot_request(aws: &Aws, machine: &MachineRef<'_>) -> Result<Option<String>> {
    let Some(instance) = machine.instance else { return Ok(None) };
    if Details::read(&instance.details).spot_request.is_some() {
        return Ok(None);
    }
    let listed = watch::by_ids(aws, &[instance.id.to_string()]).await?;
    Ok(listed.first().and_then(|found| found.spot_instance_request_id().map(str::to_owned)))
}

/// The key pair that docker-machine's instance was started with; asked before it is ended.
pub(crate) async fn login_key(aws: &Aws, machine: &MachineRef<'_>) -> Result<Option<String>> {
    let Some(instance) = machine.instance.filter(|_| machine.by_id) else { return Ok(None) };
    let listed = watch::by_ids(aws, &[instance.id.to_string()]).await?;
    Ok(listed.first().and_then(|found| found.key_name().map(str::to_owned)))
}

/// Deletes the key pairs `names`, which docker-machine registered for `machine`. A record may name any: one that is not
/// its instance's, or that another instance has as well, is left.
pub(crate) async fn delete_key_pairs(
    aws: &Aws,
    machine: &MachineRef<'_>,
    names: impl Iterator<Item = String>,
    login_key: Option<String>,
    cx: &Cx<'_>,
) -> Result<()> {
    for name in names {
        if login_key.as_ref() != Some(&name) {
            cx.warn(&format!("nothing shows that the key pair {name:?} is the machine's, so it stays"));
            continue;
        }
        let own = machine.instance.map(|instance| instance.id.as_str());
        let users = inventory::instances(aws, tags::filter("key-name", [name.as_str()])).await?;
        if let Some(user) = users.iter().find(|user| Some(user.id.as_str()) != own) {
            cx.warn(&format!("the key pair {name} is that of the instance {} as well, so it stays", user.id));
            continue;
        }
        let deleted = aws.effect(cx, "DeleteKeyPair", |ec2| ec2.delete_key_pair().key_name(&name).send()).await;
        match deleted {
            Err(failure) if !failure.is_not_found() => {
                return Err(failure
                    .error(&format!("delete the key pair {name}"))
                    .left(LeftBehind::Present(vec![name.clone()])));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The instance was not found, and its record names no account, as docker-machine's do not. Where its network is not
/// found either, it is the wrong account or region that was asked.
pub(crate) async fn check_place(aws: &Aws, machine: &MachineRef<'_>) -> Result<()> {
    let details = machine.instance.map(|instance| Details::read(&instance.details)).unwrap_or_default();
    let (filter, what) = match (details.vpc.as_str(), details.groups.as_slice()) {
        ("", []) => return Ok(()),
        ("", groups) => (tags::filter("group-id", groups), groups.join(", ")),
        (vpc, _) => (tags::filter("vpc-id", [vpc]), vpc.to_owned()),
    };
    if !inventory::groups(aws, filter).await?.is_empty() {
        return Ok(());
    }
    let region = aws.region();
    Err(Error::new(Kind::Credentials, format!("these credentials find neither the instance nor {what} in {region}"))
        .hint("use the credentials of the account that the machine was made in (AWS_PROFILE)")
        .left(LeftBehind::Unknown))
}

#[cfg(test)]
#[path = "legacy_tests.rs"]
mod tests;
