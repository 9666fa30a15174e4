//! `active`: which machine docker is pointed at.

use crate::user::User;

fn active(user: &User, variables: &[(&str, &str)]) -> (i32, String, String) {
    let answer = user.run_in(&["active"], variables);
    (answer.code, answer.stdout, answer.stderr)
}

#[test]
fn the_machine_of_docker_host_is_named() {
    let user = User::with_machines();
    let said = |name: &str| (0, format!("{name}\n"), String::new());
    assert_eq!(active(&user, &[("DOCKER_HOST", "tcp://127.0.0.1:1")]), said("one"));
    assert_eq!(active(&user, &[("DOCKER_HOST", "tcp://[::1]:2/")]), said("two"));
    assert_eq!(user.run_in(&["active", "-t", "3"], &[("DOCKER_HOST", "tcp://127.0.0.1:1")]).stdout, "one\n");

    // Where two have one URL, the name decides, if it is one of the two.
    assert_eq!(user.run(&["create", "-d", "none", "--url", "tcp://127.0.0.1:1", "twin"]).code, 0);
    let host = ("DOCKER_HOST", "tcp://127.0.0.1:1");
    assert_eq!(active(&user, &[host, ("DOCKER_MACHINE_NAME", "twin")]), said("twin"));
    assert_eq!(active(&user, &[host, ("DOCKER_MACHINE_NAME", "two")]), said("one"));
    // A record that does not read keeps no other back.
    user.change("one", |record| *record = serde_json::json!(1));
    assert_eq!(active(&user, &[host]), said("twin"));
}

#[test]
fn a_tunnel_of_ones_own_counts_and_a_stopped_machine_does_not() {
    let user = User::with_machines();
    user.change("one", |record| {
        record["Rmachine"]["TunnelPort"] = 34567.into();
        record["Rmachine"]["Instance"]["url"] = serde_json::Value::Null;
    });
    let tunnel = [("DOCKER_HOST", "tcp://127.0.0.1:34567")];
    assert_eq!(active(&user, &tunnel).1, "one\n");
    user.change("one", |record| record["Rmachine"]["Power"] = "stopped".into());
    assert_eq!(active(&user, &tunnel).0, 1);
}

/// With docker-machine's words and exit code.
#[test]
fn no_machine_is_an_error() {
    let user = User::with_machines();
    let cases: [(&[(&str, &str)], &str); 4] = [
        (&[], "DOCKER_HOST is not set: eval $(rmachine env NAME) sets it"),
        (&[("DOCKER_HOST", "")], "DOCKER_HOST is not set: eval $(rmachine env NAME) sets it"),
        (&[("DOCKER_HOST", "tcp://h:1")], "DOCKER_HOST is tcp://h:1, which is the URL of no machine that runs"),
        (
            &[("DOCKER_HOST", "tcp://h:1"), ("DOCKER_MACHINE_NAME", "one")],
            "DOCKER_HOST is tcp://h:1; if \"one\" has another address now: eval $(rmachine env one)",
        ),
    ];
    for (variables, hint) in cases {
        let expected = (1, String::new(), format!("Error: No active host found\nHint: {hint}\n"));
        assert_eq!(active(&user, variables), expected);
    }
    assert!(user.refused(&["active", "one"]).contains("\"one\" is one argument too many"));
}
