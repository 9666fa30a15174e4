//! Bad input: a clear word, and nothing changed.

use rmachine_core::{MachineSpec, RemoveMode};
use rmachine_model::error::Kind;
use rmachine_provider_api::Value;
use rmachine_store::Store;

use crate::support::{World, options, text, with};

#[tokio::test]
async fn a_refused_create_makes_no_store() {
    let world = World::new();
    let core = world.core();
    let mut engine = options("m");
    engine.engine.labels = vec!["no-value".to_owned()];
    let cases: Vec<(MachineSpec, &str)> = vec![
        (options("-m"), "invalid machine name \"-m\""),
        (options("../m"), "invalid machine name \"../m\""),
        (options(""), "invalid machine name \"\""),
        (options("a_b"), "invalid machine name \"a_b\""),
        (MachineSpec { driver: "fke".to_owned(), ..options("m") }, "unknown driver \"fke\""),
        (with("m", &[("fake-sise", Value::Integer(9))]), "--fake-sise is no flag of the driver"),
        (with("m", &[("fake-size", Value::Switch(true))]), "--fake-size takes a whole number"),
        (engine, "--engine-label takes KEY=VALUE, not \"no-value\""),
        (MachineSpec { tls_sans: vec!["a b".to_owned()], ..options("m") }, "invalid name for a certificate: \"a b\""),
        (with("m", &[("fake-size", Value::Integer(0))]), "--fake-size takes a size from 1, not 0"),
    ];
    for (options, message) in cases {
        let error = core.create(options).await.unwrap_err();
        assert_eq!((error.kind(), error.to_string().as_str()), (Kind::Usage, message));
        assert!(!error.hints().is_empty() || message.contains("takes"), "{message} needs a hint");
    }
    assert!(!world.store().root().exists(), "nothing was made");
    assert_eq!(world.account.calls(), [], "nobody was asked");
}

#[tokio::test]
async fn a_name_that_is_taken_is_refused_and_the_machine_stays() {
    let world = World::new();
    let core = world.core();
    core.create(options("m")).await.unwrap();
    let before = std::fs::read(world.store().machine_file("m", "config.json")).unwrap();
    let error = core.create(options("m")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict);
    assert_eq!(
        text(&error),
        "Error: machine \"m\" already exists\nHint: choose another name, or remove it with `rmachine rm m`"
    );
    assert_eq!(std::fs::read(world.store().machine_file("m", "config.json")).unwrap(), before);
    assert_eq!(world.account.held().len(), 3, "nothing was added or removed");
}

#[tokio::test]
async fn wrong_credentials_make_nothing() {
    let world = World::new();
    world.account.require_token("right");
    let core = world.core();
    let error = core.create(with("m", &[("fake-token", Value::Text("wrong".into()))])).await.unwrap_err();
    assert_eq!(error.kind(), Kind::PreCreate);
    assert_eq!(error.causes(), ["the fake cloud refuses the token"]);
    assert_eq!(error.hints(), ["give it by --fake-token"]);
    world.assert_empty("after refused credentials");
}

#[tokio::test]
async fn a_missing_machine_is_answered_with_the_near_name() {
    let world = World::new();
    let core = world.core();
    core.create(options("aws-test")).await.unwrap();
    let error = core.access("aws-tets").unwrap_err();
    assert_eq!(error.kind(), Kind::NoSuchMachine);
    assert_eq!(error.hints(), ["did you mean \"aws-test\"? `rmachine ls` shows all machines"]);
}

/// Names that lead out of `machines/` are no machines, whatever lies there.
#[tokio::test]
async fn names_never_lead_out_of_the_store() {
    let world = World::new();
    let core = world.core();
    core.create(options("m")).await.unwrap();
    for name in ["..", ".", "../certs", "m/..", "/", ""] {
        for mode in [RemoveMode::Normal, RemoveMode::Force] {
            let error = core.remove(name, mode).await.unwrap_err();
            assert_eq!(error.kind(), Kind::NoSuchMachine, "{name:?}");
        }
        assert_eq!(core.access(name).unwrap_err().kind(), Kind::NoSuchMachine, "{name:?}");
    }
    let locks: Vec<_> = std::fs::read_dir(world.store().root().join("locks"))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("machine-"))
        .collect();
    assert_eq!(locks, ["machine-m.lock"]);
    assert!(Store::at(world.store().root()).load("m").is_ok());
}

#[tokio::test]
async fn a_machine_of_a_driver_that_is_not_here_says_so() {
    let world = World::new();
    world.core().create(options("m")).await.unwrap();
    let none = rmachine_provider_none::NoneDriver::default();
    let drivers = rmachine_model::drivers::Drivers::of(vec![std::sync::Arc::new(none)]);
    let without = rmachine_core::Core::builder(world.store()).drivers(drivers).build();
    let error = without.remove("m", RemoveMode::Normal).await.unwrap_err();
    assert!(text(&error).contains("needs a driver that is not here"), "{}", text(&error));
    world.core().remove("m", RemoveMode::Normal).await.unwrap();
    world.assert_empty("after rm by a program that has the driver");
}
