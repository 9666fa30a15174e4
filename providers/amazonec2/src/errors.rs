//! EC2's error codes, and what they mean to a user.
//!
//! Codes: docs.aws.amazon.com/ec2/latest/devguide/ec2-api-troubleshooting.html ("Error codes for the Amazon EC2 API").

use std::error::Error as StdError;

use aws_sdk_ec2::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use rmachine_provider_api::{Error, Kind, LeftBehind, Retry};

/// How std and hyper say that a peer has gone away in the middle.
const CUT_OFF: [&str; 4] =
    ["onnection reset", "roken pipe", "connection closed before message completed", "unexpected end of file"];

/// A failed call, before it is known what it means for the caller.
#[derive(Debug)]
pub(crate) struct Failure {
    what: &'static str,
    region: String,
    own_endpoint: Option<String>,
    class: Class,
}

#[derive(Debug)]
enum Class {
    /// EC2 answered no.
    Refused { code: String, message: String },
    /// There are no credentials, or their source failed.
    NoCredentials(String),
    /// No connection was had, so nothing was asked.
    NotSent(String),
    /// It was sent, and there is no answer that could be read.
    NoAnswer(String),
}

impl Failure {
    pub(crate) fn of<E>(
        what: &'static str,
        region: &str,
        endpoint: Option<&str>,
        error: SdkError<E, HttpResponse>,
    ) -> Self
    where
        E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
    {
        let class = match &error {
            SdkError::ServiceError(answer) => Class::Refused {
                code: answer.err().code().unwrap_or("Unknown").to_owned(),
                message: answer.err().message().unwrap_or_default().trim().to_owned(),
            },
            SdkError::DispatchFailure(failure) if failure.is_user() || mentions_credentials(&error) => {
                Class::NoCredentials(root_cause(&error))
            }
            SdkError::DispatchFailure(_) => {
                let cause = root_cause(&error);
                // A connection that broke on the way may have carried the request.
                let text = DisplayErrorContext(&error).to_string();
                let never_sent = ["dns error", "tcp connect error", "client error (Connect)", "connect timeout"]
                    .iter()
                    .any(|mark| text.contains(mark));
                if never_sent { Class::NotSent(cause) } else { Class::NoAnswer(cause) }
            }
            SdkError::ConstructionFailure(_) => Class::NoCredentials(root_cause(&error)),
            _ => Class::NoAnswer(root_cause(&error)),
        };
        Self { what, region: region.to_owned(), own_endpoint: endpoint.map(str::to_owned), class }
    }

    /// An answer without what it should hold.
    pub(crate) fn empty(what: &'static str, region: &str) -> Self {
        let class = Class::NoAnswer("the answer names no instance".to_owned());
        Self { what, region: region.to_owned(), own_endpoint: None, class }
    }

    /// EC2's code, when it answered.
    pub(crate) fn code(&self) -> Option<&str> {
        match &self.class {
            Class::Refused { code, .. } => Some(code),
            _ => None,
        }
    }

    pub(crate) fn is(&self, codes: &[&str]) -> bool {
        self.code().is_some_and(|code| codes.contains(&code))
    }

    pub(crate) fn keys_expired(&self) -> bool {
        self.is(&["RequestExpired", "ExpiredToken", "ExpiredTokenException"])
    }

    pub(crate) fn is_throttled(&self) -> bool {
        self.code().is_some_and(|code| matches!(meaning(code, &self.region).0, Kind::Throttled))
    }

    /// Whether the connection broke after it was sent: EC2 is there, and may answer the next time.
    pub(crate) fn was_cut_off(&self) -> bool {
        matches!(&self.class, Class::NoAnswer(cause) if CUT_OFF.iter().any(|mark| cause.contains(mark)))
    }

    /// Whether the thing that the call names does not exist (any more).
    pub(crate) fn is_not_found(&self) -> bool {
        self.code().is_some_and(|code| code.ends_with(".NotFound"))
    }

    /// Whether the call may have had its effect although it failed.
    pub(crate) fn may_have_worked(&self) -> bool {
        match &self.class {
            Class::NoAnswer(_) => true,
            Class::Refused { code, .. } => {
                matches!(code.as_str(), "InternalError" | "ServerInternal" | "Unavailable" | "InternalFailure")
            }
            Class::NoCredentials(_) | Class::NotSent(_) => false,
        }
    }

