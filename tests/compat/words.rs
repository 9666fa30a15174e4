//! docker-machine's words, codes and channels, where scripts look for them.

use std::{io::Write, process::Stdio};

use crate::user::User;

#[test]
fn the_store_is_docker_machines() {
    let user = User::with_machine();
    assert!(user.home().join(".docker/machine/machines/one/config.json").exists());
    let mut elsewhere = user.command(&["ls", "-q"]);
    assert_eq!(User::answer(elsewhere.env("MACHINE_STORAGE_PATH", user.home().join("other"))).ok(), "");
    assert_eq!(user.run(&["ls", "-q"]).ok(), "one\n");
}

#[test]
fn errors_are_docker_machines_and_the_code_is_1() {
    let user = User::with_machine();
    let missing = "Docker machine \"UNKNOWN\" does not exist. Use \"docker-machine ls\" to list machines. Use \"docker-machine create\" to add a new one.";
    for command in
        ["inspect", "ip", "url", "env", "config", "status", "start", "stop", "kill", "restart", "ssh", "provision"]
    {
        assert_eq!(user.run(&[command, "UNKNOWN"]).fails(), missing, "{command}");
        let nobody = user.run(&[command]);
        assert_eq!(
            nobody.fails(),
            "Error: No machine name(s) specified and no \"default\" machine exists",
            "{command}"
        );
        assert_eq!(nobody.stdout, if command == "x" { "x" } else { &*nobody.stdout });
    }
    assert_eq!(user.run(&["rm", "-y", "UNKNOWN"]).fails(), format!("Error removing host \"UNKNOWN\": {missing}"));
    for (arguments, words) in [
        (&["rm"][..], "Error: Expected to get one or more machine names as arguments"),
        (&["create", "-d", "none", "--url", "tcp://h:1"], "Error: No machine name specified"),
        (&["create", "-d", "none", "--url", "tcp://h:1", "a", "b"], "Invalid command line. Found extra arguments [b]"),
        (&["create", "-d", "none", "--url", "tcp://h:1", "one"], "Docker machine \"one\" already exists"),
        (
            &["create", "-d", "none", "--url", "tcp://h:1", "a_b"],
            "Error creating machine: Invalid hostname specified. Allowed hostname chars are: 0-9a-zA-Z . -",
        ),
        (&["foo"], "docker-machine: 'foo' is not a docker-machine command. See 'docker-machine --help'."),
        (&["ls", "--foo"], "flag provided but not defined: -foo"),
        (&["env", "a", "b"], "Error: Expected one machine name as an argument"),
        (&["env", "-u", "one"], "Error: Expected no machine name when the -u flag is present"),
    ] {
        assert_eq!(user.run(arguments).fails(), words, "{arguments:?}");
    }
}

#[test]
fn an_engine_that_does_not_answer_is_found_by_config_and_env() {
    let user = User::with_machine();
    assert_eq!(user.run(&["url", "one"]).ok(), "tcp://127.0.0.1:1\n", "the driver alone is asked");
    for (command, before) in
        [("config", "Error running connection boilerplate"), ("env", "Error checking TLS connection")]
    {
        let answer = user.run(&[command, "one"]);
        let words = format!(
            "{before}: Error checking and/or regenerating the certs: There was an error validating certificates for host \"127.0.0.1:1\": "
        );
        assert!(answer.fails().starts_with(&words), "{answer:?}");
        assert_eq!(answer.stdout, "");
    }
}

#[test]
fn a_failed_check_before_create_is_code_3() {
    let user = User::new();
    let answer = user.run(&[
        "create",
        "-d",
        "generic",
        "--generic-ip-address",
        "127.0.0.1",
        "--generic-ssh-key",
        "/missing",
        "m",
    ]);
    assert_eq!(answer.code, 3, "{answer:?}");
    assert!(
        answer.stderr.starts_with("Error with pre-create check: \"cannot read the SSH key /missing\"\n"),
        "{answer:?}"
    );
    assert!(user.run(&["ls", "-q"]).ok().is_empty());
    let wrong =
        user.run(&["create", "-d", "generic", "--generic-ip-address", "127.0.0.1", "--generic-ssh-port", "x", "m"]);
    assert_eq!(wrong.fails().split(':').next().unwrap(), "Error", "a wrong flag is code 1: {wrong:?}");
}

