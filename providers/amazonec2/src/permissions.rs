//! The calls that the driver makes, and the IAM policy that allows them and no more.
//!
//! Actions, resource types and condition keys: docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html.

use rmachine_provider_api::{Error, Owner, Result};
use serde_json::{Map, Value, json};

use crate::tags;

/// What an action is allowed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum On {
    /// All there is: AWS knows no narrower form, or it only looks.
    Everything,
    /// A thing of this type that the call makes, and tags as ours.
    Made(&'static str),
    /// A thing of this type that is there, whoever made it.
    Any(&'static str),
    /// A thing of this type that carries our tag.
    Own(&'static str),
}

/// What an action is needed for; `create` is the least that makes sense.
const FEATURES: [&str; 7] = ["create", "power", "allow", "gc", "adopt", "doctor", "ssm"];

/// One action, and for which feature on what.
struct Call {
    feature: &'static str,
    action: &'static str,
    on: On,
}

const fn call(feature: &'static str, action: &'static str, on: On) -> Call {
    Call { feature, action, on }
}

/// Every action that the driver's calls need. A create that fails is rolled back, so that `create` has what `rm` needs.
const CALLS: &[Call] = &[
    call("create", "ec2:DescribeImages", On::Everything),
    call("create", "ec2:DescribeInstances", On::Everything),
    call("create", "ec2:DescribeInstanceTypeOfferings", On::Everything),
    call("create", "ec2:DescribeInstanceTypes", On::Everything),
    call("create", "ec2:DescribeKeyPairs", On::Everything),
    call("create", "ec2:DescribeNetworkInterfaces", On::Everything),
    call("create", "ec2:DescribeSecurityGroups", On::Everything),
    call("create", "ec2:DescribeSpotInstanceRequests", On::Everything),
    call("create", "ec2:DescribeSubnets", On::Everything),
    call("create", "ec2:DescribeVolumes", On::Everything),
    call("create", "ec2:DescribeVpcs", On::Everything),
    call("create", "ec2:CreateSecurityGroup", On::Made("security-group")),
    call("create", "ec2:CreateSecurityGroup", On::Any("vpc")),
    call("create", "ec2:AuthorizeSecurityGroupIngress", On::Own("security-group")),
    call("create", "ec2:RunInstances", On::Made("instance")),
    call("create", "ec2:RunInstances", On::Made("volume")),
    call("create", "ec2:RunInstances", On::Made("network-interface")),
    call("create", "ec2:RunInstances", On::Made("spot-instances-request")),
    call("create", "ec2:RunInstances", On::Any("image")),
    call("create", "ec2:RunInstances", On::Any("subnet")),
    call("create", "ec2:RunInstances", On::Any("security-group")),
    call("create", "ec2:RunInstances", On::Any("key-pair")),
    call("create", "ec2:TerminateInstances", On::Own("instance")),
    call("create", "ec2:DeleteVolume", On::Own("volume")),
    call("create", "ec2:DeleteNetworkInterface", On::Own("network-interface")),
    call("create", "ec2:DeleteSecurityGroup", On::Own("security-group")),
    call("create", "ec2:CancelSpotInstanceRequests", On::Own("spot-instances-request")),
    call("power", "ec2:StartInstances", On::Own("instance")),
    call("power", "ec2:StopInstances", On::Own("instance")),
    call("power", "ec2:RebootInstances", On::Own("instance")),
    call("allow", "ec2:RevokeSecurityGroupIngress", On::Own("security-group")),
    call("gc", "ec2:DescribeAddresses", On::Everything),
    call("gc", "ec2:DescribeRegions", On::Everything),
    call("gc", "ec2:ReleaseAddress", On::Own("elastic-ip")),
    call("gc", "ec2:DeleteKeyPair", On::Own("key-pair")),
    call("adopt", "ec2:DescribeTags", On::Everything),
    call("adopt", "ec2:GetConsoleOutput", On::Any("instance")),
    call("adopt", "ec2-instance-connect:SendSSHPublicKey", On::Own("instance")),
    call("doctor", "servicequotas:GetServiceQuota", On::Everything),
    call("ssm", "ssm:GetParameter", On::Everything),
];

/// Types whose tags a claim or a new name changes.
const RENAMED: [&str; 7] =
    ["elastic-ip", "instance", "key-pair", "network-interface", "security-group", "spot-instances-request", "volume"];

/// The policy for the stores `owners` and these features (all of them, where none is named).
pub(crate) fn policy(owners: &[Owner], features: &[String]) -> Result<Value> {
    if let Some(unknown) = features.iter().find(|feature| !FEATURES.contains(&feature.as_str())) {
        return Err(Error::invalid(format!("unknown feature {unknown:?}"))
            .hint(format!("those of the driver amazonec2 are {}", FEATURES.join(", "))));
    }
    let wanted = |feature: &str| features.is_empty() || features.iter().any(|wanted| wanted == feature);
    let calls: Vec<&Call> = CALLS.iter().filter(|call| wanted(call.feature)).collect();
    let owners: Vec<&str> = owners.iter().map(Owner::as_str).collect();
    let is = |key: &str| format!("{key}/{}", tags::OWNER);
    let made = |kind: &str| {
        let mut equals = Map::new();
        equals.insert(is("aws:RequestTag"), json!(owners));
        if kind == "instance" {
            equals.insert("ec2:MetadataHttpTokens".to_owned(), json!("required"));
        }
        json!({ "StringEquals": equals })
    };
    let own = json!({ "StringEquals": { is("aws:ResourceTag"): owners } });
    let mut statements = Vec::new();
    let mut done: Vec<On> = Vec::new();
    for call in &calls {
        if done.contains(&call.on) {
            continue;
        }
        done.push(call.on);
        let actions: Vec<&str> = calls.iter().filter(|other| other.on == call.on).map(|other| other.action).collect();
        statements.push(match call.on {
            On::Everything => statement("Look", &actions, "*", None),
            On::Made(kind) => statement(&sid("Make", kind), &actions, &arn(kind), Some(made(kind))),
            On::Any(kind) => statement(&sid("Use", kind), &actions, &arn(kind), None),
            On::Own(kind) => statement(&sid("Own", kind), &actions, &arn(kind), Some(own.clone())),
        });
    }
    if wanted("create") {
        let condition = json!({ "StringEquals": {
            "ec2:CreateAction": ["CreateSecurityGroup", "RunInstances"],
            is("aws:RequestTag"): owners,
        } });
        statements.push(statement("TagWhatIsMade", &["ec2:CreateTags"], "arn:aws:ec2:*:*:*/*", Some(condition)));
    }
    if wanted("adopt") {
        // A new owner is one of these, and no other tag is touched.
        let condition = json!({
            "StringEquals": { is("aws:ResourceTag"): owners },
            "StringEqualsIfExists": { is("aws:RequestTag"): owners },
            "ForAllValues:StringEquals": { "aws:TagKeys": ["Name", tags::OWNER, tags::MACHINE] },
        });
        let all: Vec<String> = RENAMED.iter().map(|kind| arn(kind)).collect();
        statements.push(json!({
            "Sid": "TagAnew", "Effect": "Allow", "Action": ["ec2:CreateTags"], "Resource": all, "Condition": condition,
        }));
    }
    Ok(json!({ "Version": "2012-10-17", "Statement": statements }))
}

fn statement(sid: &str, actions: &[&str], resource: &str, condition: Option<Value>) -> Value {
    let mut statement = json!({ "Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resource });
    if let (Some(condition), Some(fields)) = (condition, statement.as_object_mut()) {
        fields.insert("Condition".to_owned(), condition);
    }
    statement
}

/// `Own` and `security-group` as a statement's id, which has letters and digits only.
fn sid(verb: &str, kind: &str) -> String {
    let word = |word: &str| word.get(..1).map(|first| first.to_uppercase() + &word[1..]).unwrap_or_default();
    kind.split('-').fold(verb.to_owned(), |sid, part| sid + &word(part))
}

/// All of one type; images belong to no account in their ARN.
fn arn(kind: &str) -> String {
    match kind {
        "image" => "arn:aws:ec2:*::image/*".to_owned(),
        kind => format!("arn:aws:ec2:*:*:{kind}/*"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(features: &[&str]) -> Value {
        let features: Vec<String> = features.iter().map(|feature| (*feature).to_owned()).collect();
        policy(&["5f0c".parse().unwrap()], &features).unwrap()
    }

    fn statements(policy: &Value) -> &Vec<Value> {
        policy["Statement"].as_array().unwrap()
    }

    #[test]
    fn nothing_is_changed_that_carries_no_tag_of_the_store() {
        let policy = of(&[]);
        for statement in statements(&policy) {
            let sid = statement["Sid"].as_str().unwrap();
            assert!(sid.bytes().all(|b| b.is_ascii_alphanumeric()), "{sid}");
            let looks = |action: &Value| {
                let name = action.as_str().unwrap().split_once(':').unwrap().1;
                name.starts_with("Describe") || name.starts_with("Get")
            };
            let uses = sid.starts_with("Use");
            if !uses && !statement["Action"].as_array().unwrap().iter().all(looks) {
                let condition = statement["Condition"].to_string();
                assert!(condition.contains(r#"rmachine:owner":["5f0c"]"#), "{statement}");
                assert_ne!(statement["Resource"], "*", "{statement}");
            }
        }
        let instance = statements(&policy).iter().find(|s| s["Sid"] == "MakeInstance").unwrap();
        assert_eq!(instance["Condition"]["StringEquals"]["ec2:MetadataHttpTokens"], "required");
        // Most characters of a managed policy, white space not counted (docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html).
        assert!(policy.to_string().len() < 6_144, "{}", policy.to_string().len());
    }

    #[test]
    fn a_feature_brings_its_own_actions_only() {
        let text = of(&["create"]).to_string();
        assert!(text.contains("ec2:RunInstances") && text.contains("ec2:TerminateInstances"));
        for other in ["StopInstances", "ReleaseAddress", "SendSSHPublicKey", "GetServiceQuota", "TagAnew"] {
            assert!(!text.contains(other), "{other}");
        }
        for feature in FEATURES {
            assert!(!statements(&of(&[feature])).is_empty(), "{feature}");
        }
        let unknown = policy(&["5f0c".parse().unwrap()], &["everything".to_owned()]).unwrap_err();
        assert_eq!(unknown.to_string(), "unknown feature \"everything\"");
    }
}
