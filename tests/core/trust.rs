//! Each machine has a CA of its own: nobody else's certificate convinces its clients, and no other client gets in.

use std::{os::unix::fs::PermissionsExt, path::Path, time::Duration as Patience};

use rmachine_certs::{self as certs, Identity};
use rmachine_core::{CLIENT_LIFE, Core, Regenerate, Rotate};
use rmachine_engine::{self as engine, TlsFiles};
use rmachine_model::error::Kind;
use rmachine_provider_api::Health;
use rmachine_store::{Store, TlsPaths, Trust, file};
use time::{Duration, OffsetDateTime};

use crate::{
    one_ca::read,
    share::{Hosted, Other},
    support::{none, options, text},
};

/// Files that a docker client has.
struct Client {
    ca: String,
    cert: String,
    key: String,
}

impl Client {
    fn of(directory: &Path) -> Self {
        let text = |name: &str| read(&directory.join(name));
        Self { ca: text("ca.pem"), cert: text("cert.pem"), key: text("key.pem") }
    }

    /// Asks the engine of machine `name`.
    async fn asks(&self, store: &Store, name: &str) -> Result<(), engine::Error> {
        let tls = TlsFiles { ca_pem: &self.ca, cert_pem: &self.cert, key_pem: &self.key };
        let endpoint = store.load(name).unwrap().endpoint().unwrap();
        engine::check(&endpoint, &tls, Patience::from_secs(5)).await.map(|_| ())
    }

    async fn is_let_in(&self, store: &Store, name: &str) -> bool {
        self.asks(store, name).await.is_ok()
    }
}

fn own_ca(store: &Store) -> Identity {
    certs::split(&read(&store.machine_file("m", file::AUTHORITY))).unwrap().identity.unwrap()
}

/// A core whose CA and client are given by `--tls-*`: those of the store.
fn given(hosted: &Hosted) -> Core {
    let store = hosted.world.store();
    let place = |name: &str| Some(store.certs_directory().join(name));
    let tls = TlsPaths {
        ca_cert: place(file::CA_CERT),
        ca_key: place(file::CA_KEY),
        client_cert: place(file::CLIENT_CERT),
        client_key: place(file::CLIENT_KEY),
    };
    hosted.builder().store(store.clone().with_tls(tls)).build()
}

/// The machine's record as an earlier version wrote it: version 1, which says nothing of whose CA it has.
fn as_earlier_version(hosted: &Hosted) {
    let path = hosted.world.store().machine_file("m", file::CONFIG);
    let mut document: serde_json::Value = serde_json::from_str(&read(&path)).unwrap();
    let section = document["Rmachine"].as_object_mut().unwrap();
    assert_eq!(section.shift_remove("Trust").unwrap(), "given");
    section["Version"] = 1.into();
    std::fs::write(&path, document.to_string()).unwrap();
    assert!(!hosted.world.store().machine_file("m", file::AUTHORITY).exists());
}

/// A machine as an earlier version left it: of the store's CA.
async fn of_earlier_version() -> Hosted {
    let hosted = Hosted::new();
    given(&hosted).create(options("m")).await.unwrap();
    as_earlier_version(&hosted);
    hosted
}