#[test]
fn rm_asks_as_docker_machine_does_and_takes_the_answer_from_a_pipe() {
    let user = User::with_machine();
    let answer = |word: &str| {
        let mut child = user.command(&["rm", "one"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(word.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, said) = answer("n\n");
    assert_eq!(code, Some(1), "nothing was removed, so it is no success: {said}");
    assert_eq!(answer("").0, Some(1));
    let (code, said) = answer("y\n");
    assert_eq!(code, Some(0), "{said}");
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(
        lines[..2],
        ["About to remove one", "WARNING: This action will delete both local reference and remote instance."]
    );
    assert!(lines[2].starts_with("Are you sure? (y/n): "), "{said}");
    assert!(said.ends_with("Successfully removed one\n"), "{said}");
}

#[test]
fn talk_is_on_stdout_where_that_is_no_data() {
    let user = User::new();
    let made = user.run(&["create", "-d", "none", "--url", "tcp://127.0.0.1:1", "one"]);
    assert_eq!((made.code, made.stderr.as_str()), (0, ""));
    assert!(made.stdout.starts_with("Running pre-create checks...\n"), "{}", made.stdout);
    let last = "To see how to connect your Docker Client to the Docker Engine running on this virtual machine, run: docker-machine env one\n";
    assert!(
        made.stdout.ends_with(last) && !made.stdout.contains("up and running"),
        "of a URL nobody was asked: {}",
        made.stdout
    );
    let removed = user.run(&["rm", "-f", "one"]);
    assert_eq!((removed.code, removed.stderr.as_str()), (0, ""), "{}", removed.stdout);
}

#[test]
fn versions_have_the_number_that_scripts_compare() {
    let user = User::new();
    for arguments in [&["version"][..], &["--version"], &["-v"]] {
        let said = user.run(arguments).ok();
        assert!(said.starts_with("docker-machine version 0.16.2, build rmachine-"), "{said}");
        assert_eq!(said.lines().count(), 1);
    }
    for help in [&[][..], &["--help"], &["-h"]] {
        let said = user.run(help).ok();
        let lines: Vec<&str> = said.lines().filter(|line| !line.is_empty()).collect();
        assert!(lines[0].starts_with("Usage: docker-machine "), "{said}");
        assert_eq!(lines[1], "Create and manage machines running Docker.", "{said}");
    }
}

#[test]
fn unset_has_docker_machines_lines_for_powershell() {
    let said = User::new().run(&["env", "-u", "--shell", "powershell"]).ok();
    let lines: Vec<&str> = said.lines().take(4).collect();
    let names = ["DOCKER_TLS_VERIFY", "DOCKER_HOST", "DOCKER_CERT_PATH", "DOCKER_MACHINE_NAME"];
    assert_eq!(lines, names.map(|name| format!(r"Remove-Item Env:\\{name}")));
}

#[test]
fn rm_f_of_what_is_not_there_is_a_success() {
    let user = User::new();
    let answer = user.run(&["rm", "-f", "none"]);
    assert_eq!((answer.code, answer.stdout.contains("Successfully")), (0, false), "{answer:?}");
    assert!(
        answer.stderr.starts_with("Error removing host \"none\": Docker machine \"none\" does not exist"),
        "{answer:?}"
    );
    assert!(user.run(&["rm", "-y", "none"]).fails().starts_with("Error removing host"));
}

#[test]
fn states_are_those_that_callers_compare() {
    let user = User::with_machine();
    assert_eq!(user.run(&["status", "one"]).ok(), "Running\n", "a URL alone always runs");
    assert_eq!(user.run(&["ls", "-q", "--filter", "state=running"]).ok(), "one\n");
    // At an address of its own: at 127.0.0.1 another test may take the port as soon as it is free.
    let sshd = std::net::TcpListener::bind("127.91.0.1:0").unwrap();
    let port = sshd.local_addr().unwrap().port();
    let record = user.home().join(".docker/machine/machines/one/config.json");
    let text = std::fs::read_to_string(&record).unwrap();
    let mut document: serde_json::Value = serde_json::from_str(&text).unwrap();
    document["DriverName"] = "generic".into();
    let driver = serde_json::json!({ "IPAddress": "127.91.0.1", "MachineName": "one", "SSHUser": "root", "SSHPort": port, "SSHKeyPath": "", "EnginePort": 1 });
    document["Driver"] = driver;
    document.as_object_mut().unwrap().remove("Rmachine");
    std::fs::write(&record, document.to_string()).unwrap();
    assert_eq!(user.run(&["status", "one"]).ok(), "Running\n", "a host runs when its sshd can be reached");
    drop(sshd);
    assert_eq!(user.run(&["status", "one"]).ok(), "Stopped\n");
}

#[test]
fn nothing_is_stopped_where_one_of_the_names_is_wrong() {
    let user = User::with_machine();
    let answer = user.run(&["stop", "one", "two"]);
    assert!(answer.fails().starts_with("Docker machine \"two\" does not exist"), "{answer:?}");
    assert_eq!(answer.stdout, "");
    let answer = user.run(&["url", "two", "one"]);
    assert_eq!((answer.code, answer.stdout.as_str()), (1, "tcp://127.0.0.1:1\n"), "{answer:?}");
}

#[test]
fn commands_in_hints_and_helps_are_docker_machines() {
    let user = User::with_machine();
    for arguments in [&["create", "-d", "none", "--url", "tcp://127.0.0.1:1", "one"][..], &["active"]] {
        let answer = user.run(arguments);
        assert!(!answer.stderr.replace("docker-machine", "").contains("rmachine "), "{answer:?}");
    }
    assert_eq!(user.run(&["active"]).fails(), "No active host found");
    for help in [&["--help"][..], &["create", "--help"], &["-D"]] {
        let said = user.run(help).ok();
        assert!(said.contains("Usage: docker-machine") && !said.contains(" rmachine "), "{help:?}: {said}");
    }
}
