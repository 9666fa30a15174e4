//! Fuzz targets of what other stores, archives and consoles say, and of what is told to the stock ssh.

#![allow(clippy::expect_used, clippy::missing_panics_doc, reason = "a panic is how a fuzz target tells")]

use std::{io::Write, path::PathBuf, process::Command};

use rmachine_model::drivers::Drivers;
use rmachine_store::{Store, file};

use super::{
    archive::fuzz::unpacked,
    console::{MOST, printed},
    ssh_config::Login,
};

/// Output of a console.
pub fn console(data: &[u8]) {
    let fingerprints = printed(&String::from_utf8_lossy(data));
    assert!(fingerprints.len() <= MOST, "{fingerprints:?}");
    assert!(fingerprints.iter().all(|print| print.starts_with("SHA256:") && print.len() == 50), "{fingerprints:?}");
}

/// An archive that was opened. Nothing in it leads anywhere else, and what is read is what is written.
pub fn archive(data: &[u8]) {
    unpacked(data);
}

/// A record that another store wrote. What it names has passed its gate: no text in it has a control character.
/// The drivers read those of docker-machine.
pub fn record(drivers: &Drivers, data: &[u8]) {
    let store = Store::at("/nonexistent").with_drivers(drivers);
    let Ok((record, ..)) = store.decode("m", |name| (name == file::CONFIG).then(|| data.to_vec())) else { return };
    assert_eq!(record.name, "m");
    assert!(record.attempt.is_none() && record.intents.is_empty() && record.resources.is_empty(), "{record:?}");
    assert!(record.ssh.proxy_command.is_none() && record.ssh.proxy_jump.is_none(), "{record:?}");
    let texts = [Some(record.ssh.user.as_str()), record.address(), Some(record.driver.as_str())];
    for text in texts.into_iter().flatten().chain(record.ssh.host_keys.iter().map(String::as_str)) {
        assert!(!text.contains(char::is_control) && !text.starts_with('-'), "{text:?}");
    }
}

/// Host, user, key, jump hosts and command, with 0xff in between: OpenSSH reads them as they were meant, or not at all.
pub fn ssh_config(data: &[u8]) {
    let mut parts = data.split(|byte| *byte == 0xff).map(|part| String::from_utf8_lossy(part).into_owned());
    let mut next = || parts.next().unwrap_or_default();
    let (host, user, key, jump, command) = (next(), next(), next(), next(), next());
    let login = Login {
        name: "m",
        host: &host,
        port: 2222,
        user: &user,
        keys: &[PathBuf::from(key)],
        jump: Some(jump.as_str()).filter(|jump| !jump.is_empty()),
        command: Some(command.as_str()).filter(|command| !command.is_empty() && jump.is_empty()),
    };
    let Ok(lines) = login.lines() else { return };
    let mut file = tempfile::NamedTempFile::new().expect("a file can be made");
    // What comes after it has to be read as a line of its own.
    writeln!(file, "{}\n  StrictHostKeyChecking yes", lines.join("\n")).expect("it can be written");
    let read = Command::new("ssh").arg("-G").arg("-F").arg(file.path()).arg("m").output().expect("ssh is there");
    if !read.status.success() {
        return;
    }
    let said = String::from_utf8_lossy(&read.stdout).into_owned();
    let value = |keyword: &str| said.lines().find_map(|line| line.strip_prefix(keyword)?.strip_prefix(' '));
    assert_eq!(value("port"), Some("2222"), "{lines:?}");
    assert_eq!(value("stricthostkeychecking"), Some("true"), "{lines:?}");
    assert_eq!(value("user"), Some(user.as_str()), "{lines:?}");
    // It writes out addresses anew: `1` is 0.0.0.1 to inet_aton(3), and fe80::0%eth0 is fe80::%eth0.
    let address = host.trim().split_once('%').map_or(host.trim(), |(address, _)| address);
    if address.is_empty() || !address.chars().all(|c| c.is_ascii_hexdigit() || "xX.:".contains(c)) {
        assert_eq!(value("hostname").map(str::to_lowercase), Some(host.trim().to_lowercase()), "{lines:?}");
    }
    for never in ["localcommand", "remotecommand", "knownhostscommand"] {
        assert!(value(never).is_none_or(|value| value == "none"), "{never}: {lines:?}");
    }
    if login.command.is_none() {
        assert!(value("proxycommand").is_none_or(|value| value == "none"), "{lines:?}");
    }
}

#[cfg(test)]
mod properties {
    use proptest::prelude::*;
    use rmachine_testkit::cases;

    use super::*;

    fn value() -> impl Strategy<Value = String> {
        prop_oneof![
            cases::of("ab%\"\\ ${}#=',*?!~@:\t", 0..12),
            cases::of("ab.-", 1..12),
            cases::line(),
            cases::hostile_text()
        ]
    }

    proptest! {
        // A process each.
        #![proptest_config(cases::config(50))]

        #[test]
        fn openssh_reads_what_is_meant(parts in prop::collection::vec(value(), 5)) {
            let parts: Vec<&[u8]> = parts.iter().map(|part| part.as_bytes()).collect();
            ssh_config(&parts.join(&0xff));
        }
    }
}
