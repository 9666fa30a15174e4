//! Docker's package repositories, or the mirror that the environment names.

use rmachine_model::EngineSpec;
use rmachine_text::url;

use super::{Error, Result};

/// Docker's package repositories.
const URL: &str = "https://download.docker.com";
/// Fingerprint of the key that signs Docker's apt repositories
/// (docs.docker.com/engine/install/debian, "Docker Release (CE deb) <docker@docker.com>").
const APT_FINGERPRINT: &str = "9DC858229FC7DD38854AE2D88D81803C0EBFCD88";
/// Fingerprint of the key that signs Docker's rpm packages (docs.docker.com/engine/install/fedora).
const RPM_FINGERPRINT: &str = "060A61C51B558A7F742B77AAC52FEB6B621E9F35";

/// Where Docker's packages come from, and whose signature counts.
#[derive(Clone)]
pub(super) struct Repository {
    /// Its URL, without a slash at the end; may hold a password.
    pub(super) url: String,
    /// Fingerprint of the key that signs its apt repositories.
    pub(super) apt_fingerprint: String,
    /// Fingerprint of the key that signs its rpm packages.
    pub(super) rpm_fingerprint: String,
}

impl Repository {
    /// Docker's own, but for what the environment says where `spec` may use it: for mirrors, some with a key of their own.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] that names the variable.
    pub(super) fn for_engine(spec: &EngineSpec) -> Result<Self> {
        Self::of(|name| if spec.may_use_repository() { std::env::var(name).ok() } else { None })
    }

    pub(super) fn of(variable: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let or = |name: &str, constant: &str| {
            variable(name).filter(|value| !value.trim().is_empty()).unwrap_or_else(|| constant.to_owned())
        };
        let url = or("RMACHINE_DOCKER_REPOSITORY", URL);
        // Paths are put behind it, and it becomes a word of a line in the host's list of sources.
        if !url::is_url(&url) || url.contains(['?', '#']) {
            return Err(Error::Invalid("RMACHINE_DOCKER_REPOSITORY takes an http(s) URL without a query".to_owned()));
        }
        let fingerprint = |name: &str, constant: &str| {
            let digits = or(name, constant).split_whitespace().collect::<String>().to_ascii_uppercase();
            // Version 4 and version 5 keys; a key's id is too short to tell it from a forged one.
            if matches!(digits.len(), 40 | 64) && digits.bytes().all(|b| b.is_ascii_hexdigit()) {
                Ok(digits)
            } else {
                Err(Error::Invalid(format!("{name} takes a whole fingerprint: 40 hexadecimal digits")))
            }
        };
        Ok(Self {
            url: url.trim_end_matches('/').to_owned(),
            apt_fingerprint: fingerprint("RMACHINE_DOCKER_APT_FINGERPRINT", APT_FINGERPRINT)?,
            rpm_fingerprint: fingerprint("RMACHINE_DOCKER_RPM_FINGERPRINT", RPM_FINGERPRINT)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &str, value: &str) -> Result<Repository> {
        Repository::of(|asked| (asked == name).then(|| value.to_owned()))
    }

    #[test]
    fn variables_are_checked() {
        let docker = with("", "").ok().unwrap();
        assert_eq!((docker.url.as_str(), docker.apt_fingerprint.as_str()), (URL, APT_FINGERPRINT));
        let mirror = with("RMACHINE_DOCKER_REPOSITORY", "http://mirror.test/docker/").ok().unwrap();
        assert_eq!(mirror.url, "http://mirror.test/docker");
        for bad in ["mirror.test", "https://m/ [trusted=yes]", "https://m/x\ngpgcheck=0", "https://m/?token=s3cret"] {
            let error = with("RMACHINE_DOCKER_REPOSITORY", bad).err().unwrap().to_string();
            assert!(!error.contains("s3cret"), "{error}");
        }
        let typed = "9dc8 5822 9fc7 dd38 854a  e2d8 8d81 803c 0ebf cd88";
        assert_eq!(with("RMACHINE_DOCKER_APT_FINGERPRINT", typed).ok().unwrap().apt_fingerprint, APT_FINGERPRINT);
        assert!(with("RMACHINE_DOCKER_RPM_FINGERPRINT", "621E9F35").is_err());
        assert!(with("RMACHINE_DOCKER_RPM_FINGERPRINT", &"x".repeat(40)).is_err());
    }
}
