//! An instance of ours whose record was lost: what can be read back, and a way in.

use rmachine_provider_api::{
    Cx, Error, Instance, InstanceId, Kind, LeftBehind, Login, LoginKey, MachineRef, MachineState, MachineToken, Owner,
    Plan, Resource, Result, Stray,
};

use crate::{
    client::Aws,
    config::{Config, ImageChoice},
    create::Details,
    errors::Failure,
    image, instance as view, inventory,
    lists::Market,
    plan::Resolved,
    tags, watch,
};

/// Reads back what is known of the instance `id`.
pub(crate) async fn examine(aws: &Aws, config: &Config, id: &InstanceId) -> Result<Stray> {
    let listed = watch::by_ids(aws, &[id.to_string()]).await?;
    let found =
        listed.first().filter(|instance| view::state(instance) != MachineState::Terminated).ok_or_else(|| {
            Error::new(Kind::NotFound, format!("there is no instance {id} in {}", aws.region()))
                .hint("check the id and --amazonec2-region; `rmachine gc` lists what carries rmachine's tags")
        })?;
    let text = |key: &str| tags::value(found.tags(), key).map(str::to_owned);
    let Some(token) = text(tags::TOKEN).and_then(|text| text.parse::<MachineToken>().ok()) else {
        return Err(Error::invalid(format!(
            "the instance {id} was not made by rmachine: it has no tag {}",
            tags::TOKEN
        ))
        .hint("a host that others made is taken in by `rmachine create --driver generic`"));
    };
    let zone = found.placement().and_then(|place| place.availability_zone()).unwrap_or_default().to_owned();
    let image_id = found.image_id().unwrap_or_default().to_owned();
    let user = login_user(aws, config, &image_id).await?;
    let groups: Vec<String> =
        found.security_groups().iter().filter_map(|group| group.group_id().map(str::to_owned)).collect();
    let own_groups: Vec<String> =
        inventory::groups(aws, tags::by_token(&token)).await?.into_iter().map(|group| group.id).collect();
    let spot = found.spot_instance_request_id().map(str::to_owned);
    let config = Config {
        instance_types: found.instance_type().map(|name| name.as_str().to_owned()).into_iter().collect(),
        zones: vec![zone.clone()],
        markets: vec![if spot.is_some() { Market::Spot } else { Market::OnDemand }],
        image: ImageChoice::Id(image_id.clone()),
        groups: if own_groups.is_empty() { groups.clone() } else { Vec::new() },
        key_pair: None,
        key_path: None,
        user_data: None,
        ..config.clone()
    };
    let addresses = view::addresses(found, config.reach);
    let account = found.network_interfaces().first().and_then(|nic| nic.owner_id()).map(str::to_owned);
    let resolved = Resolved {
        instance_type: config.instance_types.first().cloned().unwrap_or_default(),
        spot: spot.as_ref().map(|_| config.spot.clone()),
        image: image_id,
        device: found.root_device_name().unwrap_or_default().to_owned(),
        root_size: 0,
        subnet: found.subnet_id().unwrap_or_default().to_owned(),
        vpc: found.vpc_id().unwrap_or_default().to_owned(),
        zone: zone.clone(),
        account: account.clone(),
        groups: groups.iter().filter(|id| !own_groups.contains(id)).cloned().collect(),
        new_groups: Vec::new(),
        sources: Vec::new(),
        config,
    };
    let details = Details {
        account,
        zone: zone.clone(),
        subnet: resolved.subnet.clone(),
        vpc: resolved.vpc.clone(),
        own_groups,
        groups,
        spot_persistent: false,
        spot_request: spot,
        private_address: addresses.private.first().map(ToString::to_string),
    };
    let saved = |e: serde_json::Error| Error::invalid("the instance cannot be recorded").source(e);
    let login = Login { user, port: resolved.config.ssh_port, key: LoginKey::Generate };
    let plan = Plan::of_existing(serde_json::to_value(&resolved).map_err(saved)?, login);
    Ok(Stray {
        resource: Resource {
            owner: text(tags::OWNER).and_then(|text| text.parse().ok()),
            machine: text(tags::MACHINE),
            ..inventory::instances(aws, tags::filter("instance-id", [id.as_str()]))
                .await?
                .into_iter()
                .next()
                .ok_or_else(|| Error::new(Kind::NotFound, format!("the instance {id} is gone")))?
        },
        state: view::state(found),
        config: serde_json::to_value(&resolved.config).map_err(saved)?,
        plan,
        instance: Instance {
            id: id.clone(),
            addresses,
            url: None,
            engine_port: None,
            details: serde_json::to_value(details).map_err(saved)?,
        },
    })
}

