//! What is asked of the engine, with what this computer's environment says of Docker's packages.

use rmachine_model::{EngineSource, EngineSpec};
use rmachine_text::url;

use super::{Result, repository::Repository};

/// Checks the form of everything, before anything is made.
///
/// # Errors
///
/// [`super::Error::Option`] that names the option, [`super::Error::Invalid`] that names the variable.
pub fn check(spec: &EngineSpec) -> Result<()> {
    spec.validate()?;
    Repository::for_engine(spec).map(|_| ())
}

/// What the user should know of `spec` before anything is made.
///
/// # Errors
///
/// As [`check`].
pub fn warnings(spec: &EngineSpec) -> Result<Vec<String>> {
    Ok(in_the_clear(spec, &Repository::for_engine(spec)?))
}

fn in_the_clear(spec: &EngineSpec, repository: &Repository) -> Vec<String> {
    let unchecked = spec.install_url.iter().filter(|_| spec.install_checksum.is_none());
    let script = unchecked.filter(|script| url::is_in_the_clear(script)).map(|script| {
        format!(
            "the install script comes over plain http, and whoever is on its way to the host can make it another \
             one, which runs as root; give an https URL, or --engine-install-checksum, instead of {}",
            url::without_secrets(script)
        )
    });
    let packages = Some(&repository.url).filter(|packages| url::is_in_the_clear(packages)).map(|packages| {
        format!(
            "packages of {} come over plain http: their signatures are checked, but whoever is on their way can \
             read, delay or withhold them",
            url::without_secrets(packages)
        )
    });
    script.chain(packages).collect()
}

/// Whether the boot may know what the install needs: URLs that may hold a secret may not be in the first-boot data.
pub(super) fn may_install_at_boot(spec: &EngineSpec, repository: &Repository) -> bool {
    let secret = spec.install_url.as_ref().is_some_and(|script| url::may_hold_secret(script))
        || url::may_hold_secret(&repository.url);
    spec.source != EngineSource::None && !secret
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_warned_of_and_no_secret_said() {
        let mirror = |url: &str| Repository::of(|name| name.ends_with("REPOSITORY").then(|| url.to_owned())).unwrap();
        let checked = EngineSpec {
            install_url: Some("http://h/x".to_owned()),
            install_checksum: Some(format!("sha256:{}", "0".repeat(64))),
            ..EngineSpec::default()
        };
        assert_eq!(in_the_clear(&checked, &mirror("https://m")), [""; 0]);
        let warnings = |install_url: &str, repository: &str| {
            let install_url = Some(install_url.to_owned());
            in_the_clear(&EngineSpec { install_url, ..EngineSpec::default() }, &mirror(repository)).join("\n")
        };
        assert_eq!(warnings("https://h/x", "https://m"), "");
        assert_eq!(warnings("http://127.0.0.1:8080/x", "http://[::1]/"), "");
        let script = warnings("http://u:verysecret@h/x?t=verysecret", "https://m");
        assert!(
            script.contains(
                "runs as root; give an https URL, or --engine-install-checksum, instead of http://h/x?<redacted>"
            ),
            "{script}"
        );
        let packages = warnings("https://h/x", "http://u:verysecret@m/docker");
        assert!(packages.contains("packages of http://m/docker come over plain http"), "{packages}");
        assert!(!format!("{script}{packages}").contains("verysecret"));
    }

    #[test]
    fn a_url_that_may_hold_a_secret_waits_for_the_session() {
        let docker = Repository::of(|_| None).unwrap();
        let at_boot = |url: &str| {
            may_install_at_boot(&EngineSpec { install_url: Some(url.to_owned()), ..EngineSpec::default() }, &docker)
        };
        assert!(at_boot("https://get.docker.com"));
        for url in ["https://u:p@h/x", "https://token@h/x", "https://h/x?token=s", "https://h/x#s"] {
            assert!(!at_boot(url), "{url}");
        }
        let engine = EngineSpec::default();
        assert!(may_install_at_boot(&engine, &docker));
        let mirror = Repository { url: "https://u:p@m".to_owned(), ..docker.clone() };
        assert!(!may_install_at_boot(&engine, &mirror));
        assert!(!may_install_at_boot(&EngineSpec { source: EngineSource::None, ..engine }, &docker));
    }

    #[test]
    fn no_key_is_shown_for_debugging() {
        let tls = crate::ServerTls { ca_pem: "authority", cert_pem: "certificate", key_pem: "verysecret" };
        assert!(!format!("{tls:?}").contains("verysecret"), "{tls:?}");
    }
}
