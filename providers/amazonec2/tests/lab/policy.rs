//! The IAM policy, against every call that the lab has seen of the driver.

use super::*;

/// The policy of `features`; none: of all.
fn policy(features: &[&str]) -> serde_json::Value {
    let features: Vec<String> = features.iter().map(|feature| (*feature).to_owned()).collect();
    AmazonEc2.policy(&["OWNER".parse().unwrap()], &features).unwrap()
}

/// The actions of all that the lab has seen and the policy does not allow, and how many questions there were.
fn refused(policy: &serde_json::Value) -> (Vec<String>, u64) {
    let found = lab("POST", "policy", Some(policy));
    let refused = found["refused"].as_array().unwrap().iter();
    (refused.map(|call| call["action"].as_str().unwrap().to_owned()).collect(), found["checked"].as_u64().unwrap())
}

#[tokio::test]
async fn the_policy_allows_every_call_of_a_whole_run() {
    let _one = ONE.lock().await;
    let before = resources();
    let market = [("amazonec2-request-spot-instance", "true"), ("amazonec2-spot-type", "persistent")];
    for given in [&[][..], &market] {
        let ec2 = connect(given, 5, Arc::new(Silent), false).await;
        ec2.provider.checkup().await;
        let request = ec2.request("policy").await;
        let instance = ec2.provider.create(&request, &Cx::silent().journal(&Recorder::default())).await.unwrap();
        let machine = machine_ref(&request, Some(&instance));
        ec2.provider.allow(&machine, Some(&["192.0.2.0/24".parse().unwrap()]), &Cx::silent()).await.unwrap();
        ec2.provider.diagnose(&machine).await;
        ec2.provider.stop(&instance.id, rmachine_provider_api::StopMode::Graceful, &Cx::silent()).await.unwrap();
        ec2.provider.start(&instance.id, &Cx::silent()).await.unwrap();
        ec2.provider.reboot(&instance.id, &Cx::silent()).await.unwrap();
        ec2.provider.rename(&machine, "renamed", &Cx::silent()).await.unwrap();
        ec2.provider.examine(&instance.id).await.unwrap();
        ec2.provider.claim(&request.token, &ec2.owner(), "claimed", &Cx::silent()).await.unwrap();
        ec2.provider.find(None).await.unwrap();
        ec2.provider.regions().await.unwrap();
        ec2.provider.destroy(&MachineRef { plan: None, ..machine }, &Cx::silent()).await.unwrap();
    }
    assert_eq!(resources(), before);
    let (not_allowed, checked) = refused(&policy(&[]));
    assert_eq!(not_allowed, Vec::<String>::new(), "of {checked}");
    assert!(checked >= 30, "{checked} questions");
    // It can fail: without a feature its calls are not allowed.
    let (without, _) = refused(&policy(&["create"]));
    for action in ["ec2:StopInstances", "ec2:RevokeSecurityGroupIngress", "ec2:DescribeRegions", "ec2:CreateTags"] {
        assert!(without.iter().any(|refused| refused == action), "{action}: {without:?}");
    }
    assert!(!without.iter().any(|refused| refused == "ec2:RunInstances" || refused == "ec2:TerminateInstances"));
}
