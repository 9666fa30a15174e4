//! The driver none takes any URL, as docker-machine's does: its callers make machines of it that nobody dials.

use crate::user::User;

fn with_urls() -> User {
    let user = User::new();
    for (name, url) in [("b", "none"), ("a", "url1"), ("c", "unix:///run/docker.sock")] {
        user.run(&["create", "-d", "none", "--url", url, name]).ok();
    }
    user
}

#[test]
fn any_url_is_recorded_listed_and_removed() {
    let user = with_urls();
    assert_eq!(user.run(&["ls", "-q", "--filter", "state=Running"]).ok(), "a\nb\nc\n");
    let list = user.run(&["ls"]).ok();
    let lines: Vec<Vec<&str>> = list.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[1][..6], ["a", "-", "none", "Running", "url1", "Unknown"], "{list}");
    assert!(list.lines().nth(1).unwrap().contains("Unable to query docker version: "), "{list}");
    assert_eq!(user.run(&["url", "b", "c"]).ok(), "none\nunix:///run/docker.sock\n");
    assert_eq!(user.run(&["inspect", "-f", "{{.Driver.URL}}", "a"]).ok(), "url1\n");
    assert_eq!(user.run(&["status", "a"]).ok(), "Running\n");
    assert!(user.run(&["rm", "-y", "a", "b", "c"]).ok().ends_with("Successfully removed c\n"));
    assert_eq!(user.run(&["ls", "-q"]).ok(), "");
}

#[test]
fn what_docker_cannot_dial_gets_no_environment() {
    let user = with_urls();
    for (name, url) in [("b", "none"), ("a", "url1"), ("c", "unix:///run/docker.sock")] {
        for command in ["env", "config"] {
            let answer = user.run(&[command, name]);
            assert_eq!(answer.fails(), format!("Error: docker cannot dial \"{url}\", the URL of machine \"{name}\""));
            assert_eq!(answer.stdout, "");
        }
    }
}

#[test]
fn under_its_own_name_rmachine_refuses_it() {
    let user = with_urls();
    let own = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_rmachine"));
        command
            .env_clear()
            .env("HOME", user.home())
            .args(["-s", user.home().join(".docker/machine").to_str().unwrap()]);
        User::answer(command.args(arguments))
    };
    let refused = own(&["create", "-d", "none", "--url", "none", "d"]);
    assert!(refused.code != 0 && refused.stderr.contains("invalid engine URL \"none\""), "{refused:?}");
    assert!(own(&["env", "a"]).stderr.contains("docker cannot dial \"url1\""));
    assert!(own(&["ls"]).ok().contains("url1"));
}
