//! Engines that lie.

use rmachine_certs::{self as certs, Identity, Sans};
use time::OffsetDateTime;

use crate::{
    liar_engine::{self, Lie},
    world::{World, at_once},
};

/// A certificate for this computer by the CA that clients of driver none's machines trust.
fn certificate(world: &World) -> Identity {
    let read = |name: &str| std::fs::read_to_string(world.path("store/certs").join(name)).unwrap();
    let ca = Identity { cert_pem: read("ca.pem"), key_pem: read("ca-key.pem").into() };
    certs::issue_server(&ca, &Sans::parse(["127.0.0.1"]).unwrap(), OffsetDateTime::now_utc()).unwrap()
}

fn add(world: &World, name: &str, port: u16) {
    world.set_up(&["rmachine", "create", "-d", "none", "--url", &format!("tcp://127.0.0.1:{port}"), name]);
}

/// With an honest machine `good`, and what it takes to serve others.
fn world() -> (World, Identity) {
    let world = World::new();
    // The store's CA is made with the first machine.
    add(&world, "first", 1);
    world.set_up(&["rmachine", "rm", "-y", "first"]);
    let identity = certificate(&world);
    (world, identity)
}

const LIES: [(Lie, &str); 9] = [
    (Lie::NoTls, ""),
    (Lie::Silence, "did not answer"),
    (Lie::Drip, "did not answer"),
    (Lie::EndlessBody, "without end"),
    (Lie::LongBody, "without end"),
    (Lie::EndlessHead, ""),
    (Lie::EndlessHeader, ""),
    (Lie::Escapes, "does not answer as a Docker Engine"),
    (Lie::LongError, "\\u{1b}]52;c;"),
];

pub fn no_command_hangs_or_swells() {
    at_once(&LIES, |(lie, word)| no_command_is_held_up_by(*lie, word));
}

fn no_command_is_held_up_by(lie: Lie, word: &str) {
    let (world, identity) = world();
    add(&world, "m", liar_engine::up(lie, &identity.cert_pem, &identity.key_pem));
    let store = world.path("store").display().to_string();
    let refused: [&[&str]; 3] = [
        &["rmachine", "env", "--check", "m"],
        &["docker-machine", "-s", &store, "config", "m"],
        &["rmachine", "version", "m"],
    ];
    for arguments in refused {
        let ran = world.assert_refused(&format!("{lie:?}"), arguments);
        assert!(ran.stderr.contains(word), "{lie:?}: {arguments:?}: {}", ran.stderr);
        assert!(!ran.stderr.lines().any(|line| line.starts_with("Error: forged")), "{}", ran.stderr);
    }
    for arguments in [
        &["rmachine", "ls", "--timeout", "3"][..],
        &["docker-machine", "-s", &store, "ls", "--timeout", "3"],
        &["rmachine", "status", "--timeout", "3", "m"],
        &["rmachine", "doctor", "--timeout", "3", "m"],
    ] {
        let ran = world.run(arguments);
        world.assert_bounded(&format!("{lie:?}"), arguments, &ran);
        assert!(!ran.stdout.lines().any(|line| line.starts_with("Error: forged")), "{}", ran.stdout);
    }
}

pub fn ls_shows_the_others() {
    let (world, identity) = world();
    let names: Vec<String> = (0..10).map(|n| format!("m{n}")).collect();
    for lie in [Lie::EndlessBody, Lie::Silence, Lie::Escapes] {
        for (n, name) in names.iter().enumerate() {
            let lie = if n == 4 { lie } else { Lie::Nothing };
            add(&world, name, liar_engine::up(lie, &identity.cert_pem, &identity.key_pem));
        }
        let arguments = ["rmachine", "ls", "--timeout", "5"];
        let ran = world.run(&arguments);
        world.assert_bounded(&format!("{lie:?} of one"), &arguments, &ran);
        assert_eq!((ran.code, ran.stdout.lines().count()), (Some(0), 11), "{}", ran.stdout);
        for (n, line) in ran.stdout.lines().skip(1).enumerate() {
            let words: Vec<&str> = line.split_whitespace().collect();
            assert_eq!(words[0], names[n], "{}", ran.stdout);
            assert_eq!(line.contains("v28.5.2"), n != 4, "{line}");
            assert_eq!(words[3] == "Running", n != 4, "{line}");
        }
        world.set_up(&["rmachine", "rm", "-y", "m0", "m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "m9"]);
    }
}
