use rmachine_provider_api::Value::{Integer, List, Switch, Text};

use super::*;

fn text(flag: &'static str, value: &str) -> (&'static str, rmachine_provider_api::Value) {
    (flag, Text(value.to_owned()))
}

#[test]
fn the_defaults_are_safe() {
    let config = for_test(&[]).unwrap();
    assert_eq!(config.region, "eu-west-1");
    assert!(config.encrypt && config.metadata_tokens == "required" && config.volume_type == "gp3");
    assert_eq!(config.metadata_hops, Some(1), "containers on a bridge get no answer of IMDS, whatever the image says");
    assert!(config.groups.is_empty() && config.open_ports.is_empty() && config.markets == [Market::OnDemand]);
    assert!(matches!(config.image, ImageChoice::Newest { owner, .. } if owner == DEFAULT_OWNER));
}

#[test]
fn typed_keys_are_secrets_and_stay_out_of_the_config() {
    let configured =
        configured(&[text(ACCESS_KEY, "AKIAEXAMPLE"), text(SECRET_KEY, "sesame"), text(SESSION_TOKEN, "tok")]).unwrap();
    let saved = configured.config.to_string();
    assert!(!saved.contains("AKIAEXAMPLE") && !saved.contains("sesame") && !saved.contains("\"tok\""));
    assert_eq!(configured.secrets.0.len(), 3);
    assert!(super::configured(&[text(SECRET_KEY, "sesame")]).is_err(), "a secret without its id");
}

#[test]
fn who_gets_at_a_role_is_said() {
    let profile = text("amazonec2-iam-instance-profile", "builder");
    let hops = ("amazonec2-metadata-token-response-hop-limit", Integer(2));
    let said = |given: &[_]| for_test(given).unwrap().role_in_containers();
    assert_eq!(said(std::slice::from_ref(&hops)), None, "no role, nothing to say");
    let near = said(std::slice::from_ref(&profile)).unwrap();
    assert!(near.contains("instance profile builder (privileged ones and those with --network host)"), "{near}");
    assert!(said(&[profile.clone(), hops]).unwrap().contains("(all of them)"));
    assert!(said(&[profile.clone(), text("amazonec2-metadata-token", "optional")]).unwrap().contains("(all of them)"));
    assert_eq!(said(&[profile, text("amazonec2-http-endpoint", "disabled")]), None);
}

#[test]
fn tags_in_both_forms() {
    let both = [("a", "1"), ("b", "2")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    assert_eq!(tags("a,1,b,2").unwrap(), both);
    assert_eq!(tags("a=1,b=2").unwrap(), both);
    for bad in ["a", "a,1,b", "aws:x,1", "rmachine:owner,1", ",1"] {
        assert!(tags(bad).is_err(), "{bad}");
    }
}

#[test]
fn bad_values_name_their_flag() {
    let error = |given: &[(&'static str, rmachine_provider_api::Value)]| for_test(given).unwrap_err().to_string();
    assert_eq!(
        error(&[text("amazonec2-vpc-id", "net-1")]),
        "--amazonec2-vpc-id takes an id like vpc-0123456789abcdef0, not \"net-1\""
    );
    assert_eq!(error(&[text("amazonec2-region", "Mars")]), "invalid region \"Mars\"");
    assert_eq!(error(&[text("amazonec2-ami", "ubuntu")]), "invalid image \"ubuntu\"");
    assert_eq!(
        error(&[text("amazonec2-metadata-token", "maybe")]),
        "--amazonec2-metadata-token takes required or optional, not \"maybe\""
    );
    assert_eq!(
        error(&[("amazonec2-root-size", Integer(0))]),
        "--amazonec2-root-size takes a number from 1 to 65536, not 0"
    );
    assert_eq!(error(&[("amazonec2-open-port", List(vec!["0".into()]))]), "invalid port \"0\"");
    assert_eq!(
        error(&[("amazonec2-block-duration-minutes", Integer(60))]),
        "AWS offers no spot instances of a fixed duration any more"
    );
    assert_eq!(error(&[text("amazonec2-keypair-name", "k")]), "--amazonec2-keypair-name needs the key's private half");
    let spot = [("amazonec2-request-spot-instance", Switch(true)), text("amazonec2-spot-price", "cheap")];
    assert_eq!(error(&spot), "--amazonec2-spot-price takes US dollars, not \"cheap\"");
}

#[test]
fn ports_networks_images_and_endpoints() {
    let ports = open_ports(&["80".into(), "53/udp".into(), "8000-8010".into()]).unwrap();
    assert_eq!((ports[1].protocol.as_str(), ports[2].last), ("udp", 8010));
    let nets = networks(&["192.0.2.7".into(), "2001:db8::1/48,10.0.0.0/8".into()]).unwrap();
    assert_eq!(
        nets.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["192.0.2.7/32", "2001:db8::/48", "10.0.0.0/8"]
    );
    let config = for_test(&[
        text("amazonec2-ami", "resolve:ssm:/a/b"),
        text("amazonec2-endpoint", "h:80"),
        ("amazonec2-insecure-transport", Switch(true)),
    ])
    .unwrap();
    assert_eq!(config.image, ImageChoice::Parameter("/a/b".into()));
    assert_eq!(config.endpoint.as_deref(), Some("http://h:80"));
    assert!(for_test(&[text("amazonec2-endpoint", "ftp://x")]).is_err());
}
