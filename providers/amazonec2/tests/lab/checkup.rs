//! What `doctor` hears of an account.

use super::*;

/// The findings of a checkup, as `health subject: text`.
async fn checkup(ec2: &Ec2) -> (Vec<Finding>, Vec<String>) {
    let findings = ec2.provider.checkup().await;
    let texts = findings.iter().map(|f| format!("{:?} {}: {}", f.health, f.subject, f.text)).collect();
    (findings, texts)
}

#[tokio::test]
async fn a_checkup_tells_account_clock_and_what_counts_against_the_quota() {
    let _one = ONE.lock().await;
    let before = resources();
    let ec2 = plain().await;
    let (_, texts) = checkup(&ec2).await;
    let expected = [
        "Good credentials: of the account 123456789012, in us-east-1",
        "Good clock: within 60 seconds of AWS's",
        "Good quota: 0 of 64 vCPUs of on-demand standard instances run in us-east-1",
    ];
    assert_eq!(texts, expected);
    let request = ec2.request("counted").await;
    let instance = ec2.provider.create(&request, &Cx::silent().journal(&Recorder::default())).await.unwrap();
    let (_, texts) = checkup(&ec2).await;
    ec2.provider.destroy(&machine_ref(&request, Some(&instance)), &Cx::silent()).await.unwrap();
    assert_eq!(
        texts[2], "Good quota: 2 of 64 vCPUs of on-demand standard instances run in us-east-1",
        "a t3.micro has two"
    );
    assert_eq!(resources(), before);
}

#[tokio::test]
async fn a_checkup_says_what_is_wrong_with_the_credentials() {
    let _one = ONE.lock().await;
    let wrong = [("amazonec2-access-key", "AKIARMACHINELAB00001"), ("amazonec2-secret-key", "wrong")];
    let (findings, texts) = checkup(&connect(&wrong, 2, Arc::new(Silent), true).await).await;
    assert_eq!(findings.len(), 2, "{texts:?}");
    assert!(texts[0].starts_with("Bad credentials: cannot ask EC2 in this account: AWS does not accept"), "{texts:?}");
    assert_eq!(findings[1].health, Health::Good, "a refusal tells the time as well: {texts:?}");

    let ec2 = connect(&[], 2, Arc::new(Silent), false).await;
    let expired = json!({ "action": "DescribeSecurityGroups", "error": "RequestExpired", "status": 400 });
    let faults = Faults::script(&expired);
    let (findings, texts) = checkup(&ec2).await;
    drop(faults);
    assert!(texts[0].contains("the AWS credentials have expired"), "{texts:?}");
    let remedy = findings[0].remedy.as_deref().unwrap();
    assert!(remedy.contains("aws sso login") && !remedy.contains("clock"), "the clock is right: {remedy}");
}

#[tokio::test]
async fn a_quota_that_may_not_be_read_is_a_warning_only() {
    let _one = ONE.lock().await;
    let ec2 = connect(&[], 2, Arc::new(Silent), false).await;
    let denied = json!({ "action": "GetServiceQuota", "error": "AccessDeniedException", "status": 400 });
    let faults = Faults::script(&denied);
    let (findings, texts) = checkup(&ec2).await;
    drop(faults);
    assert_eq!((findings[0].health, findings[2].health), (Health::Good, Health::Warning), "{texts:?}");
    assert!(findings[2].remedy.as_deref().unwrap().contains("servicequotas:GetServiceQuota"), "{findings:?}");
}