#[tokio::test]
async fn a_client_of_one_machine_is_refused_by_another() {
    let (one, two) = (Hosted::new(), Hosted::new());
    one.core().create(options("one")).await.unwrap();
    // Another host of the same store.
    let core = two.builder().store(one.world.store()).build();
    core.create(options("two")).await.unwrap();
    let store = one.world.store();
    let [first, second] = ["one", "two"].map(|name| Client::of(&store.machine_directory(name)));
    assert!(first.is_let_in(&store, "one").await && second.is_let_in(&store, "two").await);
    // Who knows the engine of the other, and has a client's certificate of the first.
    let foreign = Client { ca: second.ca.clone(), ..Client::of(&store.machine_directory("one")) };
    let refused = foreign.asks(&store, "two").await.unwrap_err();
    assert!(matches!(refused, engine::Error::ClientRefused(..)), "{refused:?}");
    let unknown = first.asks(&store, "two").await.unwrap_err();
    assert!(matches!(unknown, engine::Error::ForeignCertificate(_)), "{unknown:?}");
    // The store's own client is nobody there.
    let of_store = Client { ca: first.ca, ..Client::of(&store.certs_directory()) };
    assert!(!of_store.is_let_in(&store, "one").await);
    assert_ne!(first.key, second.key);
    for name in ["one", "two"] {
        let mode = std::fs::metadata(store.machine_file(name, file::AUTHORITY)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

/// What a host says of its addresses is not signed; the provider's and the user's words are.
#[tokio::test]
async fn a_host_that_claims_an_address_gets_no_certificate_for_it() {
    let hosted = Hosted::new();
    let claimed = "203.0.113.7";
    hosted.host.as_ref().unwrap().disk.lock().unwrap().claims = vec![claimed.to_owned()];
    let core = hosted.core();
    let mut asked = options("m");
    asked.tls_sans = vec!["build.example.com".to_owned()];
    core.create(asked).await.unwrap();
    core.restart("m").await.unwrap();
    core.regenerate_certificates("m", Regenerate { force: true, client: false }).await.unwrap();
    core.provision("m").await.unwrap();
    let record = hosted.world.record("m");
    assert_eq!(record.host.unwrap().addresses, [claimed.parse::<std::net::IpAddr>().unwrap()], "it did claim it");
    let sans = certs::inspect(&read(&hosted.world.store().machine_file("m", file::SERVER_CERT))).unwrap().sans;
    let names: Vec<String> = sans.iter().map(ToString::to_string).collect();
    assert!(!names.contains(&claimed.to_owned()), "{names:?}");
    for expected in ["build.example.com", "m", "localhost", record.instance.unwrap().addresses.dial.unwrap().as_str()] {
        assert!(names.contains(&expected.to_owned()), "{expected} is not in {names:?}");
    }
}

/// Its clients get in before, during and after; who has copies of the old client's files until the end.
#[tokio::test]
async fn a_machine_of_the_stores_ca_moves_to_its_own_in_its_next_session() {
    let hosted = of_earlier_version().await;
    let (core, store) = (hosted.core(), hosted.world.store());
    let old = Client::of(&store.machine_directory("m"));
    assert_eq!(hosted.world.record("m").trust, Trust::Store);
    assert!(old.is_let_in(&store, "m").await);
    let ills = core.doctor(&[], Patience::from_secs(5)).await.unwrap();
    let ill = ills.iter().find(|checked| checked.finding.health == Health::Warning).unwrap();
    assert!(ill.finding.text.contains("the store's CA still"), "{ills:?}");

    core.provision("m").await.unwrap();
    let record = hosted.world.record("m");
    assert_eq!((record.trust, record.version), (Trust::Own, 2));
    let new = Client::of(&store.machine_directory("m"));
    let own = own_ca(&store);
    assert_eq!(new.ca, own.cert_pem, "who claims its address with a certificate of the store's CA convinces nobody");
    assert!(certs::signed_by(&new.cert, &own.cert_pem).unwrap() && new.key != old.key);
    assert!(new.is_let_in(&store, "m").await);
    let with_old_files = Client { ca: new.ca.clone(), cert: old.cert.clone(), key: old.key.clone() };
    assert!(with_old_files.is_let_in(&store, "m").await, "clients of both CAs are let in");
    assert_eq!(hosted.trusted(), 2);
    let said = core.doctor(&[], Patience::from_secs(5)).await.unwrap();
    let still = said.iter().find(|checked| checked.finding.text.contains("are let in still")).unwrap();
    assert!(still.finding.remedy.as_ref().unwrap().contains("rotate-ca --finish m"), "{still:?}");
    // Scripts find usable files where the record says.
    let document = store.load_document("m").unwrap();
    let auth = &document["HostOptions"]["AuthOptions"];
    let place = |name: &str| store.machine_file("m", name).display().to_string();
    assert_eq!(auth["CaCertPath"], place("ca.pem"));
    assert_eq!(auth["ClientCertPath"], place("cert.pem"));
    assert_eq!(auth["CaPrivateKeyPath"], place("authority.pem"));

    // What else is done keeps it.
    core.restart("m").await.unwrap();
    assert!(with_old_files.is_let_in(&store, "m").await);
    assert_eq!(core.rotate_ca(Rotate::Finish, &["m".to_owned()]).await.unwrap(), ["m"]);
    core.follow_ca("m").await.unwrap();
    assert!(!with_old_files.is_let_in(&store, "m").await && new.is_let_in(&store, "m").await);
    assert!(!store.machine_file("m", file::OLD_AUTHORITY).exists());
    assert_eq!(hosted.trusted(), 1);
    let error = core.rotate_ca(Rotate::Finish, &["m".to_owned()]).await.unwrap_err();
    assert_eq!((error.kind(), error.to_string().as_str()), (Kind::Conflict, "no CA is being replaced"));
    assert!(core.doctor(&[], Patience::from_secs(5)).await.unwrap().iter().all(|c| c.finding.health == Health::Good));
}

/// A session for something else moves it as well, but for swarm nodes and those whose recipients would be cut off.
#[tokio::test]
async fn ssh_by_the_way_moves_what_nobody_is_hurt_by() {
    let hosted = of_earlier_version().await;
    let (core, store) = (hosted.core(), hosted.world.store());
    let moved = || store.machine_file("m", file::AUTHORITY).exists();
    let disk = || hosted.host.as_ref().unwrap().disk.lock().unwrap();
    disk().swarm = true;
    core.ssh("m").await.unwrap().close().await;
    let said = hosted.world.said.lines().join("\n");
    assert!(said.contains("it is to get a CA of its own, and a swarm node is not restarted by the way"), "{said}");
    assert!(!moved());
    disk().swarm = false;
    // As an earlier version shared it.
    let other = Other::new();
    let given_core = given(&hosted);
    let share = other.get(&given_core).await;
    as_earlier_version(&hosted);
    core.ssh("m").await.unwrap().close().await;
    let said = hosted.world.said.lines().join("\n");
    assert!(said.contains("those whom it is shared with need the new ca.pem then"), "{said}");
    assert!(!moved() && other.enters(&share).await);
    core.regenerate_certificates("m", Regenerate::default()).await.unwrap();
    let said = hosted.world.said.lines().join("\n");
    assert!(said.contains(&format!("(share {}) need the new ca.pem", share.share.id)), "{said}");
    assert!(moved() && !other.enters(&share).await);
    other.is_let_in(&share, &core.ca_of_shares("m").unwrap()).await.unwrap();

    let hosted = of_earlier_version().await;
    hosted.core().ssh("m").await.unwrap().close().await;
    let store = hosted.world.store();
    assert_eq!(hosted.world.record("m").trust, Trust::Own);
    let client = Client::of(&store.machine_directory("m"));
    assert!(client.is_let_in(&store, "m").await && client.ca == own_ca(&store).cert_pem);
}

/// One machine's rotation leaves the store's CA and other machines alone.
#[tokio::test]
async fn one_machine_gets_another_ca() {
    let hosted = Hosted::with_machine().await;
    let (core, store) = (hosted.core(), hosted.world.store());
    core.create(none("url", "tcp://127.0.0.1:1")).await.unwrap();
    let of_store = read(&store.certs_directory().join(file::CA_CERT));
    let names = ["m".to_owned()];
    let first = Client::of(&store.machine_directory("m"));
    assert_eq!(core.rotate_ca(Rotate::Begin, &names).await.unwrap(), names);
    // The host has not followed: nothing that clients use is changed.
    assert!(Client::of(&store.machine_directory("m")).is_let_in(&store, "m").await);
    core.access("m").unwrap();
    assert!(Client::of(&store.machine_directory("m")).is_let_in(&store, "m").await);
    core.follow_ca("m").await.unwrap();
    let second = Client::of(&store.machine_directory("m"));
    assert!(second.is_let_in(&store, "m").await && first.is_let_in(&store, "m").await, "old files are good");
    assert_ne!(second.cert, first.cert);
    assert_eq!(core.rotate_ca(Rotate::Finish, &names).await.unwrap(), names);
    core.follow_ca("m").await.unwrap();
    assert!(!first.is_let_in(&store, "m").await && second.is_let_in(&store, "m").await);
    // At once.
    core.rotate_ca(Rotate::Now, &names).await.unwrap();
    core.follow_ca("m").await.unwrap();
    assert!(!second.is_let_in(&store, "m").await);
    assert!(Client::of(&store.machine_directory("m")).is_let_in(&store, "m").await);
    assert_eq!(read(&store.certs_directory().join(file::CA_CERT)), of_store);
    let error = core.rotate_ca(Rotate::Begin, &["url".to_owned()]).await.unwrap_err();
    assert!(text(&error).contains("cannot rotate the CA of machine \"url\""), "{}", text(&error));
}

/// The client's certificate is renewed here, with the same key, by what reads the machine.
#[tokio::test]
async fn a_client_that_is_due_is_renewed_without_a_host() {
    let mut hosted = Hosted::with_machine().await;
    let store = hosted.world.store();
    let path = |name: &str| store.machine_file("m", name);
    let fresh = certs::inspect(&read(&path(file::CLIENT_CERT))).unwrap();
    let life = fresh.not_after - fresh.not_before;
    assert!((life - CLIENT_LIFE).abs() <= Duration::days(1), "{life}");
    let key = read(&path(file::CLIENT_KEY));
    let make_due = || {
        let then = OffsetDateTime::now_utc() - Duration::days(300);
        let due = certs::issue_client_for(&own_ca(&store), Some(&key), then, CLIENT_LIFE).unwrap();
        store.write(&path(file::CLIENT_CERT), due.cert_pem.as_bytes()).unwrap();
        due.cert_pem
    };
    let days = || {
        (certs::inspect(&read(&path(file::CLIENT_CERT))).unwrap().not_after - OffsetDateTime::now_utc()).whole_days()
    };
    let due = make_due();
    // Never waiting for another process, and no error in a store that cannot be written.
    let lock = store.lock_machine("m", || {}).unwrap();
    hosted.core().access("m").unwrap();
    assert_eq!(read(&path(file::CLIENT_CERT)), due);
    drop(lock);
    let locks = store.root().join("locks");
    let aside = store.root().join("aside");
    std::fs::rename(&locks, &aside).unwrap();
    std::fs::write(&locks, "no directory").unwrap();
    hosted.core().access("m").unwrap();
    assert_eq!(read(&path(file::CLIENT_CERT)), due);
    std::fs::remove_file(&locks).unwrap();
    std::fs::rename(&aside, &locks).unwrap();

    hosted.core().access("m").unwrap();
    assert!(days() > 350, "{}", days());
    assert_eq!(read(&path(file::CLIENT_KEY)), key, "one file changes, so that no client sees half of it");
    assert!(Client::of(&store.machine_directory("m")).is_let_in(&store, "m").await);
    // Without the host: over already, as after a year in a drawer.
    drop(hosted.host.take());
    let then = OffsetDateTime::now_utc() - Duration::days(900);
    let over = certs::issue_client_for(&own_ca(&store), Some(&key), then, CLIENT_LIFE).unwrap();
    store.write(&path(file::CLIENT_CERT), over.cert_pem.as_bytes()).unwrap();
    let core = hosted.builder().client_life(Duration::days(90)).build();
    core.access("m").unwrap();
    assert!((88..=90).contains(&days()), "{}", days());
    // As after a crash between the two writes of a new pair.
    let other = certs::issue_client(&own_ca(&store), OffsetDateTime::now_utc()).unwrap();
    store.write(&path(file::CLIENT_KEY), other.key_pem.as_bytes()).unwrap();
    core.access("m").unwrap();
    let (cert, key) = (read(&path(file::CLIENT_CERT)), read(&path(file::CLIENT_KEY)));
    assert!(certs::key_matches(&cert, &key).unwrap());
}

#[tokio::test]
async fn what_is_given_stays_shared_and_doctor_says_so() {
    let hosted = Hosted::new();
    let core = given(&hosted);
    core.create(options("m")).await.unwrap();
    let store = hosted.world.store();
    assert_eq!(hosted.world.record("m").trust, Trust::Given);
    core.regenerate_certificates("m", Regenerate { force: true, client: false }).await.unwrap();
    let of_store = Client::of(&store.certs_directory());
    assert!(of_store.is_let_in(&store, "m").await);
    assert!(!store.machine_file("m", file::AUTHORITY).exists());
    let said = core.doctor(&[], Patience::from_secs(5)).await.unwrap();
    assert!(
        said.iter().any(|checked| checked.finding.text.contains("it is shared: whoever has that CA's key")),
        "{said:?}"
    );
    // A session by the way does not change whose it is.
    hosted.core().ssh("m").await.unwrap().close().await;
    assert_eq!(hosted.world.record("m").trust, Trust::Given);
}

/// Whoever had a share was root where the engine's key lies.
#[tokio::test]
async fn the_end_of_a_share_changes_the_engines_key() {
    let hosted = Hosted::with_machine().await;
    let (core, store) = (hosted.core(), hosted.world.store());
    let key = || read(&store.machine_file("m", file::SERVER_KEY));
    let before = key();
    Other::new().get(&core).await;
    assert_eq!(key(), before, "a share alone changes none");
    core.unshare("m", None).await.unwrap();
    let after = key();
    assert_ne!(after, before);
    let on_host = hosted.host.as_ref().unwrap().disk.lock().unwrap().tls.clone().unwrap();
    assert_eq!(on_host[2].trim(), after.trim(), "the host has it");
    core.regenerate_certificates("m", Regenerate::default()).await.unwrap();
    assert_eq!(key(), after);
}
