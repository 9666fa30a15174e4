//! What was asked, checked without asking anybody.

use std::{collections::BTreeMap, path::PathBuf};

use aws_config::{
    meta::region::ProvideRegion, profile::region::ProfileFileRegionProvider, provider_config::ProviderConfig,
};
use ipnet::IpNet;
use rmachine_provider_api::{Configured, Error, LegacyFields, Result, Secrets, Source, Values};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{
    flags::{ACCESS_KEY, SECRET_KEY, SESSION_TOKEN},
    lists::{Market, Spot, instance_types, markets, retries, spot, zones},
    values::{OpenPort, id, is_id, networks, number, one_of, open_ports, small, tags},
};

/// Region when neither flag, environment nor profile names one, as docker-machine has it.
const DEFAULT_REGION: &str = "us-east-1";
/// The request as the record keeps it; no secrets.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Config {
    pub(crate) region: String,
    pub(crate) profile: Option<String>,
    /// Digest of the access key that was typed: tells accounts apart without naming the key.
    pub(crate) key_digest: Option<String>,
    pub(crate) endpoint: Option<String>,
    pub(crate) plain_http: bool,
    pub(crate) retries: u8,
    pub(crate) image: ImageChoice,
    /// In the order of preference; one at least.
    pub(crate) instance_types: Vec<String>,
    pub(crate) user_data: Option<PathBuf>,
    pub(crate) iam_profile: Option<String>,
    pub(crate) monitoring: bool,
    pub(crate) ebs_optimized: bool,
    pub(crate) metadata_tokens: String,
    pub(crate) metadata_endpoint: Option<String>,
    /// `None`: the image's own, in records from before there was a default; their saved request must stay the same.
    pub(crate) metadata_hops: Option<i32>,
    pub(crate) device: Option<String>,
    pub(crate) root_size: Option<i32>,
    pub(crate) volume_type: String,
    pub(crate) volume_iops: Option<i32>,
    pub(crate) volume_throughput: Option<i32>,
    pub(crate) encrypt: bool,
    pub(crate) kms_key: Option<String>,
    /// Whole names, in the order of preference; none: any.
    pub(crate) zones: Vec<String>,
    pub(crate) vpc: Option<String>,
    pub(crate) subnet: Option<String>,
    pub(crate) reach: Reach,
    pub(crate) ipv6: bool,
    pub(crate) groups: Vec<String>,
    pub(crate) groups_readonly: bool,
    pub(crate) open_ports: Vec<OpenPort>,
    pub(crate) ingress: Vec<IpNet>,
    /// Who may connect where the caller's address cannot be found.
    #[serde(default)]
    pub(crate) ingress_fallback: Vec<IpNet>,
    pub(crate) key_pair: Option<String>,
    pub(crate) key_path: Option<PathBuf>,
    pub(crate) ssh_user: Option<String>,
    pub(crate) ssh_port: u16,
    /// In the order of preference; one at least.
    pub(crate) markets: Vec<Market>,
    pub(crate) spot: Spot,
    pub(crate) tags: BTreeMap<String, String>,
}

/// Which image to boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ImageChoice {
    /// This one.
    Id(String),
    /// The one that an SSM parameter names.
    Parameter(String),
    /// The newest of this owner and name that fits the instance type.
    Newest { owner: String, name: String },
}

/// Which address to dial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Reach {
    Public,
    /// The private one, though there may be a public one.
    Private,
    /// The private one, and there is no other.
    PrivateOnly,
    Ipv6,
}

impl Reach {
    pub(crate) fn is_private(self) -> bool {
        matches!(self, Self::Private | Self::PrivateOnly)
    }
}

impl Config {
    /// Reads a saved config.
    pub(crate) fn read(value: &Value) -> Result<Self> {
        Self::deserialize(value).map_err(|e| Error::invalid("the saved config of the machine does not read").source(e))
    }

    /// Whether some choice of the request asks the spot market.
    pub(crate) fn may_be_spot(&self) -> bool {
        self.markets.contains(&Market::Spot)
    }

