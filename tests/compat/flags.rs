//! Flags as Go's programs take them.

use crate::user::User;

#[test]
fn one_dash_is_as_good_as_two() {
    let user = User::new();
    user.run(&["create", "-driver", "none", "-url=tcp://127.0.0.1:1", "one"]).ok();
    for arguments in [
        &["ls", "-quiet"][..],
        &["ls", "-q=true"],
        &["ls", "--quiet=1"],
        &["ls", "-quiet", "-filter", "driver=none"],
        &["-debug=false", "ls", "-q", "-timeout=3"],
        &["ls", "-q", "-t", "3"],
        &["ls", "-t=3", "-q"],
    ] {
        assert_eq!(user.run(arguments).ok(), "one\n", "{arguments:?}");
    }
    assert_eq!(user.run(&["ls", "-q=perhaps"]).code, 1);
}

#[test]
fn flags_may_follow_names_and_values_may_be_empty() {
    let user = User::new();
    user.run(&["create", "one", "-d", "none", "--url", "tcp://127.0.0.1:1", "--engine-storage-driver="]).ok();
    assert_eq!(user.run(&["inspect", "one", "--format={{.DriverName}}"]).ok(), "none\n");
    assert_eq!(user.run(&["rm", "one", "-y"]).code, 0);
}

/// The call that GitLab Runner makes, with the flag that it puts before each command.
#[test]
fn the_executors_calls_parse() {
    let user = User::with_machine();
    let token = "--bugsnag-api-token=no-report";
    let place = user.run(&[token, "inspect", "one", "-f", "{{.HostOptions.AuthOptions.StorePath}}"]).ok();
    assert_eq!(place.trim(), user.home().join(".docker/machine/machines/one").to_str().unwrap());
    assert!(user.run(&[token, "inspect", "one"]).ok().contains("\"DriverName\": \"none\""));
    assert_eq!(user.run(&[token, "rm", "-y", "one"]).code, 0);
}

#[test]
fn words_that_look_like_flags_of_ours_reach_the_host_untouched() {
    let user = User::with_machine();
    // The driver none has no SSH, and that is all that is wrong here.
    let answer = user.run(&["ssh", "one", "-driver", "x", "--", "-q=true"]);
    assert!(answer.stderr.contains("knows no way to log in"), "{answer:?}");
}

#[test]
fn the_tls_flags_say_where_the_ca_and_the_client_are() {
    let user = User::new();
    let place = user.home().join("pki");
    std::fs::create_dir(&place).unwrap();
    let path = |name: &str| place.join(name).to_str().unwrap().to_owned();
    let (ca, ca_key, cert, key) = (path("our-ca.pem"), path("our-ca-key.pem"), path("me.pem"), path("me-key.pem"));
    let flags = ["--tls-ca-cert", &ca, "--tls-ca-key", &ca_key, "--tls-client-cert", &cert, "--tls-client-key", &key];
    user.run(&[&flags[..], &["create", "-d", "none", "--url", "tcp://127.0.0.1:1", "one"]].concat()).ok();
    let machine = user.home().join(".docker/machine/machines/one");
    for (copy, original) in [("ca.pem", &ca), ("cert.pem", &cert), ("key.pem", &key)] {
        assert!(std::fs::read(machine.join(copy)).unwrap() == std::fs::read(original).unwrap(), "{copy}");
    }
    assert!(!user.home().join(".docker/machine/certs/ca-key.pem").exists());
    // The variables do the same, and the CA that is there is taken.
    let before = std::fs::read(&ca).unwrap();
    let mut again = user.command(&["create", "-d", "none", "--url", "tcp://127.0.0.1:1", "two"]);
    again.envs([("MACHINE_TLS_CA_CERT", &ca), ("MACHINE_TLS_CA_KEY", &ca_key)]);
    again.envs([("MACHINE_TLS_CLIENT_CERT", &cert), ("MACHINE_TLS_CLIENT_KEY", &key)]);
    User::answer(&mut again).ok();
    assert!(std::fs::read(&ca).unwrap() == before);
}
