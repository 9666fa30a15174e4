//! The `amazonec2` driver: instances on Amazon EC2.
//!
//! Everything that it makes carries the owner's and the machine's tag from the call that makes it,
//! so that it can be found and removed whatever happens. The SDK sits behind `client`.

mod access;
mod checkup;
mod client;
mod codes;
mod config;
mod console;
mod cost;
mod create;
mod elsewhere;
mod errors;
mod flags;
mod image;
mod ingress;
mod instance;
mod inventory;
mod legacy;
mod lists;
mod network;
mod permissions;
mod plan;
mod power;
mod remove;
mod replay;
mod settle;
mod stray;
mod tags;
mod tries;
mod values;
mod watch;

use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use ipnet::IpNet;
use rmachine_provider_api::{
    Capabilities, Configured, Console, CreateRequest, Cx, Driver, DriverInfo, Elsewhere, Finding, Imported, Instance,
    InstanceId, LegacyFields, MachineRef, MachineToken, Notify, Observed, Owner, Plan, PreflightRequest, Provider,
    Resource, Result, Secrets, StopMode, Stray, Values, Vetted,
};
use serde_json::{Map, Value, json};

use self::{
    client::Aws,
    config::{Config, Reach},
    create::Details,
    plan::Resolved,
    watch::Watch,
};

static INFO: LazyLock<DriverInfo> = LazyLock::new(|| DriverInfo {
    name: "amazonec2".to_owned(),
    summary: "instances on Amazon EC2".to_owned(),
    flags: flags::flags(),
    capabilities: Capabilities { ssh: true, engine: true, power: true, ingress: true },
});

/// The driver.
#[derive(Debug, Clone, Copy, Default)]
pub struct AmazonEc2;

#[async_trait]
impl Driver for AmazonEc2 {
    fn info(&self) -> &DriverInfo {
        &INFO
    }

    fn configure(&self, values: &Values) -> Result<Configured> {
        config::configure(values)
    }

    fn scope(&self, config: &Value) -> String {
        Config::read(config).map(|config| config.scope()).unwrap_or_default()
    }

    fn place(&self, config: &Value) -> String {
        Config::read(config).map(|config| config.place()).unwrap_or_default()
    }

    fn places(&self, config: &Value, regions: &[String]) -> Result<Vec<Value>> {
        let config = Config::read(config)?;
        let there = |region: &String| {
            config::check_region(region)?;
            config::saved(&Config { region: region.clone(), zones: Vec::new(), ..config.clone() })
        };
        if regions.is_empty() { Ok(vec![config::saved(&config)?]) } else { regions.iter().map(there).collect() }
    }

    async fn connect(&self, config: &Value, secrets: &Secrets, notify: Arc<dyn Notify>) -> Result<Arc<dyn Provider>> {
        let config = Config::read(config)?;
        let aws = Aws::connect(config.clone(), secrets, notify).await?;
        Ok(Arc::new(Ec2 { aws, watch: Watch::default(), reach: config.reach, config }))
    }

    fn legacy_fields(&self, config: &Value, plan: Option<&Plan>, instance: Option<&Instance>) -> Map<String, Value> {
        let Ok(config) = Config::read(config) else { return Map::new() };
        legacy_fields(&config, plan.and_then(|plan| Resolved::read(plan).ok()).as_ref(), instance)
    }

    fn import_legacy(&self, fields: LegacyFields<'_>) -> Result<Imported> {
        legacy::import(fields)
    }

    fn vet(&self, said: &Elsewhere<'_>) -> Result<Vetted> {
        elsewhere::vet(said)
    }

    fn destination(&self, config: &Value, instance: Option<&Instance>) -> Vec<(&'static str, String)> {
        elsewhere::destination(config, instance)
    }

    fn foreign_endpoint(&self, config: &Value) -> Option<String> {
        elsewhere::foreign_endpoint(config)
    }

    fn policy(&self, owners: &[Owner], features: &[String]) -> Result<Value> {
        permissions::policy(owners, features)
    }
}

