//! Properties of what is written to a host and of what is read from one.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use proptest::prelude::*;
use rmachine_model::EngineSpec;
use rmachine_testkit::cases;

use super::{
    Answer, HostFacts, UnitFacts, daemon, template,
    unit::{environment, systemd_quoted, without},
};

mod user_data;

fn facts(bytes: &[u8]) -> HostFacts {
    HostFacts::read(&Answer::parse(bytes), "user")
}

/// What [`systemd_quoted`] wrote, read by the rules of systemd.syntax(7), "Quoting".
fn systemd_read(text: &str) -> String {
    let inner = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap();
    let mut read = String::new();
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next().unwrap() {
                't' => read.push('\t'),
                c @ ('"' | '\\') => read.push(c),
                c => panic!("\\{c}"),
            },
            '%' => {
                assert_eq!(chars.next(), Some('%'));
                read.push('%');
            }
            '"' | '\n' | '\r' => panic!("{c:?} ends the word or the line"),
            c => read.push(c),
        }
    }
    read
}

/// The lines of the probe that read os-release, for this text of it in the place of the file.
fn os_release(text: &str) -> String {
    let (_, rest) = template::PROBE.split_once("        . /etc/os-release\n").unwrap();
    let (lines, _) = rest.split_once("    fi\n").unwrap();
    format!("unset ID ID_LIKE VERSION_ID PRETTY_NAME\n{text}\n{lines}printf '\\0'\n")
}

/// A value as os-release(5) has it: in quotes of either kind, or bare.
fn os_release_value(value: &str, quotes: usize) -> String {
    match quotes {
        0 => format!("'{}'", value.replace('\'', r"'\''")),
        1 if !value.is_empty() && value.bytes().all(|b| b.is_ascii_alphanumeric()) => value.to_owned(),
        _ => {
            let special = |c| matches!(c, '"' | '\\' | '$' | '`');
            let escaped = value.chars().flat_map(|c| special(c).then_some('\\').into_iter().chain([c]));
            format!("\"{}\"", escaped.collect::<String>())
        }
    }
}

/// What `sh` prints when it runs `script` in an empty directory, without programs.
fn sh(script: &str) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let mut child = Command::new("/bin/sh")
        .arg("-s")
        .current_dir(&directory)
        .env_clear()
        .env("PATH", directory.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(script.as_bytes()));
        child.wait_with_output().unwrap()
    });
    assert_eq!(directory.path().read_dir().unwrap().count(), 0, "a file was made");
    output.stdout
}

proptest! {
    #![proptest_config(cases::config(cases::BATCH))]

    #[test]
    fn a_real_shell_reads_back_any_value(values in cases::batch(cases::text())) {
        let values = values.0;
        let script = template::render(
            "printf '%s\\0'{% for v in values %} {{ v | sh }}{% endfor %}",
            minijinja::context! { values => &values },
        ).unwrap();
        let output = sh(&script);
        let read: Vec<_> = output.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
        prop_assert_eq!(read.len(), values.len() + 1);
        for (read, value) in read.iter().zip(&values) {
            prop_assert_eq!(read, value);
        }
    }

    #[test]
    fn yaml_values_are_one_line_of_json(values in cases::batch(cases::text()), nul in 0..cases::BATCH as usize) {
        let mut values = values.0;
        values[nul].push('\0');
        let template = "{% for v in values %}{{ v | yaml }}\n{% endfor %}";
        let text = template::render(template, minijinja::context! { values => &values }).unwrap();
        prop_assert_eq!(text.split('\n').count(), values.len() + 1);
        for (line, value) in text.split('\n').zip(&values) {
            prop_assert_eq!(&serde_json::from_str::<String>(line).unwrap(), value);
            // YAML 1.1 breaks lines at these as well, and folds them.
            prop_assert!(!line.contains(['\r', '\u{85}', '\u{2028}', '\u{2029}', '\u{feff}']), "{line:?}");
        }
    }

    #[test]
    fn os_release_is_read_as_it_is_meant(
        values in cases::batch((0..IDS.len(), like(), cases::line(), 0..3_usize)),
        junk in prop::collection::vec(cases::of("abc #\t", 0..8), 8),
    ) {
        let values = values.0;
        let mut script = "out() { printf '%s=%s\\n' \"$1\" \"$2\"; }\n".to_owned();
        for (index, (id, like, pretty, quotes)) in values.iter().enumerate() {
            let value = |value: &str| os_release_value(value, *quotes);
            script.push_str(&os_release(&format!(
                "# {}\nNAME={}\nID={}\n\nID_LIKE={}\nPRETTY_NAME={}\nHOME_URL='x'",
                junk[index % 8], value(like), value(IDS[*id]), value(like), value(pretty)
            )));
        }
        let output = sh(&script);
        let answers: Vec<&[u8]> = output.split(|byte| *byte == 0).collect();
        prop_assert_eq!(answers.len(), values.len() + 1);
        for (answer, (id, like, pretty, _)) in answers.into_iter().zip(&values) {
            let facts = facts(answer);
            prop_assert_eq!(&facts.os_id, IDS[*id]);
            let known = *id < 3 || like.split_whitespace().any(|like| matches!(like, "debian" | "ubuntu"));
            prop_assert_eq!(facts.known_os, known);
            prop_assert_eq!(&facts.os_pretty, if pretty.is_empty() { "an unknown system" } else { pretty });
        }
    }
}

