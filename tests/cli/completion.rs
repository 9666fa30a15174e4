//! `completion` in the shells themselves, `man`, and words that docker-machine's callers use.

use std::process::Command;

use crate::user::{User, transcript};

const PROGRAM: &str = env!("CARGO_BIN_EXE_rmachine");

/// What `shell` prints of `script`, with `rmachine` in PATH.
fn shell(user: &User, shell: &str, arguments: &[&str], script: &str) -> Vec<String> {
    let directory = std::path::Path::new(PROGRAM).parent().unwrap();
    let path = format!("{}:{}", directory.display(), std::env::var("PATH").unwrap());
    let mut command = Command::new(shell);
    command
        .env_clear()
        .env("PATH", path)
        .env("HOME", user.store().parent().unwrap())
        .env("MACHINE_STORAGE_PATH", user.store());
    let output = command.args(arguments).arg(script).output().unwrap();
    transcript::keep(&output.stdout, &output.stderr);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// What bash offers for the last of `words`.
fn bash(user: &User, words: &[&str]) -> Vec<String> {
    let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    let script = format!(
        "source <(rmachine completion bash)\n\
         COMP_WORDS=({}) COMP_CWORD={} COMP_TYPE=9\n\
         _clap_complete_rmachine rmachine '{}' ''\n\
         printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        quoted.join(" "),
        words.len() - 1,
        words.last().unwrap()
    );
    shell(user, "bash", &["--norc", "-c"], &script)
}

#[test]
fn bash_completes_commands_machines_and_the_flags_of_the_chosen_driver() {
    let user = User::with_machines();
    let commands = bash(&user, &["rmachine", "ss"]);
    assert_eq!(commands, ["ssh", "ssh-config"]);
    for words in [&["rmachine", "env", ""][..], &["rmachine", "stop", "one", ""], &["rmachine", "ssh", ""]] {
        let offered = bash(&user, words);
        assert!(offered.starts_with(&["one".to_owned(), "two".to_owned()]), "{words:?}: {offered:?}");
    }
    assert_eq!(bash(&user, &["rmachine", "rm", "tw"]), ["two"]);
    assert!(!bash(&user, &["rmachine", "create", ""]).contains(&"one".to_owned()), "a new name is not an old one");
    assert_eq!(bash(&user, &["rmachine", "create", "-d", "ge"]), ["generic"]);
    let flags = bash(&user, &["rmachine", "create", "-d", "generic", "--generic-ssh-"]);
    assert!(flags.contains(&"--generic-ssh-user".to_owned()), "{flags:?}");
    let flags = bash(&user, &["rmachine", "create", "-d", "none", "--"]);
    assert!(flags.contains(&"--url".to_owned()) && !flags.iter().any(|flag| flag.contains("generic")), "{flags:?}");
    assert_eq!(bash(&user, &["rmachine", "scp", "on"]), ["one:"]);
    let other = User::new();
    assert_eq!(bash(&user, &["rmachine", "-s", other.store().to_str().unwrap(), "ip", "o"]), [""], "of that store");
    // As bash splits a word with `=` in it, and as the other shells give it.
    let here = user.store();
    let here = here.to_str().unwrap();
    for words in [&["rmachine", "--storage-path", "=", here, "ip", "o"][..], &["rmachine", "-s", "=", here, "ip", "o"]]
    {
        assert_eq!(bash(&other, words), ["one"], "{words:?}");
    }
    assert_eq!(bash(&other, &["rmachine", &format!("--storage-path={here}"), "ip", "o"]), ["one"]);
    assert_eq!(bash(&user, &["rmachine", "rename", "tw"]), ["two"]);
    assert!(
        !bash(&user, &["rmachine", "rename", "two", ""]).contains(&"one".to_owned()),
        "a new name is not an old one"
    );
}

#[test]
fn fish_completes_too() {
    let user = User::with_machines();
    let script = "rmachine completion fish | source; complete -C 'rmachine url t'";
    assert_eq!(shell(&user, "fish", &["--no-config", "-c"], script), ["two"]);
}

#[test]
fn zsh_takes_the_script() {
    let user = User::with_machines();
    let script =
        "autoload -U compinit && compinit -u -d $HOME/dump; source <(rmachine completion zsh); print $_comps[rmachine]";
    let shown = shell(&user, "zsh", &["-f", "-c"], script);
    assert_eq!(shown, ["_clap_dynamic_completer_rmachine"]);
}

#[test]
fn every_shell_has_a_script_and_others_are_refused() {
    let user = User::new();
    for name in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let answer = user.run(&["completion", name]);
        assert!(answer.code == 0 && answer.stdout.contains("RMACHINE_COMPLETE"), "{name}: {}", answer.stdout);
    }
    let refused = user.refused(&["completion", "apl"]);
    assert!(refused.contains("invalid value \"apl\" for <SHELL>"), "{refused}");
}

#[test]
fn manual_pages_are_written_for_every_command() {
    let user = User::new();
    let page = user.run(&["man"]);
    assert!(
        page.code == 0 && page.stdout.contains(".TH") && page.stdout.contains("rmachine\\-scp(1)"),
        "{}",
        page.stdout
    );
    let directory = tempfile::tempdir().unwrap();
    let answer = user.run(&["man", directory.path().to_str().unwrap()]);
    assert_eq!((answer.code, answer.stdout.as_str()), (0, ""), "{}", answer.stderr);
    let count = std::fs::read_dir(directory.path()).unwrap().count();
    assert!(answer.stderr.starts_with(&format!("{count} pages are in ")), "{count}: {}", answer.stderr);
    let create = std::fs::read_to_string(directory.path().join("rmachine-create.1")).unwrap();
    for flag in ["generic\\-ip\\-address", "\\-\\-url", "engine\\-source", "rmachine create"] {
        assert!(create.contains(flag), "{flag}: {create}");
    }
    assert!(!directory.path().join("rmachine-help.1").exists());
    let refused = user.refused(&["man", "/nowhere/at/all"]);
    assert!(refused.contains("Error: cannot write the manual pages to /nowhere/at/all"), "{refused}");
}

/// docker-machine takes several names, or a flag that chooses its own SSH client.
#[test]
fn several_names_and_the_native_client() {
    let user = User::with_machines();
    assert_eq!(user.run(&["url", "one", "two"]).stdout, "tcp://127.0.0.1:1\ntcp://[::1]:2\n");
    assert_eq!(user.run(&["ip", "one", "two"]).stdout, "127.0.0.1\n::1\n");
    for command in ["start", "stop", "restart", "kill"] {
        let answer = user.run(&[command, "one", "two"]);
        assert!(answer.stderr.contains("\"none\""), "both are tried: {}", answer.stderr);
        assert_eq!(answer.stderr.matches("Error: ").count(), 2, "{command}: {}", answer.stderr);
    }
    let status = user.run(&["status", "one", "two", "-t", "1"]);
    assert!(status.stdout.contains("one ") && status.stdout.contains("two "), "{}{}", status.stdout, status.stderr);
    for arguments in [["--native-ssh", "ls", "-q"], ["ls", "--native-ssh", "-q"], ["ls", "-q", "--native-ssh=true"]] {
        assert_eq!(user.run(&arguments).stdout, "one\ntwo\n");
    }
}
