//! From a host that answers to an engine that speaks mTLS, over one SSH session.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use rmachine_provider_api::{HostTrust, Notify, Plan};
use time::OffsetDateTime;

use super::{
    Core, Others, RotateKeys,
    authority::Authority,
    blocking,
    contact::Vouch,
    create::wants_engine,
    open::{CONNECT_PATIENTLY, Machine, Need},
    shell::no_address,
    voice,
};
use crate::{
    audit::{Event, Role},
    bootstrap::{self, EngineSource, HostFacts, ServerTls},
    certs::{self, Sans},
    engine::{self, EngineVersion, TlsFiles},
    error::{Error, Kind, Result},
    ssh::Session,
    store::{HostRecord, Phase, Record, file},
};

/// How long a new host may take from its address to its first SSH answer.
const BOOT: Duration = Duration::from_secs(300);
/// How long an engine that was just started may take to answer.
const ENGINE_START: Duration = Duration::from_secs(60);
/// Time-out of one try.
const ENGINE_TRY: Duration = Duration::from_secs(5);
/// Oldest API that current docker clients accept (docker 29 speaks 1.44 and newer).
const OLDEST_API: (u32, u32) = (1, 44);

impl Core {
    /// The first session to a new host: host keys, engine, certificates, proof.
    pub(super) async fn first_session(
        &self,
        record: &mut Record,
        authority: &Authority,
        notify: &Arc<dyn Notify>,
    ) -> Result<()> {
        notify.progress("waiting for SSH");
        let flag = format!("--{}-ssh-host-key", record.driver);
        self.trust_host(record, Vouch::Flag(&flag), Duration::ZERO).await?;
        let target = self.target(record)?;
        let seeded = record.plan.as_ref().is_some_and(|p| matches!(p.host_trust, HostTrust::Seeded));
        let boots = record.plan.as_ref().is_some_and(|p| p.boot_data.is_some());
        let session = if boots {
            self.wait_for_ssh(record, &target, BOOT, seeded, voice(notify)).await?
        } else {
            self.connect(record, &target, Duration::from_secs(30)).await?
        };
        if record.ssh.host_keys.is_empty() {
            self.pin(record, session.host_key(), "a known_hosts file or a flag")?;
        }
        // Only a create that goes on finds two keys pinned.
        self.settle_host_key(record, &session)?;
        self.enter(record, Phase::Provisioning)?;
        let result = self.provision_over(record, &session, authority, notify).await;
        session.close().await;
        result
    }

    /// Provisions machine `name` again: what it should be by its record, changing only what differs.
    ///
    /// # Errors
    ///
    /// [`Kind::Ssh`], [`Kind::Engine`]; the machine keeps what it had.
    pub async fn provision(&self, name: &str) -> Result<()> {
        // A create that got as far as the host is finished by it.
        let mut machine = self.open(name, Need::managed("provision").or_unfinished()).await?;
        let session = machine.host(CONNECT_PATIENTLY).await?;
        let Machine { record, notify, .. } = &mut machine;
        // Otherwise the engine is there, and nothing is fetched.
        if record.phase.is_unfinished() || record.engine.source == EngineSource::Url {
            self.warn_of_engine(name, &record.engine)?;
        }
        let authority = self.load_authority(record, false).await?;
        if record.phase.is_unfinished() {
            self.enter(record, Phase::Provisioning)?;
        }
        self.provision_over(record, &session, &authority, notify).await?;
        session.close().await;
        self.finish_provision(record, authority).await?;
        if record.ssh.inherited {
            // As after an `adopt` that was killed.
            let keep = RotateKeys { others: Others::Keep, ..RotateKeys::default() };
            let done = Box::pin(self.lock_others_out(record, &keep)).await?;
            done.lines().iter().for_each(|line| notify.warn(line));
        }
        Ok(())
    }

    /// Writes down what is true once the host has its certificates and its trust.
    pub(super) async fn finish_provision(&self, record: &mut Record, authority: Authority) -> Result<()> {
        self.follow_engine(record, authority).await?;
        self.forget_ended_shares(&record.name)?;
        self.enter(record, Phase::Ready)
    }

    /// Gives clients what the engine of `record` goes by now. The caller saves the record.
    pub(super) async fn follow_engine(&self, record: &mut Record, authority: Authority) -> Result<()> {
        let (store, copy) = (self.store.clone(), record.clone());
        blocking(move || Self::copy_client_files(&store, &copy, &authority)).await?;
        self.settle_trust(record)
    }

    pub(super) async fn load_store_authority(&self, renew_client: bool) -> Result<Authority> {
        let store = self.store.clone();
        let authority = blocking(move || Self::authority(&store, renew_client)).await?;
        if authority.replaced {
            self.talk.about("CA").warn(
                "the CA of this store had expired, and a new one was made; `rmachine regenerate-certs NAME` hands it to each machine",
            );
        }
        Ok(authority)
    }

    pub(super) fn require_managed(&self, record: &Record, what: &str) -> Result<()> {
        if self.driver(record)?.info().capabilities.engine {
            return Ok(());
        }
        Err(Error::new(
            Kind::Failure,
            format!("the driver \"{}\" cannot {what} machine \"{}\"", record.driver, record.name),
        )
        .hint("rmachine only knows the URL of this engine; it does not manage it"))
    }

