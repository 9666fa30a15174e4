//! Any value is read back as it was: by the shells that are installed, and by readers after the book of those that are not.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use proptest::prelude::*;
use rmachine_testkit::cases;

use super::{EnvPlan, Shell, render};

const NAME: &str = "DOCKER_CERT_PATH";
fn text(shell: Shell, value: &str) -> String {
    let set = vec![("DOCKER_TLS_VERIFY", "1".to_owned()), (NAME, value.to_owned())];
    render(shell, &EnvPlan { set, unset: vec![], docker_machine: false, command: "rmachine env m".into() })
}

fn installed(program: &str) -> Option<PathBuf> {
    let found = std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|directory| directory.join(program))
        .find(|path| path.is_file());
    if found.is_none() {
        rmachine_testkit::skipped(&format!("the quoting for {program} was not tried: it is not installed"));
    }
    found
}

/// Lets `program` run the text for each of `values`, with what prints the variable after it, and compares what it prints
/// and exports. Nothing can be run or written by what is not quoted well.
fn read_back(program: &Path, shell: Shell, values: &[String]) -> Result<(), TestCaseError> {
    let directory = tempfile::tempdir().unwrap();
    let (options, end): (&[&str], u8) = match program.file_name().unwrap().to_str().unwrap() {
        "fish" => (&["--no-config"], 0),
        "zsh" | "tcsh" => (&["-f"], if shell == Shell::Tcsh { b'\n' } else { 0 }),
        _ => (&[], 0),
    };
    let (mut script, mut expected) = (String::new(), Vec::new());
    let print =
        if shell == Shell::Tcsh { format!("printenv {NAME}\n") } else { format!("printf '%s\\0' \"${NAME}\"\n") };
    for (index, value) in values.iter().enumerate() {
        script.push_str(&(text(shell, value) + &print));
        expected.push(value.clone());
        // As the closing comment says, `eval $(rmachine env NAME)`: the text is split into words first, and files are looked
        // for by each, as in the `/*` of "a /*".
        let globs: &[char] = if shell == Shell::Tcsh { &['*', '?', '[', '{', '~'] } else { &['*', '?', '['] };
        let words = value.split_whitespace().collect::<Vec<_>>().join(" ").replace(globs, "-");
        let split = text(shell, &words);
        match shell {
            Shell::Posix => {
                let variable = if program.ends_with("zsh") { "${=TEXT}" } else { "$TEXT" };
                script.push_str(&format!("TEXT='{}'\neval {variable}\n{print}", split.replace('\'', r"'\''")));
                expected.push(words);
            }
            // There is no way to do that without a process.
            Shell::Tcsh if index % 25 == 0 => {
                let file = directory.path().join(index.to_string());
                write(&file, &split);
                script.push_str(&format!("eval `/bin/cat {}`\n{print}", file.display()));
                expected.push(words);
            }
            _ => {}
        }
    }
    script.push_str("/usr/bin/env -0\n");
    let file = directory.path().join("script");
    let empty = directory.path().join("empty");
    write(&file, &script);
    rmachine_store::atomic::create_directory(&empty).unwrap();
    let output = Command::new(program)
        .args(options)
        .arg(&file)
        .current_dir(&empty)
        .env_clear()
        .envs([("HOME", directory.path().to_str().unwrap()), ("PATH", empty.to_str().unwrap()), ("LC_ALL", "C.UTF-8")])
        .output()
        .unwrap();
    let mut rest = output.stdout.as_slice();
    for value in &expected {
        let read = rest.get(..value.len()).unwrap_or(rest);
        prop_assert_eq!(String::from_utf8_lossy(read), value.as_str(), "{}", String::from_utf8_lossy(&output.stderr));
        prop_assert_eq!(rest.get(value.len()), Some(&end), "more than {:?}", value);
        rest = &rest[value.len() + 1..];
    }
    let last = format!("{NAME}={}", expected.last().unwrap());
    prop_assert!(rest.split(|byte| *byte == 0).any(|variable| variable == last.as_bytes()), "{last:?} is not exported");
    prop_assert_eq!(empty.read_dir().unwrap().count(), 0, "a file was made");
    Ok(())
}

#[allow(clippy::disallowed_methods, reason = "a test's own files")]
fn write(file: &Path, text: &str) {
    std::fs::write(file, text).unwrap();
}

