//! `preflight`: the request checked against the account, with all defaults resolved. Read-only.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::Image;
use ipnet::IpNet;
use rmachine_provider_api::{
    Alternative, BootData, BootForm, Error, HostTrust, Login, LoginKey, Notify, Plan, PreflightRequest, Result,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    client::Aws,
    config::Config,
    image::{self, Picked},
    ingress, inventory,
    lists::{Market, Spot},
    network::{self, NamedGroups, Place},
};

/// Most bytes of user-data before base64 (docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-add-user-data.html).
const USER_DATA_LIMIT: usize = 16 * 1024;
/// Size of the root volume unless the image or the user wants another, as docker-machine has it.
const ROOT_GIB: i32 = 16;
/// Most choices that are kept besides the first; each is a call where there is no room.
const MOST_ALTERNATIVES: usize = 24;
/// Login name on images of makers that we do not know; the first-boot data makes the user.
const LOGIN_USER: &str = "ec2-user";

/// The resolved request, as the record keeps it and `create` carries it out.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Resolved {
    pub(crate) config: Config,
    pub(crate) instance_type: String,
    /// What is asked of the spot market; `None`: on demand.
    pub(crate) spot: Option<Spot>,
    pub(crate) image: String,
    pub(crate) device: String,
    pub(crate) root_size: i32,
    pub(crate) subnet: String,
    pub(crate) vpc: String,
    pub(crate) zone: String,
    pub(crate) account: Option<String>,
    /// Groups that are there already and are not edited.
    pub(crate) groups: Vec<String>,
    /// Named groups that have to be made; with no name at all, the machine gets one of its own.
    pub(crate) new_groups: Vec<String>,
    /// Who may connect.
    pub(crate) sources: Vec<IpNet>,
}

impl Resolved {
    pub(crate) fn read(plan: &Plan) -> Result<Self> {
        Self::deserialize(&plan.resolved)
            .map_err(|e| Error::invalid("the saved request of the machine does not read").source(e))
    }

    /// Whether the machine has a group that was made for it.
    pub(crate) fn makes_group(&self) -> bool {
        self.config.groups.is_empty() || !self.new_groups.is_empty()
    }
}

/// Resolves the request of `spec`; the questions that do not depend on each other are asked at once.
pub(crate) async fn preflight(aws: &Aws, spec: &PreflightRequest, notify: &dyn Notify) -> Result<Plan> {
    let config = Config::read(&spec.config)?;
    let user_supplied = match &config.user_data {
        Some(path) => Some(
            std::fs::read(path)
                .map_err(|e| Error::invalid(format!("cannot read the user-data {}", path.display())).source(e))?,
        ),
        None => None,
    };
    let located = async {
        let places = network::places(aws, &config).await?;
        let vpc = places.first().map(|place| place.vpc.clone()).unwrap_or_default();
        let cidr = places.first().map(|place| place.cidr.clone()).unwrap_or_default();
        let groups = network::named_groups(aws, &config, &vpc).await?;
        let (sources, accounts) =
            futures::future::try_join(sources(aws, &config, &groups, &cidr, notify), inventory::accounts(aws)).await?;
        // The subnet's owner is another one where the VPC is shared.
        let account = accounts.into_iter().next().or_else(|| places.first().and_then(|place| place.account.clone()));
        Ok::<_, Error>((places, groups, sources, account))
    };
    // What was named alone is taken as it is; EC2 says if it does not fit.
    let offered = async {
        match config.subnet.is_some() || (config.zones.len() == 1 && config.instance_types.len() == 1) {
            true => Ok(None),
            false => network::offers(aws, &config.instance_types).await.map(Some),
        }
    };
    let (images, architectures, (places, groups, sources, account), offered, ()) = futures::future::try_join5(
        image::candidates(aws, &config),
        network::architectures(aws, &config.instance_types),
        located,
        offered,
        network::check_key_pair(aws, &config),
    )
    .await?;
    let mut choices = choices(&config, &images, &architectures, &places, offered.as_ref())?.into_iter();
    let Some(first) = choices.next() else { return Err(network::nowhere(&config)) };
    if let Some(warning) = config.role_in_containers() {
        notify.warn(&warning);
    }
    let user = config.ssh_user.clone().unwrap_or_else(|| first.picked.user.unwrap_or(LOGIN_USER).to_owned());
    let mut summary = vec![
        ("region".to_owned(), format!("{} (zone {})", config.region, first.place.zone)),
        ("image".to_owned(), format!("{} ({})", first.picked.name, first.picked.id)),
        ("instance type".to_owned(), format!("{}, {}", first.instance_type, first.market.word())),
        ("subnet".to_owned(), format!("{} in {}", first.place.subnet, first.place.vpc)),
        ("login".to_owned(), user.clone()),
    ];
    if !sources.is_empty() {
        let texts: Vec<String> = sources.iter().map(ToString::to_string).collect();
        summary.push(("admitted".to_owned(), texts.join(", ")));
    }
    let login =
        Login { user, port: config.ssh_port, key: config.key_path.clone().map_or(LoginKey::Generate, LoginKey::File) };
    let alternatives = choices.take(MOST_ALTERNATIVES).map(|choice| choice.alternative(&config)).collect();
    let arch = docker_architecture(&first.picked.architecture).to_owned();
    let resolved = Resolved {
        instance_type: first.instance_type.to_owned(),
        spot: first.spot(&config),
        image: first.picked.id.clone(),
        device: first.device(&config),
        root_size: first.root_size,
        subnet: first.place.subnet.clone(),
        vpc: first.place.vpc.clone(),
        zone: first.place.zone.clone(),
        account,
        groups: groups.existing,
        new_groups: groups.absent,
        sources,
        config,
    };
    Ok(Plan {
        resolved: to_value(&resolved)?,
        login,
        boot_data: Some(BootData { form: BootForm::CloudInit, limit: USER_DATA_LIMIT, user_supplied }),
        host_trust: HostTrust::Seeded,
        arch: Some(arch),
        alternatives,
        summary,
    })
}

