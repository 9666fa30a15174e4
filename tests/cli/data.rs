//! What goes to stdout, for scripts to read.

use crate::user::User;

#[test]
fn env_speaks_every_shell() {
    let user = User::with_machines();
    let mut text = String::new();
    for shell in ["bash", "zsh", "fish", "powershell", "cmd", "tcsh", "emacs", "nushell"] {
        for arguments in [&["env", "--shell", shell, "one"][..], &["env", "--shell", shell, "-u"]] {
            let answer = user.run(arguments);
            assert_eq!((answer.code, answer.stderr.as_str()), (0, ""), "{arguments:?}");
            text.push_str(&format!("$ rmachine {}\n{}\n", arguments.join(" "), answer.stdout));
        }
    }
    insta::with_settings!({ prepend_module_to_snapshot => false }, { insta::assert_snapshot!("env", text) });
}

#[test]
fn env_finds_out_the_shell() {
    let user = User::with_machines();
    let fish = user.run_in(&["env", "one"], &[("SHELL", "/usr/bin/fish")]);
    assert!(fish.stdout.starts_with("set -gx DOCKER_TLS_VERIFY"), "{}", fish.stdout);
    let unknown = user.run_in(&["env", "one"], &[("SHELL", "/usr/bin/apl")]);
    assert!(unknown.stdout.starts_with("export DOCKER_TLS_VERIFY"), "{}", unknown.stdout);
}

#[test]
fn a_shell_that_evaluates_env_has_the_variables() {
    let user = User::with_machines();
    let script = format!(
        "eval $({} env --shell sh one) && printf '%s %s' \"$DOCKER_HOST\" \"$DOCKER_MACHINE_NAME\"",
        env!("CARGO_BIN_EXE_rmachine")
    );
    let mut shell = assert_cmd::Command::new("sh");
    let output = shell.env("MACHINE_STORAGE_PATH", user.store()).args(["-c", &script]).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "tcp://127.0.0.1:1 one");
}

#[test]
fn no_proxy_names_the_machine() {
    let user = User::with_machines();
    let answer = user.run_in(&["env", "--shell", "sh", "--no-proxy", "one"], &[("no_proxy", "localhost")]);
    assert!(answer.stdout.contains("export no_proxy=\"localhost,127.0.0.1\"\n"), "{}", answer.stdout);
}

#[test]
fn the_small_answers() {
    let user = User::with_machines();
    assert_eq!(user.run(&["url", "two"]).stdout, "tcp://[::1]:2\n");
    assert_eq!(user.run(&["ip", "one", "two"]).stdout, "127.0.0.1\n::1\n");
    let config = user.run(&["config", "one"]).stdout;
    let lines: Vec<&str> = config.lines().collect();
    assert_eq!(
        lines,
        [
            "--tlsverify",
            "--tlscacert=\"STORE/machines/one/ca.pem\"",
            "--tlscert=\"STORE/machines/one/cert.pem\"",
            "--tlskey=\"STORE/machines/one/key.pem\"",
            "-H=tcp://127.0.0.1:1"
        ]
    );
    let inspect: serde_json::Value = serde_json::from_str(&user.run(&["inspect", "one"]).stdout).unwrap();
    assert_eq!(inspect["Driver"]["URL"], "tcp://127.0.0.1:1");
}

#[test]
fn ls_prints_a_table_names_and_json() {
    let user = User::with_machines();
    std::fs::write(user.store().join("machines/two/config.json"), "{").unwrap();
    let table = user.run_in(&["ls"], &[("DOCKER_HOST", "tcp://127.0.0.1:1")]);
    assert_eq!(table.code, 0);
    insta::with_settings!({ prepend_module_to_snapshot => false }, { insta::assert_snapshot!("ls", table.stdout) });
    assert_eq!(user.run(&["ls", "-q"]).stdout, "one\ntwo\n");
    assert_eq!(user.run(&["ls", "-q", "--filter", "driver=none"]).stdout, "one\n");
    assert_eq!(user.run(&["ls", "-q", "--filter", "name=tw"]).stdout, "two\n");
    let json: serde_json::Value = serde_json::from_str(&user.run(&["ls", "--json"]).stdout).unwrap();
    assert_eq!(
        (&json[0]["name"], &json[0]["state"], &json[1]["state"]),
        (&"one".into(), &"Unreachable".into(), &"Error".into())
    );
    assert_eq!(User::new().run(&["ls", "-q"]).stdout, "");
}