fn like() -> impl Strategy<Value = String> {
    let words = prop::collection::vec(0..LIKES.len(), 0..4)
        .prop_map(|picks| picks.into_iter().map(|pick| LIKES[pick]).collect::<Vec<_>>().join(" "));
    prop_oneof![words, cases::line()]
}

const LIKES: [&str; 6] = ["debian", "ubuntu", "ubuntu2", "rhel", "*", "$x"];
/// The first three have a way to install an engine.
const IDS: [&str; 5] = ["debian", "amzn", "opensuse-leap", "arch", ""];

proptest! {
    #![proptest_config(cases::config(1))]

    #[test]
    fn unit_files_read_back_any_variable(value in cases::line()) {
        let quoted = systemd_quoted(&value);
        prop_assert_eq!(systemd_read(&quoted), value);
    }

    #[test]
    fn answers_of_hosts_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), lines in prop::collection::vec((0..KEYS.len(), cases::text()), 0..6)) {
        let answer = Answer::parse(&bytes);
        let _ = (answer.get("end"), answer.decoded("log"), UnitFacts::read(&answer));
        facts(&bytes);
        let text: String = lines.iter().map(|(key, value)| format!("{}={value}\n", KEYS[*key])).collect();
        let answer = Answer::parse(text.as_bytes());
        let _ = UnitFacts::read(&answer);
        prop_assert!(facts(text.as_bytes()).addresses.len() <= lines.len());
        let encoded: String = lines.iter().map(|(key, value)| format!("{}={}\r\n", KEYS[*key], STANDARD.encode(value))).collect();
        let answer = Answer::parse(encoded.as_bytes());
        let _ = UnitFacts::read(&answer);
        if let Some((key, value)) = lines.last() {
            prop_assert_eq!(&answer.decoded(KEYS[*key]), value);
        }
    }

    #[test]
    fn facts_of_any_system_never_panic(id in cases::text(), clock in cases::of("-0123456789", 0..22), address in cases::of("0123456789abcdef.:%", 0..20)) {
        let text = format!("os_id={id}\nos_like={id}\nos_pretty={id}\nclock={clock}\naddress={address}\nend=yes\n");
        let read = facts(text.as_bytes());
        prop_assert!(read.addresses.len() <= 2);
        for clock in [i64::MIN, i64::MAX] {
            facts(format!("clock={clock}\n").as_bytes());
        }
    }

    #[test]
    fn unit_and_environment_files_never_panic(text in cases::text(), words in prop::collection::vec((0..3_usize, cases::of("abhlost=,$H", 0..9)), 0..8)) {
        let _ = environment(&text);
        let mut words: Vec<String> = words.into_iter().map(|(dashes, word)| "-".repeat(dashes) + &word).collect();
        words.extend(["--tlsverify".to_owned(), "--label=x".to_owned(), "--label".to_owned()]);
        let kept = without(words.clone(), &["label".to_owned()].into());
        prop_assert!(kept.iter().all(|word| words.contains(word)));
        prop_assert!(!kept.iter().any(|word| word.starts_with("--tlsverify") || word.starts_with("--label")));
    }

    #[test]
    fn a_hosts_daemon_json_never_panics(text in cases::text(), opts in prop::collection::vec((0..OPTIONS.len(), cases::texts(0..6)), 0..4), labels in prop::collection::vec(cases::texts(0..6), 0..3), host in 0..HOSTS.len()) {
        let opts = opts.into_iter().map(|(option, value)| OPTIONS[option].to_owned() + &value).collect();
        let spec = EngineSpec { opts, labels, ..EngineSpec::default() };
        let valid = spec.validate().is_ok();
        for text in [text.as_str(), HOSTS[host], "{}"] {
            let unit = UnitFacts { daemon_json: text.to_owned(), ..UnitFacts::default() };
            match daemon::files(&spec, &unit, &facts(b""), true) {
                Ok(files) => {
                    let read = |text: &str| serde_json::from_str::<serde_json::Map<_, serde_json::Value>>(text);
                    prop_assert!(read(&files.daemon_json).is_ok() && read(&files.daemon_json_live).unwrap()["live-restore"] == true);
                }
                Err(error) => prop_assert!(text != "{}" || !valid, "{error}"),
            }
        }
    }
}

/// Keys of the answers of `templates/`.
const KEYS: [&str; 12] = [
    "os_id",
    "os_pretty",
    "clock",
    "address",
    "machine",
    "daemon_json",
    "exec_start",
    "environment",
    "load_state",
    "note",
    "log",
    "end",
];
const OPTIONS: [&str; 12] =
    ["", "-", "dns=", "log-opt=", "log-opt=a=", "mtu=", "mtu=1", "debug", "debug=", "bip=", "label=", "config-file"];
const HOSTS: [&str; 6] = [
    r#"{"labels": 7, "dns": {}, "log-opts": []}"#,
    r#"{"labels": [1, null, "a=b"], "log-opts": {"a": 1}, "live-restore": 3}"#,
    r#"{"hosts": ["fd://"], "tls": 1}"#,
    "[]",
    "null",
    " ",
];
