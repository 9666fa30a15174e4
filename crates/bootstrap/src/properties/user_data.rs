//! Properties of the merge of the user's own first-boot data with ours.

use std::io::Write;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use flate2::{Compression, write::GzEncoder};
use proptest::prelude::*;
use rmachine_model::{EngineSource, EngineSpec};
use rmachine_testkit::cases;

use crate::userdata::{BootSpec, archive};

/// First lines that cloud-init knows, and the type of the part that they make; a MIME archive is nested as it is.
const KNOWN: [(&str, &str); 11] = [
    ("#!/bin/sh\n", "text/x-shellscript"),
    ("#cloud-config\n", "text/cloud-config"),
    ("#cloud-config-archive\n", "text/cloud-config-archive"),
    ("#cloud-config-jsonp\n", "text/cloud-config-jsonp"),
    ("#include\n", "text/x-include-url"),
    ("#include-once\n", "text/x-include-once-url"),
    ("#cloud-boothook\n", "text/cloud-boothook"),
    ("#part-handler\n", "text/part-handler"),
    ("## template: jinja\n#cloud-config\n", "text/jinja2"),
    ("Content-Type: multipart/mixed; boundary=\"==rmachine==\"\nMIME-Version: 1.0\n\n--==rmachine==\n", ""),
    ("MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"B\"\n\n--B\n", ""),
];
const UNKNOWN: [&str; 6] = ["x", " #!/bin/sh\n", "\n#cloud-config\n", "# cloud-config\n", "#clout", "\u{1f}"];

/// How the user's data is packed, and what has become of that.
#[derive(Debug, Clone)]
enum Packed {
    Plain,
    Gzip,
    /// Two files, zipped one by one.
    Members(usize),
    Cut(usize),
    /// One byte is another one.
    Changed(usize, u8),
    Followed(Vec<u8>),
}

fn plain() -> impl Strategy<Value = (Vec<u8>, Option<&'static str>)> {
    let tail = prop_oneof![prop::collection::vec(any::<u8>(), 0..100), cases::text().prop_map(String::into_bytes)];
    (0..KNOWN.len() + UNKNOWN.len(), tail).prop_map(|(head, tail)| {
        let (head, content_type) = match KNOWN.get(head) {
            Some((head, content_type)) => (*head, Some(*content_type)),
            None => (UNKNOWN[head - KNOWN.len()], None),
        };
        ([head.as_bytes(), &tail].concat(), content_type)
    })
}

fn packed() -> impl Strategy<Value = Packed> {
    let at = || any::<u16>().prop_map(usize::from);
    prop_oneof![
        15 => Just(Packed::Plain),
        1 => Just(Packed::Gzip),
        1 => at().prop_map(Packed::Members),
        1 => at().prop_map(Packed::Cut),
        1 => (at(), 1..=255_u8).prop_map(|(at, change)| Packed::Changed(at, change)),
        1 => prop::collection::vec(1..=255_u8, 1..20).prop_map(Packed::Followed),
    ]
}

