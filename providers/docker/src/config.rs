//! What was asked for, as the record keeps it.

use std::net::IpAddr;

use rmachine_provider_api::{Configured, Error, Result, Secrets, Values};
use rmachine_provider_local::{
    parse_size,
    publish::{self, Published},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{endpoint, flags};

/// The config of one machine.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Config {
    /// URL of the local engine.
    pub(crate) host: String,
    /// `DOCKER_HOST` that was passed over, since it is a machine of ours.
    #[serde(default)]
    pub(crate) passed_over: Option<String>,
    /// The user's own image.
    pub(crate) image: Option<String>,
    /// Bytes.
    pub(crate) memory: Option<u64>,
    /// Billionths of a processor, as the Engine API's `NanoCpus`.
    pub(crate) nano_cpus: Option<u64>,
    pub(crate) publish: Vec<Published>,
    pub(crate) bind: Option<IpAddr>,
}

impl Config {
    pub(crate) fn read(value: &Value) -> Result<Self> {
        Self::deserialize(value).map_err(|e| Error::invalid("the saved config of the machine does not read").source(e))
    }
}

pub(crate) fn configure(values: &Values) -> Result<Configured> {
    let engine = endpoint::resolve(values.text(flags::HOST), &|name| std::env::var(name).ok())?;
    let mut publish = Vec::new();
    for text in values.list(flags::PUBLISH) {
        publish.extend(publish::parse(flags::PUBLISH, text)?);
    }
    refuse_twice(&publish)?;
    let config = Config {
        host: engine.url,
        passed_over: engine.passed_over,
        image: values.text(flags::IMAGE).map(str::to_owned),
        memory: values.text(flags::MEMORY).map(memory).transpose()?,
        nano_cpus: values.text(flags::CPUS).map(nano_cpus).transpose()?,
        publish,
        bind: values.text(flags::BIND).map(bind_address).transpose()?,
    };
    let config = serde_json::to_value(config).map_err(|e| Error::invalid("the config cannot be saved").source(e))?;
    Ok(Configured { config, secrets: Secrets::default(), engine_port: None })
}

/// Refuses two ports of this computer that cannot both be bound.
fn refuse_twice(publish: &[Published]) -> Result<()> {
    let everywhere = |port: &Published| port.address.is_some_and(|address| address.is_unspecified());
    for (index, one) in publish.iter().enumerate() {
        let meets = |other: &Published| {
            (one.port, one.protocol) == (other.port, other.protocol)
                && (one.address == other.address || everywhere(one) || everywhere(other))
        };
        if publish.iter().skip(index + 1).any(meets) {
            return Err(Error::invalid(format!("--{} names the port {} twice", flags::PUBLISH, one.port)));
        }
    }
    Ok(())
}

/// systemd, dockerd, containerd and sshd take about 150 MB together.
const LEAST_MEMORY: u64 = 256 << 20;

fn memory(text: &str) -> Result<u64> {
    let bytes = parse_size(flags::MEMORY, text)?;
    if bytes < LEAST_MEMORY {
        return Err(Error::invalid(format!("--{} of {text} is too little for a machine", flags::MEMORY))
            .hint("its own programs take about 150 MB; give it 256m at least"));
    }
    Ok(bytes)
}

fn nano_cpus(text: &str) -> Result<u64> {
    let wrong = || {
        Error::invalid(format!("--{} takes a number of processors, not \"{text}\"", flags::CPUS))
            .hint("such as 2 or 1.5; 0.01 at least")
    };
    let (whole, fraction) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
    let whole: u64 = if whole.is_empty() && !fraction.is_empty() { 0 } else { whole.parse().map_err(|_| wrong())? };
    if fraction.len() > 9 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return Err(wrong());
    }
    let fraction: u64 = format!("{fraction:0<9}").parse().map_err(|_| wrong())?;
    let nano = whole.checked_mul(1_000_000_000).and_then(|n| n.checked_add(fraction)).ok_or_else(wrong)?;
    if nano < 10_000_000 || i64::try_from(nano).is_err() { Err(wrong()) } else { Ok(nano) }
}

fn bind_address(text: &str) -> Result<IpAddr> {
    let wrong = |why: &str| {
        Error::invalid(format!("--{} takes a loopback address, and \"{text}\" {why}", flags::BIND)).hint(format!(
            "SSH and the engine answer on this computer only; --{} opens single ports elsewhere",
            flags::PUBLISH
        ))
    };
    let address: IpAddr = text.parse().map_err(|_| wrong("is no address"))?;
    if address.is_loopback() { Ok(address) } else { Err(wrong("is another one")) }
}

#[cfg(test)]
mod tests {
    use rmachine_provider_api::Value;

    use super::*;

    fn refused(flag: &'static str, value: Value) -> String {
        let mut values = Values::default();
        values.set(flags::HOST, Value::Text("unix:///nowhere".into()));
        values.set(flag, value);
        configure(&values).unwrap_err().to_string()
    }

    #[test]
    fn limits_read_and_nonsense_is_refused() {
        assert_eq!([nano_cpus("2").unwrap(), nano_cpus("1.5").unwrap()], [2_000_000_000, 1_500_000_000]);
        for text in ["0", "-1", "x", "1.", "0.001", "1e9", "99999999999"] {
            assert_eq!(nano_cpus(text).is_ok(), text == "1.", "{text}");
        }
        assert!(refused(flags::MEMORY, Value::Text("64m".into())).contains("too little"));
        assert!(refused(flags::BIND, Value::Text("0.0.0.0".into())).contains("another"));
        assert!(refused(flags::PUBLISH, Value::List(vec!["x".into()])).contains("port"));
        let twice = Value::List(vec!["8080:80".into(), "0.0.0.0:8080:81".into()]);
        assert!(refused(flags::PUBLISH, twice).contains("8080 twice"));
    }
}
