//! A machine of another store: its place and its ids, each checked; nothing of what was asked for it.

use rmachine_provider_api::{Elsewhere, Error, Instance, LegacyFields, Result, Vetted};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    config::{self, Config, Reach},
    create::Details,
    instance, legacy,
    plan::Resolved,
    values::is_id,
};

/// Builds config, plan and details anew, by the way that docker-machine's records take: what is left out there is not
/// believed of others either.
pub(crate) fn vet(said: &Elsewhere<'_>) -> Result<Vetted> {
    let (config, details) = (said.config, said.details);
    let region = config.text("region").ok_or_else(|| Error::invalid("Config.region is missing"))?;
    config::check_region(region).map_err(|e| named("Config.region", &e))?;
    let zone = details.text("zone").unwrap_or_default();
    if !zone.is_empty() && (!zone.starts_with(region) || config::check_region(zone).is_err()) {
        return Err(Error::invalid(format!("Instance.details.zone is {zone:?}, which is not in {region}")));
    }
    let groups = details.list("groups");
    for (name, ids, prefix) in [
        ("subnet", details.text("subnet").map(str::to_owned).into_iter().collect(), "subnet-"),
        ("vpc", details.text("vpc").map(str::to_owned).into_iter().collect(), "vpc-"),
        ("groups", groups.clone(), "sg-"),
    ] {
        if let Some(bad) = ids.iter().find(|id: &&String| !is_id(id, prefix)) {
            return Err(Error::invalid(format!("Instance.details.{name} has {bad:?}, which is no id")));
        }
    }
    let account = details.text("account").map(str::to_owned);
    if account.as_ref().is_some_and(|id| id.len() != 12 || !id.bytes().all(|b| b.is_ascii_digit())) {
        return Err(Error::invalid("Instance.details.account is no account of AWS: it has 12 digits"));
    }
    let reach = config.text("reach").map_or(Ok(Reach::Public), |word| Reach::deserialize(json!(word)));
    let reach = reach.map_err(|e| Error::invalid("Config.reach is none").source(e))?;
    let key_digest = config.text("key_digest").filter(|text| text.bytes().all(|b| b.is_ascii_hexdigit()));
    let fields = json!({
        "Region": region,
        "Zone": zone,
        "Endpoint": config::endpoint_of(config, "endpoint").map_err(|e| named("Config.endpoint", &e))?,
        "InstanceId": said.id,
        "IPAddress": said.address,
        "SSHUser": said.login.user,
        "SSHPort": said.login.port,
        "SubnetId": details.text("subnet"),
        "VpcId": details.text("vpc"),
        "SecurityGroupIds": groups,
        "UsePrivateIP": reach == Reach::Private,
        "PrivateIPOnly": reach == Reach::PrivateOnly,
    });
    let Value::Object(fields) = fields else { return Err(Error::invalid("the record has no fields")) };
    let fields = LegacyFields(&fields);
    instance::id_of(fields, "InstanceId")?;
    let imported = legacy::import(fields)?;
    let config = Config { reach, key_digest: key_digest.map(str::to_owned), ..Config::read(&imported.config)? };
    let resolved = Resolved { config, account: account.clone(), ..Resolved::read(&imported.plan)? };
    let of_instance = imported.instance.as_ref().map(|instance| Details::read(&instance.details)).unwrap_or_default();
    let saved = |e: serde_json::Error| Error::invalid("the machine cannot be recorded").source(e);
    Ok(Vetted {
        config: config::saved(&resolved.config)?,
        details: serde_json::to_value(Details { account, ..of_instance }).map_err(saved)?,
        plan: rmachine_provider_api::Plan {
            resolved: serde_json::to_value(&resolved).map_err(saved)?,
            login: said.login.clone(),
            ..imported.plan
        },
        url: None,
    })
}

fn named(field: &str, error: &Error) -> Error {
    Error::invalid(format!("{field}: {error}"))
}

/// Account, region and endpoint, as the record has them.
pub(crate) fn destination(config: &Value, instance: Option<&Instance>) -> Vec<(&'static str, String)> {
    let Ok(config) = Config::read(config) else { return Vec::new() };
    let account = instance.and_then(|instance| Details::read(&instance.details).account);
    let account = account.map(|id| ("account", id));
    let endpoint = config.endpoint.map(|url| ("endpoint", url));
    account.into_iter().chain([("region", config.region)]).chain(endpoint).collect()
}

/// The endpoint of `config`, unless it is AWS's own or the environment's.
pub(crate) fn foreign_endpoint(config: &Value) -> Option<String> {
    let endpoint = Config::read(config).ok()?.endpoint?;
    let uri: http::Uri = endpoint.parse().ok()?;
    let own = [".amazonaws.com", ".amazonaws.com.cn", ".api.aws"];
    let is_own = uri.scheme_str() == Some("https")
        && uri.authority().is_some_and(|authority| {
            !authority.as_str().contains('@') && own.iter().any(|end| authority.host().ends_with(end))
        });
    // The SDK's own variables (docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html), and the flag's.
    let named = ["AWS_ENDPOINT_URL_EC2", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"]
        .iter()
        .any(|name| std::env::var(name).is_ok_and(|url| url.trim_end_matches('/') == endpoint.trim_end_matches('/')));
    (!is_own && !named).then_some(endpoint)
}

#[cfg(test)]
#[path = "elsewhere_tests.rs"]
mod tests;