/// The fields of docker-machine's amazonec2 driver (drivers/amazonec2/amazonec2.go), keys left empty.
fn legacy_fields(config: &Config, resolved: Option<&Resolved>, instance: Option<&Instance>) -> Map<String, Value> {
    let details = instance.map(|instance| Details::read(&instance.details)).unwrap_or_default();
    let of_plan = |text: fn(&Resolved) -> &str| resolved.map(text).unwrap_or_default().to_owned();
    let zone = of_plan(|resolved| &resolved.zone);
    let spot = resolved.and_then(|resolved| resolved.spot.as_ref());
    let tags: Vec<String> = config.tags.iter().map(|(key, value)| format!("{key},{value}")).collect();
    let ports: Vec<String> = config.open_ports.iter().map(|port| format!("{}/{}", port.first, port.protocol)).collect();
    let fields = json!({
        "Id": "", "AccessKey": "", "SecretKey": "", "SessionToken": "",
        "Region": config.region,
        "AMI": of_plan(|resolved| &resolved.image),
        "SSHKeyID": 0,
        "ExistingKey": config.key_pair.is_some(),
        "KeyName": config.key_pair.as_deref().unwrap_or_default(),
        "InstanceId": instance.map(|instance| instance.id.as_str()).unwrap_or_default(),
        "InstanceType": resolved.map_or_else(|| config.instance_types.first().cloned().unwrap_or_default(), |r| r.instance_type.clone()),
        "PrivateIPAddress": details.private_address.unwrap_or_default(),
        "SecurityGroupId": details.groups.first().cloned().unwrap_or_default(),
        "SecurityGroupIds": details.groups,
        "SecurityGroupReadOnly": config.groups_readonly,
        "OpenPorts": ports,
        "Tags": tags.join(","),
        "ReservationId": "",
        "DeviceName": of_plan(|resolved| &resolved.device),
        "RootSize": resolved.map_or(0, |resolved| resolved.root_size),
        "VolumeType": config.volume_type,
        "IamInstanceProfile": config.iam_profile.as_deref().unwrap_or_default(),
        "VpcId": of_plan(|resolved| &resolved.vpc),
        "SubnetId": of_plan(|resolved| &resolved.subnet),
        "Zone": zone.strip_prefix(&config.region).unwrap_or(&zone),
        "RequestSpotInstance": spot.is_some(),
        "SpotPrice": spot.and_then(|spot| spot.price.as_deref()).unwrap_or_default(),
        "BlockDurationMinutes": 0,
        "PrivateIPOnly": config.reach == Reach::PrivateOnly,
        "UsePrivateIP": config.reach == Reach::Private,
        "UseEbsOptimizedInstance": config.ebs_optimized,
        "Monitoring": config.monitoring,
        "SSHPrivateKeyPath": config.key_path.as_ref().map(|path| path.to_string_lossy()).unwrap_or_default(),
        "RetryCount": config.retries,
        "Endpoint": config.endpoint.as_deref().unwrap_or_default(),
        "DisableSSL": config.plain_http,
        "UserDataFile": config.user_data.as_ref().map(|path| path.to_string_lossy()).unwrap_or_default(),
    });
    match fields {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

/// One account and region.
#[derive(Debug)]
struct Ec2 {
    aws: Aws,
    watch: Watch,
    reach: Reach,
    /// Of the first machine that it was made for.
    config: Config,
}

#[async_trait]
impl Provider for Ec2 {
    async fn preflight(&self, spec: &PreflightRequest, cx: &Cx<'_>) -> Result<Plan> {
        plan::preflight(&self.aws, spec, cx).await
    }

    async fn create(&self, request: &CreateRequest, cx: &Cx<'_>) -> Result<Instance> {
        create::create(&self.aws, &self.watch, request, cx).await
    }

    async fn observe(&self, ids: &[InstanceId]) -> Result<Vec<Observed>> {
        power::observe(&self.aws, ids, self.reach).await
    }

    async fn start(&self, id: &InstanceId, cx: &Cx<'_>) -> Result<Observed> {
        power::start(&self.aws, &self.watch, id, self.reach, cx).await
    }

    async fn stop(&self, id: &InstanceId, mode: StopMode, cx: &Cx<'_>) -> Result<()> {
        power::stop(&self.aws, &self.watch, id, mode, cx).await
    }

    async fn reboot(&self, id: &InstanceId, cx: &Cx<'_>) -> Result<()> {
        power::reboot(&self.aws, id, cx).await
    }

    async fn find(&self, owner: Option<&Owner>) -> Result<Vec<Resource>> {
        inventory::find(&self.aws, owner).await
    }

    async fn destroy(&self, machine: &MachineRef<'_>, cx: &Cx<'_>) -> Result<()> {
        remove::destroy(&self.aws, &self.watch, machine, cx).await
    }

    async fn allow(&self, machine: &MachineRef<'_>, sources: Option<&[IpNet]>, cx: &Cx<'_>) -> Result<Vec<IpNet>> {
        access::allow(&self.aws, machine, sources, cx).await
    }

    async fn regions(&self) -> Result<Vec<String>> {
        stray::regions(&self.aws).await
    }

    async fn examine(&self, id: &InstanceId) -> Result<Stray> {
        stray::examine(&self.aws, &self.config, id).await
    }

    async fn console(&self, id: &InstanceId) -> Result<Option<Console>> {
        console::output(&self.aws, id).await
    }

    async fn let_in(&self, id: &InstanceId, user: &str, public_key: &str, cx: &Cx<'_>) -> Result<()> {
        cx.check()?;
        stray::let_in(&self.aws, id, user, public_key).await
    }

    async fn claim(&self, token: &MachineToken, owner: &Owner, name: &str, cx: &Cx<'_>) -> Result<()> {
        stray::claim(&self.aws, token, owner, name, cx).await
    }

    async fn rename(&self, machine: &MachineRef<'_>, to: &str, cx: &Cx<'_>) -> Result<()> {
        stray::rename(&self.aws, machine, to, cx).await
    }

    async fn checkup(&self) -> Vec<Finding> {
        checkup::checkup(&self.aws).await
    }

    async fn diagnose(&self, machine: &MachineRef<'_>) -> Option<(String, String)> {
        match access::diagnose(&self.aws, machine).await {
            Ok(found) => found,
            Err(error) => {
                tracing::debug!("no diagnosis: {error}");
                None
            }
        }
    }
}
