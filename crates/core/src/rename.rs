//! `rename`: another name for a machine, here and where the cloud shows it.

use rmachine_model::error::{Error, Kind, Result};
use rmachine_provider_api::Kind as ApiKind;
use rmachine_store::{audit::Event, check_name, file};

use super::{Core, Regenerate, create::wants_engine, machine_ref, open::Machine, voice};

impl Core {
    /// Gives machine `old` the name `new`. One rename of its directory decides: whoever is killed leaves a machine
    /// with one of the two names, and a repeat goes on, before that and after it.
    ///
    /// # Errors
    ///
    /// [`Kind::Conflict`] when `new` is taken or `old` is not finished; [`Kind::Provider`] when the cloud refuses the new
    /// name: the machine keeps the old one then. [`Kind::Store`] says how far it is.
    pub async fn rename(&self, old: &str, new: &str) -> Result<()> {
        check_name(new)?;
        match self.store.load(old) {
            Err(missing) if missing.kind() == Kind::NoSuchMachine => {
                return self.finish_rename(old, new, missing).await;
            }
            found => found.map(drop)?,
        }
        if old == new {
            return Err(Error::usage(format!("machine \"{old}\" has that name already")));
        }
        // In one order, so that two renames never wait for each other.
        let (first, second) = if old < new { (old, new) } else { (new, old) };
        let (first, second) = (self.lock(first).await?, self.lock(second).await?);
        let (of_old, _of_new) = if old < new { (first, second) } else { (second, first) };
        let record = self.store.load(old)?;
        self.require_ready(&record)?;
        let mut machine = self.hold(record, of_old);
        self.store.require_free(new)?;
        let notify = self.talk.about(old);
        self.end_tunnel(old).await?;
        let keeps = |error: Error| error.context(format!("machine \"{old}\" keeps its name"));
        self.audit(new, &[Event::Renamed { from: old.to_owned() }]).map_err(keeps)?;
        // First, so that a disk that takes no more is found before the cloud shows another name. Nobody heeds it until
        // the directory has that name.
        machine.commit(|record| record.renamed = Some(new.to_owned())).map_err(keeps)?;
        let mut shown = false;
        if !machine.lacks_driver() {
            notify.progress("changing its name where it runs");
            match self
                .provider(&machine)
                .await?
                .rename(&machine_ref(&machine, None), new, &self.cx(voice(&machine.notify)))
                .await
            {
                Err(error) if error.kind() == ApiKind::Unsupported => {}
                renamed => shown = renamed.map(|()| true).map_err(|e| keeps(Error::from(e)))?,
            }
        }
        self.store.rename(old, new).map_err(|error| match shown {
            // Its hints say that nothing was changed.
            true => {
                let what = format!("machine \"{old}\" keeps its name, and is shown as \"{new}\" where it runs");
                let again = format!("when that can be done, `rmachine rename {old} {new}` again finishes it");
                Error::new(Kind::Store, what).source(error).hint(again)
            }
            false => keeps(error),
        })?;
        self.take_name(machine, old, new)
    }

    /// A rename again whose directory has its new name already; `missing`: the error that there is no machine `old`.
    async fn finish_rename(&self, old: &str, new: &str, missing: Error) -> Result<()> {
        if old == new || !self.store.exists(new) {
            return Err(missing);
        }
        let lock = self.lock(new).await?;
        if self.store.is_half_renamed(old, new) {
            return self.take_name(self.hold(self.store.load(new)?, lock), old, new);
        }
        Err(missing.hint(format!(
            "machine \"{new}\" is there: if it was \"{old}\", it is renamed, and `rmachine regenerate-certs {new}` gives its \
             certificate the name"
        )))
    }

    /// Writes down that the machine whose directory is that of `new` has this name.
    fn take_name(&self, mut machine: Machine<'_>, old: &str, new: &str) -> Result<()> {
        machine.renamed = None;
        new.clone_into(&mut machine.name);
        machine.resources.iter_mut().for_each(|resource| resource.machine = Some(new.to_owned()));
        // Its host keys stand there under the old name; `ssh-config` writes it anew.
        let forgotten = self.store.remove_file(&self.store.machine_file(new, file::KNOWN_HOSTS));
        forgotten.and_then(|()| machine.save()).map_err(|error| {
            let what = format!("machine \"{old}\" is called \"{new}\" now, though not in all of its files");
            let again = format!("when that can be done, `rmachine rename {old} {new}` again finishes it");
            Error::new(Kind::Store, what).source(error).hint(again)
        })
    }

    /// Has the certificate of machine `name` name it, after [`Core::rename`]; what does not work now can be done later.
    ///
    /// # Errors
    ///
    /// As [`Core::regenerate_certificates`].
    pub async fn follow_name(&self, name: &str) -> Result<()> {
        let record = self.store.load(name)?;
        let managed = self.driver(&record).is_ok_and(|driver| driver.info().capabilities.engine);
        if !managed || !wants_engine(&record) || record.power == rmachine_store::Power::Stopped {
            return Ok(());
        }
        self.regenerate_certificates(name, Regenerate::default()).await.map(|_| ()).map_err(|e| {
            e.context(format!("the certificate of machine \"{name}\" has its old name still")).hint(format!(
                "clients dial an address, so they work; `rmachine regenerate-certs {name}` changes it later"
            ))
        })
    }
}
