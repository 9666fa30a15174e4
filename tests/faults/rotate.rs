//! rotate-ca that dies at each of its side effects: the same command again completes it, and who was to come in all the
//! time did.

use std::path::PathBuf;

use rmachine::store::file;

use crate::{
    one_ca,
    share::{Shared, assert_among},
    world::{KILL, World, each},
};

const BEGIN: &[&str] = &["rotate-ca"];
const FINISH: &[&str] = &["rotate-ca", "--finish"];
const NOW: &[&str] = &["rotate-ca", "--now"];

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
        one_ca::assert(&world.store(), &["m".to_owned()]);
        let directory = world.store().certs_directory();
        let certificates = one_ca::read(&directory.join(file::CA_CERT)).matches("BEGIN CERTIFICATE").count();
        // The share's CA is trusted, too.
        assert_eq!((certificates, world.trusted()), if overlap { (2, 3) } else { (1, 2) }, "{what}");
        for old in [file::OLD_CA_CERT, file::OLD_CA_KEY] {
            assert_eq!(directory.join(old).exists(), overlap, "{what}: {old}");
        }
        assert!(world.lets_in(&directory), "{what}: who has the store's files");
        assert_eq!(world.lets_in(&self.old), overlap, "{what}: who has the old files");
        world.assert_usable(what);
        world.assert_tidy(what);
        // The recipient knows the old CA only, until they get what is printed for them.
        assert_eq!(self.shared.enters(), overlap, "{what}: who has a share");
        std::fs::copy(directory.join(file::CA_CERT), self.shared.directory().join("ca.pem")).unwrap();
        assert!(self.shared.enters(), "{what}: who has a share and the new ca.pem");
    }
}

/// Kinds of side effects of each step.
const KINDS: [&str; 4] =
    ["after lock ca.lock", "amid run sudo -n sh -s", "amid write server.pem", "after write config.json"];

pub fn begin_killed_then_repeated() {
    let clients = Clients::new();
    let points = clients.world().points(BEGIN);
    clients.assert_whole(true, "the begin that counts");
    assert_among(&KINDS[..2], &points);
    assert_among(
        &[
            "amid write ca-old.pem",
            "amid write ca-key.pem",
            "amid write ca.pem",
            "amid write key.pem",
            "before delete ca.pem",
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
    assert_among(&["after delete ca-old-key.pem", "after delete ca-old.pem"], &points);
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
