//! From a host that answers to an engine that speaks mTLS, over one SSH session.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use rmachine_bootstrap::{self as bootstrap, HostFacts, ServerTls};
use rmachine_certs::{self as certs, Sans};
use rmachine_engine::{self as engine, EngineVersion, TlsFiles};
use rmachine_model::{
    EngineSource,
    error::{Error, Kind, Result},
};
use rmachine_provider_api::{HostTrust, Plan};
use rmachine_ssh::Session;
use rmachine_store::{HostRecord, Phase, Record, audit::Role, file};
use time::OffsetDateTime;

use super::{
    Core, MachineEvent, Others, RotateKeys, audit,
    authority::Authority,
    blocking,
    contact::Vouch,
    create::wants_engine,
    open::{CONNECT_PATIENTLY, Machine, Need},
    shell::no_address,
    voice,
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
    pub(super) async fn first_session(&self, machine: &mut Machine<'_>, authority: &Authority) -> Result<()> {
        machine.notify.progress("waiting for SSH");
        let flag = format!("--{}-ssh-host-key", machine.driver);
        self.trust_host(machine, Vouch::Flag(&flag), Duration::ZERO).await?;
        let target = self.target(machine)?;
        let seeded = machine.plan.as_ref().is_some_and(|p| matches!(p.host_trust, HostTrust::Seeded));
        let boots = machine.plan.as_ref().is_some_and(|p| p.boot_data.is_some());
        let session = if boots {
            self.wait_for_ssh(machine, &target, BOOT, seeded, voice(&machine.notify)).await?
        } else {
            self.connect(machine, &target, CONNECT_PATIENTLY).await?
        };
        if machine.ssh.host_keys.is_empty() {
            self.pin(machine, session.host_key(), "a known_hosts file or a flag")?;
        }
        // Only a create that goes on finds two keys pinned.
        self.settle_host_key(machine, &session)?;
        machine.enter(Phase::Provisioning)?;
        let result = self.provision_over(machine, &session, authority).await;
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
        // Otherwise the engine is there, and nothing is fetched.
        if machine.phase.is_unfinished() || machine.engine.source == EngineSource::Url {
            self.warn_of_engine(name, &machine.engine)?;
        }
        machine.notify.progress("connecting");
        let session = self.log_in(&mut machine, CONNECT_PATIENTLY).await?;
        let authority = self.load_authority(&mut machine, false).await?;
        if machine.phase.is_unfinished() {
            machine.enter(Phase::Provisioning)?;
        }
        self.provision_over(&mut machine, &session, &authority).await?;
        session.close().await;
        self.finish_provision(&mut machine, authority).await?;
        if machine.ssh.inherited {
            // As after an `adopt` that was killed.
            let keep = RotateKeys { others: Others::Keep, ..RotateKeys::default() };
            let done = Box::pin(self.lock_others_out(&mut machine, &keep)).await?;
            done.lines().iter().for_each(|line| machine.notify.warn(line));
        }
        Ok(())
    }

    /// Writes down what is true once the host has its certificates and its trust.
    pub(super) async fn finish_provision(&self, machine: &mut Machine<'_>, authority: Authority) -> Result<()> {
        self.follow_engine(machine, authority).await?;
        self.forget_ended_shares(&machine.name)?;
        machine.enter(Phase::Ready)
    }

    /// Gives clients what the engine of `machine` goes by now. The caller saves what that changes.
    pub(super) async fn follow_engine(&self, machine: &mut Machine<'_>, authority: Authority) -> Result<()> {
        let (store, copy) = (self.store.clone(), machine.clone());
        if blocking(move || Self::copy_client_files(&store, &copy, &authority)).await? && machine.phase == Phase::Ready
        {
            machine.tell(&MachineEvent::Certificates);
        }
        self.settle_trust(machine)
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
        machine: &mut Machine<'_>,
        session: &Session,
        authority: &Authority,
    ) -> Result<()> {
        let notify = machine.notify.clone();
        notify.progress("looking at the host");
        let facts = bootstrap::probe(session).await?;
        machine.host = Some(host_record(&facts, ""));
        // The seed stood in the user-data: whatever command comes first gives the host a key of its own.
        let new_key = self.replace_seed(machine, session, &facts).await?;
        if !wants_engine(machine) {
            if let Some(new) = new_key {
                self.prove_host_key(machine, &new).await?;
                self.settle_on(machine, new)?;
            }
            return Ok(());
        }
        // A good certificate stays: nothing is restarted when nothing differs.
        let server = match self.good_server(machine, authority)? {
            Some(server) => server,
            None => self.issue_server(machine, authority)?,
        };
        self.tell_before_move(machine, authority)?;
        self.stage_ca(machine, authority)?;
        let trust = self.engine_trust(machine, authority)?;
        let tls = ServerTls { ca_pem: &trust, cert_pem: &server.cert_pem, key_pem: &server.key_pem };
        let at_boot = machine.plan.as_ref().is_some_and(Plan::installs_at_boot);
        let provision = bootstrap::provision(session, &facts, &machine.engine, &tls, at_boot, voice(&notify));
        // The login that proves the new key costs no time beside the engine's install and start.
        let proof = async {
            match &new_key {
                Some(new) => self.prove_host_key(machine, new).await,
                None => Ok(()),
            }
        };
        let (done, proved) = tokio::join!(provision, proof);
        if let (Ok(()), Some(new)) = (&proved, new_key) {
            self.settle_on(machine, new)?;
        }
        let done = done?;
        proved?;
        for warning in &done.warnings {
            notify.warn(warning);
        }
        self.save_server(machine, &server)?;
        notify.progress("checking the engine over TLS");
        let version = self.await_engine(machine, authority).await?;
        if too_old(&version.api_version) {
            notify.warn(&format!(
                "the engine {} speaks API {}, which current docker clients refuse (they want {}.{}); \
                 use an image with a newer one, or --engine-source docker on a host without any",
                version.version, version.api_version, OLDEST_API.0, OLDEST_API.1
            ));
        }
        machine.host = Some(host_record(&facts, &version.version));
        Ok(())
    }

    /// Issues the server's certificate for all that the machine is known by.
    pub(super) fn issue_server(&self, record: &Record, authority: &Authority) -> Result<certs::Identity> {
        let server = certs::issue_server(authority.of_servers(), &sans(record)?, OffsetDateTime::now_utc())?;
        self.audit(&record.name, &[audit::certificate(Role::Server, &server.cert_pem)?])?;
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
