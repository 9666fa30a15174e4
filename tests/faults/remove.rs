//! An rm that dies at each of its side effects.

use crate::world::{CREATE, KILL, REMOVE, World, each};

pub fn killed_then_repeated() {
    let world = World::of_api();
    world.run(CREATE).succeeded("create");
    let points = world.points(REMOVE);
    for kind in ["after TerminateInstance", "before DeleteGroup", "amid remove m"] {
        assert!(points.iter().any(|point| point.contains(kind)), "no {kind:?} in {points:#?}");
    }
    world.assert_as_before("the rm that counts");
    each(&points, |point| {
        let world = World::of_api();
        world.run(CREATE).succeeded(point);
        world.run_with(REMOVE, point, KILL).was_killed(point);
        let again = world.run(REMOVE);
        let gone = again.stderr.contains("machine \"m\" does not exist");
        // The log's second line says that it is gone.
        let late = point.contains(" remove m") || (point.starts_with("2. ") && point.ends_with("append audit.jsonl"));
        assert!(again.status.success() || (gone && late), "{point}: {again:?}");
        world.assert_as_before(point);
        world.run(CREATE).succeeded(point);
        world.assert_tidy(point);
    });
}
