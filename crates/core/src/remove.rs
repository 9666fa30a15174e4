//! `rm`: ends with nothing, or says what is left and stays repeatable.

use rmachine_model::error::{Error, Kind, Result};
use rmachine_provider_api::Cx;
use rmachine_store::{Phase, Record, audit::Event};

use super::{Core, MachineEvent, audit::instance_of, machine_ref, open::Machine, voice};

/// How hard to try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemoveMode {
    /// The record goes when everything else is gone.
    Normal,
    /// The record goes also when the provider cannot be asked; what may be left is said.
    Force,
}

impl Core {
    /// Deletes machine `name`: instance, disks, firewall group, then the record.
    ///
    /// # Errors
    ///
    /// [`Kind::NoSuchMachine`], [`Kind::Provider`] when something is left: repeat it.
    pub async fn remove(&self, name: &str, mode: RemoveMode) -> Result<()> {
        if !self.store.exists(name) {
            return Err(self
                .store
                .load(name)
                .err()
                .unwrap_or_else(|| Error::new(Kind::NoSuchMachine, format!("machine \"{name}\" does not exist"))));
        }
        let lock = self.lock(name).await?;
        let record = match self.store.load(name) {
            Ok(record) => record,
            Err(error) if mode == RemoveMode::Force => {
                return self.forget_unreadable(name, error).await;
            }
            Err(error) if error.kind() == Kind::NoSuchMachine => return Ok(()),
            Err(error) => {
                return Err(error);
            }
        };
        let mut machine = self.hold(record, lock);
        if machine.protected {
            return Err(Error::new(Kind::Conflict, format!("machine \"{name}\" is protected against removal"))
                .hint(format!("`rmachine protect --off {name}` ends that")));
        }
        machine.notify.progress("removing");
        if let Err(error) = self.end_tunnel(name).await {
            machine.notify.warn(&format!("{error}; removing all the same"));
        }
        let notify = machine.notify.clone();
        match self.destroy(&mut machine, &self.cx(voice(&notify))).await {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == Kind::Interrupted => Err(error),
            Err(error) if mode == RemoveMode::Force => self.forget_with_remains(&machine, error),
            Err(error) => Err(error
                .context(format!("machine \"{name}\" is not removed completely"))
                .hint(format!("repeat `rmachine rm -y {name}`; the record stays until nothing is left"))),
        }
    }

    /// Deletes everything and then the record.
    pub(super) async fn destroy(&self, machine: &mut Machine<'_>, cx: &Cx<'_>) -> Result<()> {
        // What costs money goes, also where the disk is full.
        self.audit_or_warn(&machine.name, &[Event::RemovalBegun { instance: instance_of(machine) }]);
        // Nothing was asked for, or it was refused: the provider has nothing to be asked.
        if machine.phase.may_hold_resources() && !machine.made_nothing() {
            self.driver(machine)?;
            if machine.phase != Phase::Removing {
                match machine.enter(Phase::Removing) {
                    // A full disk must not keep what costs money, and removing makes room.
                    Err(error) if error.kind() == Kind::Store => {
                        machine.notify.warn(&format!("{error}; removing all the same"));
                    }
                    entered => entered?,
                }
            }
            let provider = self.provider(machine).await?;
            let unanswered = self.unanswered_in(machine, &self.store.machine_directory(&machine.name))?;
            provider.destroy(&machine_ref(machine, unanswered.as_ref()), cx).await?;
        } else {
            self.sweep(machine);
        }
        self.store.remove(&machine.name)?;
        self.audit_or_warn(&machine.name, &[Event::Removed]);
        machine.tell(&MachineEvent::Removed);
        Ok(())
    }

    /// Removes what a killed preflight has left on this computer.
    pub(super) fn sweep(&self, machine: &Machine<'_>) {
        if let Ok(driver) = self.driver(machine)
            && let Err(error) = driver.sweep(&machine.config)
        {
            machine.notify.warn(&error.to_string());
        }
    }

    /// Deletes what carries the tags of a machine whose record does not read, wherever machines of this store were made.
    async fn forget_unreadable(&self, name: &str, error: Error) -> Result<()> {
        self.talk.about(name).warn("its record does not read; looking for what carries its tags");
        match self.destroy_by_name(name).await {
            // Its directory stays for whoever wants to look: what it made may carry the name of nobody.
            Ok(0) => {
                self.keep_remains(name)?;
                Err(error
                    .without_hints()
                    .context(format!("machine \"{name}\" is forgotten, and nothing was found that carries its tags"))
                    .hint(format!("its files are kept in {}", self.store.tombstones().display())))
            }
            Ok(_) => self.store.remove(name),
            Err(why) => {
                self.keep_remains(name)?;
                Err(why
                    .context(format!("machine \"{name}\" is forgotten, but what it made may still be there"))
                    .hint(format!("its files are kept in {}", self.store.tombstones().display()))
                    .hint("`rmachine gc` finds what is left"))
            }
        }
    }

    fn forget_with_remains(&self, machine: &Machine<'_>, error: Error) -> Result<()> {
        let (record, name): (&Record, _) = (machine, &machine.name);
        self.keep_remains(name)?;
        machine.tell(&MachineEvent::Removed);
        let (error, forgotten) = match record.lacks_driver() {
            true => (error.without_hints(), format!("its files are kept in {}", self.store.tombstones().display())),
            false if record.imported => (error, "`rmachine gc` finishes the removal".to_owned()),
            false => {
                let token = &record.token;
                (error, format!("it carries the tag rmachine:token={token}; `rmachine gc` finishes the removal"))
            }
        };
        Err(error
            .context(format!("machine \"{name}\" is forgotten, but what it made may still be there"))
            .hint(forgotten))
    }

    /// Moves the machine's directory aside, so that what is left can still be found and removed.
    fn keep_remains(&self, name: &str) -> Result<()> {
        self.audit_or_warn(name, &[Event::Forgotten]);
        self.store.entomb(name)
    }
}
