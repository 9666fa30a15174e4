//! rotate-keys that dies at each of its side effects: the machine can be reached, and the same command again completes it.

use rmachine_ssh::{public_half, same_key};
use rmachine_store::{Record, file};

use crate::{
    share::assert_among,
    world::{CREATE, KILL, World, each},
};

const ROTATE: &[&str] = &["rotate-keys", "m"];

/// What a machine is known by and logged in to with.
struct Keys {
    login: String,
    host: String,
    server: String,
}

impl Keys {
    fn of(world: &World) -> Self {
        let store = world.store();
        let record: Record = store.load("m").unwrap();
        assert_eq!(record.ssh.host_keys.len(), 1);
        Self {
            login: public_half(&store.machine_file("m", &record.ssh.key_file)).unwrap(),
            host: record.ssh.host_keys[0].clone(),
            server: std::fs::read_to_string(store.machine_file("m", file::SERVER_KEY)).unwrap(),
        }
    }

    /// All three are others now, and who has the old login key is not let in.
    #[track_caller]
    fn assert_replaced(&self, world: &World, what: &str) {
        let now = Self::of(world);
        assert!(!same_key(&self.login, &now.login) && !same_key(&self.host, &now.host), "{what}");
        assert_ne!(self.server, now.server, "{what}");
        let logins = world.logins();
        assert!(logins.len() == 1 && same_key(&logins[0], &now.login), "{what}: {logins:?}");
        for left in [file::NEXT_LOGIN_KEY, file::OLD_LOGIN_KEY] {
            assert!(!world.store().machine_file("m", left).exists(), "{what}: {left}");
        }
        world.assert_usable(what);
        world.assert_tidy(what);
    }
}

pub fn killed_then_repeated() {
    let created = || {
        let world = World::of_hosts();
        world.run(CREATE).succeeded("create");
        let keys = Keys::of(&world);
        (world, keys)
    };
    let (world, before) = created();
    let points = world.points(ROTATE);
    before.assert_replaced(&world, "the rotation that counts");
    let kinds = [
        "amid write id_next",
        "amid write id_old",
        "amid write id_rsa",
        "after log in as fake",
        "after run sh -s",
        "amid run sudo -n sh -s",
        "before delete id_old",
        "amid append audit.jsonl",
        "amid write server-key.pem",
    ];
    assert_among(&kinds, &points);
    each(&points, |point| {
        let (world, before) = created();
        world.run_with(ROTATE, point, KILL).was_killed(point);
        world.assert_usable(point);
        world.run(ROTATE).succeeded(point);
        before.assert_replaced(&world, point);
    });
}
