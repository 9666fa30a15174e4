//! `ssh-config`: what the stock ssh, scp, rsync and editors need to log in with the same keys and the same trust.

use std::path::PathBuf;

use super::Core;
use crate::{
    error::Result,
    ssh::{HostKeys, Session},
    store::{Record, file},
};

/// How long a host may take whose key is known by a fingerprint only.
const CONNECT: std::time::Duration = std::time::Duration::from_secs(15);

impl Core {
    /// An OpenSSH client configuration for machines `names`, or for all that have SSH and an address; writes the pinned
    /// host keys where it says that they are.
    ///
    /// # Errors
    ///
    /// [`crate::error::Kind::Conflict`] when a named one has no address, [`crate::error::Kind::Store`];
    /// [`crate::error::Kind::Ssh`] where a fingerprint has to be turned into a key and the host does not answer.
    pub async fn ssh_config(&self, names: &[String]) -> Result<String> {
        let mut blocks = Vec::new();
        if names.is_empty() {
            for name in self.store.names()? {
                // What is damaged or half made has no place in a list of all.
                let Ok(record) = self.store.load(&name) else { continue };
                let has_ssh = self.driver(&record).is_ok_and(|driver| driver.info().capabilities.ssh);
                if has_ssh && record.address().is_some() {
                    blocks.push(self.ssh_block(&record).await?);
                }
            }
        } else {
            for name in names {
                let record = self.store.load(name)?;
                self.require_ssh(&record)?;
                blocks.push(self.ssh_block(&record).await?);
            }
        }
        Ok(blocks.join("\n"))
    }

    /// The same in a file of the store, for programs that start ssh by themselves, now or when a connection has broken.
    pub(super) async fn ssh_config_file(&self, name: &str) -> Result<PathBuf> {
        let text = self.ssh_config(&[name.to_owned()]).await?;
        let path = self.store.machine_file(name, file::SSH_CONFIG);
        if self.store.read_text(&path)?.is_none_or(|old| old != text) {
            self.store.write(&path, text.as_bytes())?;
        }
        Ok(path)
    }

    async fn ssh_block(&self, record: &Record) -> Result<String> {
        let target = self.target(record)?;
        let alias = format!("rmachine-{}", record.name);
        let mut lines = vec![
            format!("Host {}", record.name),
            format!("  HostName {}", quoted(&target.host)),
            format!("  Port {}", target.port),
            format!("  User {}", quoted(&target.user)),
        ];
        if !record.ssh.key_file.is_empty() {
            lines.extend(target.keys.iter().map(|key| format!("  IdentityFile {}", quoted(&key.to_string_lossy()))));
            lines.push("  IdentitiesOnly yes".to_owned());
        }
        if let Some(jump) = &record.ssh.proxy_jump {
            lines.push(format!("  ProxyJump {jump}"));
        }
        if let Some(command) = &record.ssh.proxy_command {
            lines.push(format!("  ProxyCommand {command}"));
        }
        let pinned = match &target.host_keys {
            HostKeys::Pinned(keys) => keys.clone(),
            HostKeys::Fingerprint(_) => {
                let session = self.connect(record, &target, CONNECT).await?;
                let key = session.host_key().to_owned();
                Session::close(session).await;
                vec![key]
            }
            // The user's own files have it, and ssh reads them by itself.
            HostKeys::KnownHosts(_) => Vec::new(),
        };
        if !pinned.is_empty() {
            let path = self.store.machine_file(&record.name, file::KNOWN_HOSTS);
            let text: String = pinned.iter().map(|key| format!("{alias} {}\n", key.trim())).collect();
            if self.store.read_text(&path)?.is_none_or(|old| old != text) {
                self.store.write(&path, text.as_bytes())?;
            }
            let types: Vec<&str> = pinned.iter().filter_map(|key| key.split_whitespace().next()).collect();
            lines.push(format!("  HostKeyAlias {alias}"));
            lines.push(format!("  UserKnownHostsFile {}", quoted(&path.to_string_lossy())));
            lines.push("  GlobalKnownHostsFile /dev/null".to_owned());
            lines.push(format!("  HostKeyAlgorithms {}", algorithms(&types).join(",")));
            // The host's other keys are not ours to trust.
            lines.push("  UpdateHostKeys no".to_owned());
        }
        lines.push("  StrictHostKeyChecking yes".to_owned());
        lines.push(String::new());
        Ok(lines.join("\n"))
    }
}

/// The signature algorithms for keys of `types`: those of RSA have other names (RFC 8332).
fn algorithms(types: &[&str]) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for kind in types {
        let names: &[&str] =
            if *kind == "ssh-rsa" { &["rsa-sha2-512", "rsa-sha2-256"] } else { std::slice::from_ref(kind) };
        for name in names {
            if !all.iter().any(|known| known == name) {
                all.push((*name).to_owned());
            }
        }
    }
    all
}

/// Quotes an argument for ssh_config(5): `%` begins a token there, `"` and `\` are escaped in quotes.
fn quoted(text: &str) -> String {
    let text = text.replace('%', "%%");
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text;
    }
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_where_they_need_it() {
        assert_eq!(quoted("/home/me/id_ed25519"), "/home/me/id_ed25519");
        assert_eq!(quoted("/My Files/a%b"), "\"/My Files/a%%b\"");
        assert_eq!(quoted(r#"a"b\"#), r#""a\"b\\""#);
        assert_eq!(
            algorithms(&["ssh-ed25519", "ssh-ed25519", "ssh-rsa"]).join(","),
            "ssh-ed25519,rsa-sha2-512,rsa-sha2-256"
        );
    }
}
