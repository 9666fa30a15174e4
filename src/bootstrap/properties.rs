//! Properties of what is written to a host and of what is read from one.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use proptest::prelude::*;

use super::{
    Answer, EngineSpec, HostFacts, UnitFacts, daemon, template,
    unit::{environment, systemd_quoted, without},
    userdata::{BootSpec, archive},
};
use crate::cases;

/// Values that a shell or a parser may trip over, and any others.
fn nasty() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("$(reboot)".to_owned()),
        Just("`id`".to_owned()),
        Just("'".to_owned()),
        Just("\"".to_owned()),
        Just("\\".to_owned()),
        Just("\n".to_owned()),
        Just("{{ x }}".to_owned()),
        Just("%n ${HOME} !x".to_owned()),
        Just("\u{85}\u{2028}\u{feff}".to_owned()),
        "[^\u{0}]{0,12}",
    ];
    prop::collection::vec(piece, 0..5).prop_map(|pieces| pieces.concat())
}

/// The forms that user-data may have, each with anything after it.
fn user_data() -> impl Strategy<Value = Vec<u8>> {
    let head = prop::sample::select(vec![
        "#!/bin/sh\n",
        "#cloud-config\n",
        "#include\n",
        "#cloud-boothook\n",
        "## template: jinja\n#cloud-config\n",
        "Content-Type: multipart/mixed; boundary=\"==rmachine==\"\nMIME-Version: 1.0\n\n--==rmachine==\n",
        "\u{1f}\u{8b}",
        "",
    ]);
    (head, prop::collection::vec(any::<u8>(), 0..200)).prop_map(|(head, rest)| [head.as_bytes(), &rest].concat())
}

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

proptest! {
    #![proptest_config(cases::config(500))]
    #[test]
    fn a_real_shell_reads_back_any_value(values in prop::collection::vec(nasty(), 500)) {
        let script = template::render(
            "printf '%s\\0'{% for v in values %} {{ v | sh }}{% endfor %}",
            minijinja::context! { values => &values },
        ).unwrap();
        let mut child =
            Command::new("sh").arg("-s").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let read: Vec<_> = output.stdout.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
        prop_assert_eq!(&read[..values.len()], &values[..]);
        prop_assert_eq!(read.len(), values.len() + 1);
    }
}

proptest! {
    #![proptest_config(cases::config(1))]

    #[test]
    fn yaml_values_are_one_line_of_json(value in nasty()) {
        let text = template::render("{{ v | yaml }}", minijinja::context! { v => &value }).unwrap();
        prop_assert_eq!(serde_json::from_str::<String>(&text).unwrap(), value);
        // YAML 1.1 breaks lines at these as well, and folds them.
        prop_assert!(!text.contains(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}', '\u{feff}']), "{text:?}");
    }

    #[test]
    fn unit_files_read_back_any_variable(value in "[^\u{0}\n\r]{0,60}") {
        let quoted = systemd_quoted(&value);
        prop_assert_eq!(systemd_read(&quoted), value);
    }

    #[test]
    fn answers_of_hosts_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let answer = Answer::parse(&bytes);
        let _ = (answer.get("end"), answer.decoded("log"), UnitFacts::read(&answer));
        facts(&bytes);
    }

    #[test]
    fn facts_of_any_system_never_panic(id in nasty(), like in nasty(), clock in nasty(), address in nasty()) {
        let text = format!("os_id={id}\nos_like={like}\nos_pretty={like}\nclock={clock}\naddress={address}\nclock={}\nend=yes\n", i64::MIN);
        let facts = facts(text.as_bytes());
        prop_assert!(facts.addresses.len() <= 3);
    }

    #[test]
    fn unit_and_environment_files_never_panic(text in nasty(), words in prop::collection::vec("-{0,2}[a-zH=,$]{0,9}", 0..8)) {
        let _ = environment(&text);
        let kept = without(words.clone(), &["label".to_owned()].into());
        prop_assert!(kept.iter().all(|word| words.contains(word)));
        prop_assert!(!kept.iter().any(|word| word.starts_with("--tls") && word.contains("tlsverify")));
    }

    #[test]
    fn a_hosts_daemon_json_never_panics(text in nasty(), opts in prop::collection::vec(nasty(), 0..4), labels in prop::collection::vec(nasty(), 0..3)) {
        let spec = EngineSpec { opts, labels, ..EngineSpec::default() };
        let _ = spec.validate();
        for text in [text.as_str(), r#"{"labels": 7, "dns": {}, "log-opts": []}"#, "[]", "null"] {
            let unit = UnitFacts { daemon_json: text.to_owned(), ..UnitFacts::default() };
            if let Ok(files) = daemon::files(&spec, &unit, &facts(b""), true) {
                prop_assert!(serde_json::from_str::<serde_json::Map<_, serde_json::Value>>(&files.daemon_json).is_ok());
            }
        }
    }

    #[test]
    fn any_user_data_is_kept_or_refused(own in user_data()) {
        let engine = EngineSpec { source: super::EngineSource::None, ..EngineSpec::default() };
        let spec = BootSpec {
            form: rmachine_provider_api::BootForm::CloudInit,
            hostname: "m",
            login_user: "admin",
            login_public_key: None,
            seed_host_key: None,
            engine: &engine,
            user_supplied: Some(&own),
            limit: 16384,
        };
        let Ok(archive) = archive(&spec) else { return Ok(()) };
        if !own.is_empty() && !own.starts_with(b"\x1f\x8b") {
            let whole: String = archive.lines().collect();
            let text = String::from_utf8_lossy(&own);
            prop_assert!(whole.contains(&STANDARD.encode(&own)) || archive.contains(text.as_ref()), "{archive}");
        }
        let boundary = archive.split('"').nth(1).unwrap();
        let parts = archive.lines().filter(|line| *line == format!("--{boundary}")).count();
        prop_assert_eq!(parts, if own.is_empty() { 2 } else { 3 }, "nothing of the user's looks like our boundary");
        let end = format!("--{boundary}--\n");
        prop_assert!(archive.ends_with(&end));
        let last = archive.rsplit(&format!("--{boundary}\n")).next().unwrap();
        prop_assert!(last.contains("X-Merge-Type: dict(replace)"), "ours is last");
    }
}
