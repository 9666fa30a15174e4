//! docker-machine's record of a generic host (drivers/generic/generic.go).

use rmachine_provider_api::{
    Addresses, Elsewhere, Error, HostAddress, Imported, Instance, InstanceId, LegacyFields, Login, LoginKey, Plan,
    Result, Secrets, Vetted,
};
use serde_json::Value;

use super::{Config, check_address};

/// A machine of another store: its address and login, and nothing else.
pub(super) fn vet(said: &Elsewhere<'_>) -> Result<Vetted> {
    let address = said.address.ok_or_else(|| Error::invalid("Instance.addresses.dial is missing"))?;
    let (config, plan) = known(address, said.login.clone())?;
    Ok(Vetted { config, plan, details: Value::Null, url: None })
}

fn known(address: &HostAddress, login: Login) -> Result<(Value, Plan)> {
    let config =
        Config { address: address.clone(), user: login.user.clone(), key: None, port: login.port, host_key: None };
    let config = serde_json::to_value(config).map_err(|e| Error::invalid("the config cannot be saved").source(e))?;
    let plan = Plan::of_existing(config.clone(), login);
    Ok((config, plan))
}

/// Reads the fields of docker-machine's driver.
pub(super) fn import(fields: LegacyFields<'_>) -> Result<Imported> {
    let address = fields.text("IPAddress").ok_or_else(|| Error::invalid("IPAddress is missing"))?;
    let address = check_address(address).map_err(|e| Error::invalid(format!("IPAddress: {e}")))?;
    let login = Login {
        user: fields.text("SSHUser").unwrap_or("root").to_owned(),
        port: fields.port("SSHPort", 22)?,
        key: LoginKey::Default,
    };
    let (config, plan) = known(&address, login)?;
    Ok(Imported {
        plan,
        config,
        secrets: Secrets::default(),
        secret_fields: &[],
        engine_port: Some(fields.port("EnginePort", 2376)?),
        instance: Some(Instance {
            id: InstanceId::from(&address),
            addresses: Addresses {
                public: address.ip().into_iter().collect(),
                dial: Some(address),
                ..Addresses::default()
            },
            url: None,
            engine_port: None,
            details: Value::Null,
        }),
        made: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use rmachine_provider_api::Driver;
    use serde_json::json;

    #[test]
    fn a_host_of_docker_machine_reads() {
        let record =
            json!({ "IPAddress": "192.0.2.9", "SSHUser": "admin", "SSHPort": 2222, "EnginePort": 3376, "SSHKey": "" });
        let read = |record: &serde_json::Value| {
            crate::Generic.import_legacy(rmachine_provider_api::LegacyFields(record.as_object().unwrap()))
        };
        let imported = read(&record).unwrap();
        assert_eq!((imported.plan.login.user.as_str(), imported.plan.login.port), ("admin", 2222));
        assert_eq!((imported.engine_port, imported.config["address"].as_str()), (Some(3376), Some("192.0.2.9")));
        let plain = read(&json!({ "IPAddress": "h", "SSHPort": 0 })).unwrap();
        assert_eq!((plain.plan.login.user.as_str(), plain.plan.login.port), ("root", 22));
        assert_eq!(plain.engine_port, Some(2376));
        for bad in [json!({}), json!({ "IPAddress": "" }), json!({ "IPAddress": "a b" }), json!({ "IPAddress": 7 })] {
            assert!(read(&bad).is_err(), "{bad}");
        }
    }
}
