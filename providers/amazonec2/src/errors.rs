//! Failed calls, in the words of the provider API; `codes` has what EC2's codes mean.

use std::error::Error as StdError;

use aws_sdk_ec2::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use rmachine_provider_api::{Error, Kind, LeftBehind, Retry};

use crate::codes::{self, Denial, meaning};

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
    /// Whether an earlier try of the call got no answer: it may have worked, whatever the last one says.
    lost: bool,
}

#[derive(Debug)]
enum Class {
    /// EC2 answered no, with this HTTP status.
    Refused { code: String, message: String, status: u16 },
    /// There are no credentials, or their source failed.
    NoCredentials(String),
    /// No connection was had, so nothing was asked.
    NotSent(String),
    /// It was sent, and there is no answer that could be read.
    NoAnswer(String),
    /// The caller has cancelled it before it was sent, or sent again.
    Cancelled,
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
                status: answer.raw().status().as_u16(),
            },
            SdkError::DispatchFailure(failure) if failure.is_user() || mentions_credentials(&error) => {
                Class::NoCredentials(root_cause(&error))
            }
            SdkError::DispatchFailure(_) => {
                let cause = root_cause(&error);
                if was_never_sent(&error) { Class::NotSent(cause) } else { Class::NoAnswer(cause) }
            }
            SdkError::ConstructionFailure(_) => Class::NoCredentials(root_cause(&error)),
            _ => Class::NoAnswer(root_cause(&error)),
        };
        Self { what, region: region.to_owned(), own_endpoint: endpoint.map(str::to_owned), class, lost: false }
    }

    /// The same, where `lost` says that an earlier try of the call got no answer.
    #[must_use]
    pub(crate) fn after(mut self, lost: bool) -> Self {
        self.lost |= lost;
        self
    }

    /// A call that was cancelled before it was sent.
    pub(crate) fn unsent(what: &'static str, region: &str) -> Self {
        Self { what, region: region.to_owned(), own_endpoint: None, class: Class::Cancelled, lost: false }
    }

    /// A call that failed like this, and was cancelled before it was sent again.
    #[must_use]
    pub(crate) fn cancelled(self) -> Self {
        Self { lost: self.may_have_worked(), class: Class::Cancelled, ..self }
    }

    /// An answer without what it should hold.
    pub(crate) fn empty(what: &'static str, region: &str) -> Self {
        let class = Class::NoAnswer("the answer names no instance".to_owned());
        Self { what, region: region.to_owned(), own_endpoint: None, class, lost: false }
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

    /// Whether the call may have had its effect although it failed; else it was refused for good.
    pub(crate) fn may_have_worked(&self) -> bool {
        self.lost
            || match &self.class {
                Class::NoAnswer(_) => true,
                Class::Refused { code, status, .. } => !codes::is_refusal(code, *status),
                Class::NoCredentials(_) | Class::NotSent(_) | Class::Cancelled => false,
            }
    }

    /// For the log.
    pub(crate) fn summary(&self) -> String {
        match &self.class {
            Class::Refused { code, .. } => code.clone(),
            Class::NoCredentials(cause) | Class::NotSent(cause) | Class::NoAnswer(cause) => cause.clone(),
            Class::Cancelled => "cancelled".to_owned(),
        }
    }

    /// The error for the user; `subject` says what was to be done.
    pub(crate) fn error(self, subject: &str) -> Error {
        let left = if self.may_have_worked() { LeftBehind::Unknown } else { LeftBehind::Nothing };
        let error = match self.class {
            Class::Refused { ref code, ref message, .. } => refused(self.what, &self.region, subject, code, message),
            Class::NoCredentials(cause) => no_credentials(cause),
            Class::Cancelled => Error::cancelled(),
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
    let (kind, text, mut hint) = meaning(code, region);
    let (message, denial) = Denial::read(message);
    let text = match (kind, denial.as_ref().and_then(Denial::said)) {
        (Kind::Denied, Some(said)) => Some(said),
        _ => text,
    };
    if let (Kind::Denied, Some(more)) = (kind, denial.and_then(|denial| denial.hint())) {
        hint = Some(hint.map_or_else(|| more.clone(), |hint| format!("{hint}; {more}")));
    }
    let text = match (subject, text) {
        ("", Some(text)) => text,
        ("", None) => format!("EC2 refuses {what}"),
        (subject, Some(text)) => format!("cannot {subject}: {text}"),
        (subject, None) => format!("EC2 refuses to {subject}"),
    };
    let error = Error::new(kind, text).source(format!("{code}: {message}"));
    let error = match code {
        // A quota of one market or family of types may leave room in another.
        _ if kind == Kind::Quota && what == codes::RUN => error.retry(Retry::Elsewhere),
        _ => error,
    };
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// Whether no connection was had; one that broke on the way may have carried the request.
pub(crate) fn was_never_sent(error: &(dyn StdError + 'static)) -> bool {
    let text = DisplayErrorContext(error).to_string();
    ["dns error", "tcp connect error", "client error (Connect)", "connect timeout"]
        .iter()
        .any(|mark| text.contains(mark))
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
        said(code, "words of AWS")
    }

    fn said(code: &str, message: &str) -> Failure {
        let class = Class::Refused { code: code.to_owned(), message: message.to_owned(), status: 400 };
        Failure { what: "RunInstances", region: "us-east-1".to_owned(), own_endpoint: None, class, lost: false }
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
        // Refused at the second try: the first one may have worked.
        let second = failure("UnauthorizedOperation").after(true);
        assert_eq!(second.error("").left_behind(), &LeftBehind::Unknown);
    }

    #[test]
    fn a_missing_permission_is_named() {
        let words = "You are not authorized to perform this operation. User: arn:aws:iam::123456789012:user/ci is not \
                     authorized to perform: iam:PassRole on resource: arn:aws:iam::123456789012:role/builder because no \
                     identity-based policy allows the iam:PassRole action. Encoded authorization failure message: 5KG81";
        let error = said("UnauthorizedOperation", words).error("start the instance");
        assert_eq!(
            error.to_string(),
            "cannot start the instance: the AWS credentials may not iam:PassRole on arn:aws:iam::123456789012:role/builder"
        );
        let cause = StdError::source(&error).unwrap().to_string();
        assert!(cause.ends_with("allows the iam:PassRole action.") && !cause.contains("5KG81"), "{cause}");
        let encoded =
            "You are not authorized to perform this operation. Encoded authorization failure message: 5KG81_a-b";
        let error = said("UnauthorizedOperation", encoded).error("start the instance");
        let hint = error.hint_text().unwrap();
        assert!(hint.contains("aws sts decode-authorization-message --encoded-message 5KG81_a-b"), "{hint}");
        // What is no message of this form is not taken apart.
        let odd = "is not authorized to perform: rm -rf on resource: x y";
        let error = said("UnauthorizedOperation", odd).error("");
        assert_eq!(error.to_string(), "the AWS credentials are good, but may not do this");
    }
}