    /// Which containers get at the keys of the instance's role, where it has one.
    pub(crate) fn role_in_containers(&self) -> Option<String> {
        let profile = self.iam_profile.as_deref()?;
        if self.metadata_endpoint.as_deref() == Some("disabled") {
            return None;
        }
        let who = match self.metadata_hops {
            Some(1) if self.metadata_tokens == "required" => "privileged ones and those with --network host",
            _ => "all of them",
        };
        Some(format!(
            "containers can use the role of the instance profile {profile} ({who}): so can all who may run one"
        ))
    }

    /// Region, and where it is not the region's own, profile and endpoint.
    pub(crate) fn place(&self) -> String {
        let profile = self.profile.as_ref().map(|name| format!(" (profile {name})")).unwrap_or_default();
        let endpoint = self.endpoint.as_ref().map(|url| format!(" at {url}")).unwrap_or_default();
        format!("{}{profile}{endpoint}", self.region)
    }

    /// Machines of one scope are asked for by one client.
    pub(crate) fn scope(&self) -> String {
        let part = |text: &Option<String>| text.as_deref().unwrap_or("-").to_owned();
        // Stores keep scopes in their `places.json`, so that these words stay.
        let reach = match self.reach {
            Reach::Public => "Public",
            Reach::Private => "Private",
            Reach::PrivateOnly => "PrivateOnly",
            Reach::Ipv6 => "Ipv6",
        };
        [self.region.clone(), part(&self.endpoint), part(&self.profile), part(&self.key_digest), reach.to_owned()]
            .join(" ")
    }
}

/// Turns flags into a config and the secrets that were typed.
pub(crate) fn configure(values: &Values) -> Result<Configured> {
    let secrets = secrets(values)?;
    let text = |flag: &str| values.text(flag).map(str::to_owned);
    let profile = text("amazonec2-profile");
    let region = region(values, profile.as_deref())?;
    let config = Config {
        zones: zones(values, &region)?,
        region,
        key_digest: secrets.0.get(ACCESS_KEY).map(|key| digest(key)),
        profile,
        endpoint: endpoint(values)?,
        plain_http: values.switch("amazonec2-insecure-transport"),
        retries: retries(values)?,
        image: image(values)?,
        instance_types: instance_types(values)?,
        user_data: text("amazonec2-userdata").map(PathBuf::from),
        iam_profile: text("amazonec2-iam-instance-profile"),
        monitoring: values.switch("amazonec2-monitoring"),
        ebs_optimized: values.switch("amazonec2-use-ebs-optimized-instance"),
        metadata_tokens: one_of(values, "amazonec2-metadata-token", &["required", "optional"])?
            .unwrap_or_else(|| "required".to_owned()),
        metadata_endpoint: one_of(values, "amazonec2-http-endpoint", &["enabled", "disabled"])?,
        metadata_hops: number(values, "amazonec2-metadata-token-response-hop-limit", 1, 64)?,
        device: text("amazonec2-device-name"),
        root_size: number(values, "amazonec2-root-size", 1, 65_536)?,
        volume_type: text("amazonec2-volume-type").unwrap_or_else(|| "gp3".to_owned()),
        volume_iops: number(values, "amazonec2-volume-iops", 100, 256_000)?,
        volume_throughput: number(values, "amazonec2-volume-throughput", 125, 2_000)?,
        encrypt: values.switch("amazonec2-encrypt-ebs-volume"),
        kms_key: text("amazonec2-kms-key"),
        vpc: id(values, "amazonec2-vpc-id", "vpc-")?,
        subnet: id(values, "amazonec2-subnet-id", "subnet-")?,
        reach: reach(values),
        ipv6: values.switch("amazonec2-ipv6") || values.switch("amazonec2-use-ipv6-address"),
        groups: values.list("amazonec2-security-group").to_vec(),
        groups_readonly: values.switch("amazonec2-security-group-readonly"),
        open_ports: open_ports(values.list("amazonec2-open-port"))?,
        ingress: networks(values.list("amazonec2-ingress-cidr"))?,
        ingress_fallback: networks(values.list("amazonec2-ingress-fallback"))?,
        key_pair: text("amazonec2-keypair-name"),
        key_path: key_path(values)?,
        ssh_user: text("amazonec2-ssh-user"),
        ssh_port: small(values, "amazonec2-ssh-port", 1, u16::MAX)?.unwrap_or(22),
        markets: markets(values)?,
        spot: spot(values)?,
        tags: tags(values.text("amazonec2-tags").unwrap_or_default())?,
    };
    check_together(&config)?;
    Ok(Configured { config: saved(&config)?, secrets, engine_port: None })
}

