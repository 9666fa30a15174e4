//! `rotate-keys`: other keys for a machine, so that who had the old ones is locked out.
//!
//! One order for all three: the new key beside the old one, both good; the switch; a proof by the new one alone; the end
//! of the old one. Whoever is killed leaves a machine that can be reached, and a repeat goes on.

mod login;

use rmachine_bootstrap as bootstrap;
use rmachine_model::error::{Error, Result};
use rmachine_ssh::Session;
use rmachine_store::{Record, Trust, file};

use super::{
    Core, Regenerated,
    create::wants_engine,
    open::{CONNECT, Machine, Need},
};

/// Whether a key is replaced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Part {
    /// Where rmachine or the machine made it, and not where a user gave it.
    #[default]
    Ours,
    /// In any case.
    Always,
    /// No.
    Never,
}

/// What is done with the other keys that log in as the machine's user.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Others {
    /// They are shown, and removed after a yes; without a terminal they stay.
    #[default]
    Ask,
    /// They stay, and are shown.
    Keep,
    /// They are removed.
    Remove,
}

/// What `rotate-keys` is asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RotateKeys {
    /// The key that rmachine logs in with.
    pub login: Part,
    /// The host's key.
    pub host: Part,
    /// The engine's key, and with it its certificate.
    pub server: Part,
    /// Other lines of authorized_keys.
    pub others: Others,
}

/// What `rotate-keys` did.
#[derive(Debug, Clone, Default)]
pub struct RotatedKeys {
    /// Fingerprint of the new login key.
    pub login: Option<String>,
    /// Fingerprint of the host's new key.
    pub host: Option<String>,
    /// What became of the engine's.
    pub server: Option<Regenerated>,
    /// The keys that do not log in any more, as one reads them.
    pub removed: Vec<String>,
    /// The keys of others that log in still.
    pub kept: Vec<String>,
    /// What was not done, and why.
    pub notes: Vec<String>,
}

impl Core {
    /// Replaces the keys of machine `name`.
    ///
    /// # Errors
    ///
    /// [`rmachine_model::error::Kind::Conflict`] when it is not ready; those of SSH, engine and store: the machine can be reached
    /// as before then, and a repeat goes on.
    pub async fn rotate_keys(&self, name: &str, what: &RotateKeys) -> Result<RotatedKeys> {
        let mut machine = self.open(name, Need::any()).await?;
        if machine.ssh.inherited {
            // Whoever has some of the keys has all of them.
            return self.lock_others_out(&mut machine, what).await;
        }
        self.rotate_keys_of(&mut machine, what, false).await
    }

    /// The same for an opened machine; with `new_ca` the engine lets nobody in whom it let in before.
    async fn rotate_keys_of(&self, machine: &mut Machine<'_>, what: &RotateKeys, new_ca: bool) -> Result<RotatedKeys> {
        self.require_ssh(machine)?;
        self.require_ready(machine)?;
        let notify = machine.notify.clone();
        notify.progress("connecting");
        let session = self.log_in(machine, CONNECT).await?;
        let mut done = RotatedKeys::default();
        // The login key first: who has it would see the others.
        let session = match self.replaces_login_key(machine, what.login, &mut done) {
            true => Box::pin(self.rotate_login_key(machine, session, what.others, &mut done)).await?,
            false => session,
        };
        if self.replaces_host_key(machine, what.host, &mut done)? {
            notify.progress("replacing the host key");
            done.host = Some(self.rotate_host_key(machine, &session).await?);
        }
        if what.server != Part::Never && wants_engine(machine) && self.driver(machine)?.info().capabilities.engine {
            if new_ca && self.wanted_trust(machine) == Trust::Own {
                self.another_ca(machine)?;
                self.end_old_trust(machine)?;
            }
            let authority = self.load_authority(machine, false).await?;
            let renewed = self.renew_if_needed(machine, &session, &authority, true).await?;
            self.await_engine(machine, &authority).await?;
            self.finish_provision(machine, authority).await?;
            done.server = Some(renewed);
        }
        session.close().await;
        if machine.ssh.inherited && new_ca {
            machine.commit(|record| record.ssh.inherited = false)?;
        }
        Ok(done)
    }