/// The given login name, or that of the image's maker.
async fn login_user(aws: &Aws, config: &Config, image_id: &str) -> Result<String> {
    if let Some(user) = &config.ssh_user {
        return Ok(user.clone());
    }
    image::known_user(aws, image_id).await?.map(str::to_owned).ok_or_else(|| {
        Error::invalid(format!("the login name of the image {image_id} is not known"))
            .hint("give it with --amazonec2-ssh-user")
    })
}

/// EC2 Instance Connect: the key is taken for 60 seconds
/// (docs.aws.amazon.com/ec2-instance-connect/latest/APIReference/API_SendSSHPublicKey.html).
pub(crate) async fn let_in(aws: &Aws, id: &InstanceId, user: &str, public_key: &str) -> Result<()> {
    let subject = "let a new key in by EC2 Instance Connect";
    let sent = aws
        .connect_client()
        .send_ssh_public_key()
        .instance_id(id.as_str())
        .instance_os_user(user)
        .ssh_public_key(public_key)
        .send()
        .await
        .map_err(|e| Failure::of("SendSSHPublicKey", aws.region(), None, e).error(subject))?;
    if sent.success() {
        return Ok(());
    }
    Err(Error::new(Kind::Denied, format!("EC2 refuses to {subject}"))
        .hint("log in with a key that the instance knows: --ssh-key PATH"))
}

/// Makes `owner` the owner of all that carries `token`, for a machine called `name`.
pub(crate) async fn claim(aws: &Aws, token: &MachineToken, owner: &Owner, name: &str, cx: &Cx<'_>) -> Result<()> {
    let found = inventory::of_token(aws, token).await?;
    let stale: Vec<String> = found
        .into_iter()
        .filter(|resource| resource.owner.as_ref() != Some(owner))
        .map(|resource| resource.id)
        .collect();
    if stale.is_empty() {
        return Ok(());
    }
    let tag = |key: &str, value: &str| aws_sdk_ec2::types::Tag::builder().key(key).value(value).build();
    let tags = vec![tag(tags::OWNER, owner.as_str()), tag(tags::MACHINE, name)];
    aws.effect(cx, "CreateTags", |ec2| {
        ec2.create_tags().set_resources(Some(stale.clone())).set_tags(Some(tags.clone())).send()
    })
    .await
    .map(|_| ())
    .map_err(|e| e.error("take the machine's resources over (ec2:CreateTags)").left(LeftBehind::Nothing))
}

/// Shows `machine` as `to`: in the tag that names the machine, and in `Name` where that has its old name.
pub(crate) async fn rename(aws: &Aws, machine: &MachineRef<'_>, to: &str, cx: &Cx<'_>) -> Result<()> {
    let found = inventory::of_token(aws, machine.token).await?;
    let tagged: Vec<String> = found.into_iter().map(|resource| resource.id).collect();
    // Of others nothing is changed: docker-machine's is known by its id alone.
    let instance = machine.instance.filter(|_| machine.by_id).map(|instance| instance.id.to_string());
    let ids: Vec<String> = tagged.iter().cloned().chain(instance).collect();
    // What docker-machine made carries no tag of ours but its name.
    let named = tags_named(aws, &ids, machine.name).await?;
    for (ids, key) in [(tagged, tags::MACHINE), (named, "Name")] {
        if ids.is_empty() {
            continue;
        }
        let tag = aws_sdk_ec2::types::Tag::builder().key(key).value(to).build();
        aws.effect(cx, "CreateTags", |ec2| ec2.create_tags().set_resources(Some(ids.clone())).tags(tag.clone()).send())
            .await
            .map_err(|e| e.error("change the name in the tags (ec2:CreateTags)").left(LeftBehind::Nothing))?;
    }
    Ok(())
}

/// Those of `ids` whose tag `Name` is `name`.
async fn tags_named(aws: &Aws, ids: &[String], name: &str) -> Result<Vec<String>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let filters = [tags::filter("resource-id", ids), tags::filter("key", ["Name"]), tags::filter("value", [name])];
    let answer = aws
        .call("DescribeTags", |ec2| ec2.describe_tags().set_filters(Some(filters.to_vec())).send())
        .await
        .map_err(|e| e.error("look up the tags"))?;
    let found = answer.tags().iter().filter(|tag| tag.key() == Some("Name") && tag.value() == Some(name));
    let found = found.filter_map(|tag| tag.resource_id().map(str::to_owned));
    Ok(found.filter(|id| ids.contains(id)).collect())
}

/// The regions that the account may use.
pub(crate) async fn regions(aws: &Aws) -> Result<Vec<String>> {
    let answer = aws
        .call("DescribeRegions", |ec2| ec2.describe_regions().send())
        .await
        .map_err(|e| e.error("look up the regions"))?;
    let mut names: Vec<String> =
        answer.regions().iter().filter_map(|region| region.region_name().map(str::to_owned)).collect();
    names.sort();
    Ok(names)
}
