//! What is asked of the engine.

use std::{fmt, str::FromStr};

use rmachine_text::url;
use serde::{Deserialize, Serialize};

/// Where the engine comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EngineSource {
    /// One that is there, else Docker's repository or the distribution's package, as fits the system.
    #[default]
    Auto,
    /// One that is there; none is an error.
    Existing,
    /// Docker's repository.
    Docker,
    /// The distribution's package.
    Distro,
    /// A script at a URL.
    Url,
    /// No engine at all.
    None,
}

impl EngineSource {
    /// The word on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Existing => "existing",
            Self::Docker => "docker",
            Self::Distro => "distro",
            Self::Url => "url",
            Self::None => "none",
        }
    }
}

impl FromStr for EngineSource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Auto, Self::Existing, Self::Docker, Self::Distro, Self::Url, Self::None]
            .into_iter()
            .find(|source| source.word() == text)
            .ok_or_else(|| "it is one of auto, existing, docker, distro, url and none".to_owned())
    }
}

/// What is asked of the engine, as typed. `opts` and `env` may hold secrets: this goes to a file of
/// its own and over SSH, never into the first-boot data.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EngineSpec {
    /// Where it comes from.
    pub source: EngineSource,
    /// URL of the install script, with [`EngineSource::Url`].
    pub install_url: Option<String>,
    /// What the install script has to be: `sha256:` and 64 hexadecimal digits.
    pub install_checksum: Option<String>,
    /// Storage driver.
    pub storage_driver: Option<String>,
    /// Registries without TLS, `HOST[:PORT]` or CIDR.
    pub insecure_registries: Vec<String>,
    /// Mirrors of Docker Hub, URLs.
    pub registry_mirrors: Vec<String>,
    /// Labels, `KEY=VALUE`.
    pub labels: Vec<String>,
    /// Other options, `KEY=VALUE` or `KEY`.
    pub opts: Vec<String>,
    /// Variables of its environment, `KEY=VALUE`.
    pub env: Vec<String>,
    /// TCP port to listen on.
    pub port: u16,
    /// Whether it listens on the host's loopback address only.
    pub on_loopback: bool,
    /// Value of the label `provider`, as docker-machine sets it.
    pub provider_label: Option<String>,
}

/// Why an option of the engine cannot be used; names it, without what may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidOption(pub(super) String);

impl fmt::Debug for EngineSpec {
    /// Without options, variables and URLs, which may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineSpec")
            .field("source", &self.source)
            .field("labels", &self.labels)
            .field("port", &self.port)
            .field("on_loopback", &self.on_loopback)
            .finish_non_exhaustive()
    }
}

impl EngineSpec {
    /// Checks the form of everything, before anything is made.
    ///
    /// # Errors
    ///
    /// That names the option.
    pub fn validate(&self) -> Result<(), InvalidOption> {
        let invalid = |text: String| Err(InvalidOption(text));
        for label in &self.labels {
            if label.split_once('=').is_none_or(|(key, _)| key.trim().is_empty()) {
                return invalid(format!("--engine-label takes KEY=VALUE, not {label:?}"));
            }
        }
        for variable in &self.env {
            let good = variable.split_once('=').is_some_and(|(key, value)| {
                !key.is_empty()
                    && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
                    // systemd ends a line at a carriage return as well.
                    && !value.contains(['\n', '\r', '\0'])
            });
            if !good {
                let key = variable.split('=').next().unwrap_or_default();
                return invalid(format!("--engine-env takes KEY=VALUE in one line, not {key:?}"));
            }
        }
        for mirror in &self.registry_mirrors {
            if !url::is_url(mirror) {
                let shown = url::without_secrets(mirror);
                return invalid(format!("--engine-registry-mirror takes an http(s) URL, not {shown:?}"));
            }
        }
        for registry in &self.insecure_registries {
            if registry.is_empty() || registry.contains("://") || registry.contains(char::is_whitespace) {
                return invalid(format!("--engine-insecure-registry takes HOST[:PORT] or a CIDR, not {registry:?}"));
            }
        }
        match (self.source, &self.install_url) {
            (EngineSource::Url, None) => return invalid("--engine-source url needs --engine-install-url".to_owned()),
            (EngineSource::Url, Some(url)) if !url::is_url(url) => {
                let shown = url::without_secrets(url);
                return invalid(format!("--engine-install-url takes an http(s) URL, not {shown:?}"));
            }
            (EngineSource::Url, Some(_)) | (_, None) => {}
            (source, Some(_)) => {
                return invalid(format!("--engine-install-url contradicts --engine-source {}", source.word()));
            }
        }
        match (&self.install_checksum, &self.install_url) {
            (Some(_), None) => return invalid("--engine-install-checksum needs --engine-install-url".to_owned()),
            (Some(sum), _) if self.install_sha256().is_none() => {
                return invalid(format!(
                    "--engine-install-checksum takes sha256: and 64 hexadecimal digits, not {sum:?}"
                ));
            }
            _ => {}
        }
        self.options().map(|_| ())
    }

