//! Which engine: the choice is the docker CLI's (docs.docker.com/engine/manage-resources/contexts), but
//! that a machine of ours is never taken for the local engine.

use std::{net::IpAddr, path::PathBuf};

use rmachine_provider_api::{Error, Kind, Result};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::flags;

/// Where the docker CLI looks when nothing is said.
const DEFAULT: &str = if cfg!(windows) { "npipe:////./pipe/docker_engine" } else { "unix:///var/run/docker.sock" };

/// The local engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chosen {
    pub(crate) url: String,
    /// A `DOCKER_HOST` that was not taken: it is a machine's.
    pub(crate) passed_over: Option<String>,
}

/// Chooses by `--docker-host`, `DOCKER_HOST`, `DOCKER_CONTEXT`, the CLI's current context, the default.
pub(crate) fn resolve(flag: Option<&str>, env: &dyn Fn(&str) -> Option<String>) -> Result<Chosen> {
    let variable = |name: &str| env(name).filter(|value| !value.is_empty());
    let mut passed_over = None;
    if let Some(url) = flag {
        return Ok(Chosen { url: local(url, "--docker-host")?, passed_over });
    }
    if let Some(url) = variable("DOCKER_HOST") {
        // `rmachine env` sets both: the shell works on a machine, which holds no machines itself.
        if variable("DOCKER_MACHINE_NAME").is_none() {
            return Ok(Chosen { url: local(&url, "DOCKER_HOST")?, passed_over });
        }
        passed_over = Some(url);
    }
    let directory = variable("DOCKER_CONFIG")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(variable("HOME").or_else(|| variable("USERPROFILE"))?).join(".docker")));
    let context = variable("DOCKER_CONTEXT").or_else(|| current_context(directory.as_ref()?));
    let url = match (context.as_deref(), directory) {
        (None | Some("default"), _) | (_, None) => DEFAULT.to_owned(),
        (Some(name), Some(directory)) => local(&context_host(name, &directory)?, &format!("the context \"{name}\""))?,
    };
    Ok(Chosen { url, passed_over })
}

fn current_context(directory: &std::path::Path) -> Option<String> {
    let text = std::fs::read_to_string(directory.join("config.json")).ok()?;
    let config: Value = serde_json::from_str(&text).ok()?;
    config["currentContext"].as_str().filter(|name| !name.is_empty()).map(str::to_owned)
}

/// The host of a context: `contexts/meta/SHA256(NAME)/meta.json` (github.com/docker/cli, cli/context/store).
fn context_host(name: &str, directory: &std::path::Path) -> Result<String> {
    let digest: String = Sha256::digest(name.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    let path = directory.join("contexts/meta").join(digest).join("meta.json");
    let broken = |why: String| {
        Error::new(Kind::NotFound, format!("the docker context \"{name}\" cannot be used: {why}"))
            .hint("`docker context ls` shows the contexts; --docker-host names an engine directly")
    };
    let text = std::fs::read_to_string(&path).map_err(|e| broken(format!("{}: {e}", path.display())))?;
    let meta: Value = serde_json::from_str(&text).map_err(|e| broken(e.to_string()))?;
    let host = meta["Endpoints"]["docker"]["Host"].as_str().filter(|host| !host.is_empty());
    host.map(str::to_owned).ok_or_else(|| broken("it names no engine".to_owned()))
}

/// Takes `url` when the engine there is this computer's.
fn local(url: &str, source: &str) -> Result<String> {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let here = match scheme {
        "unix" | "npipe" => true,
        "tcp" | "http" => {
            let authority = rest.split('/').next().unwrap_or_default();
            let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host).trim_matches(['[', ']']);
            host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
        }
        _ => false,
    };
    if here {
        return Ok(url.to_owned());
    }
    Err(Error::invalid(format!("the driver \"docker\" makes machines on this computer, and {source} names {url}"))
        .hint(format!("unset it, or name a local engine: --{} unix:///var/run/docker.sock", flags::HOST)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(pairs: &[(&str, &str)], flag: Option<&str>) -> Result<Chosen> {
        let pairs: Vec<(String, String)> = pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        resolve(flag, &move |name| pairs.iter().find(|(k, _)| k == name).map(|(_, v)| v.clone()))
    }

    #[test]
    fn the_choice_is_the_cli_s() {
        let url = |pairs: &[(&str, &str)], flag| with(pairs, flag).unwrap().url;
        assert_eq!(url(&[], None), DEFAULT);
        assert_eq!(url(&[("DOCKER_HOST", "unix:///a")], None), "unix:///a");
        assert_eq!(url(&[("DOCKER_HOST", "unix:///a")], Some("unix:///b")), "unix:///b");
        assert_eq!(url(&[("DOCKER_HOST", "tcp://[::1]:2375")], None), "tcp://[::1]:2375");
        for remote in ["tcp://192.0.2.1:2376", "ssh://host", "/var/run/docker.sock"] {
            assert!(with(&[("DOCKER_HOST", remote)], None).unwrap_err().to_string().contains(remote));
        }
    }

    #[test]
    fn a_machine_is_not_the_local_engine() {
        let chosen = with(&[("DOCKER_HOST", "tcp://192.0.2.1:2376"), ("DOCKER_MACHINE_NAME", "dev")], None).unwrap();
        assert_eq!((chosen.url.as_str(), chosen.passed_over.as_deref()), (DEFAULT, Some("tcp://192.0.2.1:2376")));
    }

    #[test]
    #[allow(clippy::disallowed_methods, reason = "a directory of the test's own")]
    fn contexts_are_read_as_the_cli_writes_them() {
        let directory = std::env::temp_dir().join(format!("rmachine-context-{}", std::process::id()));
        // printf colima | sha256sum
        let meta = directory.join("contexts/meta/f24fd3749c1368328e2b149bec149cb6795619f244c5b584e844961215dadd16");
        std::fs::create_dir_all(&meta).unwrap();
        std::fs::write(meta.join("meta.json"), r#"{"Name":"colima","Endpoints":{"docker":{"Host":"unix:///c"}}}"#)
            .unwrap();
        std::fs::write(directory.join("config.json"), r#"{"currentContext":"colima"}"#).unwrap();
        let place = directory.to_str().unwrap().to_owned();
        let current = with(&[("DOCKER_CONFIG", &place)], None);
        let named = with(&[("DOCKER_CONFIG", &place), ("DOCKER_CONTEXT", "nope")], None);
        let default = with(&[("DOCKER_CONFIG", &place), ("DOCKER_CONTEXT", "default")], None);
        std::fs::remove_dir_all(&directory).unwrap();
        assert_eq!(current.unwrap().url, "unix:///c");
        assert!(named.unwrap_err().to_string().contains("\"nope\""));
        assert_eq!(default.unwrap().url, DEFAULT);
    }
}
