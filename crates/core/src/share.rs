//! `share`: somebody else's access to one machine's engine, until it ends.
//!
//! Each share has a CA of its own, whose key is gone; this machine's engine alone trusts it. Go's TLS asks for no
//! revocation list, so the end of a share is that its CA goes from the engine's trust.

use rmachine_certs::{self as certs, Recipient};
use rmachine_model::error::{Error, Kind, Result};
use rmachine_store::{
    Power, Record, Trust,
    audit::{Event, Role},
    file, random_id,
};
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};

use super::{
    Core,
    access::require_running,
    audit,
    authority::Authority,
    create::wants_engine,
    open::{CONNECT, Machine, Need},
    trust::Own,
};

/// Shortest and longest life of a share.
const LIVES: [Duration; 2] = [Duration::seconds(30), Duration::days(365)];

/// Access to one machine that was given away.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Share {
    /// Its id, for `unshare`.
    pub id: String,
    /// SHA-256 of the recipient's public key.
    pub key: String,
    /// When it ends by itself.
    #[serde(with = "time::serde::rfc3339")]
    pub until: OffsetDateTime,
    /// The CA that the engine trusts for it; PEM.
    pub ca: String,
    /// Whether it is being ended: it is trusted no more, also when that was interrupted.
    #[serde(default)]
    pub ending: bool,
    /// Whether the command that makes it has not ended: nobody may have its certificate.
    #[serde(default)]
    pub unfinished: bool,
    /// SHA-256 of the newest CA in the `ca.pem` that its recipient got; empty where that was not written down.
    #[serde(default)]
    pub authority: String,
}

/// How a share stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ShareState {
    /// The engine lets its recipient in.
    Open,
    /// As open, but the command that made it did not end.
    Unfinished,
    /// It is being ended, and the engine may let its recipient in still.
    Ending,
    /// Its time is over.
    Over,
}

impl ShareState {
    /// The word as printed.
    pub fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Unfinished => "unfinished",
            Self::Ending => "ending",
            Self::Over => "over",
        }
    }
}

impl Share {
    /// How it stands at `now`.
    pub fn state(&self, now: OffsetDateTime) -> ShareState {
        match (self.until > now, self.ending, self.unfinished) {
            (false, ..) => ShareState::Over,
            (true, true, _) => ShareState::Ending,
            (true, false, true) => ShareState::Unfinished,
            (true, false, false) => ShareState::Open,
        }
    }

    /// Whole seconds until it ends by itself; 0 when it is over.
    pub fn seconds_left(&self, now: OffsetDateTime) -> i64 {
        (self.until - now).whole_seconds().max(0)
    }
}

/// What the recipient gets.
#[derive(Debug, Clone)]
pub struct Given {
    /// The share.
    pub share: Share,
    /// The client's certificate, PEM.
    pub cert_pem: String,
    /// What the engine's certificate is verified by, PEM.
    pub ca_pem: String,
    /// The engine's URL.
    pub url: String,
}

impl Core {
    /// Shares the engine of machine `name` with the key of `to`, for `life`. `hand_over` writes what the recipient gets;
    /// the engine lets them in by then.
    ///
    /// # Errors
    ///
    /// [`Kind::Usage`] for a life out of range, [`Kind::Conflict`] when the machine cannot be shared, [`Kind::Ssh`],
    /// [`Kind::Engine`]; nobody has access then. The error of `hand_over`, with the command that ends the share.
    pub async fn share(
        &self,
        name: &str,
        to: &Recipient,
        life: Duration,
        hand_over: impl FnOnce(&Given) -> Result<()>,
    ) -> Result<Given> {
        if life < LIVES[0] || life > LIVES[1] {
            return Err(Error::usage("a share lives for 30 seconds at least and 365 days at most")
                .hint("give another time with --ttl, such as 8h"));
        }
        let mut machine = self.open_shareable(name).await?;
        require_running(&machine)?;
        let authority = self.load_authority(&mut machine, false).await?;
        let id = random_id()[..8].to_owned();
        let shared = certs::share(to, &id, OffsetDateTime::now_utc(), life)?;
        let share = Share {
            id: id.clone(),
            key: to.fingerprint().to_owned(),
            until: shared.until,
            ca: shared.ca_pem,
            ending: false,
            unfinished: true,
            authority: certs::fingerprint(&authority.ca.cert_pem)?,
        };
        let given_away = Event::Shared { share: id.clone(), key: share.key.clone(), until: share.until };
        self.audit(name, &[audit::certificate(Role::Share, &shared.cert_pem)?, given_away])?;
        let before = self.shares(name)?;
        let mut with = before.clone();
        // A repeat takes the place of what was killed: nobody has the certificate of that.
        for killed in with.iter_mut().filter(|known| known.unfinished && known.key == share.key) {
            killed.ending = true;
        }
        with.push(share.clone());
        self.save_shares(name, &with)?;
        if let Err(error) = self.apply_shares(&mut machine, &authority, false).await {
            // The certificate was given to nobody; the next change of the certificates takes its CA off the host.
            self.save_shares(name, &before)?;
            return Err(error.context(format!("machine \"{name}\" is not shared")));
        }
        let share = Share { unfinished: false, ..share };
        let ca_pem = authority.ca.cert_pem.clone();
        let url = machine.url().unwrap_or_default();
        let given = Given { share: share.clone(), cert_pem: shared.cert_pem, ca_pem, url };
        let finish = |()| {
            with.retain(|known| known.id != id);
            with.push(share);
            self.save_shares(name, &living(with))
        };
        hand_over(&given).and_then(finish).map_err(|e| {
            e.context(format!("machine \"{name}\" is shared, but the files of share {id} cannot be written"))
                .hint(format!("`rmachine unshare {name} {id}` ends that share"))
        })?;
        Ok(given)
    }

