//! The login key, and who else logs in as the machine's user.

use std::path::PathBuf;

use rmachine_bootstrap::{self as bootstrap, AuthorizedLine};
use rmachine_model::error::Result;
use rmachine_ssh::{self as ssh, KeyPair, Session, Target, authorized_key, same_key};
use rmachine_store::{
    Record,
    audit::{Event, Key},
    file,
};

use super::{CONNECT, Others, Part, RotatedKeys};
use crate::{Core, audit, blocking, open::Machine};

/// How the comments of login keys begin that rmachine makes; the name of the machine follows.
const COMMENT: &str = "rmachine ";

/// A line of authorized_keys with a key that reads.
struct Allowed {
    line: AuthorizedLine,
    fingerprint: String,
    comment: String,
}

impl Allowed {
    fn of(line: &AuthorizedLine) -> Option<Self> {
        let key = authorized_key(&line.text)?;
        let comment = key.split_whitespace().skip(2).collect::<Vec<_>>().join(" ");
        Some(Self { line: line.clone(), fingerprint: ssh::fingerprint(key).ok()?, comment })
    }

    /// For people: nothing in it does anything to a terminal.
    fn shown(&self) -> String {
        match self.comment.is_empty() {
            true => self.fingerprint.clone(),
            false => format!("{} ({})", self.fingerprint, self.comment.escape_debug()),
        }
    }

    fn removed(&self) -> Event {
        Event::LoginKeyRemoved { fingerprint: self.fingerprint.clone(), comment: self.comment.clone() }
    }
}

impl Core {
    pub(super) fn replaces_login_key(&self, record: &Record, part: Part, done: &mut RotatedKeys) -> bool {
        let own = self.is_own_key(record);
        if part == Part::Ours && !own {
            done.notes.push(format!(
                "its login key is none that rmachine made, and stays; `rmachine rotate-keys --login {}` gives the machine one of its own",
                record.name
            ));
        }
        part == Part::Always || (part == Part::Ours && own)
    }

    /// Whether rmachine made the login key: its public half says so. That of another one may have come from a user or from
    /// docker-machine.
    fn is_own_key(&self, record: &Record) -> bool {
        let key = &record.ssh.key_file;
        let public = self.store.machine_file(&record.name, &format!("{key}.pub"));
        let public = self.store.read_text(&public).ok().flatten().unwrap_or_default();
        !key.is_empty() && public.split_once(COMMENT).is_some_and(|(before, _)| before.split_whitespace().count() == 2)
    }

    /// Lets a new login key in, proves it, and takes the old one out; answers a session that was opened with the new one.
    pub(super) async fn rotate_login_key(
        &self,
        machine: &mut Machine<'_>,
        session: Session,
        others: Others,
        done: &mut RotatedKeys,
    ) -> Result<Session> {
        let name = machine.name.clone();
        let notify = self.talk.about(&name);
        let path = |file: &str| self.store.machine_file(&name, file);
        let next = self.next_login_key(&name)?;
        let public = ssh::public_half(&next)?;
        let fingerprint = ssh::fingerprint(&public)?;
        notify.progress("letting the new login key in");
        self.audit(&name, &[Event::LoginKeyAllowed { fingerprint: fingerprint.clone() }])?;
        bootstrap::authorize_key(&session, &public).await?;
        let with_new = Target { keys: vec![next.clone()], offer_agent: false, ..self.target(machine)? };
        let fresh = self.connect(machine, &with_new, CONNECT).await?;
        session.close().await;
        // From here on the old one is not needed.
        self.take_the_place(machine, &public)?;
        self.take_keys_out(machine, &fresh, &public, None, others, done).await?;
        let old = path(file::OLD_LOGIN_KEY);
        if self.store.read_text(&old)?.is_some() {
            notify.progress("trying the old login key");
            let with_old = Target { keys: vec![old.clone()], offer_agent: false, ..self.target(machine)? };
            match Session::connect(&with_old, CONNECT).await {
                Err(ssh::Error::AuthRefused { .. }) => {}
                Ok(session) => {
                    session.close().await;
                    done.notes.push(
                        "its old login key logs in still: it stands in another file than ~/.ssh/authorized_keys"
                            .to_owned(),
                    );
                }
                Err(error) => tracing::debug!(machine = name, "the old key was not tried: {error}"),
            }
        }
        self.store.remove_file(&old)?;
        self.store.remove_file(&next)?;
        done.login = Some(fingerprint);
        Ok(fresh)
    }

    /// The new login key: one that an earlier command had let in already, or one that is made.
    fn next_login_key(&self, name: &str) -> Result<PathBuf> {
        let next = self.store.machine_file(name, file::NEXT_LOGIN_KEY);
        if self.store.read_text(&next)?.is_none() {
            let pair = KeyPair::generate_ed25519(&format!("{COMMENT}{name}"))?;
            self.audit(name, &[audit::key_made(Key::Login, &pair.public_openssh())?])?;
            self.store.write(&next, pair.private_openssh().as_bytes())?;
        }
        Ok(next)
    }

