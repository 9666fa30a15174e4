//! `ssh-config`, as the stock ssh takes it: the same trust, whatever the host is known by and wherever the store is.

use std::{path::Path, process::Output};

use serde_json::{Value, json};

use super::{
    binary::Machine,
    sshd::{keygen, public},
};

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// The configuration of `m`.
fn config(machine: &Machine) -> String {
    let output = machine.command(&["ssh-config", "m"]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout).to_owned()
}

/// `ssh -F CONFIG m echo hello`, without anything of the user's.
fn stock_ssh(machine: &Machine, config: &str) -> Output {
    let path = machine.home().join("ssh.conf");
    std::fs::write(&path, config).unwrap();
    let mut command = std::process::Command::new("ssh");
    machine.environment(&mut command);
    command.args(["-o", "BatchMode=yes", "-F"]).arg(path).args(["m", "echo hello"]).output().unwrap()
}

#[track_caller]
fn assert_let_in(machine: &Machine, config: &str) {
    let output = stock_ssh(machine, config);
    assert_eq!(text(&output.stdout), "hello\n", "{config}\n{}", text(&output.stderr));
}

#[track_caller]
fn assert_refused(machine: &Machine, config: &str) {
    let output = stock_ssh(machine, config);
    assert_eq!(output.status.code(), Some(255), "{config}");
    assert!(text(&output.stderr).contains("Host key verification failed"), "{}", text(&output.stderr));
}

/// Lets the record of `m` pin these keys, and have this trust besides.
fn trust(machine: &Machine, keys: &[&str], given: &Value) {
    let path = machine.machine_directory().join("config.json");
    let mut document: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let record = &mut document["Rmachine"];
    assert!(record["Ssh"]["HostKeys"].is_array() && !record["Plan"]["host_trust"].is_null(), "{record:#}");
    record["Ssh"]["HostKeys"] = json!(keys);
    record["Plan"]["host_trust"] = given.clone();
    std::fs::write(path, document.to_string()).unwrap();
}

fn other_key(machine: &Machine) -> String {
    let path = machine.home().join("other");
    if path.exists() { public(&path) } else { public(&keygen(&machine.home(), "other", &["-t", "ed25519"])) }
}

#[test]
fn two_pins_are_alternatives_and_a_third_key_is_refused() {
    let machine = Machine::new();
    let (own, other) = (machine.sshd.first_host_key(), other_key(&machine));
    for pins in [[&*own, &*other], [&*other, &*own]] {
        trust(&machine, &pins, &json!({ "given": own }));
        let config = config(&machine);
        let known = std::fs::read_to_string(machine.machine_directory().join("known_hosts")).unwrap();
        assert_eq!(known, format!("rmachine-m {}\nrmachine-m {}\n", pins[0], pins[1]));
        assert_let_in(&machine, &config);
    }
    // The first session after it settles on one; what was printed before is good for that, too.
    let before = config(&machine);
    assert!(machine.command(&["ssh", "m", "true"]).status().unwrap().success());
    assert_let_in(&machine, &before);
    trust(&machine, &[&other], &json!({ "given": own }));
    assert_refused(&machine, &config(&machine));
}

#[test]
fn pins_of_two_types_offer_both() {
    let machine = Machine::with_sshd(super::sshd::Sshd::start_with(&["ed25519", "rsa"]));
    let (ed25519, rsa) = (machine.sshd.host_key("ed25519"), machine.sshd.host_key("rsa"));
    let other = other_key(&machine);
    for (pins, algorithms) in
        [(vec![&*ed25519, &*rsa], "ssh-ed25519,rsa-sha2-512,rsa-sha2-256"), (vec![&*rsa], "rsa-sha2-512,rsa-sha2-256")]
    {
        trust(&machine, &pins, &json!({ "given": pins[0] }));
        let config = config(&machine);
        assert!(config.contains(&format!("  HostKeyAlgorithms {algorithms}\n")), "{config}");
        assert_let_in(&machine, &config);
    }
    // The host has another key of the first type: that is no reason to take its RSA key in silence.
    trust(&machine, &[&other, &rsa], &json!({ "given": rsa }));
    assert_refused(&machine, &config(&machine));
}