    /// Ends shares of machine `name`: those with `ids`, or all.
    ///
    /// # Errors
    ///
    /// [`Kind::Usage`] for an unknown id, [`Kind::Conflict`] when the machine is stopped: they end when it starts;
    /// [`Kind::Ssh`], [`Kind::Engine`]: a repeat ends them.
    pub async fn unshare(&self, name: &str, ids: Option<&[String]>) -> Result<Vec<Share>> {
        let mut machine = self.open_shareable(name).await?;
        let mut shares = self.shares(name)?;
        if let Some(unknown) = ids.into_iter().flatten().find(|id| !shares.iter().any(|share| share.id == **id)) {
            let known: Vec<&str> = shares.iter().map(|share| share.id.as_str()).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(
                Error::usage(format!("machine \"{name}\" has no share {unknown}")).hint(format!("it has {known}"))
            );
        }
        let mut events = Vec::new();
        for share in &mut shares {
            let ends = ids.is_none_or(|ids| ids.contains(&share.id));
            if ends && !share.ending {
                events.push(Event::ShareEnded { share: share.id.clone() });
            }
            share.ending |= ends;
        }
        self.audit(name, &events)?;
        self.save_shares(name, &shares)?;
        if machine.power == Power::Stopped {
            if shares.is_empty() {
                return Ok(shares);
            }
            return Err(Error::new(
                Kind::Conflict,
                format!("machine \"{name}\" is stopped, and its host has the shares still"),
            )
            .hint(format!(
                "`rmachine start {name}` starts it and ends them; started otherwise, its engine lets them in"
            )));
        }
        let authority = self.load_authority(&mut machine, false).await?;
        self.apply_shares(&mut machine, &authority, true).await.map_err(|e| {
            e.context(format!("the shares of machine \"{name}\" are not ended yet"))
                .hint("repeat it: until it has reached the host, the engine lets them in")
        })?;
        self.save_shares(name, &living(shares.clone()))?;
        shares.retain(|share| share.ending);
        Ok(shares)
    }

    /// The shares of machine `name`, ended ones too until its certificates are changed the next time.
    ///
    /// # Errors
    ///
    /// [`Kind::Store`] when they do not read.
    pub fn shares(&self, name: &str) -> Result<Vec<Share>> {
        let path = self.store.machine_file(name, file::SHARES);
        let Some(bytes) = self.store.read_bytes(&path)? else { return Ok(Vec::new()) };
        serde_json::from_slice(&bytes).map_err(|e| {
            Error::new(Kind::Store, format!("{} is damaged", path.display()))
                .source(e)
                .hint(format!("remove it; `rmachine regenerate-certs {name}` ends all shares then"))
        })
    }

    /// Whether shares are over or ended that the engine of machine `name` may know still.
    pub(super) fn has_ended_shares(&self, name: &str) -> Result<bool> {
        let shares = self.shares(name)?;
        Ok(living(shares.clone()).len() != shares.len())
    }

    /// Whether somebody else may have access to machine `name` now.
    pub(super) fn is_shared(&self, name: &str) -> Result<bool> {
        Ok(!living(self.shares(name)?).is_empty())
    }

    /// Forgets the shares that are over or ended, which the host has forgotten as well.
    pub(super) fn forget_ended_shares(&self, name: &str) -> Result<()> {
        let shares = self.shares(name)?;
        let living = living(shares.clone());
        if living.len() == shares.len() { Ok(()) } else { self.save_shares(name, &living) }
    }

