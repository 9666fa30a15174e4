//! The drivers of one program; the list of those that are compiled in stands with the program.

use std::sync::Arc;

use rmachine_provider_api::Driver;

use crate::error::{Error, Result};

/// The drivers of one program.
#[derive(Debug, Clone)]
pub struct Drivers(Vec<Arc<dyn Driver>>);

impl Drivers {
    /// These drivers.
    pub fn of(drivers: Vec<Arc<dyn Driver>>) -> Self {
        Self(drivers)
    }

    /// The same with `driver` in the place of the one of its name.
    #[must_use]
    pub fn replacing(mut self, driver: Arc<dyn Driver>) -> Self {
        for known in self.0.iter_mut().filter(|known| known.info().name == driver.info().name) {
            *known = driver.clone();
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
        let names: Vec<&str> = self.iter().map(|d| d.info().name.as_str()).collect();
        let error = Error::usage(format!("unknown driver \"{name}\""));
        let error = match rmachine_text::near::nearest(name, names.iter().copied()).first() {
            Some(near) => error.hint(format!("did you mean \"{near}\"?")),
            None => error,
        };
        Err(error.hint(format!("drivers of this build: {}", names.join(", "))))
    }
}
