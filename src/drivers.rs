//! The drivers that this build has: the one list, one line each.

use std::sync::Arc;

use rmachine_provider_api::Driver;

use crate::error::{Error, Result};

/// The drivers of one program.
#[derive(Debug, Clone)]
pub struct Drivers(Vec<Arc<dyn Driver>>);

impl Drivers {
    /// All that are compiled in.
    pub fn compiled_in() -> Self {
        Self(vec![
            #[cfg(feature = "amazonec2")]
            Arc::new(rmachine_provider_amazonec2::AmazonEc2),
            #[cfg(feature = "docker")]
            Arc::new(rmachine_provider_docker::DockerDriver),
            Arc::new(rmachine_provider_generic::Generic),
            Arc::new(rmachine_provider_none::NoneDriver::default()),
            #[cfg(feature = "qemu")]
            Arc::new(rmachine_provider_qemu::QemuDriver),
        ])
    }

    /// These drivers; for tests and for programs that embed the core.
    pub fn of(drivers: Vec<Arc<dyn Driver>>) -> Self {
        Self(drivers)
    }

    /// The same drivers as docker-machine has them.
    #[must_use]
    pub fn of_docker_machine(mut self) -> Self {
        for driver in self.0.iter_mut().filter(|driver| driver.info().name == "none") {
            *driver = Arc::new(rmachine_provider_none::NoneDriver::of_any_url());
        }
        self
    }

    /// All drivers, in the order of the list.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<dyn Driver>> {
        self.0.iter()
    }

    /// The driver called `name`.
    ///
    /// # Errors
    ///
    /// [`crate::error::Kind::Usage`] that names the near ones and all.
    pub fn get(&self, name: &str) -> Result<&Arc<dyn Driver>> {
        if let Some(driver) = self.iter().find(|d| d.info().name == name) {
            return Ok(driver);
        }
        let names: Vec<&str> = self.iter().map(|d| d.info().name).collect();
        let error = Error::usage(format!("unknown driver \"{name}\""));
        let error = match rmachine_text::near::nearest(name, names.iter().copied()).first() {
            Some(near) => error.hint(format!("did you mean \"{near}\"?")),
            None => error,
        };
        Err(error.hint(format!("drivers of this build: {}", names.join(", "))))
    }
}
