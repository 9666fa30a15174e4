//! Every error that needs no network, as a user sees it.

use crate::user::{User, snapshots};

fn snapshot(user: &User, name: &str, cases: &[&[&str]]) {
    let text: Vec<String> = cases.iter().map(|arguments| user.refused(arguments)).collect();
    snapshots(|| insta::assert_snapshot!(name, text.join("\n")));
}

#[test]
fn wrong_command_lines() {
    let user = User::new();
    snapshot(
        &user,
        "wrong_command_lines",
        &[
            &["strat"],
            &["frobnicate"],
            &["stop", "--frob"],
            &["ls", "--quite"],
            &["ls", "--timeout", "soon"],
            &["ls", "--timeout"],
            &["active", "one"],
            &["rm"],
            &["--storage-path"],
        ],
    );
    assert!(!user.store().exists(), "a wrong command line makes nothing");
}

#[test]
fn wrong_creates() {
    let user = User::with_machines();
    snapshot(
        &user,
        "wrong_creates",
        &[
            &["create", "m"],
            &["create", "-d", "none"],
            &["create", "-d", "gneric", "m"],
            &["create", "-d", "", "m"],
            &["create", "-d", "none", "m"],
            &["create", "-d", "none", "--url", "10.0.0.5:2376", "m"],
            &["create", "-d", "none", "--url", "tcp://h:1", "--generic-ssh-user", "u", "m"],
            &["create", "-d", "none", "--uri", "tcp://h:1", "m"],
            &["create", "-d", "none", "--url", "tcp://h:1", "-m"],
            &["create", "-d", "none", "--url", "tcp://h:1", "a_b"],
            &["create", "-d", "none", "--url", "tcp://h:1", "one"],
            &["create", "-d", "generic", "m"],
            &["create", "-d", "generic", "--generic-ip-address", "root@host", "m"],
            &["create", "-d", "generic", "--generic-ip-address", "h", "--generic-ssh-port", "x", "m"],
            &["create", "-d", "generic", "--generic-ip-address", "h", "--generic-ssh-port", "70000", "m"],
            &["create", "-d", "generic", "--generic-ip-address", "h", "--generic-ssh-key", "/no/key", "m"],
            &["create", "-d", "generic", "--generic-ip-address", "h", "--generic-ssh-host-key", "MD5:aa:bb", "m"],
            &["create", "-d", "none", "--url", "tcp://h:1", "--engine-source", "snap", "m"],
            &["create", "-d", "none", "--url", "tcp://h:1", "--engine-source", "url", "m"],
            &["create", "-d", "none", "--url", "tcp://h:1", "--engine-install-url", "ftp://x", "m"],
            &["create", "-d", "none", "--url", "tcp://h:1", "--engine-label", "x", "m"],
            &["create", "-d", "none", "--url", "tcp://h:1", "--engine-env", "SECRET", "m"],
            &["create", "-d", "none", "--url", "tcp://h:1", "--engine-opt", "host=tcp://0.0.0.0:1", "m"],
            &["create", "-d", "none", "--url", "tcp://h:1", "--engine-opt", "mtu=big", "m"],
            &["create", "-d", "none", "--url", "tcp://h:1", "--engine-insecure-registry", "http://r", "m"],
            &["create", "-d", "none", "--url", "tcp://h:1", "--engine-registry-mirror", "r", "m"],
            &["create", "-d", "none", "--url", "tcp://h:1", "--tls-san", "a b", "m"],
        ],
    );
    assert_eq!(user.run(&["ls", "-q"]).stdout, "one\ntwo\n", "nothing was made");
}

#[test]
fn machines_that_are_not_there() {
    let user = User::with_machines();
    snapshot(
        &user,
        "machines_that_are_not_there",
        &[
            &["env", "onw"],
            &["ip", "zzz"],
            &["stop"],
            &["inspect", ".."],
            &["rm", "-y", "zzz"],
            &["ssh", "zzz"],
            &["status", "zzz"],
        ],
    );
}

#[test]
fn what_a_driver_cannot_do() {
    let user = User::with_machines();
    snapshot(
        &user,
        "what_a_driver_cannot_do",
        &[
            &["stop", "one"],
            &["kill", "one"],
            &["start", "one"],
            &["restart", "one"],
            &["ssh", "one"],
            &["provision", "one"],
            &["regenerate-certs", "one"],
            &["allow", "one"],
            &["allow", "one", "10.0.0.0/33"],
        ],
    );
}

