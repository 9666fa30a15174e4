//! `ssh-config`: what the stock ssh, scp, rsync and editors need to log in with the same keys and the same trust.

use std::path::{Path, PathBuf};

use rmachine_model::error::{Error, Kind, Result};
use rmachine_ssh::{HostKeys, Session};
use rmachine_store::{Record, file};

use super::{Core, open::CONNECT};

impl Core {
    /// An OpenSSH client configuration for machines `names`, or for all that have SSH and an address; writes the pinned
    /// host keys where it says that they are. Of all, those that it cannot be printed for are left out with a warning.
    ///
    /// # Errors
    ///
    /// [`Kind::Conflict`] when a named one has no address, [`Kind::Store`]; [`Kind::Usage`] for a path or user that
    /// OpenSSH would change; [`Kind::Ssh`] where a fingerprint has to be turned into a key and the host does not answer.
    pub async fn ssh_config(&self, names: &[String]) -> Result<String> {
        let mut blocks = Vec::new();
        if names.is_empty() {
            for name in self.store.names()? {
                // What is damaged or half made has no place in a list of all.
                let Ok(record) = self.store.load(&name) else { continue };
                let has_ssh = self.driver(&record).is_ok_and(|driver| driver.info().capabilities.ssh);
                if !has_ssh || record.address().is_none() {
                    continue;
                }
                match self.ssh_block(&record).await {
                    Ok(block) => blocks.push(block),
                    Err(error) if error.kind() == Kind::Ssh => {
                        self.talk.about(&name).warn(&format!("it is left out: {error}"));
                    }
                    Err(error) => return Err(error),
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

    /// Writes the `pinned` host keys of machine `name` for the stock ssh, and answers where.
    fn write_known_hosts(&self, name: &str, pinned: &[String]) -> Result<PathBuf> {
        let path = self.store.machine_file(name, file::KNOWN_HOSTS);
        let text: String = pinned.iter().map(|key| format!("{} {}\n", alias(name), key.trim())).collect();
        if self.store.read_text(&path)?.is_none_or(|old| old != text) {
            self.store.write(&path, text.as_bytes())?;
        }
        Ok(path)
    }

    /// Brings what an earlier `ssh-config` wrote to the keys that are pinned now.
    pub(super) fn follow_known_hosts(&self, record: &Record) -> Result<()> {
        let path = self.store.machine_file(&record.name, file::KNOWN_HOSTS);
        match self.store.read_text(&path)? {
            Some(_) => self.write_known_hosts(&record.name, &record.ssh.host_keys).map(drop),
            None => Ok(()),
        }
    }

    async fn ssh_block(&self, record: &Record) -> Result<String> {
        let target = self.target(record)?;
        let alias = alias(&record.name);
        let mut lines = Login {
            name: &record.name,
            host: &target.host,
            port: target.port,
            user: &target.user,
            keys: if record.ssh.key_file.is_empty() { &[] } else { &target.keys },
            jump: record.ssh.proxy_jump.as_deref(),
            command: record.ssh.proxy_command.as_deref(),
        }
        .lines()?;
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
            for key in &pinned {
                one_line("a host key", key.trim())?;
            }
            let path = self.write_known_hosts(&record.name, &pinned)?;
            let types: Vec<&str> = pinned.iter().filter_map(|key| key.split_whitespace().next()).collect();
            lines.push(format!("  HostKeyAlias {alias}"));
            lines.push(format!("  UserKnownHostsFile {}", path_of(&path)?));
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

/// How one logs in to a machine. All of it may have been written by others.
#[derive(Debug, Clone, Copy)]
pub(super) struct Login<'a> {
    pub(super) name: &'a str,
    pub(super) host: &'a str,
    pub(super) port: u16,
    pub(super) user: &'a str,
    /// Empty: the user's own.
    pub(super) keys: &'a [PathBuf],
    pub(super) jump: Option<&'a str>,
    pub(super) command: Option<&'a str>,
}

impl Login<'_> {
    /// The same for ssh_config(5). What OpenSSH would read as something else is refused.
    pub(super) fn lines(&self) -> Result<Vec<String>> {
        let mut lines = vec![
            format!("Host {}", self.name),
            format!("  HostName {}", host(self.host)?),
            format!("  Port {}", self.port),
            format!("  User {}", user(self.user)?),
        ];
        for key in self.keys {
            lines.push(format!("  IdentityFile {}", path_of(key)?));
        }
        if !self.keys.is_empty() {
            lines.push("  IdentitiesOnly yes".to_owned());
        }
        if let Some(jump) = self.jump {
            lines.push(format!("  ProxyJump {}", one_line("ProxyJump", jump)?));
        }
        if let Some(command) = self.command {
            lines.push(format!("  ProxyCommand {}", one_line("ProxyCommand", command)?));
        }
        Ok(lines)
    }
}

/// The name by which the stock ssh knows the host of machine `name`.
fn alias(name: &str) -> String {
    format!("rmachine-{name}")
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

/// A path as IdentityFile and UserKnownHostsFile take it. They expand `${NAME}`, in quotes and after a backslash too, so
/// that one with `${` cannot be written (ssh_config(5), ENVIRONMENT VARIABLES).
fn path_of(path: &Path) -> Result<String> {
    let refused = |why: &str| {
        Err(Error::usage(format!("OpenSSH cannot be told the path {path:?}: {why}"))
            .hint("move the store elsewhere, and name that place with --storage-path DIR"))
    };
    match path.to_str() {
        None => refused("it is not UTF-8"),
        Some(text) if text.contains("${") => refused("it takes ${ for a variable of the environment"),
        Some(text) if text.contains(char::is_control) => refused("a configuration has no control characters"),
        Some(text) => Ok(quoted(text)),
    }
}

/// A login name: OpenSSH expands `%` and `${` in it from 10.0 on, and did not before.
fn user(name: &str) -> Result<String> {
    if name.contains('%') || name.contains("${") || name.contains(char::is_control) {
        return Err(Error::usage(format!(
            "OpenSSH cannot be told the user {name:?}: its versions read that differently"
        ))
        .hint("log in with `rmachine ssh`"));
    }
    Ok(quoted(name))
}

/// An address, which is refused where it would be more than a word: it comes from clouds and from records of others.
fn host(address: &str) -> Result<String> {
    one_line("HostName", address).map(quoted)
}

/// Refuses what would be more than the value of its keyword: a line break ends it, and what follows is another one
/// (`Match exec` runs a command).
fn one_line<'a>(keyword: &str, value: &'a str) -> Result<&'a str> {
    if value.contains(char::is_control) {
        return Err(Error::usage(format!(
            "OpenSSH cannot be told {keyword} {value:?}: a configuration has no control characters"
        ))
        .hint("`rmachine inspect` shows the record; `rmachine rm` and `rmachine adopt` make it anew"));
    }
    Ok(value.trim())
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
        let path_of = |text: &str| path_of(Path::new(text));
        assert_eq!(path_of("/home/me/id_ed25519").unwrap(), "/home/me/id_ed25519");
        assert_eq!(path_of("/My Files/a%b").unwrap(), "\"/My Files/a%%b\"");
        assert_eq!(path_of("/a%%$b$").unwrap(), "\"/a%%%%$b$\"");
        assert_eq!(path_of(r#"a"b\"#).unwrap(), r#""a\"b\\""#);
        assert_eq!(user("DOMAIN\\me").unwrap(), r#""DOMAIN\\me""#);
        assert_eq!(
            algorithms(&["ssh-ed25519", "ssh-ed25519", "ssh-rsa"]).join(","),
            "ssh-ed25519,rsa-sha2-512,rsa-sha2-256"
        );
    }

    #[test]
    fn what_openssh_would_change_is_refused() {
        for bad in ["/a${HOME}/b", "/a${", "/a\nb"] {
            let error = path_of(Path::new(bad)).unwrap_err();
            assert!(error.kind() == Kind::Usage && !error.hints().is_empty(), "{error}");
        }
        for bad in ["h\nMatch exec touch", "h\r", "h\0", "\u{85}h"] {
            assert_eq!(host(bad).unwrap_err().kind(), Kind::Usage, "{bad:?}");
            assert_eq!(one_line("ProxyJump", bad).unwrap_err().kind(), Kind::Usage, "{bad:?}");
        }
        for bad in ["a%b", "${USER}", "a\nb"] {
            assert_eq!(user(bad).unwrap_err().kind(), Kind::Usage, "{bad:?}");
        }
    }
}
