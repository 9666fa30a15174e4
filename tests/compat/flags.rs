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
        &["ls", "--q", "--t", "3"],
        &["ls", "-q", "word"],
        &["ls", "--format", "{{.Name}}", "-help=false"],
    ] {
        assert_eq!(user.run(arguments).ok(), "one\n", "{arguments:?}");
    }
    assert_eq!(user.run(&["ls", "-q=perhaps"]).code, 1);
    for arguments in [&["-version"][..], &["--v"], &["-v=true"], &["--version=1"]] {
        assert!(user.run(arguments).ok().starts_with("docker-machine version "), "{arguments:?}");
    }
    assert!(user.run(&["ls", "-h=true"]).ok().contains("Usage: docker-machine ls"));
    assert_eq!(user.run(&["rm", "--y", "one"]).code, 0);
}

#[test]
fn a_value_may_look_like_a_flag() {
    let user = User::with_machine();
    for format in ["-{{.DriverName}}", "--x={{.DriverName}}", "- {{.DriverName}}"] {
        let expected = format.replace("{{.DriverName}}", "none") + "\n";
        assert_eq!(user.run(&["inspect", "-f", format, "one"]).ok(), expected);
        assert_eq!(user.run(&["inspect", "one", "--format", format]).ok(), expected);
    }
    let create = ["create", "-d", "none", "--url", "tcp://127.0.0.1:1", "--engine-opt", "-x=y", "two"];
    assert_eq!(user.run(&create).code, 0);
}

#[test]
fn an_empty_list_in_the_environment_is_none() {
    let user = User::new();
    for (list, expected) in
        [("", "null"), (" https://a.test , https://b.test,", r#"["https://a.test","https://b.test"]"#)]
    {
        let mut create = user.command(&["create", "-d", "none", "--url", "tcp://127.0.0.1:1", "one"]);
        User::answer(create.env("ENGINE_REGISTRY_MIRROR", list)).ok();
        let mirrors = user.run(&["inspect", "one", "-f", "{{json .HostOptions.EngineOptions.RegistryMirror}}"]).ok();
        assert_eq!(mirrors.trim().replace("[]", "null"), expected);
        user.run(&["rm", "-y", "one"]).ok();
    }
}

/// NO SSH: a stand-in for ssh(1) shows what it is called with.
#[test]
fn what_follows_the_machine_of_ssh_is_sshs() {
    let user = User::with_machine();
    let record = user.home().join(".docker/machine/machines/one/config.json");
    let text = std::fs::read_to_string(&record).unwrap().replace("\"none\"", "\"generic\"");
    std::fs::write(&record, text).unwrap();
    let stub = user.home().join("bin/ssh");
    std::fs::write(&stub, "#!/bin/sh\nshift 2\necho \"$@\"\n").unwrap();
    std::fs::set_permissions(&stub, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    for words in [&["-D", "1080", "-N"][..], &["-s", "sftp"], &["-t", "-A", "uptime"], &["-h"], &["--", "-v", "ls"]] {
        let answer = user.run(&[&["ssh", "one"][..], words].concat());
        let passed = words.strip_prefix(&["--"]).unwrap_or(words);
        assert_eq!(answer.stdout, format!("one {}\n", passed.join(" ")), "{answer:?}");
    }
    assert!(user.run(&["ssh", "--help"]).ok().contains("Usage: docker-machine ssh"));
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