#[test]
fn a_fingerprint_becomes_the_key_that_has_it() {
    let machine = Machine::new();
    let own = machine.sshd.first_host_key();
    let fingerprint = rmachine_ssh::fingerprint(&own).unwrap();
    trust(&machine, &[], &json!({ "given": fingerprint }));
    let good = config(&machine);
    let known = std::fs::read_to_string(machine.machine_directory().join("known_hosts")).unwrap();
    assert_eq!(known, format!("rmachine-m {own}\n"));
    assert_let_in(&machine, &good);

    let other = rmachine_ssh::fingerprint(&other_key(&machine)).unwrap();
    trust(&machine, &[], &json!({ "given": other }));
    let refused = machine.command(&["ssh-config", "m"]).output().unwrap();
    assert_eq!((refused.status.code(), text(&refused.stdout)), (Some(7), ""));
    let stderr = text(&refused.stderr);
    assert!(stderr.contains(&fingerprint) && stderr.contains(&other), "{stderr}");
    // Where all are asked for, the others are printed.
    let all = machine.command(&["ssh-config"]).output().unwrap();
    assert_eq!((all.status.code(), text(&all.stdout)), (Some(0), ""));
    assert!(text(&all.stderr).starts_with("Warning: (m) it is left out: "), "{}", text(&all.stderr));
}

/// A record without a pin: such as of a create that ended before its first session.
#[test]
fn without_a_pin_the_users_known_hosts_is_asked() {
    let machine = Machine::new();
    let (own, other) = (machine.sshd.first_host_key(), other_key(&machine));
    trust(&machine, &[], &json!("known-hosts"));
    let printed = config(&machine);
    for absent in ["HostKeyAlias", "UserKnownHostsFile", "HostKeyAlgorithms"] {
        assert!(!printed.contains(absent), "{printed}");
    }
    assert!(printed.contains("  StrictHostKeyChecking yes\n"), "{printed}");
    // OpenSSH takes the home from the password file, not from HOME.
    let file = machine.home().join("users_known_hosts");
    let with = |key: &str| {
        std::fs::write(&file, format!("[127.0.0.1]:{} {key}\n", machine.sshd.port)).unwrap();
        format!("{printed}  UserKnownHostsFile {}\n", file.display())
    };
    assert_let_in(&machine, &with(&own));
    assert_refused(&machine, &with(&other));
    std::fs::write(&file, "").unwrap();
    assert_refused(&machine, &format!("{printed}  UserKnownHostsFile {}\n", file.display()));
}

#[test]
fn what_known_hosts_vouched_for_at_the_create_is_pinned() {
    let machine = Machine::bare();
    let own = machine.sshd.first_host_key();
    let known = machine.home().join(".ssh/known_hosts");
    std::fs::create_dir_all(known.parent().unwrap()).unwrap();
    std::fs::write(&known, format!("[127.0.0.1]:{} {own}\n", machine.sshd.port)).unwrap();
    let created = machine.create(&[]).output().unwrap();
    assert!(created.status.success(), "{}", text(&created.stderr));
    std::fs::remove_file(known).unwrap();
    let pinned = std::fs::read_to_string(machine.machine_directory().join("known_hosts"));
    assert!(pinned.is_err(), "it is written when it is asked for");
    assert_let_in(&machine, &config(&machine));
}

#[test]
fn a_store_at_any_place_that_openssh_can_be_told() {
    for place in ["with space", "per%cent %h %%", "quo\"te'#", "back\\slash", "do$llar $HOME {x}", "~tilde", "ümläut"]
    {
        let machine = Machine::in_store(Path::new(place));
        assert_let_in(&machine, &config(&machine));
    }
    let machine = Machine::in_store(Path::new("in ${HOME}"));
    assert!(machine.command(&["ssh", "m", "true"]).status().unwrap().success(), "our own client takes it as it is");
    for arguments in [&["ssh-config", "m"][..], &["ssh-config"]] {
        let refused = machine.command(arguments).output().unwrap();
        assert_eq!((refused.status.code(), text(&refused.stdout)), (Some(2), ""));
        let stderr = text(&refused.stderr);
        assert!(
            stderr.starts_with("Error: OpenSSH cannot be told the path ") && stderr.contains("\nHint: "),
            "{stderr}"
        );
    }
}
