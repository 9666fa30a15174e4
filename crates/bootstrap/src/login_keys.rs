//! Who may log in: the login user's authorized_keys (sshd(8), "AUTHORIZED_KEYS FILE FORMAT").

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rmachine_ssh::Session;

use super::{Answer, Error, Result, template};

/// Lets the login key `public` (one OpenSSH line) in for the user that is logged in.
///
/// # Errors
///
/// When the host does not take it.
pub async fn authorize_key(session: &Session, public: &str) -> Result<()> {
    let script = template::render(template::AUTHORIZE_KEY, minijinja::context! { key => public.trim() })?;
    let output = session.run("sh -s", script.as_bytes()).await?;
    Answer::parse(&output.stdout).complete().map(|_| ())
}

/// A line of authorized_keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorizedLine {
    /// For people and for what reads it; another encoding's letters are not in it.
    pub text: String,
    /// Its bytes, in base64.
    encoded: String,
}

impl AuthorizedLine {
    fn of(encoded: &str) -> Option<Self> {
        let bytes = STANDARD.decode(encoded).ok()?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Some(Self { text, encoded: encoded.to_owned() }).filter(|line| !line.text.is_empty())
    }
}

/// The lines that let keys in for the user that is logged in, as they stand there.
///
/// # Errors
///
/// When the host does not say.
pub async fn authorized_keys(session: &Session) -> Result<Vec<AuthorizedLine>> {
    let output = session.run("sh -s", template::AUTHORIZED_KEYS.as_bytes()).await?;
    Ok(lines_of(&Answer::parse(&output.stdout).complete()?))
}

fn lines_of(answer: &Answer) -> Vec<AuthorizedLine> {
    answer.all("line").filter_map(|encoded| AuthorizedLine::of(encoded.trim())).collect()
}

/// What takes the lines `remove` out, and leaves `keep`.
fn removal(keep: &AuthorizedLine, remove: &[AuthorizedLine]) -> Result<String> {
    let remove: String = remove.iter().map(|line| format!(" {} ", line.encoded)).collect();
    template::render(
        template::AUTHORIZED_KEYS_REMOVE,
        minijinja::context! { keep => keep.encoded.as_str(), remove => remove },
    )
}

/// Takes the lines `remove` out of them; `keep` is one that has to be there afterwards.
///
/// # Errors
///
/// When the host does not do it; all of them are there then, or none of `remove`.
pub async fn remove_authorized_keys(session: &Session, keep: &AuthorizedLine, remove: &[AuthorizedLine]) -> Result<()> {
    let output = session.run("sh -s", removal(keep, remove)?.as_bytes()).await?;
    let answer = Answer::parse(&output.stdout);
    if answer.is("end") {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    Err(Error::Script(format!("the lines of authorized_keys stay: {}", words.trim())))
}

#[cfg(test)]
mod tests {
    use std::{
        io::Write,
        os::unix::fs::PermissionsExt,
        path::Path,
        process::{Command, Stdio},
    };

    use super::*;

    fn run(home: &Path, script: &str) -> (Answer, String) {
        let mut shell = Command::new("sh");
        shell
            .arg("-s")
            .env("HOME", home)
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = shell.spawn().unwrap();
        child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        (Answer::parse(&output.stdout), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    fn line(bytes: &[u8]) -> AuthorizedLine {
        AuthorizedLine::of(&STANDARD.encode(bytes)).unwrap()
    }

    fn remove(home: &Path, keep: &[u8], remove: &[&[u8]]) -> bool {
        let remove: Vec<_> = remove.iter().map(|bytes| line(bytes)).collect();
        run(home, &removal(&line(keep), &remove).unwrap()).0.is("end")
    }

    fn lines(home: &Path) -> Vec<AuthorizedLine> {
        lines_of(&run(home, template::AUTHORIZED_KEYS).0.complete().unwrap())
    }

    #[allow(clippy::disallowed_methods, reason = "a test's own files")]
    #[test]
    fn lines_are_read_and_taken_out_byte_by_byte() {
        let home = tempfile::tempdir().unwrap();
        assert_eq!(lines(home.path()), [], "no file");
        let file = home.path().join("authorized_keys.real");
        std::fs::create_dir(home.path().join(".ssh")).unwrap();
        std::os::unix::fs::symlink(&file, home.path().join(".ssh/authorized_keys")).unwrap();
        let odd: &[u8] = b"command=\"a \\\"b\\\" $(x) '*'\" ssh-rsa .* [c]\td";
        // Latin-1, which is no UTF-8: greps of a UTF-8 locale take its line for binary.
        let (latin, other): (&[u8], &[u8]) = (b"ssh-rsa AAAA m\xfcller", b"ssh-rsa AAAA m\xf6ller");
        let all: [&[u8]; 7] = [b"keep 1", odd, b"keep 1 too", b"-e x", latin, other, b"last"];
        std::fs::write(&file, [b"# one\n\n", all.join(&b'\n').as_slice()].concat()).unwrap();
        assert_eq!(lines(home.path()), all.map(line));
        // A pattern is none, and a part of a line is no line.
        assert!(remove(home.path(), b"keep 1", &[b"ssh-rsa .*", b"keep", b".*", b"ssh-rsa AAAA m"]));
        assert_eq!(lines(home.path()), all.map(line));
        assert!(remove(home.path(), b"keep 1", &[odd, b"-e x", latin]));
        assert_eq!(lines(home.path()), [all[0], all[2], other, all[6]].map(line));
        assert!(std::fs::read_to_string(&file).is_err_and(|e| e.kind() == std::io::ErrorKind::InvalidData));
        assert!(std::fs::read(&file).unwrap().starts_with(b"# one\n\n"), "comments stay");
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(std::fs::symlink_metadata(home.path().join(".ssh/authorized_keys")).unwrap().is_symlink());
        // Never without the key that has let us in.
        let before = std::fs::read(&file).unwrap();
        assert!(!remove(home.path(), b"keep 1", &[b"keep 1"]) && !remove(home.path(), b"other", &[b"last"]));
        assert_eq!(std::fs::read(&file).unwrap(), before);
    }

    #[test]
    fn the_key_of_a_line_is_found_behind_its_options() {
        let key = rmachine_ssh::KeyPair::generate_ed25519("a b").unwrap().public_openssh();
        for options in ["", "no-pty ", "command=\"echo \\\"x y\\\" z\",no-pty\t", "from=\"a b\" "] {
            let line = format!("{options}{key}");
            assert_eq!(rmachine_ssh::authorized_key(&line), Some(key.as_str()), "{line}");
        }
        for none in ["", "no-pty", "ssh-ed25519 AAAA", "command=\"x ssh-ed25519 AAAA"] {
            assert_eq!(rmachine_ssh::authorized_key(none), None, "{none}");
        }
    }
}
