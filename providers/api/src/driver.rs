//! A driver: the name, the flags and the way to a [`Provider`].

use std::{collections::BTreeMap, fmt, sync::Arc};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{Elsewhere, Error, Flag, Imported, Instance, LegacyFields, Owner, Plan, Provider, Result, Values, Vetted};

/// What a driver is, as data.
#[derive(Debug, Clone)]
pub struct DriverInfo {
    /// The name after `--driver`, also the prefix of its flags.
    pub name: String,
    /// One line for lists of drivers.
    pub summary: String,
    /// Its flags.
    pub flags: Vec<Flag>,
    /// What its machines can do.
    pub capabilities: Capabilities,
}

/// What the machines of a driver can do.
#[derive(Debug, Clone, Copy)]
pub struct Capabilities {
    /// The core may log in over SSH.
    pub ssh: bool,
    /// The core installs the engine and issues certificates.
    pub engine: bool,
    /// `start`, `stop` and `kill` go to the provider.
    pub power: bool,
    /// `allow` can change who may connect.
    pub ingress: bool,
}

/// Secret values of a machine (cloud keys), kept in a 0600 file of their own.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secrets(pub BTreeMap<String, String>);

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// What [`Driver::configure`] makes of the flags.
#[derive(Debug, Clone)]
pub struct Configured {
    /// What was asked, without secrets; saved in the record and handed back to [`Driver::connect`].
    pub config: serde_json::Value,
    /// Secrets that were typed as flags; those of the environment are never kept.
    pub secrets: Secrets,
    /// TCP port of the engine, where a flag sets it; else 2376.
    pub engine_port: Option<u16>,
}

/// Takes what a provider has to say while it works.
pub trait Notify: Send + Sync {
    /// A step of the work; replaces the step before it.
    fn progress(&self, message: &str);
    /// Something that the user should know.
    fn warn(&self, message: &str);
}

/// Says nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Notify for Silent {
    fn progress(&self, _: &str) {}
    fn warn(&self, _: &str) {}
}

/// A kind of provider, registered by name.
#[async_trait]
pub trait Driver: fmt::Debug + Send + Sync + 'static {
    /// Name, flags and capabilities.
    fn info(&self) -> &DriverInfo;

    /// Turns flags into a config. Pure but for reading files that the flags name.
    ///
    /// # Errors
    ///
    /// [`crate::Kind::InvalidInput`] when values contradict each other or do not parse.
    fn configure(&self, values: &Values) -> Result<Configured>;

    /// Names the account and place that `config` speaks to: machines of one scope share one
    /// [`Provider`], so that [`Provider::observe`] asks once for all of them.
    fn scope(&self, config: &serde_json::Value) -> String;

    /// The place of `config` in a few words, such as `us-east-1`.
    fn place(&self, config: &serde_json::Value) -> String {
        self.scope(config)
    }

    /// The same account in each of `regions` (without any: where `config` is), as configs to connect with
    /// when something that was left behind is looked for.
    ///
    /// # Errors
    ///
    /// [`crate::Kind::Unsupported`] by drivers that make nothing, and for regions where there are none;
    /// [`crate::Kind::InvalidInput`] for a region that cannot be one.
    fn places(&self, config: &serde_json::Value, regions: &[String]) -> Result<Vec<serde_json::Value>> {
        let _ = (config, regions);
        Err(Error::unsupported(format!("the driver \"{}\" makes nothing that could be left behind", self.info().name)))
    }

    /// Whether its machines are on this computer, so that no other one can use them.
    fn is_local(&self) -> bool {
        false
    }

    /// Removes what a killed [`crate::Provider::preflight`] has left on this computer. Asks nobody; repeat: success.
    ///
    /// # Errors
    ///
    /// When it cannot be removed.
    fn sweep(&self, config: &serde_json::Value) -> Result<()> {
        let _ = config;
        Ok(())
    }

    /// Makes a client. Cheap: the first request may come later. `notify` is for what is about the account; whatever is about
    /// a machine goes to the one that a call is given.
    ///
    /// # Errors
    ///
    /// [`crate::Kind::Credentials`] when there are none, [`crate::Kind::InvalidInput`] when the config does not read.
    async fn connect(
        &self,
        config: &serde_json::Value,
        secrets: &Secrets,
        notify: Arc<dyn Notify>,
    ) -> Result<Arc<dyn Provider>>;

    /// Fields that docker-machine's driver of this name keeps in `config.json` under `Driver`
    /// besides the common ones (`InstanceId`, `Region`, …); never a secret.
    fn legacy_fields(
        &self,
        config: &serde_json::Value,
        plan: Option<&Plan>,
        instance: Option<&Instance>,
    ) -> serde_json::Map<String, serde_json::Value> {
        let _ = (config, plan, instance);
        serde_json::Map::new()
    }

    /// Reads the object `Driver` of docker-machine's record of a machine. Asks nobody and changes nothing.
    ///
    /// # Errors
    ///
    /// [`crate::Kind::Unsupported`] by drivers that docker-machine had no such one of; [`crate::Kind::InvalidInput`] when
    /// a field that is needed is missing or wrong, named in the text, never with a secret.
    fn import_legacy(&self, fields: LegacyFields<'_>) -> Result<Imported> {
        let _ = fields;
        Err(Error::unsupported(format!("the driver \"{}\" takes no records of docker-machine", self.info().name)))
    }

    /// Builds config, plan and facts of a machine anew from a record that another store wrote. Asks nobody and changes
    /// nothing. Taken over is what tells the machine and its place, each part checked; never a path, a profile, a way
    /// of transport, or anything that would be sent or deleted.
    ///
    /// # Errors
    ///
    /// [`crate::Kind::Unsupported`] by drivers whose machines are on the computer that made them;
    /// [`crate::Kind::InvalidInput`] that names the field.
    fn vet(&self, said: &Elsewhere<'_>) -> Result<Vetted> {
        let _ = said;
        Err(Error::unsupported(format!(
            "machines of the driver \"{}\" are on the computer that made them",
            self.info().name
        )))
    }

    /// Whom calls for a machine with this config go to, in words for its user: account, region, endpoint.
    fn destination(&self, config: &serde_json::Value, instance: Option<&Instance>) -> Vec<(&'static str, String)> {
        let _ = (config, instance);
        Vec::new()
    }

    /// The endpoint in `config` that requests with the user's credentials would go to, where that is neither the
    /// cloud's own nor one that the user's environment names.
    fn foreign_endpoint(&self, config: &serde_json::Value) -> Option<String> {
        let _ = config;
        None
    }

    /// The least that an account has to permit, as a policy in the account's own form: what the driver's calls need, on
    /// things that carry the tag of one of `owners`. `features` names what it is wanted for; none: all.
    ///
    /// # Errors
    ///
    /// [`crate::Kind::Unsupported`] by drivers without an account; [`crate::Kind::InvalidInput`] for an unknown feature.
    fn policy(&self, owners: &[Owner], features: &[String]) -> Result<serde_json::Value> {
        let _ = (owners, features);
        Err(Error::unsupported(format!("the driver \"{}\" needs no permissions of an account", self.info().name)))
    }
}

/// [`Driver::places`] of a driver whose accounts have no regions.
///
/// # Errors
///
/// [`crate::Kind::Unsupported`] when `regions` names some.
pub fn one_place(driver: &str, config: &serde_json::Value, regions: &[String]) -> Result<Vec<serde_json::Value>> {
    match regions {
        [] => Ok(vec![config.clone()]),
        _ => Err(Error::unsupported(format!("the driver \"{driver}\" knows no regions"))),
    }
}
