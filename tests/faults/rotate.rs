//! rotate-ca, and the move of a machine to a CA of its own, that die at each of their side effects: the same command again
//! completes it, and who was to come in all the time did.

use std::path::PathBuf;

use rmachine_certs as certs;
use rmachine_store::{Trust, file};

use crate::{
    one_ca::read,
    share::{Shared, assert_among},
    world::{CREATE, KILL, World, each},
};

const BEGIN: &[&str] = &["rotate-ca", "m"];
const FINISH: &[&str] = &["rotate-ca", "--finish", "m"];
const NOW: &[&str] = &["rotate-ca", "--now", "m"];
const MOVE: &[&str] = &["regenerate-certs", "m"];

/// A machine that is shared with somebody, and a copy of the client's files on another computer.
struct Clients {
    shared: Shared,
    old: PathBuf,
}

impl Clients {
    fn new() -> Self {
        let shared = Shared::new();
        shared.share();
        let old = shared.world.copy_of(&shared.world.store().machine_directory("m"), "old");
        Self { shared, old }
    }

    /// In the middle: with a copy of the files that both CAs are in.
    fn begun() -> (Self, PathBuf) {
        let clients = Self::new();
        clients.world().run(BEGIN).succeeded("the begin");
        let both = clients.world().copy_of(&clients.world().store().machine_directory("m"), "both");
        (clients, both)
    }

    fn world(&self) -> &World {
        &self.shared.world
    }

    /// What `env --check` names brings our own client in, wherever it was killed.
    fn assert_mendable(&self, what: &str) {
        let checked = self.world().run(&["env", "--check", "m"]);
        if checked.status.success() {
            return;
        }
        let hint = checked.stderr.split('`').nth(1).and_then(|command| command.strip_prefix("rmachine "));
        let Some(hint) = hint else { panic!("{what}: {checked:?}") };
        self.world().run(&hint.split(' ').collect::<Vec<_>>()).succeeded(what);
        self.world().run(&["env", "--check", "m"]).succeeded(what);
    }

    /// One CA, or two in the middle, and everything of ours belongs to it.
    #[track_caller]
    fn assert_whole(&self, overlap: bool, what: &str) {
        let world = self.world();
        assert_own(world, what);
        let directory = world.store().machine_directory("m");
        let certificates = read(&directory.join(file::CA_CERT)).matches("BEGIN CERTIFICATE").count();
        // The share's CA is trusted, too.
        assert_eq!((certificates, world.trusted()), if overlap { (2, 3) } else { (1, 2) }, "{what}");
        assert_eq!(directory.join(file::OLD_AUTHORITY).exists(), overlap, "{what}");
        assert_eq!(world.lets_in(&self.old), overlap, "{what}: who has the old files");
        world.assert_usable(what);
        world.assert_tidy(what);
        // The recipient knows the old CA only, until they get what is printed for them.
        assert_eq!(self.shared.enters(), overlap, "{what}: who has a share");
        std::fs::copy(directory.join(file::CA_CERT), self.shared.directory().join("ca.pem")).unwrap();
        assert!(self.shared.enters(), "{what}: who has a share and the new ca.pem");
    }
}

/// The machine's client has a certificate of the machine's CA, and gets in.
#[track_caller]
fn assert_own(world: &World, what: &str) {
    let directory = world.store().machine_directory("m");
    let text = |name: &str| read(&directory.join(name));
    let own = certs::split(&text(file::AUTHORITY)).unwrap().identity.unwrap();
    assert!(certs::same(&text(file::CA_CERT), &own.cert_pem), "{what}: the present one comes first");
    assert!(certs::signed_by(&text(file::CLIENT_CERT), &own.cert_pem).unwrap(), "{what}");
    assert!(certs::key_matches(&text(file::CLIENT_CERT), &text(file::CLIENT_KEY)).unwrap(), "{what}");
    assert!(world.lets_in(&directory), "{what}: who has the machine's files");
}

/// A machine as an earlier version left it: of the store's CA, with a record of version 1.
fn of_earlier_version() -> World {
    let world = World::of_hosts();
    let certs = world.store().certs_directory();
    let path = |name: &str| certs.join(name).to_str().unwrap().to_owned();
    let (ca, key) = (path(file::CA_CERT), path(file::CA_KEY));
    world.run(&[CREATE, &["--tls-ca-cert", &ca, "--tls-ca-key", &key]].concat()).succeeded("create");
    let record = world.store().machine_file("m", file::CONFIG);
    let mut document: serde_json::Value = serde_json::from_str(&read(&record)).unwrap();
    let section = document["Rmachine"].as_object_mut().unwrap();
    assert!(section.shift_remove("Trust").is_some());
    section["Version"] = 1.into();
    std::fs::write(&record, document.to_string()).unwrap();
    world
}