    /// Has the record log in with the new key. What was the machine's own is kept, to be taken out and tried once more.
    fn take_the_place(&self, machine: &mut Machine<'_>, public: &str) -> Result<()> {
        let name = machine.name.clone();
        let path = |file: &str| self.store.machine_file(&name, file);
        let own = self.is_own_key(machine);
        let file = if own { machine.ssh.key_file.clone() } else { file::LOGIN_KEY.to_owned() };
        let before = if own { self.store.read_text(&path(&file))? } else { None };
        if let Some(private) = before
            && ssh::public_half(&path(&file)).is_ok_and(|replaced| !same_key(&replaced, public))
        {
            self.store.write(&path(file::OLD_LOGIN_KEY), private.as_bytes())?;
        }
        // One that rmachine did not make may be the only copy, as in docker-machine's store that is used in place.
        if !own
            && let Some(private) = self.store.read_text(&path(&file))?
            && self.store.read_text(&path(file::GIVEN_LOGIN_KEY))?.is_none()
        {
            self.store.write(&path(file::GIVEN_LOGIN_KEY), private.as_bytes())?;
        }
        let new = self.store.read_text(&path(file::NEXT_LOGIN_KEY))?.unwrap_or_default();
        self.store.write(&path(&file), new.as_bytes())?;
        self.store.write(&path(&format!("{file}.pub")), format!("{}\n", public.trim()).as_bytes())?;
        if machine.ssh.key_file != file {
            machine.ssh.key_file = file;
            machine.save()?;
        }
        Ok(())
    }

    /// Takes out of authorized_keys what rmachine has put there for this machine before, and the keys of others as
    /// `others` says. The key `public`, which the session was opened with, stays. `earlier` is another name that it had.
    pub(crate) async fn take_keys_out(
        &self,
        record: &Record,
        session: &Session,
        public: &str,
        earlier: Option<&str>,
        others: Others,
        done: &mut RotatedKeys,
    ) -> Result<()> {
        let name = &record.name;
        let lines = bootstrap::authorized_keys(session).await?;
        let replaced = ssh::public_half(&self.store.machine_file(name, file::OLD_LOGIN_KEY)).ok();
        let is_new = |line: &AuthorizedLine| authorized_key(&line.text).is_some_and(|key| same_key(key, public));
        // On a host that a cloud made for it, those of its name were made for it, by whatever store. Elsewhere another one
        // may have a machine of the same name.
        let made = self.driver(record)?.info().capabilities.power;
        let ours = [Some(name.as_str()), earlier].map(|name| format!("{COMMENT}{}", name.unwrap_or(&record.name)));
        let Some(keep) = lines.iter().find(|line| is_new(line)) else {
            done.notes.push(
                "the keys that log in do not stand in ~/.ssh/authorized_keys, so they stay: take them out where they are"
                    .to_owned(),
            );
            return Ok(());
        };
        let (mut remove, mut foreign) = (Vec::new(), Vec::new());
        for allowed in lines.iter().filter(|line| !is_new(line)).filter_map(Allowed::of) {
            let key = authorized_key(&allowed.line.text).unwrap_or_default();
            let was_ours =
                made && ours.contains(&allowed.comment) || replaced.as_ref().is_some_and(|old| same_key(old, key));
            if was_ours { remove.push(allowed) } else { foreign.push(allowed) }
        }
        if self.may_remove(name, &record.ssh.user, &foreign, others).await? {
            remove.append(&mut foreign);
        }
        if !foreign.is_empty() && others != Others::Keep {
            done.notes.push(format!("`rmachine rotate-keys --remove-others {name}` takes them out"));
        }
        done.kept.extend(foreign.iter().map(Allowed::shown));
        if remove.is_empty() {
            return Ok(());
        }
        self.audit(name, &remove.iter().map(Allowed::removed).collect::<Vec<_>>())?;
        let lines: Vec<AuthorizedLine> = remove.iter().map(|allowed| allowed.line.clone()).collect();
        bootstrap::remove_authorized_keys(session, keep, &lines).await?;
        done.removed.extend(remove.iter().map(Allowed::shown));
        Ok(())
    }

    async fn may_remove(&self, name: &str, user: &str, foreign: &[Allowed], others: Others) -> Result<bool> {
        match others {
            Others::Remove => return Ok(true),
            Others::Keep => return Ok(false),
            Others::Ask if foreign.is_empty() => return Ok(false),
            Others::Ask => {}
        }
        let keys: Vec<String> = foreign.iter().map(Allowed::shown).collect();
        let question = format!(
            "other keys log in to machine \"{name}\" as {user}: {}; remove {}?",
            keys.join(", "),
            if keys.len() == 1 { "it" } else { "them" }
        );
        // One question at a time, while other machines are worked on.
        let _turn = self.asking.lock().await;
        let talk = self.talk.clone();
        Ok(blocking(move || Ok(talk.confirm(&question))).await? == Some(true))
    }
}
