//! EC2's error codes: what they mean to a user, and whether the call may have had its effect all the same.
//!
//! Codes: docs.aws.amazon.com/ec2/latest/devguide/errors-overview.html ("Error codes for the Amazon EC2 API"): client
//! errors come with a status of the 400s and refuse the call, server errors with one of the 500s.

use rmachine_provider_api::Kind;

/// The intent of the call that makes the instance.
pub(crate) const RUN: &str = "RunInstances";

/// Longest resource that is repeated from a message; an ARN has at most 2048 characters, those of EC2 far fewer.
const RESOURCE: usize = 256;

/// Codes that say nothing of what came of the call, whatever their status.
const UNSURE: [&str; 9] = [
    "InternalError",
    "InternalFailure",
    "ServerInternal",
    "ServiceUnavailable",
    "Unavailable",
    "RequestTimeout",
    "RequestTimeoutException",
    // Another request had the token, so there is an instance of it.
    "IdempotentParameterMismatch",
    "Unknown",
];

/// Whether an answer with this code and HTTP status means that nothing came of the call, so that it need not be sent
/// again to find out.
pub(crate) fn is_refusal(code: &str, status: u16) -> bool {
    if UNSURE.contains(&code) {
        return false;
    }
    // Server errors of AWS's list that were said before anything was made: no room, a limit, too many requests.
    let no_room = matches!(meaning(code, "").0, Kind::Capacity | Kind::Quota | Kind::Throttled);
    no_room || code.starts_with("Insufficient") || (400..500).contains(&status)
}

/// What EC2 says of a missing permission.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Denial<'a> {
    /// Which action on which resource.
    Plain { action: &'a str, resource: Option<&'a str> },
    /// Only `sts:DecodeAuthorizationMessage` can read it.
    Encoded(&'a str),
}

impl<'a> Denial<'a> {
    /// Takes the message of an `UnauthorizedOperation` apart: the words without what is encoded, and what is missing.
    pub(crate) fn read(message: &'a str) -> (&'a str, Option<Self>) {
        let (words, encoded) = match message.split_once("Encoded authorization failure message:") {
            Some((words, encoded)) => (words.trim(), Some(encoded.trim())),
            None => (message, None),
        };
        let is_plain = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_=+/".contains(&b));
        let encoded = encoded.filter(|text| !text.is_empty() && is_plain(text)).map(Denial::Encoded);
        let Some((_, rest)) = words.split_once("is not authorized to perform: ") else { return (words, encoded) };
        let mut rest = rest.split_whitespace();
        let is_action = |text: &&str| {
            let known = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
            text.split_once(':').is_some_and(|(service, name)| known(service) && known(name))
        };
        let Some(action) = rest.next().filter(is_action) else { return (words, encoded) };
        let resource = match (rest.next(), rest.next(), rest.next()) {
            (Some("on"), Some("resource:"), Some(arn)) if arn.len() <= RESOURCE => Some(arn),
            _ => None,
        };
        (words, Some(Self::Plain { action, resource }))
    }

    /// What may not be done.
    pub(crate) fn said(&self) -> Option<String> {
        match self {
            Self::Plain { action, resource: Some(resource) } => {
                Some(format!("the AWS credentials may not {action} on {resource}"))
            }
            Self::Plain { action, resource: None } => Some(format!("the AWS credentials may not {action}")),
            Self::Encoded(_) => None,
        }
    }

    /// What reads the message.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Plain { .. } => None,
            Self::Encoded(text) => {
                Some(format!("`aws sts decode-authorization-message --encoded-message {text}` says what is missing"))
            }
        }
    }
}

type Meaning = (Kind, Option<String>, Option<String>);

