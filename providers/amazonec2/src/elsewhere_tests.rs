use rmachine_provider_api::{HostAddress, InstanceId, Login, LoginKey};

use super::*;

fn read(config: &Value, details: &Value, id: &str) -> Result<Vetted> {
    let (id, address): (InstanceId, HostAddress) = (id.parse().unwrap(), "198.51.100.7".parse().unwrap());
    let login = Login { user: "admin".into(), port: 22, key: LoginKey::Default };
    vet(&Elsewhere {
        config: LegacyFields(config.as_object().unwrap()),
        details: LegacyFields(details.as_object().unwrap()),
        id: &id,
        address: Some(&address),
        login: &login,
        name: "m",
    })
}

fn good() -> (Value, Value) {
    let config = json!({
        "region": "eu-west-1", "reach": "ipv6", "profile": "prod", "plain_http": true, "user_data": "/etc/shadow",
        "key_path": "/home/me/.ssh/id_rsa", "iam_profile": "admin", "endpoint": "https://ec2.eu-west-1.amazonaws.com",
        "markets": ["spot"], "tags": {"a": "b"}, "groups": ["default"], "ingress": ["0.0.0.0/0"],
    });
    let details = json!({
        "account": "123456789012", "zone": "eu-west-1a", "subnet": "subnet-0123456789abcdef0", "vpc": "vpc-01234567",
        "groups": ["sg-0123456789abcdef0"], "own_groups": ["sg-0aaaaaaaaaaaaaaaa"], "spot_request": "sir-1",
    });
    (config, details)
}

#[test]
fn place_and_ids_are_taken_and_nothing_else() {
    let (config, details) = good();
    let vetted = read(&config, &details, "i-0123456789abcdef0").unwrap();
    let (config, resolved) = (Config::read(&vetted.config).unwrap(), Resolved::read(&vetted.plan).unwrap());
    assert_eq!((config.region.as_str(), config.reach), ("eu-west-1", Reach::Ipv6));
    assert_eq!((config.profile, config.plain_http, config.user_data, config.key_path), (None, false, None, None));
    assert!(
        config.iam_profile.is_none()
            && config.tags.is_empty()
            && config.ingress.is_empty()
            && !resolved.config.may_be_spot()
    );
    let kept = Details::read(&vetted.details);
    assert_eq!((kept.account.as_deref(), kept.vpc.as_str()), (Some("123456789012"), "vpc-01234567"));
    assert!(kept.own_groups.is_empty() && kept.spot_request.is_none(), "its tag finds what is its own");
    assert_eq!(foreign_endpoint(&vetted.config), None);
}

#[test]
fn what_is_no_region_id_or_account_is_refused_by_its_name() {
    let refused = |change: &dyn Fn(&mut Value, &mut Value), id: &str| {
        let (mut config, mut details) = good();
        change(&mut config, &mut details);
        read(&config, &details, id).unwrap_err().to_string()
    };
    let id = "i-0123456789abcdef0";
    for (field, value) in [
        ("region", "*"),
        ("region", "eu-west-1.evil.test/"),
        ("region", ""),
        ("endpoint", "https://"),
        ("endpoint", "https://a b"),
    ] {
        let said = refused(&|config, _| config[field] = value.into(), id);
        assert!(said.contains(field), "{field} {value}: {said}");
    }
    for (field, value) in [
        ("zone", json!("us-east-1a")),
        ("zone", json!("eu-west-1\n")),
        ("subnet", json!("*")),
        ("vpc", json!("vpc-*")),
        ("groups", json!(["sg-*"])),
        ("account", json!("12345678901*")),
    ] {
        let said = refused(&|_, details| details[field] = value.clone(), id);
        assert!(said.contains(field), "{field} {value}: {said}");
    }
    for id in ["web", "i-", "i-0123", "i-0123456789abcdefg", "mi-0123456789abcdef0"] {
        assert!(refused(&|_, _| {}, id).contains("InstanceId"), "{id}");
    }
}

#[test]
fn an_endpoint_of_others_is_told_from_the_clouds_own() {
    let foreign = |url: &str| {
        let (mut config, details) = good();
        config["endpoint"] = url.into();
        foreign_endpoint(&read(&config, &details, "i-0123456789abcdef0").unwrap().config)
    };
    assert_eq!(foreign("https://ec2.cn-north-1.amazonaws.com.cn"), None);
    assert_eq!(foreign("https://ec2.us-east-1.api.aws/"), None);
    for url in [
        "https://evil.test",
        "http://ec2.eu-west-1.amazonaws.com",
        "https://amazonaws.com.evil.test",
        "https://evilamazonaws.com",
        "https://ec2.amazonaws.com@evil.test",
        "https://evil.test/.amazonaws.com",
    ] {
        assert_eq!(foreign(url).as_deref(), Some(url));
    }
}