    fn replaces_host_key(&self, record: &Record, part: Part, done: &mut RotatedKeys) -> Result<bool> {
        // A host that no cloud made is somebody's, who may have told others of its key.
        let made = self.driver(record)?.info().capabilities.power;
        if part == Part::Ours && !made {
            done.notes.push(format!(
                "its host key stays, as others may know the host by it; `rmachine rotate-keys --host {}` replaces it",
                record.name
            ));
        }
        Ok(part == Part::Always || (part == Part::Ours && made))
    }

    /// Gives the host another key, and answers its fingerprint.
    pub(super) async fn rotate_host_key(&self, machine: &mut Machine<'_>, session: &Session) -> Result<String> {
        let facts = bootstrap::probe(session).await?;
        let new = self.replace_host_key(machine, session, &facts, "the host, over a session with its old key").await?;
        self.prove_host_key(machine, &new).await?;
        let fingerprint = rmachine_ssh::fingerprint(&new)?;
        self.settle_on(machine, new)?;
        Ok(fingerprint)
    }

    /// The same before a session that the user has opened for something else. What fails is said only.
    pub(super) async fn replace_inherited_by_the_way(&self, name: &str) {
        let notify = self.talk.about(name);
        // Another command that works on it does this as well.
        let replaced = async {
            match self.open_if_free(name)? {
                Some(mut machine) if machine.ssh.inherited => {
                    let keep = RotateKeys { others: Others::Keep, ..RotateKeys::default() };
                    self.lock_others_out(&mut machine, &keep).await
                }
                _ => Ok(RotatedKeys::default()),
            }
        };
        let replaced: Result<RotatedKeys> = Box::pin(replaced).await;
        match replaced {
            Ok(done) => done.lines().iter().for_each(|line| notify.warn(line)),
            Err(error) => {
                let cause = error.causes().pop().map(|cause| format!(" ({cause})")).unwrap_or_default();
                notify.warn(&format!("{error}{cause}; `rmachine rotate-keys {name}` replaces them"));
            }
        }
    }

    /// After `adopt`, which has let a new login key in and issued certificates: the other keys that it found end.
    pub(super) async fn end_old_keys(&self, machine: &mut Machine<'_>, earlier: Option<&str>) -> Result<RotatedKeys> {
        let session = self.connect(machine, &self.target(machine)?, CONNECT).await?;
        let mut done = RotatedKeys::default();
        let public = self.store.machine_file(&machine.name, file::LOGIN_KEY_PUBLIC);
        let public = self.store.read_text(&public)?.unwrap_or_default();
        self.take_keys_out(machine, &session, &public, earlier, Others::Ask, &mut done).await?;
        done.host = Some(self.rotate_host_key(machine, &session).await?);
        session.close().await;
        machine.commit(|record| record.ssh.inherited = false)?;
        Ok(done)
    }

    /// The keys of a machine that another store had before: all are replaced. What does not work now is an error that
    /// names the command which does it later.
    pub(super) async fn lock_others_out(&self, machine: &mut Machine<'_>, asked: &RotateKeys) -> Result<RotatedKeys> {
        let host = if asked.host == Part::Always { Part::Always } else { Part::Ours };
        let what = RotateKeys { login: Part::Always, host, server: Part::Ours, others: asked.others };
        let name = machine.name.clone();
        self.rotate_keys_of(machine, &what, true).await.map_err(|e| {
            let error =
                Error::new(e.kind(), format!("the store that machine \"{name}\" comes from has its keys still"));
            let hints = e.hints().to_vec();
            hints
                .into_iter()
                .fold(error.source(e), Error::hint)
                .hint(format!("`rmachine rotate-keys {name}` replaces them"))
        })
    }
}

impl RotatedKeys {
    /// What is worth a line each.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        lines.extend(self.login.iter().map(|key| format!("it has the login key {key} now")));
        lines.extend(self.removed.iter().map(|key| format!("the key {key} does not log in any more")));
        lines.extend(self.kept.iter().map(|key| format!("the key {key} logs in still")));
        lines.extend(self.host.iter().map(|key| format!("its host shows the key {key} now")));
        lines.extend(self.server.iter().map(|renewed| {
            match renewed {
                Regenerated::NothingToDo => "its engine has the certificate that it had",
                Regenerated::ContainersKept => "its engine has a new key and certificate; its containers kept running",
                Regenerated::EngineRestarted => "its engine has a new key and certificate, and was restarted",
            }
            .to_owned()
        }));
        lines.extend(self.notes.iter().cloned());
        lines
    }
}
