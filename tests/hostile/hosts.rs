//! Hosts that lie.

use crate::{
    child::Patience,
    liar::{FORGED, Liar, Lie},
    world::{Ran, World, at_once},
};

/// A machine `m` with an engine on a host that is honest until then.
pub fn machine() -> (World, Liar) {
    let (world, liar) = (World::new(), Liar::up());
    world.set_up(&create(&world, &liar, "m").iter().map(String::as_str).collect::<Vec<_>>());
    (world, liar)
}

fn create(world: &World, liar: &Liar, name: &str) -> Vec<String> {
    let (ssh, engine) = (liar.ssh.to_string(), liar.engine.to_string());
    let key = world.path("login").display().to_string();
    let words = [
        ["create", "-d", "generic", "--engine-source", "existing", "--generic-ip-address", "127.0.0.1"].as_slice(),
        &["--generic-ssh-port", &ssh, "--generic-engine-port", &engine, "--generic-ssh-user", "u"],
        &["--generic-ssh-key", &key, "--generic-ssh-host-key", &liar.host_key, name],
    ];
    std::iter::once("rmachine").chain(words.concat()).map(str::to_owned).collect()
}

/// Those that no command gets past, with a word that its error has.
const LIES: [(Lie, &str); 10] = [
    (Lie::NoHandshake, "did not answer"),
    (Lie::EndlessGreeting, "the SSH session with"),
    (Lie::SilentLogin, "did not answer"),
    (Lie::NoChannel, "127.0.0.1 did not"),
    (Lie::Silence, "did not say anything"),
    (Lie::Drip, "did not come to the end"),
    (Lie::EndlessLine, "more than"),
    (Lie::Gigabytes, "more than"),
    (Lie::Addresses, "more than"),
    (Lie::ForgedErrors, "forged"),
];

/// With the patience in which only what the word names can end the command.
fn patience(lie: Lie) -> Patience {
    match lie {
        Lie::EndlessLine | Lie::Gigabytes | Lie::Addresses => Patience::OfBytes,
        _ => Patience::Little,
    }
}

pub fn no_command_hangs_or_swells() {
    at_once(&LIES, |(lie, word)| no_command_is_held_up_by(*lie, word));
}

fn no_command_is_held_up_by(lie: Lie, word: &str) {
    let (world, liar) = machine();
    liar.tells(lie);
    let commands: [&[&str]; 2] = [&["rmachine", "provision", "m"], &["rmachine", "regenerate-certs", "m"]];
    // Before the login all are the same, and that takes its time.
    let early = matches!(lie, Lie::NoHandshake | Lie::EndlessGreeting | Lie::SilentLogin);
    for arguments in &commands[..if early { 1 } else { 2 }] {
        let ran = world.assert_refused_with(patience(lie), &format!("{lie:?}"), arguments);
        assert!(ran.stderr.contains(word), "{lie:?}: {arguments:?}: {}", ran.stderr);
    }
    let doctor = ["rmachine", "doctor", "--timeout", "3", "m"];
    let ran = world.run(&doctor);
    world.assert_bounded(&format!("{lie:?}"), &doctor, &ran);
    liar.tells(Lie::Nothing);
    world.set_up(&["rmachine", "regenerate-certs", "m"]);
}

pub fn create_ends() {
    let (world, liar) = machine();
    for (lie, word) in [LIES[4], LIES[7]] {
        liar.tells(lie);
        let words = create(&world, &liar, "n");
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let ran = world.assert_refused_with(patience(lie), &format!("{lie:?}"), &words);
        assert!(ran.stderr.contains(word), "{lie:?}: {}", ran.stderr);
    }
}

pub fn escapes_are_shown_and_lines_not_forged() {
    let (world, liar) = machine();
    for lie in [Lie::Escapes, Lie::ForgedErrors] {
        liar.tells(lie);
        for program in ["rmachine", "docker-machine"] {
            let store = world.path("store").display().to_string();
            let Ran { stderr, .. } =
                world.assert_refused(&format!("{lie:?}"), &[program, "-s", &store, "provision", "m"]);
            assert!(stderr.contains("\\u{1b}]52;c;cm0gLXJm\\u{7}"), "{stderr}");
            assert!(!stderr.lines().any(|line| line.starts_with("Error: forged") || line.contains(FORGED)), "{stderr}");
            assert!(!stderr.lines().any(|line| line.starts_with("Hint: `rm")), "{stderr}");
        }
    }
}

pub fn channels_are_refused() {
    let (world, liar) = machine();
    liar.tells(Lie::Channels);
    // Answered well all the while.
    for arguments in [["rmachine", "regenerate-certs", "m"], ["rmachine", "provision", "m"]] {
        let ran = world.run(&arguments);
        world.assert_bounded("Channels", &arguments, &ran);
        assert_eq!(ran.code, Some(0), "{ran:?}");
    }
    let (opened, accepted) = liar.channels();
    assert!(opened >= 7, "{opened} channels were opened");
    assert_eq!(accepted, 0, "of {opened}");
}