#[test]
fn the_shells_of_debian_are_tried() {
    assert!(installed("dash").is_some() && installed("bash").is_some());
}

macro_rules! shells {
    ($($test:ident: $program:literal, $shell:expr;)*) => {
        proptest! {
            #![proptest_config(cases::config(cases::BATCH))]
            $(#[test]
            fn $test(values in cases::batch(cases::text())) {
                thread_local!(static PROGRAM: Option<PathBuf> = installed($program));
                PROGRAM.with(|program| program.as_ref().map_or(Ok(()), |program| read_back(program, $shell, &values.0)))?;
            })*
        }
    };
}

shells! {
    dash_reads_back_any_value: "dash", Shell::Posix;
    bash_reads_back_any_value: "bash", Shell::Posix;
    zsh_reads_back_any_value: "zsh", Shell::Posix;
    fish_reads_back_any_value: "fish", Shell::Fish;
    tcsh_reads_back_any_value: "tcsh", Shell::Tcsh;
}

/// What `Invoke-Expression` makes of the text when it comes line by line, as from a pipe (about_Quoting_Rules and
/// about_Special_Characters; the tokenizer takes typographic quotes for plain ones).
fn powershell(text: &str) -> Option<String> {
    let mut found = None;
    for line in text.split(['\n', '\r']) {
        let Some(word) = line.strip_prefix(&format!("$Env:{NAME} = \"")) else {
            assert!(
                line.starts_with('#') || ["$Env:DOCKER_TLS_VERIFY = \"1\"", ""].contains(&line),
                "{line:?} would be run"
            );
            continue;
        };
        let (mut value, mut chars) = (String::new(), word.chars());
        loop {
            match chars.next().unwrap() {
                '`' => match chars.next().unwrap() {
                    'n' => value.push('\n'),
                    'r' => value.push('\r'),
                    c if c.is_alphanumeric() => panic!("`{c} is another character"),
                    c => value.push(c),
                },
                '"' | '\u{201c}' | '\u{201d}' | '\u{201e}' => break,
                '$' => panic!("expanded"),
                c => value.push(c),
            }
        }
        assert_eq!(chars.as_str(), "", "after the string");
        found = Some(value);
    }
    found
}

/// What `FOR /f "tokens=*" %i IN ('…') DO @%i` makes of the text. The lines take the place of `%i` when percent signs,
/// carets and ampersands have had their meaning already, so that none has one in them.
fn cmd(text: &str) -> Option<String> {
    let mut found = None;
    for line in text.split(['\n', '\r']).filter(|line| !line.is_empty()) {
        match line.strip_prefix("SET ").and_then(|rest| rest.split_once('=')) {
            Some((NAME, value)) => found = Some(value.to_owned()),
            Some(("DOCKER_TLS_VERIFY", "1")) => {}
            _ => assert!(line.starts_with("REM "), "{line:?} would be run"),
        }
    }
    found
}

/// What the reader of Emacs Lisp makes of the text ("Syntax for Strings", "String Type").
fn emacs(text: &str) -> String {
    let (_, word) = text.split_once(&format!("(setenv \"{NAME}\" \"")).unwrap();
    let (mut value, mut chars) = (String::new(), word.chars());
    loop {
        match chars.next().unwrap() {
            '\\' => match chars.next().unwrap() {
                c @ ('"' | '\\') => value.push(c),
                c => panic!("\\{c}"),
            },
            '"' => break,
            c => value.push(c),
        }
    }
    assert!(chars.as_str().starts_with(")\n;;"));
    value
}

proptest! {
    #![proptest_config(cases::config(1))]

    #[test]
    fn readers_of_other_shells_read_back_any_value(value in cases::text()) {
        prop_assert_eq!(powershell(&text(Shell::PowerShell, &value)), Some(value.clone()));
        prop_assert_eq!(cmd(&text(Shell::Cmd, &value)), Some(value.replace(['\n', '\r'], " ")), "a variable of cmd has one line");
        prop_assert_eq!(emacs(&text(Shell::Emacs, &value)), value.as_str());
        let text = text(Shell::Nushell, &value);
        let json = text.lines().find(|line| line.starts_with('{')).unwrap();
        prop_assert_eq!(&serde_json::from_str::<serde_json::Value>(json).unwrap()[NAME], &value);
    }
}