#[test]
fn machines_in_the_wrong_state() {
    let user = User::with_machines();
    user.change("one", |document| document["Rmachine"]["Power"] = "stopped".into());
    user.change("two", |document| document["Rmachine"]["Phase"] = "creating".into());
    snapshot(
        &user,
        "machines_in_the_wrong_state",
        &[
            &["env", "one"],
            &["url", "one"],
            &["ip", "one"],
            &["config", "one"],
            &["env", "two"],
            &["start", "two"],
            &["create", "-d", "none", "--url", "tcp://h:1", "two"],
        ],
    );
    user.change("two", |document| document["Rmachine"]["Phase"] = "removing".into());
    user.change("one", |document| document["Rmachine"]["Version"] = 99.into());
    snapshot(&user, "machines_in_the_wrong_state_2", &[&["env", "two"], &["env", "one"], &["rm", "-y", "one"]]);
    std::fs::write(user.store().join("machines/one/config.json"), "{").unwrap();
    snapshot(&user, "broken_record", &[&["env", "one"], &["rm", "-y", "one"], &["rm", "-f", "one"]]);
}

#[test]
fn other_wrong_values() {
    let user = User::with_machines();
    snapshot(
        &user,
        "other_wrong_values",
        &[
            &["env", "--shell", "apl", "one"],
            &["ls", "--filter", "running"],
            &["ls", "--filter", "color=red"],
            &["ls", "--filter", "name=("],
            &["ls", "--filter", "state=Runing"],
            &["rm", "one"],
            &["url", "--check", "one"],
            &["version", "one"],
        ],
    );
    assert_eq!(user.run(&["ls", "-q"]).stdout, "one\ntwo\n", "nothing was removed");
}

#[test]
fn shares_that_are_refused() {
    let user = User::with_machines();
    let home = user.store().parent().unwrap().to_owned();
    let file = |name: &str, text: &str| {
        std::fs::write(home.join(name), text).unwrap();
        home.join(name).to_str().unwrap().to_owned()
    };
    let public = file("pub.pem", &rcgen::KeyPair::generate().unwrap().public_key_pem());
    let private = file("key.pem", "-----BEGIN PRIVATE KEY-----\nMIGH\n-----END PRIVATE KEY-----\n");
    let out = home.join("out").to_str().unwrap().to_owned();
    std::fs::create_dir(home.join("taken")).unwrap();
    let taken = file("taken/file", "mine");
    let taken = taken.trim_end_matches("/file");
    let to = ["share", "one", "--to"];
    snapshot(
        &user,
        "shares_that_are_refused",
        &[
            &["share", "one", "--ttl", "8h"],
            &["share", "one", "--ca", "--json"],
            &["share", "zzz"],
            &["share", "zzz", "--ca"],
            &["share", "zzz", "--to", &public, "-o", &out],
            &[&to[..], &["no-such-file", "-o", &out]].concat(),
            &[&to[..], &[&private, "-o", &out]].concat(),
            &[&to[..], &[&public, "--ttl", "8x", "-o", &out]].concat(),
            &[&to[..], &[&public, "--ttl", "1s", "-o", &out]].concat(),
            &[&to[..], &[&public, "-o", taken]].concat(),
            &[&to[..], &[&public, "-o", &public]].concat(),
            &[&to[..], &[&public, "-o", &out]].concat(),
            &["unshare", "one"],
            &["unshare", "one", "--all"],
            &["unshare", "zzz", "--all"],
        ],
    );
    assert!(!home.join("out").exists(), "nothing is left of what was refused");
    assert_eq!(std::fs::read_to_string(home.join("taken/file")).unwrap(), "mine");
}

#[test]
fn a_store_that_cannot_be_used() {
    let user = User::new();
    std::fs::write(user.store(), "a file").unwrap();
    snapshot(&user, "a_store_that_cannot_be_used", &[&["create", "-d", "none", "--url", "tcp://h:1", "m"]]);
}

#[test]
fn several_machines_fail_one_by_one() {
    let user = User::with_machines();
    let answer = user.run(&["stop", "one", "zzz", "two"]);
    assert_eq!(answer.stdout, "");
    assert_eq!(answer.stderr.matches("Error: ").count(), 3, "{}", answer.stderr);
    let answer = user.run(&["rm", "-y", "one", "zzz"]);
    assert_eq!(answer.code, 4);
    insta::assert_snapshot!(answer.stderr, @r#"
    (one) removing
    Machine "one" is removed.
    Error: machine "zzz" does not exist
    Hint: `rmachine ls` shows all machines, `rmachine create` makes one
    "#);
    assert_eq!(user.run(&["ls", "-q"]).stdout, "two\n", "the others are worked on all the same");
}

#[test]
fn files_mounts_and_upgrades() {
    let user = User::with_machines();
    snapshot(
        &user,
        "files_mounts_and_upgrades",
        &[
            &["scp"],
            &["scp", "one:a"],
            &["scp", "a", "b"],
            &["scp", "a", ""],
            &["scp", "a", ":b"],
            &["scp", "a", "-x@one:b"],
            &["scp", "a", "none:b"],
            &["scp", "a", "one:b"],
            &["scp", "-d", "a", "b"],
            &["scp", "-d", "one:a", "two:b"],
            &["mount"],
            &["mount", "one:"],
            &["mount", "-u", "one:"],
            &["upgrade", "none"],
            &["upgrade", "one"],
            &["completion"],
            &["completion", "cmd"],
        ],
    );
}
