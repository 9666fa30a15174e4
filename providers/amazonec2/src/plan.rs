//! `preflight`: the request checked against the account, with all defaults resolved. Read-only.

use ipnet::IpNet;
use rmachine_provider_api::{BootData, BootForm, Error, HostTrust, Login, LoginKey, MachineSpec, Plan, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    client::Aws,
    config::Config,
    image, ingress,
    network::{self, NamedGroups},
};

/// Most bytes of user-data before base64 (docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-add-user-data.html).
const USER_DATA_LIMIT: usize = 16 * 1024;
/// Size of the root volume unless the image or the user wants another, as docker-machine has it.
const ROOT_GIB: i32 = 16;
/// Login name on images of makers that we do not know; the first-boot data makes the user.
const LOGIN_USER: &str = "ec2-user";

/// The resolved request, as the record keeps it and `create` carries it out.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Resolved {
    pub(crate) config: Config,
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
pub(crate) async fn preflight(aws: &Aws, spec: &MachineSpec) -> Result<Plan> {
    let config = Config::read(&spec.config)?;
    let user_supplied = match &config.user_data {
        Some(path) => Some(
            std::fs::read(path)
                .map_err(|e| Error::invalid(format!("cannot read the user-data {}", path.display())).source(e))?,
        ),
        None => None,
    };
    let located = async {
        let place = network::place(aws, &config).await?;
        let groups = network::named_groups(aws, &config, &place.vpc).await?;
        let sources = sources(&config, &groups, &place.cidr).await?;
        Ok::<_, Error>((place, groups, sources))
    };
    let (images, architectures, (place, groups, sources), ()) = futures::future::try_join4(
        image::candidates(aws, &config),
        network::architectures(aws, &config.instance_type),
        located,
        network::check_key_pair(aws, &config),
    )
    .await?;
    let picked = image::pick(&images, &architectures, &config.instance_type)?;
    if config.ipv6 && !place.has_ipv6 {
        return Err(Error::invalid(format!("the subnet {} has no IPv6 network", place.subnet))
            .hint("choose another --amazonec2-subnet-id, or leave out --amazonec2-ipv6"));
    }
    let root_size = match config.root_size {
        Some(size) if size < picked.size => {
            return Err(Error::invalid(format!(
                "the image needs a root volume of {} GiB at least, not {size}",
                picked.size
            ))
            .hint("raise --amazonec2-root-size"));
        }
        Some(size) => size,
        None => picked.size.max(ROOT_GIB),
    };
    let user = config.ssh_user.clone().unwrap_or_else(|| picked.user.unwrap_or(LOGIN_USER).to_owned());
    let mut summary = vec![
        ("region".to_owned(), format!("{} (zone {})", config.region, place.zone)),
        ("image".to_owned(), format!("{} ({})", picked.name, picked.id)),
        ("instance type".to_owned(), config.instance_type.clone()),
        ("subnet".to_owned(), format!("{} in {}", place.subnet, place.vpc)),
        ("login".to_owned(), user.clone()),
    ];
    if !sources.is_empty() {
        let texts: Vec<String> = sources.iter().map(ToString::to_string).collect();
        summary.push(("admitted".to_owned(), texts.join(", ")));
    }
    let login =
        Login { user, port: config.ssh_port, key: config.key_path.clone().map_or(LoginKey::Generate, LoginKey::File) };
    let resolved = Resolved {
        image: picked.id,
        device: config.device.clone().unwrap_or(picked.device),
        root_size,
        subnet: place.subnet,
        vpc: place.vpc,
        zone: place.zone,
        account: place.account,
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
        arch: Some(docker_architecture(&picked.architecture).to_owned()),
        alternatives: Vec::new(),
        summary,
    })
}

fn to_value(resolved: &Resolved) -> Result<Value> {
    serde_json::to_value(resolved).map_err(|e| Error::invalid("the request cannot be saved").source(e))
}

/// Who may connect; not asked when no group is made.
async fn sources(config: &Config, groups: &NamedGroups, subnet_cidr: &str) -> Result<Vec<IpNet>> {
    if !config.groups.is_empty() && groups.absent.is_empty() {
        return Ok(Vec::new());
    }
    if !config.ingress.is_empty() {
        return Ok(config.ingress.clone());
    }
    Ok(vec![ingress::caller(config.reach, subnet_cidr).await?])
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