fn zipped(bytes: &[u8]) -> Vec<u8> {
    const LEVELS: [fn() -> Compression; 3] = [Compression::none, Compression::fast, Compression::best];
    let mut encoder = GzEncoder::new(Vec::new(), LEVELS[bytes.len() % LEVELS.len()]());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn archived(own: &[u8]) -> Result<String, crate::Error> {
    let engine = EngineSpec { source: EngineSource::None, ..EngineSpec::default() };
    archive(&BootSpec {
        form: rmachine_provider_api::BootForm::CloudInit,
        hostname: "m",
        login_user: "admin",
        login_public_key: None,
        seed_host_key: None,
        engine: &engine,
        user_supplied: Some(own),
        limit: 16384,
    })
}

/// The parts of an archive of ours, by the rules of RFC 2046; each with its end of line.
fn parts(archive: &str) -> Vec<&str> {
    let boundary = archive.split('"').nth(1).unwrap();
    let (_, rest) = archive.split_once(&format!("\n\n--{boundary}\n")).unwrap();
    let rest = rest.strip_suffix(&format!("--{boundary}--\n")).unwrap();
    let delimiter = format!("--{boundary}\n");
    // A boundary begins a line.
    assert_eq!(rest.matches(&delimiter).count(), rest.matches(&format!("\n{delimiter}")).count());
    assert!(!rest.contains(&format!("--{boundary}--")));
    rest.split(&delimiter).collect()
}

/// The header and the body, decoded, of a part that we made.
fn decoded(part: &str) -> (&str, Vec<u8>) {
    let (header, body) = part.split_once("\n\n").unwrap();
    assert!(body.lines().all(|line| (1..=76).contains(&line.len())), "{body}");
    (header, STANDARD.decode(body.lines().collect::<String>()).unwrap())
}

fn check(plain: &[u8], content_type: Option<&str>, packed: &Packed) -> Result<(), TestCaseError> {
    let cut = |bytes: &[u8], at: usize| bytes[..at % bytes.len()].to_vec();
    let (own, whole) = match packed {
        Packed::Plain => (plain.to_vec(), true),
        Packed::Gzip => (zipped(plain), true),
        Packed::Members(at) => {
            let (one, other) = plain.split_at(at % plain.len());
            ([zipped(one), zipped(other)].concat(), true)
        }
        Packed::Cut(at) => (cut(&zipped(plain), *at), false),
        Packed::Changed(at, change) => {
            let mut bytes = zipped(plain);
            let at = at % bytes.len();
            bytes[at] ^= change;
            (bytes, false)
        }
        Packed::Followed(junk) => ([zipped(plain), junk.clone()].concat(), false),
    };
    let result = archived(&own);
    if own.is_empty() {
        prop_assert_eq!(parts(&result.unwrap()).len(), 2, "nothing is nothing");
        return Ok(());
    }
    let is_text = std::str::from_utf8(plain).is_ok();
    let valid = content_type.filter(|content_type| !content_type.is_empty() || is_text);
    let archive = match (result, valid) {
        (Err(error), Some(_)) if whole => return Err(TestCaseError::fail(format!("refused: {error}"))),
        (Err(error), _) => {
            prop_assert!(matches!(error, crate::Error::UserData(_)) && !error.to_string().is_empty());
            return Ok(());
        }
        (Ok(archive), Some(_)) => archive,
        (Ok(archive), None) => return Err(TestCaseError::fail(format!("not refused: {archive}"))),
    };
    // What is not whole is refused, but where the change touches nothing that is read, such as the time of a gzip.
    prop_assert!(whole || matches!(packed, Packed::Changed(..)), "not refused");
    let parts = parts(&archive);
    prop_assert_eq!(parts.len(), 3);
    match content_type {
        Some("") => {
            prop_assert_eq!(
                parts[0].strip_suffix('\n').unwrap().as_bytes(),
                plain.strip_suffix(b"\n").unwrap_or(plain)
            );
        }
        Some(content_type) => {
            let (header, body) = decoded(parts[0]);
            prop_assert_eq!(body, plain, "the user's own is not what it was");
            let header: Vec<&str> = header.lines().collect();
            let expected =
                [&format!("Content-Type: {content_type}; charset=\"utf-8\""), "Content-Transfer-Encoding: base64"];
            prop_assert_eq!(header, expected);
        }
        None => unreachable!(),
    }
    for (part, merge) in parts[1..].iter().zip(["list(append)", "dict(replace)"]) {
        let (header, body) = decoded(part);
        prop_assert!(header.contains(&format!("X-Merge-Type: {merge}")), "ours are last");
        prop_assert!(body.starts_with(b"#cloud-config\n"));
    }
    Ok(())
}

#[test]
fn a_gzip_of_each_kind() {
    let plain = b"#!/bin/sh\necho a long script\n";
    for packed in [Packed::Plain, Packed::Gzip, Packed::Members(7), Packed::Members(0), Packed::Followed(vec![1])] {
        check(plain, Some("text/x-shellscript"), &packed).unwrap();
    }
    let length = zipped(plain).len();
    for at in 0..length {
        check(plain, Some("text/x-shellscript"), &Packed::Cut(at)).unwrap();
        let bits = (0..8).map(|bit| 1 << bit);
        bits.for_each(|bit| check(plain, Some("text/x-shellscript"), &Packed::Changed(at, bit)).unwrap());
    }
    // The check itself sees what is lost.
    assert!(
        check(plain, None, &Packed::Gzip).is_err() && check(plain, Some("text/cloud-config"), &Packed::Gzip).is_err()
    );
    assert!(check(b"hello", Some("text/cloud-config"), &Packed::Plain).is_err());
}

proptest! {
    #![proptest_config(cases::config(1))]

    #[test]
    fn any_user_data_is_kept_or_refused((plain, content_type) in plain(), packed in packed()) {
        check(&plain, content_type, &packed)?;
    }

    #[test]
    fn any_bytes_are_kept_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..100), zipped in any::<bool>()) {
        let magic: &[u8] = if zipped { b"\x1f\x8b\x08" } else { b"" };
        if let Err(error) = archived(&[magic, &bytes].concat()) {
            prop_assert!(!error.to_string().is_empty());
        }
    }
}
