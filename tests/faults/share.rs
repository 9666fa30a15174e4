//! share and unshare that die at each of their side effects.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
};

use rmachine_core::{Core, Share, ShareState};
use time::OffsetDateTime;

use crate::world::{CREATE, KILL, World, each};

/// A machine, and somebody with a key.
pub struct Shared {
    pub world: World,
    key_pem: String,
}

impl Shared {
    pub fn new() -> Self {
        let world = World::of_hosts();
        world.run(CREATE).succeeded("create");
        let key = rcgen::KeyPair::generate().unwrap();
        fs::write(world.path("pub.pem"), key.public_key_pem()).unwrap();
        Self { world, key_pem: key.serialize_pem() }
    }

    /// Where the files of their share are.
    pub fn directory(&self) -> PathBuf {
        self.world.path("out")
    }

    fn command(&self) -> [String; 6] {
        let path = |name| self.world.path(name).to_str().unwrap().to_owned();
        ["share", "m", "--to", &path("pub.pem"), "-o", &path("out")].map(str::to_owned)
    }

    /// Makes a share, and answers its id.
    pub fn share(&self) -> String {
        self.run().succeeded("share");
        self.shares()[0].id.clone()
    }

    fn run(&self) -> crate::world::Ran {
        self.world.run(&self.command().each_ref().map(String::as_str))
    }

    pub fn shares(&self) -> Vec<Share> {
        Core::builder(self.world.store()).build().shares("m").unwrap()
    }

    fn states(&self) -> Vec<ShareState> {
        let now = OffsetDateTime::now_utc();
        self.shares().iter().map(|share| share.state(now)).collect()
    }

    /// Whether the one with the key comes in.
    pub fn enters(&self) -> bool {
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(self.directory().join("key.pem")).unwrap();
        file.write_all(self.key_pem.as_bytes()).unwrap();
        let entered = self.world.lets_in(&self.directory());
        fs::remove_file(self.directory().join("key.pem")).unwrap();
        entered
    }

    /// Kills the command at `point`; whoever else uses the machine sees nothing of that.
    fn kill(&self, point: &str) {
        let command = self.command();
        self.world.run_with(&command.each_ref().map(String::as_str), point, KILL).was_killed(point);
        self.world.assert_usable(point);
    }

    /// The files are whole, nothing else is there, and they are good for one machine's engine.
    #[track_caller]
    fn assert_given(&self, what: &str) {
        let mut files: Vec<String> =
            fs::read_dir(self.directory()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        files.sort();
        assert_eq!(files, ["README.txt", "ca.pem", "cert.pem"], "{what}");
        assert_eq!((self.states(), self.world.trusted()), (vec![ShareState::Open], 2), "{what}");
        assert!(self.enters(), "{what}");
        self.world.assert_usable(what);
        self.world.assert_tidy(what);
    }

    /// Nobody has access but the store's own clients.
    #[track_caller]
    fn assert_ended(&self, what: &str) {
        assert_eq!((self.shares().len(), self.world.trusted()), (0, 1), "{what}");
        assert!(!self.directory().join("cert.pem").exists() || !self.enters(), "{what}");
        self.world.assert_usable(what);
        self.world.assert_tidy(what);
    }
}

fn points() -> Vec<String> {
    let shared = Shared::new();
    let points = shared.world.points(&shared.command().each_ref().map(String::as_str));
    shared.assert_given("the share that counts");
    let kinds = [
        "before mkdir out",
        "amid write shares.json",
        "amid run sudo -n sh -s",
        "before write README.txt",
        "amid write cert.pem",
        "2. after write shares.json",
    ];
    assert_among(&kinds, &points);
    points
}

#[track_caller]
pub fn assert_among(kinds: &[&str], points: &[String]) {
    for kind in kinds {
        assert!(points.iter().any(|point| point.contains(kind)), "no {kind:?} in {points:#?}");
    }
}

/// The same command again makes the share, in the same place; only when it was given already is that refused.
pub fn killed_then_repeated() {
    each(&points(), |point| {
        let shared = Shared::new();
        shared.kill(point);
        let given = shared.directory().join("cert.pem").exists() && shared.states() == [ShareState::Open];
        let again = shared.run();
        if given {
            assert_eq!(again.status.code(), Some(2), "{point}: {again:?}");
            assert!(again.stderr.contains("exists already"), "{point}: {again:?}");
        } else {
            again.succeeded(point);
        }
        shared.assert_given(point);
    });
}

/// What `doctor` names ends it, so that nobody has access whom nobody knows of.
pub fn killed_then_ended() {
    each(&points(), |point| {
        let shared = Shared::new();
        shared.kill(point);
        if shared.states() == [ShareState::Unfinished] {
            let remedies = shared.world.remedies();
            let [remedy] = remedies.as_slice() else { panic!("{point}: {remedies:?}") };
            assert_eq!(remedy[..2], ["unshare", "m"], "{point}");
            shared.world.run(&remedy.iter().map(String::as_str).collect::<Vec<_>>()).succeeded(point);
        } else {
            shared.world.run(&["unshare", "m", "--all"]).succeeded(point);
        }
        assert_eq!(shared.world.remedies(), Vec::<Vec<String>>::new(), "{point}");
        shared.assert_ended(point);
    });
}

pub fn unshare_killed_then_repeated() {
    let shared = Shared::new();
    let id = shared.share();
    let points = shared.world.points(&["unshare", "m", &id]);
    shared.assert_ended("the unshare that counts");
    assert_among(&["amid write shares.json", "amid run sudo -n sh -s", "2. after write shares.json"], &points);
    let points: Vec<String> = points.iter().map(|point| point.replace(&id, "ID")).collect();
    each(&points, |point| {
        let shared = Shared::new();
        let id = shared.share();
        assert!(shared.enters(), "{point}");
        let command = ["unshare", "m", &id];
        shared.world.run_with(&command, point, KILL).was_killed(point);
        shared.world.assert_usable(point);
        let states = shared.states();
        if states == [ShareState::Ending] {
            let remedies = shared.world.remedies();
            assert!(remedies.iter().any(|remedy| *remedy == command), "{point}: doctor names it: {remedies:?}");
            // Between the engine's new key and its certificate these do not fit, which `regenerate-certs` mends as well.
            let half = point.contains("server-key.pem") || point.contains("server.pem");
            let mut others = remedies.iter().filter(|remedy| **remedy != command).map(|remedy| remedy.join(" "));
            assert!(others.all(|other| half && other == "regenerate-certs m"), "{point}: {remedies:?}");
        }
        let again = shared.world.run(&command);
        if states.is_empty() {
            assert!(again.stderr.contains("has no share") && again.status.code() == Some(2), "{point}: {again:?}");
        } else {
            again.succeeded(point);
        }
        shared.assert_ended(point);
    });
}
