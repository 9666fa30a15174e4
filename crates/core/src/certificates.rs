//! Server certificates: issued anew when needed, swapped while containers run on.

use rmachine_bootstrap::{self as bootstrap, ServerTls};
use rmachine_certs as certs;
use rmachine_model::error::{Error, Kind, Result};
use rmachine_ssh::Session;
use rmachine_store::{Record, file};
use time::OffsetDateTime;

use super::{
    Core,
    authority::Authority,
    create::wants_engine,
    open::{CONNECT, Machine, Need},
    provision::{host_record, sans},
    voice,
};

/// What `regenerate-certs` is asked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Regenerate {
    /// Issue a new certificate and restart the engine also when nothing needs it.
    pub force: bool,
    /// Issue a new client certificate as well.
    pub client: bool,
}

/// What `regenerate-certs` did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Regenerated {
    /// The certificate was good for all addresses and for long enough.
    NothingToDo,
    /// A new certificate is in place and containers kept running.
    ContainersKept,
    /// A new certificate is in place and the engine was restarted with its containers.
    EngineRestarted,
}

impl Core {
    /// Issues the server certificate of machine `name` anew where its addresses, its age or its CA
    /// ask for it, or always with `force`.
    ///
    /// # Errors
    ///
    /// [`rmachine_model::error::Kind::Ssh`], [`rmachine_model::error::Kind::Engine`].
    pub async fn regenerate_certificates(&self, name: &str, what: Regenerate) -> Result<Regenerated> {
        let mut machine = self.open(name, Need::managed("issue certificates for")).await?;
        if !wants_engine(&machine) {
            return Err(Error::new(Kind::Conflict, format!("machine \"{name}\" was made without an engine"))
                .hint("--engine-source none asked for that; it needs no certificates"));
        }
        machine.notify.progress("connecting");
        let session = self.log_in(&mut machine, CONNECT).await?;
        let authority = self.load_authority(&mut machine, what.client).await?;
        let done = self.renew_if_needed(&mut machine, &session, &authority, what.force).await?;
        session.close().await;
        self.await_engine(&machine, &authority).await?;
        self.finish_provision(&mut machine, authority).await?;
        Ok(done)
    }

    /// Renews what is due over a session that the user has opened for something else, and gives the engine a certificate
    /// of the machine's own CA. What fails is said only; a swarm node is left alone, as its engine's restart would stop its
    /// containers, and so is one whose recipients of shares would not know it any more.
    pub(super) async fn renew_by_the_way(&self, name: &str, session: &Session) {
        let notify = self.talk.about(name);
        let renewed = async {
            // Another command that works on it does this as well.
            let Some(mut machine) = self.open_if_free(name)? else { return Ok(()) };
            let moves = self.is_to_move(&machine);
            let what = if moves { "it is to get a CA of its own" } else { "its certificates are due" };
            if bootstrap::probe(session).await?.swarm {
                notify.warn(&format!(
                    "{what}, and a swarm node is not restarted by the way; run `rmachine regenerate-certs {name}`"
                ));
                return Ok(());
            }
            if moves && self.is_shared(name)? {
                notify.warn(&format!(
                    "{what}, and those whom it is shared with need the new ca.pem then; run `rmachine regenerate-certs {name}`"
                ));
                return Ok(());
            }
            let authority = self.load_authority(&mut machine, false).await?;
            self.renew_if_needed(&mut machine, session, &authority, false).await?;
            self.finish_provision(&mut machine, authority).await
        };
        let renewed: Result<()> = renewed.await;
        if let Err(error) = renewed {
            notify.warn(&format!("its certificates were not renewed by the way: {error}"));
        }
    }

    /// Says who does not know the engine any more once it has a certificate of the machine's own CA.
    pub(super) fn tell_before_move(&self, record: &Record, authority: &Authority) -> Result<()> {
        let name = &record.name;
        if !authority.moving {
            return Ok(());
        }
        let ids = self.shares_behind(name, &authority.ca.cert_pem)?.join(", ");
        if !ids.is_empty() {
            self.talk.about(name).warn(&format!(
                "it gets a CA of its own: those whom it is shared with (share {ids}) need the new ca.pem, or they do not know \
                 it any more: `rmachine share {name} --ca` prints it"
            ));
        }
        Ok(())
    }

    /// Asks the provider where a machine is now, so that a moved one is found.
    pub(super) async fn follow(&self, machine: &mut Machine<'_>) -> Result<()> {
        let Some(instance) = &machine.instance else { return Ok(()) };
        if !self.driver(machine)?.info().capabilities.power {
            return Ok(());
        }
        let ids = [instance.id.clone()];
        let observed = self.provider(machine).await?.observe(&ids).await?;
        if let Some(observed) = observed.first() {
            self.note(machine, observed)?;
        }
        Ok(())
    }

    /// Puts a new server certificate in place when the present one does not serve.
    pub(super) async fn renew_if_needed(
        &self,
        machine: &mut Machine<'_>,
        session: &Session,
        authority: &Authority,
        force: bool,
    ) -> Result<Regenerated> {
        let notify = machine.notify.clone();
        let facts = bootstrap::probe(session).await?;
        let version = machine.host.as_ref().map(|h| h.engine_version.clone()).unwrap_or_default();
        machine.host = Some(host_record(&facts, &version));
        machine.save()?;
        let known = self.good_server(machine, authority)?;
        let server = match known {
            Some(server) if !force => server,
            _ => {
                notify.progress("issuing a certificate");
                self.issue_server(machine, authority)?
            }
        };
        self.tell_before_move(machine, authority)?;
        self.stage_ca(machine, authority)?;
        let trust = self.engine_trust(machine, authority)?;
        let tls = ServerTls { ca_pem: &trust, cert_pem: &server.cert_pem, key_pem: &server.key_pem };
        let renewed = bootstrap::replace_certificates(session, &facts, &tls, force, voice(&notify)).await?;
        self.save_server(machine, &server)?;
        if renewed.swarm && renewed.restarted {
            notify.warn("the engine was restarted: a swarm node cannot keep its containers running meanwhile");
        }
        Ok(match (renewed.changed, renewed.restarted && !renewed.containers_kept) {
            (false, _) => Regenerated::NothingToDo,
            (true, false) => Regenerated::ContainersKept,
            (true, true) => Regenerated::EngineRestarted,
        })
    }

    /// The stored server certificate, when it serves: our CA, not due, for all names and addresses, and its key unseen:
    /// whoever had a share that ends now was root where it lies.
    pub(super) fn good_server(&self, record: &Record, authority: &Authority) -> Result<Option<certs::Identity>> {
        if self.has_ended_shares(&record.name)? {
            return Ok(None);
        }
        let read = |name| self.store.read_text(&self.store.machine_file(&record.name, name));
        let (Some(cert_pem), Some(key_pem)) = (read(file::SERVER_CERT)?, read(file::SERVER_KEY)?) else {
            return Ok(None);
        };
        let Ok(info) = certs::inspect(&cert_pem) else { return Ok(None) };
        let good = certs::health(&info, OffsetDateTime::now_utc()) == certs::Health::Good
            && certs::covers(&info, &sans(record)?)
            && certs::signed_by(&cert_pem, &authority.of_servers().cert_pem)?
            && certs::key_matches(&cert_pem, &key_pem).unwrap_or(false);
        Ok(good.then(|| certs::Identity { cert_pem, key_pem: key_pem.into() }))
    }
}