/// One way to carry the request out.
struct Choice<'a> {
    market: Market,
    instance_type: &'a str,
    place: &'a Place,
    picked: Picked,
    root_size: i32,
}

impl Choice<'_> {
    fn spot(&self, config: &Config) -> Option<Spot> {
        (self.market == Market::Spot).then(|| config.spot.clone())
    }

    fn device(&self, config: &Config) -> String {
        config.device.clone().unwrap_or_else(|| self.picked.device.clone())
    }

    /// What it has in the place of the first choice's.
    fn alternative(&self, config: &Config) -> Alternative {
        let arch = docker_architecture(&self.picked.architecture);
        Alternative {
            changes: json!({
                "instance_type": self.instance_type,
                "spot": self.spot(config),
                "image": self.picked.id,
                "device": self.device(config),
                "root_size": self.root_size,
                "subnet": self.place.subnet,
                "zone": self.place.zone,
            }),
            arch: Some(arch.to_owned()),
            label: format!("{} ({}) in {}", self.instance_type, self.market.word(), self.place.zone),
        }
    }
}

/// Every market with every type in every zone, in the order of preference: the zone changes first, the market last.
fn choices<'a>(
    config: &'a Config,
    images: &[Image],
    architectures: &BTreeMap<String, Vec<String>>,
    places: &'a [Place],
    offered: Option<&BTreeMap<String, BTreeSet<String>>>,
) -> Result<Vec<Choice<'a>>> {
    let mut choices = Vec::new();
    for (market, instance_type) in
        config.markets.iter().flat_map(|market| config.instance_types.iter().map(|name| (*market, name)))
    {
        let picked = image::pick(images, architectures.get(instance_type).map_or(&[], Vec::as_slice), instance_type)?;
        let root_size = root_size(config, &picked)?;
        for place in places {
            let fits = |offers: &BTreeMap<String, BTreeSet<String>>| {
                offers.get(instance_type).is_some_and(|zones| zones.contains(&place.zone))
            };
            if !offered.is_none_or(fits) {
                continue;
            }
            if config.ipv6 && !place.has_ipv6 {
                if places.len() > 1 {
                    continue;
                }
                return Err(Error::invalid(format!("the subnet {} has no IPv6 network", place.subnet))
                    .hint("choose another --amazonec2-subnet-id, or leave out --amazonec2-ipv6"));
            }
            choices.push(Choice { market, instance_type, place, picked: picked.clone(), root_size });
        }
    }
    Ok(choices)
}

fn root_size(config: &Config, picked: &Picked) -> Result<i32> {
    match config.root_size {
        Some(size) if size < picked.size => {
            Err(Error::invalid(format!("the image needs a root volume of {} GiB at least, not {size}", picked.size))
                .hint("raise --amazonec2-root-size"))
        }
        Some(size) => Ok(size),
        None => Ok(picked.size.max(ROOT_GIB)),
    }
}

fn to_value(resolved: &Resolved) -> Result<Value> {
    serde_json::to_value(resolved).map_err(|e| Error::invalid("the request cannot be saved").source(e))
}

/// Who may connect; not asked when no group is made.
async fn sources(
    aws: &Aws,
    config: &Config,
    groups: &NamedGroups,
    subnet_cidr: &str,
    notify: &dyn Notify,
) -> Result<Vec<IpNet>> {
    if !config.groups.is_empty() && groups.absent.is_empty() {
        return Ok(Vec::new());
    }
    if !config.ingress.is_empty() {
        return Ok(config.ingress.clone());
    }
    match ingress::caller(aws, config.reach, subnet_cidr).await {
        Ok(caller) => Ok(vec![caller]),
        Err(error) if !config.ingress_fallback.is_empty() => {
            let open: Vec<String> = config.ingress_fallback.iter().map(ToString::to_string).collect();
            notify.warn(&format!(
                "{error}: SSH and the engine are open to {}; --amazonec2-ingress-cidr says who may connect",
                open.join(", ")
            ));
            Ok(config.ingress_fallback.clone())
        }
        Err(error) => Err(error),
    }
}

/// Docker's word for EC2's.
fn docker_architecture(ec2: &str) -> &str {
    match ec2 {
        "x86_64" | "x86_64_mac" => "amd64",
        "arm64" | "arm64_mac" => "arm64",
        "i386" => "386",
        other => other,
    }
}