    pub(super) async fn provision_over(
        &self,
        record: &mut Record,
        session: &Session,
        authority: &Authority,
        notify: &Arc<dyn Notify>,
    ) -> Result<()> {
        notify.progress("looking at the host");
        let facts = bootstrap::probe(session).await?;
        record.host = Some(host_record(&facts, ""));
        // The seed stood in the user-data: whatever command comes first gives the host a key of its own.
        let new_key = self.replace_seed(record, session, &facts).await?;
        if !wants_engine(record) {
            if let Some(new) = new_key {
                self.prove_host_key(record, &new).await?;
                self.settle_on(record, new)?;
            }
            return Ok(());
        }
        // A good certificate stays: nothing is restarted when nothing differs.
        let server = match self.good_server(record, authority)? {
            Some(server) => server,
            None => self.issue_server(record, authority)?,
        };
        self.tell_before_move(record, authority)?;
        self.stage_ca(record, authority)?;
        let trust = self.engine_trust(record, authority)?;
        let tls = ServerTls { ca_pem: &trust, cert_pem: &server.cert_pem, key_pem: &server.key_pem };
        let at_boot = record.plan.as_ref().is_some_and(Plan::installs_at_boot);
        let provision = bootstrap::provision(session, &facts, &record.engine, &tls, at_boot, voice(notify));
        // The login that proves the new key costs no time beside the engine's install and start.
        let proof = async {
            match &new_key {
                Some(new) => self.prove_host_key(record, new).await,
                None => Ok(()),
            }
        };
        let (done, proved) = tokio::join!(provision, proof);
        if let (Ok(()), Some(new)) = (&proved, new_key) {
            self.settle_on(record, new)?;
        }
        let done = done?;
        proved?;
        for warning in &done.warnings {
            notify.warn(warning);
        }
        self.save_server(record, &server)?;
        notify.progress("checking the engine over TLS");
        let version = self.await_engine(record, authority).await?;
        if too_old(&version.api_version) {
            notify.warn(&format!(
                "the engine {} speaks API {}, which current docker clients refuse (they want {}.{}); \
                 use an image with a newer one, or --engine-source docker on a host without any",
                version.version, version.api_version, OLDEST_API.0, OLDEST_API.1
            ));
        }
        record.host = Some(host_record(&facts, &version.version));
        Ok(())
    }

    /// Issues the server's certificate for all that the machine is known by.
    pub(super) fn issue_server(&self, record: &Record, authority: &Authority) -> Result<certs::Identity> {
        let server = certs::issue_server(authority.of_servers(), &sans(record)?, OffsetDateTime::now_utc())?;
        self.audit(&record.name, &[Event::certificate(Role::Server, &server.cert_pem)?])?;
        Ok(server)
    }

    pub(super) fn save_server(&self, record: &Record, server: &certs::Identity) -> Result<()> {
        self.store.write(&self.store.machine_file(&record.name, file::SERVER_KEY), server.key_pem.as_bytes())?;
        self.store.write(&self.store.machine_file(&record.name, file::SERVER_CERT), server.cert_pem.as_bytes())
    }

    /// Waits until the engine answers over mTLS.
    pub(super) async fn await_engine(&self, record: &Record, authority: &Authority) -> Result<EngineVersion> {
        let endpoint = record.endpoint().ok_or_else(|| no_address(record))?;
        let tls = TlsFiles {
            ca_pem: &authority.ca.cert_pem,
            cert_pem: &authority.client.cert_pem,
            key_pem: &authority.client.key_pem,
        };
        let session = match record.tunnel_port {
            Some(_) => Some(self.connect(record, &self.target(record)?, ENGINE_START).await?),
            None => None,
        };
        let deadline = Instant::now() + ENGINE_START;
        let mut pause = Duration::from_millis(50);
        loop {
            let tried = match &session {
                Some(session) => Self::check_over(session, record, &tls, ENGINE_TRY).await,
                None => engine::check(&endpoint, &tls, ENGINE_TRY).await,
            };
            match tried {
                Ok(version) => return Ok(version),
                Err(error) if error.may_pass() && Instant::now() < deadline => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(1));
                }
                Err(error) => {
                    let error = Error::from(error)
                        .about(&record.name)
                        .context(format!("the engine of machine \"{}\" does not answer over TLS", record.name));
                    return Err(self.explain(record, error).await);
                }
            }
        }
    }
}

/// Every name and address that clients may dial, by the provider's word and the user's.
pub(super) fn sans(record: &Record) -> Result<Sans> {
    let mut names: BTreeSet<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into();
    names.insert(record.name.clone());
    names.extend(record.extra_sans.iter().cloned());
    if let Some(instance) = &record.instance {
        let addresses = &instance.addresses;
        names.extend(addresses.dial.iter().map(ToString::to_string));
        names.extend(addresses.published.iter().map(ToString::to_string));
        names.extend(addresses.public.iter().chain(&addresses.private).map(ToString::to_string));
        names.extend(addresses.names.iter().map(ToString::to_string));
    }
    // What the host says of its addresses is its own word: it stands in no certificate.
    Ok(Sans::parse(names)?)
}

/// What the record keeps of a host.
pub(super) fn host_record(facts: &HostFacts, engine_version: &str) -> HostRecord {
    HostRecord {
        os: facts.os_pretty.clone(),
        arch: facts.arch.clone(),
        boot_id: facts.boot_id.clone(),
        engine_version: engine_version.to_owned(),
        addresses: facts.addresses.clone(),
    }
}

fn too_old(api: &str) -> bool {
    let mut parts = api.split('.').map_while(|part| part.parse::<u32>().ok());
    match (parts.next(), parts.next()) {
        (Some(major), Some(minor)) => (major, minor) < OLDEST_API,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::too_old;

    #[test]
    fn api_versions_compare_as_numbers() {
        assert!(too_old("1.41") && too_old("1.9"));
        assert!(!too_old("1.44") && !too_old("1.100") && !too_old("2.0") && !too_old("?"));
    }
}