    /// The SHA-256 sum that the install script has to have, in lower case, where one is asked for.
    pub fn install_sha256(&self) -> Option<String> {
        let sum = self.install_checksum.as_ref()?.strip_prefix("sha256:")?;
        (sum.len() == 64 && sum.bytes().all(|b| b.is_ascii_hexdigit())).then(|| sum.to_ascii_lowercase())
    }

    /// Whether the install may turn to Docker's package repository.
    pub fn may_use_repository(&self) -> bool {
        matches!(self.source, EngineSource::Auto | EngineSource::Docker)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(change: impl FnOnce(&mut EngineSpec)) -> Result<(), InvalidOption> {
        let mut spec = EngineSpec::default();
        change(&mut spec);
        spec.validate()
    }

    #[test]
    fn options_are_checked_before_anything_is_made() {
        assert!(check(|_| {}).is_ok());
        assert!(check(|s| s.labels = vec!["a=b c".into()]).is_ok());
        assert!(check(|s| s.labels = vec!["ab".into()]).is_err());
        let sum = |url: Option<&str>, sum: &str| {
            let source = if url.is_some() { EngineSource::Url } else { EngineSource::Auto };
            let (install_url, install_checksum) = (url.map(str::to_owned), Some(sum.to_owned()));
            EngineSpec { source, install_url, install_checksum, ..EngineSpec::default() }.validate()
        };
        let good = format!("sha256:{}", "aB".repeat(32));
        assert!(sum(Some("https://h/x"), &good).is_ok() && sum(None, &good).is_err());
        for bad in ["", "sha256:", &good[7..], &good[..70], "sha512:00", &format!("{}g", &good[..70])] {
            assert!(sum(Some("https://h/x"), bad).is_err(), "{bad}");
        }
        assert!(check(|s| s.env = vec!["A B=1".into()]).is_err());
        assert!(check(|s| s.env = vec!["A=x\rExecStartPre=/bin/x".into()]).is_err());
        assert!(check(|s| s.registry_mirrors = vec!["mirror".into()]).is_err());
        assert!(check(|s| s.insecure_registries = vec!["http://r".into()]).is_err());
        assert!(check(|s| s.source = EngineSource::Url).is_err());
        assert!(check(|s| s.opts = vec!["host=tcp://0.0.0.0".into()]).is_err());
        assert!(check(|s| s.opts = vec!["debug".into(), "mtu=1400".into()]).is_ok());
    }

    #[test]
    fn a_secret_is_not_repeated_in_an_error() {
        let url = "htps://u:secret@h/?secret";
        for error in [
            check(|s| s.env = vec!["A-B=secret".into()]),
            check(|s| s.registry_mirrors = vec![url.into()]),
            check(|s| (s.source, s.install_url) = (EngineSource::Url, Some(url.into()))),
        ] {
            let error = error.unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn no_secret_is_shown_for_debugging() {
        let engine = EngineSpec {
            opts: vec!["x=verysecret".into()],
            env: vec!["T=verysecret".into()],
            install_url: Some("https://u:verysecret@h/".into()),
            registry_mirrors: vec!["https://u:verysecret@h/".into()],
            ..EngineSpec::default()
        };
        assert!(!format!("{engine:?}").contains("verysecret"));
    }
}
