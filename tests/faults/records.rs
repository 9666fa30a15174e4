//! Files of a machine that were cut short: whatever is left of them, no machine is lost and the others are shown.

use std::{fs, path::Path, sync::Arc};

use rmachine_core::{Core, Filter, RemoveMode, Status};
use rmachine_model::{drivers::Drivers, error::Kind};
use rmachine_provider_api::Kind as CloudKind;
use rmachine_provider_fake::{Effect, FakeDriver, Operation, When};

use crate::world::{CREATE, World};

pub fn truncated() {
    let world = World::of_api();
    world.run(CREATE).succeeded("create");
    world.run(&["create", "-d", "fake", "other"]).succeeded("create");
    let core = Core::builder(world.store())
        .drivers(Drivers::of(vec![Arc::new(FakeDriver::new(world.account.clone()))]))
        .build();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let held = world.account.held();
    for file in ["config.json", "engine.json"] {
        let path = world.store().machine_file("m", file);
        let whole = fs::read(&path).unwrap();
        assert!(whole.len() > 100, "{file}");
        // Without its last line break it is whole.
        for length in 0..whole.len() - 1 {
            let what = format!("{length} of {} bytes of {file}", whole.len());
            fs::write(&path, &whole[..length]).unwrap();
            let lines = core.list_recorded(&Filter::default()).unwrap();
            let states: Vec<_> = lines.iter().map(|line| (line.name.as_str(), line.state)).collect();
            assert_eq!(states, [("m", Status::Error), ("other", Status::Running)], "{what}");
            assert!(lines[0].error.as_ref().is_some_and(|e| e.contains(file)), "{what}: {:?}", lines[0].error);
            // rm reads it by the same call; it is slower than a list.
            if length % 8 != 0 {
                continue;
            }
            let refused = runtime.block_on(core.remove("m", RemoveMode::Normal)).unwrap_err();
            assert_eq!(refused.kind(), Kind::Store, "{what}");
            let hints = refused.hints().join("\n");
            assert!(hints.contains("restore the file from a backup") && hints.contains("rm -f m"), "{what}: {hints}");
            assert_eq!(fs::read(&path).unwrap(), whole[..length], "{what}: it was touched");
            // Forgetting is slow, and goes by the same error: a few of them do. The cloud does not answer, so that
            // the tombstone is all there is.
            if length % 96 == 0 {
                world.account.script(Operation::FindTags, 0, When::Before, Effect::fail(CloudKind::Unreachable));
                let forgotten = runtime.block_on(core.remove("m", RemoveMode::Force)).unwrap_err();
                world.account.calm();
                assert!(forgotten.to_string().contains("is forgotten, but what it made"), "{what}: {forgotten}");
                assert!(!world.store().exists("m"), "{what}");
                bring_back(&world.store().tombstones(), &world.store().machine_directory("m"), file, &whole[..length]);
            }
        }
        fs::write(&path, &whole).unwrap();
        assert_eq!(world.account.held(), held, "{file}");
    }
    fs::write(world.store().machine_file("m", "config.json"), b"{").unwrap();
    runtime.block_on(core.remove("m", RemoveMode::Force)).unwrap();
    assert_eq!(world.made().len(), 3, "what carries the tags of m is gone, what is another's is not");
    world.run(&["rm", "-y", "other"]).succeeded("rm");
    world.assert_as_before("after all");
}

/// The tombstone has all that the machine's directory had; it becomes that again.
fn bring_back(tombstones: &Path, directory: &Path, file: &str, content: &[u8]) {
    let tombs: Vec<_> = fs::read_dir(tombstones).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(tombs.len(), 1, "{tombs:?}");
    assert_eq!(fs::read(tombs[0].join(file)).unwrap(), content);
    assert!(tombs[0].join("id_rsa").exists(), "its keys are kept");
    fs::rename(&tombs[0], directory).unwrap();
}