/// As the record keeps it.
pub(crate) fn saved(config: &Config) -> Result<Value> {
    serde_json::to_value(config).map_err(|e| Error::invalid("the config cannot be saved").source(e))
}

fn check_together(config: &Config) -> Result<()> {
    if config.key_pair.is_some() && config.key_path.is_none() {
        return Err(Error::invalid("--amazonec2-keypair-name needs the key's private half")
            .hint("add --amazonec2-ssh-keypath PATH"));
    }
    if config.kms_key.is_some() && !config.encrypt {
        return Err(Error::invalid("--amazonec2-kms-key contradicts --amazonec2-encrypt-ebs-volume=false"));
    }
    if let Some(path) = &config.user_data {
        std::fs::File::open(path).map_err(|e| {
            Error::invalid(format!("cannot read the user-data {}", path.display()))
                .source(e)
                .hint("--amazonec2-userdata takes the path of a file")
        })?;
    }
    Ok(())
}

/// The keys that were typed. The environment's are left to the SDK's chain and never kept.
fn secrets(values: &Values) -> Result<Secrets> {
    let typed = |flag: &str| match values.source(flag) {
        Some(Source::CommandLine) => values.text(flag).map(str::to_owned),
        _ => None,
    };
    let mut secrets = Secrets::default();
    for flag in [ACCESS_KEY, SECRET_KEY, SESSION_TOKEN] {
        if let Some(value) = typed(flag) {
            secrets.0.insert(flag.to_owned(), value);
        }
    }
    let has = |flag: &str| secrets.0.contains_key(flag) || values.text(flag).is_some();
    let missing = [ACCESS_KEY, SECRET_KEY].into_iter().any(|flag| !has(flag));
    if missing && !secrets.0.is_empty() {
        return Err(Error::new(rmachine_provider_api::Kind::InvalidInput, "half of the access keys is missing")
            .hint(format!("give both --{ACCESS_KEY} and --{SECRET_KEY}, or neither to use the environment's")));
    }
    Ok(secrets)
}