    /// For the log.
    pub(crate) fn summary(&self) -> String {
        match &self.class {
            Class::Refused { code, .. } => code.clone(),
            Class::NoCredentials(cause) | Class::NotSent(cause) | Class::NoAnswer(cause) => cause.clone(),
        }
    }

    /// The error for the user; `subject` says what was to be done.
    pub(crate) fn error(self, subject: &str) -> Error {
        let unsure = self.may_have_worked() || self.is(&["IdempotentParameterMismatch"]);
        let left = if unsure { LeftBehind::Unknown } else { LeftBehind::Nothing };
        let error = match self.class {
            Class::Refused { ref code, ref message } => refused(self.what, &self.region, subject, code, message),
            Class::NoCredentials(cause) => no_credentials(cause),
            Class::NotSent(cause) | Class::NoAnswer(cause) => {
                let place = match &self.own_endpoint {
                    Some(url) => format!("the EC2 endpoint {url}"),
                    None => format!("EC2 in the region {}", self.region),
                };
                Error::new(Kind::Unreachable, format!("{place} does not answer"))
                    .source(cause)
                    .hint("check the region's name, the network and the proxy (HTTPS_PROXY)")
            }
        };
        error.left(left)
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        failure.error("")
    }
}

fn no_credentials(cause: String) -> Error {
    Error::new(Kind::Credentials, "there are no usable AWS credentials").source(cause).hint(
        "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, choose a profile with AWS_PROFILE, run `aws sso login`, \
         or give --amazonec2-access-key and --amazonec2-secret-key",
    )
}

fn refused(what: &str, region: &str, subject: &str, code: &str, message: &str) -> Error {
    let (kind, text, hint) = meaning(code, region);
    let text = match (subject, text) {
        ("", Some(text)) => text,
        ("", None) => format!("EC2 refuses {what}"),
        (subject, Some(text)) => format!("cannot {subject}: {text}"),
        (subject, None) => format!("EC2 refuses to {subject}"),
    };
    let error = Error::new(kind, text).source(format!("{code}: {message}"));
    let error = match code {
        // A quota of one market or family of types may leave room in another.
        _ if kind == Kind::Quota && what == crate::create::RUN => error.retry(Retry::Elsewhere),
        _ => error,
    };
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

type Meaning = (Kind, Option<String>, Option<String>);

/// What a code means to a user, and what he can do.
fn meaning(code: &str, region: &str) -> Meaning {
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
            "docs/amazonec2.md lists the IAM permissions that rmachine needs",
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

fn mentions_credentials(error: &(dyn StdError + 'static)) -> bool {
    let text = DisplayErrorContext(error).to_string();
    ["credential", "Credential", "failed to load identity", "sso", "NoMatchingAuthScheme"]
        .iter()
        .any(|mark| text.contains(mark))
}

/// The innermost cause: the outer ones say "dispatch failure".
fn root_cause(error: &(dyn StdError + 'static)) -> String {
    let mut innermost: &(dyn StdError + 'static) = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(code: &str) -> Failure {
        let class = Class::Refused { code: code.to_owned(), message: "words of AWS".to_owned() };
        Failure { what: "RunInstances", region: "us-east-1".to_owned(), own_endpoint: None, class }
    }

    #[test]
    fn codes_become_kinds_with_hints() {
        for (code, kind) in [
            ("AuthFailure", Kind::Credentials),
            ("RequestExpired", Kind::Credentials),
            ("UnauthorizedOperation", Kind::Denied),
            ("InsufficientInstanceCapacity", Kind::Capacity),
            ("VcpuLimitExceeded", Kind::Quota),
            ("RequestLimitExceeded", Kind::Throttled),
            ("InvalidAMIID.NotFound", Kind::NotFound),
            ("InvalidParameterValue", Kind::InvalidInput),
        ] {
            let error = failure(code).error("make the instance");
            assert_eq!(error.kind(), kind, "{code}");
            assert!(error.hint_text().is_some(), "{code}");
            assert!(StdError::source(&error).unwrap().to_string().starts_with(code));
        }
    }

    #[test]
    fn what_was_left_is_not_guessed() {
        assert_eq!(failure("InvalidAMIID.NotFound").error("").left_behind(), &LeftBehind::Nothing);
        assert_eq!(failure("InternalError").error("").left_behind(), &LeftBehind::Unknown);
        let mut lost = failure("x");
        lost.class = Class::NoAnswer("reset".to_owned());
        assert_eq!(lost.error("").left_behind(), &LeftBehind::Unknown);
    }
}
