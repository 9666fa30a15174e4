//! How flags and their values may be written.

use crate::user::User;

const KEY: &str = "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

#[test]
fn switches_take_true_and_false() {
    let user = User::with_machines();
    for on in ["--json", "--json=true", "--json=1"] {
        assert!(user.run(&["ls", on, "--filter", "driver=generic"]).stdout.starts_with("[]"), "{on}");
    }
    let answer = user.run(&["ls", "-q", "--json=false"]);
    assert_eq!(answer.stdout, "one\ntwo\n");
    assert!(user.refused(&["ls", "--json=maybe"]).contains("exit code 2"));
    assert_eq!(user.run(&["--debug=false", "url", "one"]).stderr, "");
    assert_eq!(user.run(&["--native-ssh", "url", "one"]).code, 0, "docker-machine's callers pass it");
}

#[test]
fn an_empty_value_counts_as_not_given() {
    let user = User::new();
    let create = ["create", "-d", "generic", "--generic-ip-address", "127.0.0.1", "--generic-ssh-port", "", "m"];
    let shown = user.refused(
        &[&create[..7], &["--generic-ssh-key", "", "--engine-install-url", "", "--engine-label", "x", "m"]].concat(),
    );
    assert!(shown.contains("--engine-label takes KEY=VALUE"), "the empty ones were let pass: {shown}");
    let shown = user.refused(&["create", "-d", "none", "--url", "", "m"]);
    assert!(shown.contains("the driver \"none\" needs the engine's URL"), "{shown}");
}

#[test]
fn the_last_of_a_repeated_flag_counts() {
    let user = User::new();
    let answer = user.run(&["create", "-d", "none", "--url", "tcp://h:1", "--url", "tcp://h:2", "m"]);
    assert_eq!(answer.code, 0, "{}", answer.stderr);
    assert_eq!(user.run(&["url", "m"]).stdout, "tcp://h:2\n");
}

#[test]
fn the_environment_stands_in_for_flags() {
    let user = User::new();
    let shown = user.run_in(&["create", "m"], &[("MACHINE_DRIVER", "generic"), ("GENERIC_SSH_PORT", "0")]);
    assert!(shown.stderr.contains("the driver \"generic\" needs an address"), "{}", shown.stderr);
    let variables = [("MACHINE_DRIVER", "generic"), ("GENERIC_IP_ADDRESS", "h"), ("GENERIC_SSH_PORT", "x")];
    let shown = user.run_in(&["create", "m"], &variables);
    assert!(shown.stderr.contains("Error: the environment variable GENERIC_SSH_PORT is not valid"), "{}", shown.stderr);
    assert_eq!(shown.code, 2);
}

#[test]
fn the_store_is_where_it_is_said_to_be() {
    let user = User::new();
    let other = tempfile::tempdir().unwrap();
    let path = other.path().join("s").to_str().unwrap().to_owned();
    let create = ["-s", &path, "create", "-d", "none", "--url", "tcp://h:1", "m"];
    assert_eq!(user.run(&create).code, 0);
    assert_eq!(user.run(&["ls", "-q"]).stdout, "");
    assert_eq!(user.run(&["ls", "-q", "--storage-path", &path]).stdout, "m\n");
    assert_eq!(user.run_in(&["ls", "-q"], &[("MACHINE_STORAGE_PATH", &path)]).stdout, "m\n");
}

#[test]
fn by_the_name_of_docker_machine_its_store_is_used_and_env_probes() {
    let user = User::new();
    let directory = tempfile::tempdir().unwrap();
    let link = directory.path().join("docker-machine");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_rmachine"), &link).unwrap();
    let home = directory.path().join("home");
    std::fs::create_dir(&home).unwrap();
    let run = |arguments: &[&str]| {
        let mut command = assert_cmd::Command::new(&link);
        command.env_clear().env("HOME", &home).args(arguments).output().unwrap()
    };
    let created = run(&["create", "-d", "none", "--url", "tcp://127.0.0.1:1", "m"]);
    assert!(created.status.success(), "{}", String::from_utf8_lossy(&created.stderr));
    assert!(home.join(".docker/machine/machines/m/config.json").exists());
    let env = run(&["env", "m"]);
    assert_eq!(env.status.code(), Some(1), "the engine does not answer");
    drop(user);
}

#[test]
fn plain_http_is_warned_of_once_before_the_host_is_reached() {
    let user = User::new();
    let url = "http://u:s3cret-flag@h.test/i.sh?token=s3cret";
    let create = ["create", "-d", "generic", "--generic-ip-address", "127.0.0.1", "--generic-ssh-port", "1"];
    let warnings = |more: &[&str], repository: &str| -> Vec<String> {
        let arguments = [&create[..], &["--generic-ssh-host-key", KEY], more, &["m"]].concat();
        let answer = user.run_in(&arguments, &[("RMACHINE_DOCKER_REPOSITORY", repository)]);
        assert!(answer.code != 0 && !answer.stderr.contains("s3cret"), "{}", answer.stderr);
        answer.stderr.lines().filter(|line| line.contains("plain http")).map(str::to_owned).collect()
    };
    let script = warnings(&["--engine-install-url", url], "http://mirror.test");
    assert!(script[0].starts_with("Warning: (m) the install script comes over plain http, "), "{script:?}");
    assert!(script[0].ends_with("http://h.test/i.sh?<redacted>"), "{script:?}");
    assert_eq!(script.len(), 1, "Docker's repository is not used then: {script:?}");
    let packages = warnings(&[], "http://u:s3cret-repo@mirror.test/docker");
    assert!(packages[0].contains("packages of http://mirror.test/docker come over plain http"), "{packages:?}");
    assert_eq!(packages.len(), 1, "{packages:?}");
    assert!(warnings(&["--engine-source", "distro"], "http://mirror.test").is_empty());
    assert!(warnings(&["--engine-install-url", "http://127.0.0.1/i.sh"], "").is_empty());
    assert!(warnings(&[], "http://localhost:8080").is_empty());
}

#[test]
fn a_repository_that_is_no_url_is_refused_before_anything_is_made() {
    let user = User::new();
    let create = ["create", "-d", "generic", "--generic-ip-address", "127.0.0.1", "m"];
    for (name, value) in
        [("RMACHINE_DOCKER_REPOSITORY", "https://m/x\ngpgcheck=0"), ("RMACHINE_DOCKER_APT_FINGERPRINT", "0EBFCD88")]
    {
        let answer = user.run_in(&create, &[(name, value)]);
        assert_eq!(answer.code, 2, "{}", answer.stderr);
        assert!(answer.stderr.starts_with(&format!("Error: {name} takes ")), "{}", answer.stderr);
    }
}
