use super::*;

fn plan(value: &str) -> EnvPlan {
    EnvPlan {
        set: vec![("DOCKER_CERT_PATH", value.to_owned())],
        unset: vec![],
        docker_machine: false,
        command: "rmachine env m".into(),
    }
}

#[test]
fn posix_text_is_docker_machines() {
    let plan = EnvPlan {
        set: vec![("DOCKER_TLS_VERIFY", "1".into()), ("DOCKER_HOST", "tcp://192.0.2.7:2376".into())],
        unset: vec![],
        docker_machine: false,
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
        let unset = EnvPlan {
            set: vec![],
            unset: vec!["DOCKER_HOST"],
            docker_machine: false,
            command: "rmachine env -u".into(),
        };
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
