//! Bad input: a clear error, the right code, and nothing changed.

use crate::{
    ec2::held_for,
    hosts::{Host, Key},
    support::{PREBAKED, Store, lab_variable, run},
};

/// `create` on EC2 that a check before it refuses: code 3 and nothing left.
#[track_caller]
fn refused(store: &Store, environment: &[(&str, Option<&str>)], arguments: &[&str], words: &[&str]) {
    let mut command = store.command("rmachine");
    command.args(["create", "-d", "amazonec2"]).args(arguments).arg("refused");
    for (name, value) in environment {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let error = run(&mut command).fails(3);
    for word in words {
        assert!(error.contains(word), "{word:?} is not in: {error}");
    }
    assert!(error.contains("Hint: "), "{error}");
    assert_eq!(store.rmachine(&["ls", "-q"]).ok(), "", "no record is left");
}

#[test]
fn what_ec2_does_not_know_or_let_in() {
    let store = Store::new();
    let none: &[(&str, Option<&str>)] = &[];
    refused(
        &store,
        &[("AWS_ACCESS_KEY_ID", None), ("AWS_SECRET_ACCESS_KEY", None)],
        &[],
        &["no usable AWS credentials", "aws sso login"],
    );
    refused(
        &store,
        &[("AWS_ACCESS_KEY_ID", Some("AKIAWRONG"))],
        &[],
        &["does not accept the credentials", "AuthFailure"],
    );
    refused(&store, &[("AWS_SECRET_ACCESS_KEY", Some("wrong"))], &[], &["does not accept the credentials"]);
    refused(&store, &[("AWS_SESSION_TOKEN", Some("expired"))], &[], &["have expired"]);
    refused(&store, none, &["--amazonec2-region", "mars-north-1"], &["mars-north-1"]);
    refused(
        &store,
        none,
        &["--amazonec2-vpc-id", "vpc-0123456789abcdef0"],
        &["InvalidVpcID.NotFound", "--amazonec2-vpc-id"],
    );
    refused(
        &store,
        none,
        &["--amazonec2-subnet-id", "subnet-0123456789abcdef0"],
        &["InvalidSubnetID.NotFound", "--amazonec2-subnet-id"],
    );
    refused(&store, none, &["--amazonec2-ami", "ami-0123456789abcdef0"], &["ami-0123456789abcdef0", "--amazonec2-ami"]);
    refused(&store, none, &["--amazonec2-ami-name", "no-such-*"], &["is called \"no-such-*\""]);
    refused(&store, none, &["--amazonec2-instance-type", "t9.huge"], &["no instance type t9.huge"]);
    refused(
        &store,
        none,
        &["--amazonec2-instance-type", "t4g.small", "--amazonec2-ami-name", PREBAKED],
        &["t4g.small is arm64"],
    );
    refused(&store, none, &["--amazonec2-zone", "z"], &["us-east-1z"]);
    refused(&store, &[("RMACHINE_IP_ECHO_URL", Some("http://127.0.0.1:9"))], &[], &["--amazonec2-ingress-cidr"]);
    refused(
        &store,
        &[("AWS_ENDPOINT_URL", Some("http://127.0.0.1:9"))],
        &["--amazonec2-retries=0"],
        &["does not answer"],
    );
    let key = Key::make(&store, "key", "-t ed25519");
    let path = key.path.to_str().unwrap();
    refused(
        &store,
        none,
        &["--amazonec2-keypair-name", "absent", "--amazonec2-ssh-keypath", path],
        &["InvalidKeyPair.NotFound"],
    );
    assert_eq!(held_for("refused"), Vec::<String>::new(), "none of these made anything");
}

#[test]
fn an_engine_option_that_dockerd_refuses() {
    let store = Store::new();
    let error = store.create_ec2(PREBAKED, &["--engine-opt", "no-such-option=1"], "option").fails(8);
    assert!(error.contains("the engine did not start"), "{error}");
    assert!(error.contains("no-such-option"), "the journal's last lines are in it: {error}");
    assert_eq!(store.rmachine(&["ls", "-q"]).ok(), "");
    assert_eq!(held_for("option"), Vec::<String>::new(), "what the create had made is removed");
}

#[test]
fn hosts_that_do_not_let_us_in_or_cannot_serve() {
    let store = Store::new();
    let key = Key::make(&store, "good", "-t ed25519");
    let other = Key::make(&store, "other", "-t ed25519");
    let host = Host::boot("debian13", "debian", &key, false);
    let silent = |error: String, words: &[&str]| {
        for word in words {
            assert!(error.contains(word), "{word:?} is not in: {error}");
        }
        assert_eq!(store.rmachine(&["ls", "-q"]).ok(), "", "no record is left");
    };
    silent(
        host.create(&store, "nobody", &key, &[], "x").fails(7),
        &["refuses the login of \"nobody\"", "authorized_keys"],
    );
    silent(host.create(&store, "debian", &other, &[], "x").fails(7), &["refuses the login of \"debian\""]);
    silent(host.create(&store, "debian", &key, &[], "x").fails(7), &["cannot become root", "sudo"]);
    silent(host.create(&store, "debian", &key, &["--generic-ssh-port", "23"], "x").fails(7), &["port 23", "Hint: "]);
    // A port that takes connections and says nothing.
    let mute = std::net::TcpListener::bind((lab_variable("RMACHINE_LAB_GATEWAY"), 0)).unwrap();
    let (address, port) = (mute.local_addr().unwrap().ip().to_string(), mute.local_addr().unwrap().port().to_string());
    let arguments = ["create", "-d", "generic", "--generic-ip-address", &address, "--generic-ssh-port", &port, "x"];
    silent(store.rmachine(&arguments).fails(7), &["did not answer on port", "Hint: check the address and the port"]);
    let wrong = other.public;
    let arguments = [
        "--generic-ssh-host-key",
        &wrong,
        "--generic-ssh-user",
        "debian",
        "--generic-ssh-key",
        key.path.to_str().unwrap(),
    ];
    silent(
        host.create_bare(&store, &arguments, "x").fails(7),
        &["is not the one that is known", "somebody may be in between"],
    );

    host.exec("echo 'debian ALL=(ALL) NOPASSWD:ALL' >/etc/sudoers.d/test");
    host.exec(
        "printf 'ID=plan9\\nPRETTY_NAME=\"Plan 9\"\\n' >/etc/os-release.new && mv /etc/os-release.new /etc/os-release",
    );
    silent(host.create(&store, "debian", &key, &[], "x").fails(1), &["the host runs Plan 9", "it knows Debian"]);
    assert_eq!(host.try_exec("ls /var/lib/rmachine")["code"].as_i64(), Some(2), "nothing was changed on it");
}

#[test]
fn names_and_records() {
    let store = Store::new();
    let create = |name: &str| store.rmachine(&["create", "-d", "none", "--url", "tcp://192.0.2.1:2376", name]);
    create("one").ok();
    create("two").ok();
    assert!(create("one").fails(5).contains("machine \"one\" already exists"));
    assert!(create("no/name").fails(2).contains("invalid machine name"));
    let near = store.rmachine(&["create", "-d", "amazonec", "x"]).fails(2);
    assert!(near.contains("did you mean \"amazonec2\"?"), "{near}");
    let foreign =
        store.rmachine(&["create", "-d", "none", "--url", "tcp://192.0.2.1:1", "--amazonec2-zone", "a", "x"]).fails(2);
    assert!(foreign.contains("--amazonec2-zone is a flag of the driver \"amazonec2\""), "{foreign}");
    std::fs::write(store.root().join("machines/one/config.json"), "{\"Driver\"").unwrap();
    let listed = store.rmachine(&["ls", "--timeout", "1"]).ok();
    assert!(listed.contains("one") && listed.contains("is damaged") && listed.contains("two"), "{listed}");
    assert_eq!(store.rmachine(&["url", "two"]).ok(), "tcp://192.0.2.1:2376");
    store.rmachine(&["url", "one"]).fails(9);
}
