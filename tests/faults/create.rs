//! A create that dies or is interrupted at each of its side effects.

use std::os::unix::process::ExitStatusExt;

use crate::world::{CREATE, INTERRUPT, KILL, REMOVE, World, each};

/// The side effects of a first create; all kinds of them have to be there, or the rounds prove nothing.
fn points() -> Vec<String> {
    let world = World::of_hosts();
    let points = world.points(CREATE);
    world.assert_usable("the create that counts");
    let kinds = [
        "before write rmachine.json",
        "amid write ca-key.pem",
        "after move m",
        "before CreateGroup",
        "after RunInstance",
        "after log in as fake",
        "2. after log in as fake",
        "amid run sudo -n sh -s",
        "after write config.json",
        "before write server.pem",
        "amid append audit.jsonl",
    ];
    for kind in kinds {
        assert!(points.iter().any(|point| point.contains(kind)), "no {kind:?} in {points:#?}");
    }
    assert!(points.len() > 100, "{points:#?}");
    points
}

pub fn killed_then_removed() {
    killed(|world, what| {
        if world.store().exists("m") {
            world.run(REMOVE).succeeded(what);
        } else {
            assert_eq!(world.run(REMOVE).status.code(), Some(4), "{what}: there is no such machine");
        }
        world.assert_as_before(what);
        world.without_host(CREATE).succeeded(what);
        assert_eq!(world.made().len(), 3, "{what}");
        world.assert_tidy(what);
        world.run(REMOVE).succeeded(what);
    });
}

/// A second create goes on where the first one ended, with what that has made.
pub fn killed_then_repeated() {
    killed(|world, what| {
        let made = world.made();
        let ready = world.store().load("m").is_ok_and(|record| record.phase == rmachine_store::Phase::Ready);
        let again = world.run(CREATE);
        if ready {
            assert_eq!(again.status.code(), Some(5), "{what}: it was ready already");
        } else {
            again.succeeded(what);
        }
        world.assert_usable(what);
        let now = world.made();
        for held in made {
            assert!(now.iter().any(|h| h.resource.id == held.resource.id), "{what}: {held:?} was made twice");
        }
        world.assert_tidy(what);
        world.run(REMOVE).succeeded(what);
    });
}

/// The store is lost: gc finds all that was made, by the owner's id.
pub fn killed_then_collected() {
    each(&points(), |point| {
        let world = World::of_hosts();
        world.run_with(CREATE, point, KILL).was_killed(point);
        match world.store().owner().unwrap() {
            Some(owner) => {
                std::fs::remove_dir_all(world.store().root()).unwrap();
                let command = ["gc", "--driver", "fake", "--owner", owner.as_str(), "--yes"];
                world.without_host(&command).succeeded(point);
            }
            None => assert!(world.made().is_empty(), "{point}: something was made for nobody"),
        }
        world.assert_as_before(point);
        world.without_host(CREATE).succeeded(point);
        assert_eq!(world.made().len(), 3, "{point}");
    });
}

/// Looks until a thing is seen that was just made, as on EC2.
const LATE: usize = 5;

/// Kills a create at each point; `recover` has to leave all as before.
fn killed(recover: impl Fn(&World, &str) + Sync) {
    each(&points(), |point| {
        let world = World::of_hosts();
        world.account.show_after(LATE);
        world.run_with(CREATE, point, KILL).was_killed(point);
        recover(&world, point);
        world.assert_as_before(point);
    });
}

/// After a create the host is known by a key of its own alone: one that has the seed is another host.
pub fn the_seed_is_dropped() {
    let world = World::of_hosts();
    world.run(CREATE).succeeded("create");
    let ssh = world.store().load("m").unwrap().ssh;
    assert_eq!((ssh.host_keys.len(), ssh.seed_key), (1, None));
    world.show_the_seed();
    // The code of ssh is ssh(1)'s own.
    for (command, code) in [(&["ssh", "m", "true"][..], 255), (&["start", "m"], 7), (&["regenerate-certs", "m"], 7)] {
        let refused = world.run(command);
        assert_eq!(refused.status.code(), Some(code), "{command:?}: {refused:?}");
        assert!(refused.stderr.contains("is not the one that is known"), "{command:?}: {refused:?}");
    }
}

/// Ctrl-C: what was made is removed, or the machine is ready, where it came too late.
pub fn interrupted() {
    let points = points();
    let late = points.iter().rposition(|point| point.contains("run sudo")).unwrap();
    each(&points, |point| {
        let world = World::of_hosts();
        world.account.show_after(LATE);
        let ran = world.run_with(CREATE, point, INTERRUPT);
        assert_eq!(ran.status.signal(), None, "{point}: {ran:?}");
        match ran.status.code() {
            Some(130) => world.assert_as_before(point),
            Some(0) if points[late..].iter().any(|p| p == point) => world.assert_usable(point),
            _ => panic!("{point}: {ran:?}"),
        }
        world.assert_tidy(point);
    });
}
