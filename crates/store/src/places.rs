//! Where machines of this store were ever made: gc looks there also when no record names the place any more.

use std::path::PathBuf;

use rmachine_model::error::Result;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Store,
    bytes::{read_optional, to_json, unreadable},
};

/// An account and region of a driver.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Place {
    /// Name of the driver.
    pub driver: String,
    /// [`rmachine_provider_api::Driver::scope`] of the config.
    pub scope: String,
    /// Config of the first machine that was made there, to connect with; no secrets.
    pub config: Value,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Document {
    version: u32,
    places: Vec<Place>,
}

impl Store {
    fn places_file(&self) -> PathBuf {
        self.root().join("places.json")
    }

    /// The places where machines of this store were ever made.
    ///
    /// # Errors
    ///
    /// [`rmachine_model::error::Kind::Store`] when the file does not read.
    pub fn places(&self) -> Result<Vec<Place>> {
        let path = self.places_file();
        let Some(bytes) = read_optional(&path)? else { return Ok(Vec::new()) };
        let document: Document = serde_json::from_slice(&bytes).map_err(|e| unreadable(&path, e))?;
        Ok(document.places)
    }

    /// Writes a place down, once.
    ///
    /// # Errors
    ///
    /// [`rmachine_model::error::Kind::Store`].
    pub fn remember_place(&self, driver: &str, scope: &str, config: &Value) -> Result<()> {
        let known = |places: &[Place]| places.iter().any(|p| p.driver == driver && p.scope == scope);
        if known(&self.places()?) {
            return Ok(());
        }
        let _lock = self.lock("store", || {})?;
        let mut places = self.places()?;
        if known(&places) {
            return Ok(());
        }
        places.push(Place { driver: driver.to_owned(), scope: scope.to_owned(), config: config.clone() });
        self.write(&self.places_file(), &to_json(&Document { version: 1, places })?)
    }
}
