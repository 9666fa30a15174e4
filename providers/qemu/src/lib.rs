//! The `qemu` driver: virtual machines on this computer, with a disk, a kernel and an engine of their own.
//!
//! One directory a machine below `machines/` has all that exists of it; images below `images/` are shared
//! and only read. Machines are reached by ports that qemu forwards from a loopback address.

mod accel;
mod build;
mod checkup;
mod command;
mod config;
mod create;
mod digest;
mod download;
mod files;
mod firmware;
mod flags;
mod image;
mod machine;
mod plan;
mod power;
mod probe;
mod process;
mod provider;
mod qmp;
mod seed;
mod tools;

use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use rmachine_provider_api::{
    Capabilities, Configured, Driver, DriverInfo, Error, Notify, Provider, Result, Secrets, Values, one_place,
};
use serde_json::Value;

use crate::config::Config;

static INFO: LazyLock<DriverInfo> = LazyLock::new(|| DriverInfo {
    name: "qemu".to_owned(),
    summary: "virtual machines on this computer".to_owned(),
    flags: flags::flags(),
    capabilities: Capabilities { ssh: true, engine: true, power: true, ingress: false },
});

/// The driver.
#[derive(Debug, Clone, Copy, Default)]
pub struct QemuDriver;

#[async_trait]
impl Driver for QemuDriver {
    fn info(&self) -> &DriverInfo {
        &INFO
    }

    fn configure(&self, values: &Values) -> Result<Configured> {
        let config = serde_json::to_value(Config::from_values(values)?)
            .map_err(|e| Error::invalid("the config cannot be saved").source(e))?;
        Ok(Configured { config, secrets: Secrets::default(), engine_port: None })
    }

    /// Machines of one directory are looked at at once.
    fn scope(&self, config: &Value) -> String {
        Config::read(config).map(|config| config.directory.display().to_string()).unwrap_or_default()
    }

    fn is_local(&self) -> bool {
        true
    }

    fn sweep(&self, config: &Value) -> Result<()> {
        image::sweep(&Config::read(config)?.directory)
    }

    fn places(&self, config: &Value, regions: &[String]) -> Result<Vec<Value>> {
        one_place(&INFO.name, config, regions)
    }

    async fn connect(&self, config: &Value, _: &Secrets, _: Arc<dyn Notify>) -> Result<Arc<dyn Provider>> {
        Ok(Arc::new(provider::Qemu::new(Config::read(config)?.directory)))
    }
}
