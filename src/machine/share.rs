//! `share`: somebody else's access to one machine's engine, until it ends.
//!
//! Each share has a CA of its own, whose key is gone; this machine's engine alone trusts it. Go's TLS asks for no
//! revocation list, so the end of a share is that its CA goes from the engine's trust.

use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};

use super::{Core, authority::Authority, create::wants_engine, voice};
use crate::{
    certs::{self, Recipient},
    error::{Error, Kind, Result},
    store::{Record, file, random_id},
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
    /// Shares the engine of machine `name` with the key of `to`, for `life`.
    ///
    /// # Errors
    ///
    /// [`Kind::Usage`] for a life out of range, [`Kind::Conflict`] when the machine cannot be shared, [`Kind::Ssh`],
    /// [`Kind::Engine`]; nobody has access then.
    pub async fn share(&self, name: &str, to: &Recipient, life: Duration) -> Result<Given> {
        if life < LIVES[0] || life > LIVES[1] {
            return Err(Error::usage("a share lives for 30 seconds at least and 365 days at most"));
        }
        let _lock = self.lock(name).await?;
        let mut record = self.shareable(name)?;
        let authority = self.load_authority(false).await?;
        let id = random_id()[..8].to_owned();
        let shared = certs::share(to, &id, OffsetDateTime::now_utc(), life)?;
        let share =
            Share { id, key: to.fingerprint().to_owned(), until: shared.until, ca: shared.ca_pem, ending: false };
        let before = self.shares(name)?;
        let with: Vec<Share> = before.iter().cloned().chain([share.clone()]).collect();
        self.save_shares(name, &with)?;
        if let Err(error) = self.apply_shares(&mut record, &authority).await {
            // The certificate was given to nobody; the next change of the certificates takes its CA off the host.
            self.save_shares(name, &before)?;
            return Err(error.context(format!("machine \"{name}\" is not shared")));
        }
        let ca_pem = authority.ca.cert_pem.clone();
        Ok(Given { share, cert_pem: shared.cert_pem, ca_pem, url: record.url().unwrap_or_default() })
    }

    /// Ends shares of machine `name`: those with `ids`, or all.
    ///
    /// # Errors
    ///
    /// [`Kind::Usage`] for an unknown id, [`Kind::Ssh`], [`Kind::Engine`]: a repeat ends them.
    pub async fn unshare(&self, name: &str, ids: Option<&[String]>) -> Result<Vec<Share>> {
        let _lock = self.lock(name).await?;
        let mut record = self.shareable(name)?;
        let mut shares = self.shares(name)?;
        if let Some(unknown) = ids.into_iter().flatten().find(|id| !shares.iter().any(|share| share.id == **id)) {
            let known: Vec<&str> = shares.iter().map(|share| share.id.as_str()).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(
                Error::usage(format!("machine \"{name}\" has no share {unknown}")).hint(format!("it has {known}"))
            );
        }
        for share in &mut shares {
            share.ending |= ids.is_none_or(|ids| ids.contains(&share.id));
        }
        self.save_shares(name, &shares)?;
        let authority = self.load_authority(false).await?;
        self.apply_shares(&mut record, &authority).await.map_err(|e| {
            e.context(format!("the shares of machine \"{name}\" are not ended yet"))
                .hint("repeat it: until it has reached the host, the engine lets them in")
        })?;
        let (ended, kept): (Vec<Share>, Vec<Share>) = shares.into_iter().partition(|share| share.ending);
        self.save_shares(name, &kept)?;
        Ok(ended)
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

    fn save_shares(&self, name: &str, shares: &[Share]) -> Result<()> {
        let now = OffsetDateTime::now_utc();
        let living: Vec<&Share> = shares.iter().filter(|share| share.until > now).collect();
        let text = serde_json::to_vec_pretty(&living)
            .map_err(|e| Error::new(Kind::Store, "the shares cannot be written as JSON").source(e))?;
        self.store.write(&self.store.machine_file(name, file::SHARES), &text)
    }

    /// Whose clients the engine of `record` lets in: those of the store's CA, of the old one while it is being replaced,
    /// and of the shares that live; PEM.
    pub(super) fn engine_trust(&self, record: &Record, authority: &Authority) -> Result<String> {
        let now = OffsetDateTime::now_utc();
        let mut bundle = authority.ca.cert_pem.trim_end().to_owned();
        for share in self.shares(&record.name)?.iter().filter(|share| share.until > now && !share.ending) {
            bundle.push('\n');
            bundle.push_str(share.ca.trim_end());
        }
        Ok(bundle)
    }

    fn shareable(&self, name: &str) -> Result<Record> {
        let record = self.store.load(name)?;
        self.require_managed(&record, "share")?;
        self.require_ready(&record)?;
        if !wants_engine(&record) {
            return Err(Error::new(Kind::Conflict, format!("machine \"{name}\" was made without an engine")));
        }
        if record.tunnel_port.is_some() {
            return Err(Error::new(
                Kind::Conflict,
                format!("the engine of machine \"{name}\" is reached through SSH only"),
            )
            .hint("let the other one's SSH key in on the host instead"));
        }
        Ok(record)
    }

    /// Brings the host's trust to what the shares say, and waits until the engine answers.
    async fn apply_shares(&self, record: &mut Record, authority: &Authority) -> Result<()> {
        let notify = self.talk.about(&record.name);
        notify.progress("connecting");
        self.meet(record, std::time::Duration::ZERO).await?;
        let target = self.target(record)?;
        let session = self.connect(record, &target, std::time::Duration::from_secs(15)).await?;
        self.settle_host_key(record, &session)?;
        let renewed = self.renew_if_needed(record, &session, authority, false, voice(&notify)).await;
        session.close().await;
        renewed?;
        notify.progress("checking the engine over TLS");
        self.await_engine(record, authority).await?;
        let (store, copy) = (self.store.clone(), record.clone());
        let client = authority.clone();
        super::blocking(move || Self::copy_client_files(&store, &copy, &client)).await
    }
}