pub(crate) fn digest(key: &str) -> String {
    Sha256::digest(key.as_bytes()).iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

/// Flag, else environment (both in `values`), else profile, else us-east-1.
fn region(values: &Values, profile: Option<&str>) -> Result<String> {
    let region = match values.text("amazonec2-region") {
        Some(region) => region.to_owned(),
        None => profile_region(profile).unwrap_or_else(|| DEFAULT_REGION.to_owned()),
    };
    check_region(&region)?;
    Ok(region)
}

pub(crate) fn check_region(region: &str) -> Result<()> {
    let good = region.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') && region.len() < 40;
    if good && region.contains('-') {
        Ok(())
    } else {
        Err(Error::invalid(format!("invalid region {region:?}")).hint("a region is one like us-east-1 or eu-central-1"))
    }
}

/// Reads the profile files; they are local, so waiting for them here is fine.
fn profile_region(profile: Option<&str>) -> Option<String> {
    let mut builder = ProfileFileRegionProvider::builder().configure(&ProviderConfig::without_region());
    if let Some(profile) = profile {
        builder = builder.profile_name(profile);
    }
    let provider = builder.build();
    futures::executor::block_on(provider.region()).map(|region| region.to_string())
}

fn endpoint(values: &Values) -> Result<Option<String>> {
    let plain = values.switch("amazonec2-insecure-transport");
    values.text("amazonec2-endpoint").map(|endpoint| endpoint_url(endpoint, plain)).transpose()
}

pub(crate) fn endpoint_url(endpoint: &str, plain_http: bool) -> Result<String> {
    let scheme = if plain_http { "http" } else { "https" };
    let url = if endpoint.contains("://") { endpoint.to_owned() } else { format!("{scheme}://{endpoint}") };
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    match rest.map(|rest| rest.split('/').next().unwrap_or_default()) {
        Some(host) if !host.is_empty() && url.parse::<http::Uri>().is_ok() => Ok(url),
        _ => Err(Error::invalid(format!("invalid endpoint {endpoint:?}")).hint("an endpoint is https://HOST[:PORT]")),
    }
}

/// The endpoint of a record that others wrote.
pub(crate) fn endpoint_of(fields: LegacyFields<'_>, name: &str) -> Result<Option<String>> {
    let read = |url| endpoint_url(url, false).map_err(|e| Error::invalid(format!("{name}: {e}")));
    fields.text(name).map(read).transpose()
}

/// Canonical's account and Ubuntu 24.04 LTS (documentation.ubuntu.com/aws, "Find Ubuntu images on AWS").
const DEFAULT_OWNER: &str = "099720109477";
const DEFAULT_NAME: &str = "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-*-server-*";

fn image(values: &Values) -> Result<ImageChoice> {
    let (owner, name) = (values.text("amazonec2-ami-owner"), values.text("amazonec2-ami-name"));
    match (values.text("amazonec2-ami"), owner, name) {
        (Some(_), Some(_), _) | (Some(_), _, Some(_))
            if values.source("amazonec2-ami") == Some(&Source::CommandLine) =>
        {
            Err(Error::invalid("--amazonec2-ami contradicts --amazonec2-ami-owner and --amazonec2-ami-name"))
        }
        (Some(ami), None, None) => match ami.strip_prefix("resolve:ssm:") {
            Some(parameter) if !parameter.is_empty() => Ok(ImageChoice::Parameter(parameter.to_owned())),
            None if is_id(ami, "ami-") => Ok(ImageChoice::Id(ami.to_owned())),
            _ => Err(Error::invalid(format!("invalid image {ami:?}"))
                .hint("--amazonec2-ami takes ami-0123456789abcdef0 or resolve:ssm:/a/parameter")),
        },
        (_, Some(_), None) => Err(Error::invalid("--amazonec2-ami-owner needs a name to look for")
            .hint("add --amazonec2-ami-name 'PATTERN', such as 'debian-13-*'")),
        (_, owner, name) => Ok(ImageChoice::Newest {
            owner: owner.unwrap_or(if name.is_some() { "self" } else { DEFAULT_OWNER }).to_owned(),
            name: name.unwrap_or(DEFAULT_NAME).to_owned(),
        }),
    }
}

fn reach(values: &Values) -> Reach {
    if values.switch("amazonec2-private-address-only") {
        Reach::PrivateOnly
    } else if values.switch("amazonec2-use-private-address") {
        Reach::Private
    } else if values.switch("amazonec2-use-ipv6-address") {
        Reach::Ipv6
    } else {
        Reach::Public
    }
}

fn key_path(values: &Values) -> Result<Option<PathBuf>> {
    let Some(path) = values.text("amazonec2-ssh-keypath").map(PathBuf::from) else { return Ok(None) };
    std::fs::File::open(&path).map_err(|e| {
        Error::invalid(format!("cannot read the SSH key {}", path.display()))
            .source(e)
            .hint("--amazonec2-ssh-keypath takes the path of a private key")
    })?;
    Ok(Some(path))
}

/// For tests of other modules: the config of the defaults and `given`.
#[cfg(test)]
pub(crate) fn for_test(given: &[(&'static str, rmachine_provider_api::Value)]) -> Result<Config> {
    Config::read(&configured(given)?.config)
}

#[cfg(test)]
fn configured(given: &[(&'static str, rmachine_provider_api::Value)]) -> Result<Configured> {
    let typed = |flag: &rmachine_provider_api::Flag| {
        given.iter().find(|(name, _)| *name == flag.name).map(|(_, value)| value.clone())
    };
    configure(&Values::resolve(&crate::flags::flags(), typed, |name| {
        (name == "AWS_REGION").then(|| "eu-west-1".into())
    })?)
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