    /// The shares of machine `name` whose recipients have a `ca.pem` without the newest CA of `ca_pem`.
    pub(super) fn shares_behind(&self, name: &str, ca_pem: &str) -> Result<Vec<String>> {
        let (now, newest) = (OffsetDateTime::now_utc(), certs::fingerprint(ca_pem)?);
        let behind = self.shares(name)?.into_iter().filter(|share| share.until > now && share.authority != newest);
        Ok(behind.map(|share| share.id).collect())
    }

    /// The `ca.pem` that recipients of machine `name`'s shares verify its engine by: it changes with the CA.
    ///
    /// # Errors
    ///
    /// [`Kind::NoSuchMachine`], [`Kind::Store`].
    pub fn ca_of_shares(&self, name: &str) -> Result<String> {
        let record = self.store.load(name)?;
        if record.trust == Trust::Own
            && let Some(own) = Own::read(&self.store, &record, OffsetDateTime::now_utc())?
        {
            return Ok(own.bundle());
        }
        let path = self.store.authority_file(file::CA_CERT);
        self.store.read_text(&path)?.ok_or_else(|| {
            Error::new(Kind::Store, format!("{} is missing", path.display()))
                .hint(format!("`rmachine regenerate-certs {name}` restores it from a machine's copy"))
        })
    }

    /// Whether `cert_pem` is of a share of machine `name` whose command did not end, so that nobody misses it.
    ///
    /// # Errors
    ///
    /// [`Kind::Store`] when the shares do not read.
    pub fn is_unfinished_share(&self, name: &str, cert_pem: &str) -> Result<bool> {
        let shares = self.shares(name)?;
        let of_it = |share: &Share| certs::signed_by(cert_pem, &share.ca).unwrap_or(false);
        Ok(shares.iter().any(|share| share.unfinished && of_it(share)))
    }

    fn save_shares(&self, name: &str, shares: &[Share]) -> Result<()> {
        let text = serde_json::to_vec_pretty(shares)
            .map_err(|e| Error::new(Kind::Store, "the shares cannot be written as JSON").source(e))?;
        self.store.write(&self.store.machine_file(name, file::SHARES), &text)
    }

    /// Whose clients the engine of `record` lets in: those of its CA, of the one before while that is being replaced, and of
    /// the shares that live; PEM.
    pub(super) fn engine_trust(&self, record: &Record, authority: &Authority) -> Result<String> {
        let now = OffsetDateTime::now_utc();
        let mut bundle = authority.ca.cert_pem.trim_end().to_owned();
        if !authority.admitted.is_empty() {
            bundle.push('\n');
            bundle.push_str(authority.admitted.trim_end());
        }
        for share in self.shares(&record.name)?.iter().filter(|share| share.until > now && !share.ending) {
            bundle.push('\n');
            bundle.push_str(share.ca.trim_end());
        }
        Ok(bundle)
    }

    async fn open_shareable(&self, name: &str) -> Result<Machine<'_>> {
        let mut machine = self.open(name, Need::managed("share")).await?;
        // It may have been started elsewhere since it was stopped here.
        self.look(&mut machine).await?;
        if !wants_engine(&machine) {
            return Err(Error::new(Kind::Conflict, format!("machine \"{name}\" was made without an engine")));
        }
        if machine.tunnel_port.is_some() {
            return Err(Error::new(
                Kind::Conflict,
                format!("the engine of machine \"{name}\" is reached through SSH only"),
            )
            .hint("let the other one's SSH key in on the host instead"));
        }
        Ok(machine)
    }

    /// Brings the host's trust to what the shares say, and waits until the engine answers. With `new_key` the engine gets
    /// another key: who was root there may have read the old one.
    async fn apply_shares(&self, machine: &mut Machine<'_>, authority: &Authority, new_key: bool) -> Result<()> {
        let notify = machine.notify.clone();
        notify.progress("connecting");
        let session = self.log_in_there(machine, CONNECT).await?;
        let renewed = self.renew_if_needed(machine, &session, authority, new_key).await;
        session.close().await;
        renewed?;
        notify.progress("checking the engine over TLS");
        self.await_engine(machine, authority).await?;
        self.follow_engine(machine, authority.clone()).await?;
        machine.save()
    }
}

/// Those that are neither over nor ended.
fn living(mut shares: Vec<Share>) -> Vec<Share> {
    let now = OffsetDateTime::now_utc();
    shares.retain(|share| share.until > now && !share.ending);
    shares
}
