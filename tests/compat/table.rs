//! Every command with every flag of the reference, in the forms that Go's programs take.

use crate::{
    reference::{COMMANDS, CREATE, DRIVERS, GLOBAL},
    user::{Answer, User},
};

/// The forms that a flag may be written in; `name` has its dashes.
fn forms(name: &str, value: Option<&str>) -> Vec<Vec<String>> {
    let bare = name.trim_start_matches('-');
    let single = format!("-{bare}");
    match value {
        None => vec![vec![name.to_owned()], vec![single], vec![format!("{name}=true")], vec![format!("-{bare}=false")]],
        Some(value) => vec![
            vec![name.to_owned(), value.to_owned()],
            vec![format!("{name}={value}")],
            vec![single.clone(), value.to_owned()],
            vec![format!("{single}={value}")],
        ],
    }
}

/// Whether the command line was understood, whatever came of it then.
#[track_caller]
fn is_understood(answer: &Answer, what: &str) {
    let first = answer.stderr.lines().next().unwrap_or_default();
    let misread = [
        "flag provided",
        "docker-machine: '",
        "Invalid command line",
        "Error: Expected",
        "Error: unknown",
        "Error: invalid value",
    ];
    assert!(!misread.iter().any(|words| first.starts_with(words)), "{what}: {answer:?}");
    assert!(matches!(answer.code, 0 | 1 | 3), "{what}: {answer:?}");
}

#[test]
fn every_command_takes_its_flags() {
    let user = User::with_machine();
    let mut count = 0;
    for (command, flags, positional) in COMMANDS {
        for (flag, value) in *flags {
            for form in forms(flag, *value) {
                let flag: Vec<&str> = form.iter().map(String::as_str).collect();
                for order in [[&[*command][..], &flag, positional].concat(), [&[*command], *positional, &flag].concat()]
                {
                    is_understood(&user.run(&order), &order.join(" "));
                    user.run(&["create", "-d", "none", "--url", "tcp://127.0.0.1:1", "one"]);
                    count += 1;
                }
            }
        }
        let plain = [&[*command], *positional].concat();
        is_understood(&user.run(&plain), &plain.join(" "));
        let help = user.run(&[command, "--help"]);
        assert!(help.code == 0 && help.stdout.contains("Usage:"), "{command}: {help:?}");
    }
    let commands: std::collections::BTreeSet<&str> = COMMANDS.iter().map(|(command, ..)| *command).collect();
    assert_eq!(commands.len(), 21);
    assert!(count > 100, "{count}");
}

#[test]
fn every_global_flag_is_taken_before_and_after_the_command() {
    let user = User::with_machine();
    for (flag, value) in GLOBAL {
        for form in forms(flag, *value) {
            let flag: Vec<&str> = form.iter().map(String::as_str).collect();
            for order in [[&flag[..], &["ls", "-q"]].concat(), [&["ls", "-q"], &flag[..]].concat()] {
                let answer = user.run(&order);
                assert_eq!(answer.code, 0, "{order:?}: {answer:?}");
            }
        }
    }
}

#[test]
fn every_variable_stands_in_for_its_flag() {
    let user = User::with_machine();
    for (variable, value) in [
        ("MACHINE_STORAGE_PATH", "/nonexistent"),
        ("MACHINE_TLS_CA_CERT", "/nonexistent"),
        ("MACHINE_TLS_CA_KEY", "/nonexistent"),
        ("MACHINE_TLS_CLIENT_CERT", "/nonexistent"),
        ("MACHINE_TLS_CLIENT_KEY", "/nonexistent"),
        ("MACHINE_GITHUB_API_TOKEN", "x"),
        ("MACHINE_NATIVE_SSH", "1"),
        ("MACHINE_BUGSNAG_API_TOKEN", "x"),
    ] {
        let answer = User::answer(user.command(&["ls", "-q"]).env(variable, value));
        let expected = if variable == "MACHINE_STORAGE_PATH" { "" } else { "one\n" };
        assert_eq!((answer.code, answer.stdout.as_str()), (0, expected), "{variable}: {}", answer.stderr);
    }
}

#[test]
fn create_takes_every_flag_that_all_drivers_have() {
    let user = User::new();
    for (flag, value) in CREATE {
        for form in forms(flag, *value) {
            let flag: Vec<&str> = form.iter().map(String::as_str).collect();
            // Only `--swarm-master` has to reach an engine, and here is none.
            let order = [&["create", "-d", "none", "--url", "tcp://127.0.0.1:1"], &flag[..], &["m"]].concat();
            let answer = user.run(&order);
            is_understood(&answer, &order.join(" "));
            let asks_an_engine = form[0].contains("swarm-master") && !form[0].ends_with("=false");
            assert!(answer.code == 0 || asks_an_engine || form[0].contains("driver"), "{order:?}: {answer:?}");
            user.run(&["rm", "-f", "m"]);
        }
    }
}

#[test]
fn every_drivers_flags_are_taken_or_the_driver_is_named() {
    let user = User::new();
    let has_ec2 = cfg!(feature = "amazonec2");
    let (mut taken, mut named) = (0, 0);
    for group in DRIVERS {
        let driver = group.driver;
        let here = matches!(driver, "none" | "generic") || (driver == "amazonec2" && has_ec2);
        for flag in group.flags {
            let (bare, is_switch) = flag.strip_suffix('*').map_or((*flag, false), |bare| (bare, true));
            let name = if driver == "none" { format!("--{bare}") } else { format!("--{driver}-{bare}") };
            let value = match bare {
                _ if is_switch => None,
                _ if bare.ends_with("port") && bare != "open-port" => Some("22"),
                "open-port" | "root-size" | "retries" | "metadata-token-response-hop-limit" => Some("8"),
                "block-duration-minutes" => Some("0"),
                "spot-price" => Some("0.50"),
                "metadata-token" | "http-tokens" => Some("required"),
                "http-endpoint" => Some("enabled"),
                "tags" => Some("key,value"),
                "url" => Some("tcp://127.0.0.1:1"),
                _ => Some("x"),
            };
            for form in forms(&name, value) {
                let flag: Vec<&str> = form.iter().map(String::as_str).collect();
                let order = [&["create", "--driver", driver], &flag[..], &["m"]].concat();
                // Nothing of this may reach a cloud.
                let mut command = user.command(&order);
                command.env("AWS_ENDPOINT", "http://127.0.0.1:1").env("AWS_EC2_METADATA_DISABLED", "true");
                let answer =
                    User::answer(command.env("AWS_CONFIG_FILE", "/x").env("AWS_SHARED_CREDENTIALS_FILE", "/x"));
                let first = answer.stderr.lines().next().unwrap_or_default();
                if here {
                    is_understood(&answer, &order.join(" "));
                    taken += 1;
                } else {
                    let words = format!(
                        "Driver \"{driver}\" not found. Do you have the plugin binary \"docker-machine-driver-{driver}\""
                    );
                    assert!(answer.code == 1 && first.starts_with(&words), "{order:?}: {answer:?}");
                    named += 1;
                    break;
                }
                user.run(&["rm", "-f", "m"]);
            }
        }
    }
    println!("{taken} forms of flags were taken, {named} flags of drivers that are not here named their driver");
    assert!(taken > 20 && named > 100);
}