/// What a code means to a user, and what he can do.
pub(crate) fn meaning(code: &str, region: &str) -> Meaning {
    let say = |kind, text: &str, hint: &str| (kind, Some(text.to_owned()), Some(hint.to_owned()));
    let hint = |kind, hint: &str| (kind, None, Some(hint.to_owned()));
    match code {
        "AuthFailure"
        | "InvalidClientTokenId"
        | "SignatureDoesNotMatch"
        | "UnrecognizedClientException"
        | "MissingAuthenticationToken"
        | "IncompleteSignature" => say(
            Kind::Credentials,
            "AWS does not accept the credentials",
            &format!("check the access key and its secret, the region ({region}), and that the account has it enabled"),
        ),
        "RequestExpired" | "ExpiredToken" | "ExpiredTokenException" => say(
            Kind::Credentials,
            "the AWS credentials have expired",
            "get new ones (`aws sso login`, or whatever gave you these), and check this computer's clock",
        ),
        "OptInRequired" | "PendingVerification" | "Blocked" => {
            hint(Kind::Denied, "the account cannot use EC2 there yet; AWS's message says why")
        }
        "UnauthorizedOperation" | "AccessDenied" | "AccessDeniedException" => say(
            Kind::Denied,
            "the AWS credentials are good, but may not do this",
            "`rmachine iam-policy` prints what rmachine needs; docs/amazonec2.md says when",
        ),
        "InsufficientInstanceCapacity"
        | "InsufficientHostCapacity"
        | "InsufficientCapacity"
        | "InsufficientCapacityOnHost"
        | "SpotMaxPriceTooLow"
        | "InsufficientFreeAddressesInSubnet"
        | "Unsupported" => hint(
            Kind::Capacity,
            "give several, to be tried in order: --amazonec2-zone a,b, --amazonec2-instance-type t3.micro,t3a.micro, --amazonec2-market spot,on-demand",
        ),
        "InstanceLimitExceeded"
        | "VcpuLimitExceeded"
        | "MaxSpotInstanceCountExceeded"
        | "SecurityGroupLimitExceeded"
        | "VolumeLimitExceeded"
        | "ResourceLimitExceeded"
        | "AddressLimitExceeded"
        | "RulesPerSecurityGroupLimitExceeded" => {
            hint(Kind::Quota, "remove machines that are not needed, or ask AWS for a higher quota")
        }
        "RequestLimitExceeded" | "Throttling" | "ThrottlingException" | "EC2ThrottledException" => {
            hint(Kind::Throttled, "many programs ask EC2 at once; try again in a while")
        }
        "InvalidAMIID.NotFound" | "InvalidAMIID.Malformed" | "InvalidAMIID.Unavailable" => hint(
            Kind::NotFound,
            &format!("check --amazonec2-ami: an image belongs to one region, and this is {region}"),
        ),
        "InvalidKeyPair.NotFound" => {
            hint(Kind::NotFound, "check --amazonec2-keypair-name; leave it out, and the machine gets a key of its own")
        }
        "InvalidSubnetID.NotFound" | "InvalidSubnet" => hint(Kind::NotFound, "check --amazonec2-subnet-id"),
        "InvalidVpcID.NotFound" => hint(Kind::NotFound, "check --amazonec2-vpc-id"),
        "InvalidGroup.NotFound" | "InvalidSecurityGroupID.NotFound" => {
            hint(Kind::NotFound, "check --amazonec2-security-group")
        }
        "InvalidInstanceType" => hint(Kind::InvalidInput, "check --amazonec2-instance-type"),
        "VPCIdNotSpecified" | "DefaultVpcDoesNotExist" | "MissingInput" => {
            hint(Kind::NotFound, "name a subnet with --amazonec2-subnet-id")
        }
        "InvalidInstanceID.NotFound" | "InvalidInstanceID.Malformed" => {
            hint(Kind::NotFound, "`rmachine ls` shows the machines that are still there")
        }
        "IncorrectInstanceState" | "IncorrectState" => hint(Kind::Conflict, "`rmachine status NAME` shows its state"),
        "OperationNotPermitted" => {
            hint(Kind::Denied, "if it is protected, end its termination or stop protection first")
        }
        "UnsupportedOperation" => {
            hint(Kind::Unsupported, "a one-time spot instance cannot be stopped: `rmachine rm` it")
        }
        "InvalidParameterValue"
        | "InvalidParameterCombination"
        | "InvalidParameter"
        | "MissingParameter"
        | "UnknownParameter"
        | "InvalidBlockDeviceMapping" => {
            (Kind::InvalidInput, None, Some("AWS's message names the value; check the --amazonec2-* flags".to_owned()))
        }
        code if code.ends_with(".NotFound") => (Kind::NotFound, None, None),
        "DependencyViolation" => (Kind::Conflict, None, None),
        _ => (Kind::Other, None, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_says_what_is_refused_for_good() {
        for code in [
            "UnauthorizedOperation",
            "OptInRequired",
            "PendingVerification",
            "Blocked",
            "AuthFailure",
            "RequestExpired",
            "InvalidParameterValue",
            "InvalidParameterCombination",
            "InvalidAMIID.NotFound",
            "InvalidBlockDeviceMapping",
            "MissingParameter",
            "UnsupportedOperation",
            "IdempotentInstanceTerminated",
            "SomethingNew",
        ] {
            assert!(is_refusal(code, 400), "{code}");
        }
        // Of the 500s, and nothing was made.
        for code in
            ["InsufficientInstanceCapacity", "InsufficientAddressCapacity", "VcpuLimitExceeded", "RequestLimitExceeded"]
        {
            assert!(is_refusal(code, 503), "{code}");
        }
        for (code, status) in [
            ("InternalError", 500),
            ("InternalFailure", 500),
            ("Unavailable", 503),
            ("ServiceUnavailable", 503),
            ("SomethingNew", 500),
            ("SomethingNew", 200),
            ("Unknown", 400),
            ("RequestTimeout", 400),
            ("IdempotentParameterMismatch", 400),
        ] {
            assert!(!is_refusal(code, status), "{code} {status}");
        }
    }
}
