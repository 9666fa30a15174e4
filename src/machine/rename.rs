//! `rename`: another name for a machine, here and where the cloud shows it.

use rmachine_provider_api::Kind as ApiKind;

use super::{Core, Regenerate, create::wants_engine, machine_ref};
use crate::{
    error::{Error, Kind, Result},
    store::{check_name, file},
};

impl Core {
    /// Gives machine `old` the name `new`. One rename of its directory decides: whoever is killed leaves a machine
    /// with one of the two names, and a repeat goes on.
    ///
    /// # Errors
    ///
    /// [`Kind::Conflict`] when `new` is taken or `old` is not finished; [`Kind::Provider`] when the cloud refuses the new
    /// name: the machine keeps the old one then.
    pub async fn rename(&self, old: &str, new: &str) -> Result<()> {
        check_name(new)?;
        self.store.load(old)?;
        if old == new {
            return Err(Error::usage(format!("machine \"{old}\" has that name already")));
        }
        // In one order, so that two renames never wait for each other.
        let (first, second) = if old < new { (old, new) } else { (new, old) };
        let (_first, _second) = (self.lock(first).await?, self.lock(second).await?);
        let mut record = self.store.load(old)?;
        self.require_ready(&record)?;
        if self.store.exists(new) {
            return Err(
                Error::new(Kind::Conflict, format!("machine \"{new}\" already exists")).hint("choose another name")
            );
        }
        let notify = self.talk.about(old);
        self.end_tunnel(old).await?;
        if !record.lacks_driver() {
            notify.progress("changing its name where it runs");
            match self.provider(&record).await?.rename(&machine_ref(&record, None), new).await {
                Err(error) if error.kind() == ApiKind::Unsupported => {}
                renamed => renamed.map_err(|e| Error::from(e).context(format!("machine \"{old}\" keeps its name")))?,
            }
        }
        record.renamed = Some(new.to_owned());
        self.save(&record)?;
        self.store.rename(old, new)?;
        record.renamed = None;
        new.clone_into(&mut record.name);
        record.resources.iter_mut().for_each(|resource| resource.machine = Some(new.to_owned()));
        self.save(&record)?;
        // Its host keys stand there under the old name; `ssh-config` writes it anew.
        self.store.remove_file(&self.store.machine_file(new, file::KNOWN_HOSTS))
    }

    /// Has the certificate of machine `name` name it, after [`Core::rename`]; what does not work now can be done later.
    ///
    /// # Errors
    ///
    /// As [`Core::regenerate_certificates`].
    pub async fn follow_name(&self, name: &str) -> Result<()> {
        let record = self.store.load(name)?;
        let managed = self.driver(&record).is_ok_and(|driver| driver.info().capabilities.engine);
        if !managed || !wants_engine(&record) || record.power == crate::store::Power::Stopped {
            return Ok(());
        }
        self.regenerate_certificates(name, Regenerate::default()).await.map(|_| ()).map_err(|e| {
            e.context(format!("the certificate of machine \"{name}\" has its old name still")).hint(format!(
                "clients dial an address, so they work; `rmachine regenerate-certs {name}` changes it later"
            ))
        })
    }
}
