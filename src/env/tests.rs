use std::process::Command;

use proptest::prelude::*;

use super::*;

fn plan(value: &str) -> EnvPlan {
    EnvPlan { set: vec![("DOCKER_CERT_PATH", value.to_owned())], unset: vec![], command: "rmachine env m".into() }
}

#[test]
fn posix_text_is_docker_machines() {
    let plan = EnvPlan {
        set: vec![("DOCKER_TLS_VERIFY", "1".into()), ("DOCKER_HOST", "tcp://192.0.2.7:2376".into())],
        unset: vec![],
        command: "rmachine env m".into(),
    };
    insta::assert_snapshot!(render(Shell::Posix, &plan), @r#"
    export DOCKER_TLS_VERIFY="1"
    export DOCKER_HOST="tcp://192.0.2.7:2376"
    # Run this command to configure your shell: 
    # eval $(rmachine env m)
    "#);
}

#[test]
fn every_shell_sets_and_unsets() {
    for shell in [Shell::Fish, Shell::Tcsh, Shell::PowerShell, Shell::Cmd, Shell::Emacs, Shell::Nushell] {
        let unset = EnvPlan { set: vec![], unset: vec!["DOCKER_HOST"], command: "rmachine env -u".into() };
        insta::assert_snapshot!(
            format!("{shell:?}"),
            format!("{}---\n{}", render(shell, &plan("/a b/$c")), render(shell, &unset))
        );
    }
}

#[test]
fn shells_by_name() {
    assert_eq!(Shell::parse("-zsh").unwrap(), Shell::Posix);
    assert_eq!(Shell::parse("nu").unwrap(), Shell::Nushell);
    assert!(Shell::parse("apl").is_err());
}

#[test]
fn no_proxy_keeps_what_is_there() {
    let with = |lower: Option<&'static str>, upper: Option<&'static str>| {
        no_proxy("10.0.0.1", move |name| if name == "no_proxy" { lower } else { upper }.map(str::to_owned))
    };
    assert_eq!(with(None, None), ("NO_PROXY", "10.0.0.1".to_owned()));
    assert_eq!(with(Some("a,b"), None), ("no_proxy", "a,b,10.0.0.1".to_owned()));
    assert_eq!(with(None, Some("10.0.0.1")), ("NO_PROXY", "10.0.0.1".to_owned()));
}

/// Lets a real shell evaluate the text and print the variable; `None` when it is not installed.
fn evaluated(program: &str, shell: Shell, value: &str) -> Option<Vec<u8>> {
    let text = render(shell, &plan(value));
    let script = format!("{text}\nprintenv DOCKER_CERT_PATH");
    let run = Command::new(program).args(["-c", &script]).env_remove("DOCKER_CERT_PATH").output();
    match run {
        Ok(output) => {
            let mut bytes = output.stdout;
            assert_eq!(bytes.pop(), Some(b'\n'), "{program}: {}", String::from_utf8_lossy(&output.stderr));
            Some(bytes)
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
        Err(e) => panic!("{program}: {e}"),
    }
}

/// Says once, past the test harness's capture, that a shell was not tried.
fn skipped(program: &'static str) {
    use std::{collections::BTreeSet, io::Write, sync::Mutex};
    static SAID: Mutex<BTreeSet<&str>> = Mutex::new(BTreeSet::new());
    if SAID.lock().unwrap().insert(program) {
        writeln!(std::io::stderr(), "SKIPPED: real_shells_read_back_any_value without {program}: it is not installed")
            .unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn real_shells_read_back_any_value(value in "[ -~äß\n]{1,40}") {
        let mut tried = 0;
        for (program, shell) in [("dash", Shell::Posix), ("bash", Shell::Posix), ("zsh", Shell::Posix), ("fish", Shell::Fish), ("tcsh", Shell::Tcsh)] {
            if program == "tcsh" && value.contains('\n') {
                continue; // tcsh -c reads line by line; no path of ours has a line break.
            }
            match evaluated(program, shell, &value) {
                Some(read) => { tried += 1; prop_assert_eq!(String::from_utf8_lossy(&read), value.as_str(), "{}", program) }
                None => skipped(program),
            }
        }
        prop_assert!(tried >= 2, "dash and bash are on every Debian");
    }
}