#[test]
fn share_lists_what_is_left_of_each() {
    let user = User::with_machines();
    assert_eq!(
        (user.run(&["share", "one"]).stdout.as_str(), user.run(&["share", "--json", "one"]).stdout.as_str()),
        ("", "[]\n")
    );
    let path = user.store().join("machines/one/shares.json");
    let at = |seconds: i64| time::OffsetDateTime::now_utc() + time::Duration::seconds(seconds);
    let until = |seconds| at(seconds).format(&time::format_description::well_known::Rfc3339).unwrap();
    let share = |id: &str, seconds: i64, more: &str| {
        let until = until(seconds);
        format!(r#"{{"id": "{id}", "key": "k{id}", "until": "{until}", "ca": "PEM"{more}}}"#)
    };
    let all = [
        share("0a", 9_030, ""),
        share("0b", 90, r#", "unfinished": true"#),
        share("0c", 700_000, r#", "ending": true, "unfinished": true"#),
        share("0d", -5, ""),
    ];
    std::fs::write(path, format!("[{}]", all.join(", "))).unwrap();
    let table = user.run(&["share", "one"]).stdout;
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split("  ").filter(|c| !c.is_empty()).collect()).collect();
    let columns: Vec<_> = rows.iter().map(|row| row[..3].iter().map(|cell| cell.trim()).collect::<Vec<_>>()).collect();
    assert_eq!(columns[0], ["ID", "STATE", "LEFT"]);
    assert_eq!(columns[1], ["0a", "open", "2h 30m"]);
    assert_eq!(columns[2], ["0b", "unfinished", "1m"]);
    assert_eq!(columns[3], ["0c", "ending", "8d 2h"]);
    assert_eq!(columns[4], ["0d", "over", "0s"]);
    let json: serde_json::Value = serde_json::from_str(&user.run(&["share", "--json", "one"]).stdout).unwrap();
    let states: Vec<&str> = json.as_array().unwrap().iter().map(|share| share["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["open", "unfinished", "ending", "over"]);
    assert!((9_000..=9_030).contains(&json[0]["secondsLeft"].as_i64().unwrap()), "{}", json[0]);
    assert_eq!((&json[3]["secondsLeft"], &json[0]["id"], &json[0]["ca"]), (&0.into(), &"0a".into(), &"PEM".into()));

    let ca = user.run(&["share", "one", "--ca"]);
    assert_eq!((ca.code, ca.stderr.as_str()), (0, ""));
    assert_eq!(ca.stdout, std::fs::read_to_string(user.store().join("certs/ca.pem")).unwrap());
}

#[test]
fn talk_goes_to_stderr_only() {
    let user = User::new();
    let created = user.run(&["create", "-d", "none", "--url", "tcp://127.0.0.1:1", "m"]);
    assert_eq!(created.stdout, "");
    insta::assert_snapshot!(created.stderr, @r#"
    (m) checking the request
    Machine "m" is ready at tcp://127.0.0.1:1.
    Point docker at it with: eval $(rmachine env m)
    "#);
    let removed = user.run(&["rm", "-y", "m"]);
    assert_eq!((removed.code, removed.stdout.as_str()), (0, ""));
    insta::assert_snapshot!(removed.stderr, @r#"
    (m) removing
    Machine "m" is removed.
    "#);
}

#[test]
fn a_closed_pipe_is_no_error() {
    let user = User::with_machines();
    let script = format!("{} inspect one | head -c 1", env!("CARGO_BIN_EXE_rmachine"));
    let mut shell = assert_cmd::Command::new("sh");
    let output = shell.env("MACHINE_STORAGE_PATH", user.store()).args(["-c", &script]).output().unwrap();
    assert_eq!((output.stdout.as_slice(), output.stderr.as_slice()), (&b"{"[..], &b""[..]));
}

#[test]
fn doctor_reports_on_stdout_and_fails_when_something_is_bad() {
    let user = User::with_machines();
    assert_eq!(user.run(&["rm", "-y", "two"]).code, 0);
    let answer = user.run(&["doctor"]);
    // How much is free and how long a certificate lives differ from run to run.
    let steady = |line: &str| {
        let cut = ["can be written and locked, ", "good until "].into_iter().find(|cut| line.contains(cut));
        cut.map_or(line.to_owned(), |cut| format!("{}{cut}…", line.split(cut).next().unwrap_or_default()))
    };
    let report: String = answer.stdout.lines().map(|line| format!("{}\n", steady(line))).collect();
    insta::with_settings!({ prepend_module_to_snapshot => false }, { insta::assert_snapshot!("doctor", report) });
    assert_eq!((answer.code, answer.stderr.as_str()), (1, "Error: 1 check found something that does not work\n"));

    let json: serde_json::Value = serde_json::from_str(&user.run(&["doctor", "--json", "one"]).stdout).unwrap();
    let bad: Vec<&serde_json::Value> = json.as_array().unwrap().iter().filter(|c| c["health"] == "bad").collect();
    assert_eq!((bad.len(), &bad[0]["area"], &bad[0]["subject"]), (1, &"machines".into(), &"one".into()));
    assert!(bad[0]["remedy"].is_string() && bad[0]["text"].is_string(), "{}", bad[0]);
}

#[test]
fn doctor_of_nothing_is_well_and_warnings_are_no_failure() {
    let user = User::new();
    let answer = user.run(&["doctor"]);
    assert_eq!((answer.code, answer.stderr.as_str()), (0, ""), "{}", answer.stdout);
    assert!(answer.stdout.ends_with("2 checks: 2 ok, 0 warnings, 0 bad\n"), "{}", answer.stdout);
    assert!(!user.store().exists());
    std::fs::create_dir_all(user.store().join("tombstones/m-00000001")).unwrap();
    let answer = user.run(&["doctor"]);
    assert_eq!((answer.code, answer.stderr.as_str()), (0, ""), "{}", answer.stdout);
    assert!(
        answer.stdout.contains("warn store        tombstones: ")
            && answer.stdout.contains("\n     fix: `rmachine gc --yes`")
    );
    let unknown = user.run(&["doctor", "zzz"]);
    assert_eq!((unknown.code, unknown.stdout.as_str()), (4, ""));
}
