use rmachine_provider_api::Driver;
use serde_json::{Value, json};

use super::*;
use crate::AmazonEc2;

fn record() -> Value {
    json!({
        "IPAddress": "198.51.100.7", "MachineName": "web", "SSHUser": "admin", "SSHPort": 0,
        "AccessKey": "AKIAEXAMPLE", "SecretKey": "verysecret", "SessionToken": "",
        "Region": "eu-west-1", "AMI": "ami-0123456789abcdef0", "ExistingKey": false, "KeyName": "web-abc",
        "InstanceId": "i-0123456789abcdef0", "InstanceType": "t2.micro", "PrivateIPAddress": "10.0.0.7",
        "SecurityGroupIds": ["sg-1", "sg-2"], "SecurityGroupNames": ["docker-machine"], "OpenPorts": ["80", "53/udp"],
        "Tags": "team,ci", "RootSize": 16, "VolumeType": "gp2", "VpcId": "vpc-1", "SubnetId": "subnet-1", "Zone": "b",
        "RequestSpotInstance": true, "SpotPrice": "0.50", "RetryCount": 5, "Endpoint": "", "DisableSSL": false,
    })
}

fn read(record: &Value) -> Result<Imported> {
    AmazonEc2.import_legacy(LegacyFields(record.as_object().unwrap()))
}

fn with(field: &str, value: Value) -> Value {
    let mut record = record();
    record[field] = value;
    record
}

#[test]
fn a_record_reads_whole() {
    let imported = read(&record()).unwrap();
    let config = Config::read(&imported.config).unwrap();
    assert_eq!((config.region.as_str(), config.zones.as_slice()), ("eu-west-1", ["eu-west-1b".to_owned()].as_slice()));
    assert_eq!(config.groups, ["sg-1", "sg-2"]);
    assert_eq!((config.reach, config.open_ports.len(), config.tags["team"].as_str()), (Reach::Public, 2, "ci"));
    assert_eq!((imported.plan.login.user.as_str(), imported.plan.login.port), ("admin", 22));
    let resolved = Resolved::read(&imported.plan).unwrap();
    assert!(!resolved.makes_group(), "no group of it is ours to delete");
    assert_eq!(resolved.spot.unwrap().price.as_deref(), Some("0.50"));
    let instance = imported.instance.unwrap();
    assert_eq!(
        (instance.id.as_str(), instance.addresses.dial.as_ref().map(|dial| dial.as_str())),
        ("i-0123456789abcdef0", Some("198.51.100.7"))
    );
    assert!(Details::read(&instance.details).own_groups.is_empty());
    assert_eq!(imported.made, [(ResourceKind::KeyPair, "web-abc".to_owned())]);
}

#[test]
fn keys_are_secrets_and_nowhere_else() {
    let imported = read(&record()).unwrap();
    assert_eq!(imported.secrets.0[SECRET_KEY], "verysecret");
    assert!(!imported.secrets.0.contains_key(SESSION_TOKEN), "an empty one is none");
    let all = format!("{} {:?} {:?}", imported.config, imported.plan, imported);
    assert!(!all.contains("verysecret") && !all.contains("AKIAEXAMPLE"), "{all}");
    assert!(Config::read(&imported.config).unwrap().key_digest.is_some());
    for field in imported.secret_fields {
        assert!(KEYS.iter().any(|(name, _)| name == field));
    }
    let without = read(&with("AccessKey", json!(""))).unwrap();
    assert!(Config::read(&without.config).unwrap().key_digest.is_none());
}

#[test]
fn a_named_key_pair_is_the_users_and_private_addresses_stay_private() {
    assert!(read(&with("ExistingKey", json!(true))).unwrap().made.is_empty());
    let private = read(&with("UsePrivateIP", json!(true))).unwrap();
    assert_eq!(Config::read(&private.config).unwrap().reach, Reach::Private);
    let early = read(&json!({ "Region": "us-east-1", "SecurityGroupId": "sg-9", "Zone": "us-east-1a" })).unwrap();
    let config = Config::read(&early.config).unwrap();
    assert_eq!(
        (config.groups.as_slice(), config.zones.as_slice()),
        (["sg-9".to_owned()].as_slice(), ["us-east-1a".to_owned()].as_slice())
    );
    assert!(early.instance.is_none() && early.plan.login.user == USER);
    let endpoint = read(&with("Endpoint", json!("ec2.example:8080"))).unwrap();
    assert_eq!(Config::read(&endpoint.config).unwrap().endpoint.as_deref(), Some("https://ec2.example:8080"));
}

#[test]
fn what_is_needed_and_wrong_is_named_without_a_secret() {
    for (field, value) in
        [("Region", json!("")), ("Region", json!("x y")), ("SSHPort", json!(70_000)), ("Endpoint", json!("://"))]
    {
        let error = read(&with(field, value)).unwrap_err();
        assert!(!error.to_string().contains("verysecret") && !error.to_string().is_empty());
    }
}