/// Kinds of side effects of each step.
const KINDS: [&str; 4] =
    ["after lock machine-m.lock", "amid run sudo -n sh -s", "amid write server.pem", "after write config.json"];

pub fn begin_killed_then_repeated() {
    let clients = Clients::new();
    let points = clients.world().points(BEGIN);
    clients.assert_whole(true, "the begin that counts");
    assert_among(&KINDS[..2], &points);
    assert_among(
        &[
            "amid write authority-old.pem",
            "amid write authority.pem",
            "amid write ca.pem",
            "amid write cert.pem",
            "amid write key.pem",
        ],
        &points,
    );
    each(&points, |point| {
        let clients = Clients::new();
        clients.world().run_with(BEGIN, point, KILL).was_killed(point);
        assert!(clients.world().lets_in(&clients.old), "{point}: the old files are good all the time");
        assert!(clients.shared.enters(), "{point}: so is the share");
        clients.assert_mendable(point);
        clients.world().run(BEGIN).succeeded(point);
        clients.assert_whole(true, point);
    });
}

pub fn finish_killed_then_repeated() {
    let (clients, _) = Clients::begun();
    let points = clients.world().points(FINISH);
    clients.assert_whole(false, "the finish that counts");
    assert_among(&KINDS, &points);
    assert_among(&["after delete authority-old.pem"], &points);
    each(&points, |point| {
        let (clients, both) = Clients::begun();
        clients.world().run_with(FINISH, point, KILL).was_killed(point);
        assert!(clients.world().lets_in(&both), "{point}: the new files are good all the time");
        let followed = !clients.world().lets_in(&clients.old);
        let again = clients.world().run(FINISH);
        // Nothing was left to do: the last side effects come after that.
        if followed && again.status.code() == Some(5) {
            assert!(again.stderr.contains("no CA is being replaced"), "{point}: {again:?}");
            // It has touched nothing; whatever works on the machine next sweeps.
            clients.world().run(&["regenerate-certs", "m"]).succeeded(point);
        } else {
            again.succeeded(point);
        }
        clients.assert_whole(false, point);
    });
}

pub fn now_killed_then_repeated() {
    let clients = Clients::new();
    let points = clients.world().points(NOW);
    clients.assert_whole(false, "the rotation that counts");
    assert_among(&KINDS, &points);
    each(&points, |point| {
        let clients = Clients::new();
        clients.world().run_with(NOW, point, KILL).was_killed(point);
        clients.assert_mendable(point);
        clients.world().run(NOW).succeeded(point);
        clients.assert_whole(false, point);
    });
}

/// Whoever uses docker meanwhile notices nothing but the restart; a pair of files that is half written is mended by
/// whatever reads the machine.
pub fn move_killed_then_repeated() {
    let world = of_earlier_version();
    let points = world.points(MOVE);
    assert_own(&world, "the move that counts");
    assert_among(
        &[
            "amid write authority-old.pem",
            "amid write authority.pem",
            "amid write ca.pem",
            "amid run sudo -n sh -s",
            "amid write server.pem",
            "after write cert.pem",
            "before write key.pem",
            "2. after write ca.pem",
        ],
        &points,
    );
    each(&points, |point| {
        let world = of_earlier_version();
        let directory = world.store().machine_directory("m");
        let old = world.copy_of(&directory, "old");
        world.run_with(MOVE, point, KILL).was_killed(point);
        world.run(&["env", "m"]).succeeded(point);
        assert!(world.lets_in(&directory), "{point}: docker works");
        world.run(MOVE).succeeded(point);
        assert_own(&world, point);
        let record = world.store().load("m").unwrap();
        assert_eq!((record.trust, world.trusted()), (Trust::Own, 2), "{point}: clients of both CAs are let in");
        std::fs::copy(directory.join(file::CA_CERT), old.join("ca.pem")).unwrap();
        assert!(world.lets_in(&old), "{point}: who has the old client's files");
        world.run(FINISH).succeeded(point);
        assert!(!world.lets_in(&old) && world.trusted() == 1, "{point}: not any more");
        assert_own(&world, point);
        world.assert_usable(point);
        world.assert_tidy(point);
    });
}
