//! Who may log in: the login user's authorized_keys (sshd(8), "AUTHORIZED_KEYS FILE FORMAT").

use super::{Answer, Error, Result, answer, template};
use crate::ssh::Session;

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

/// The lines that let keys in for the user that is logged in, as they stand there.
///
/// # Errors
///
/// When the host does not say.
pub async fn authorized_keys(session: &Session) -> Result<Vec<String>> {
    let output = session.run("sh -s", template::AUTHORIZED_KEYS.as_bytes()).await?;
    let answer = Answer::parse(&output.stdout).complete()?;
    Ok(answer.all("line").map(answer::decode).filter(|line| !line.is_empty()).collect())
}

/// Takes the lines `remove` out of them; `keep` is one that has to be there afterwards.
///
/// # Errors
///
/// When the host does not do it; all of them are there then, or none of `remove`.
pub async fn remove_authorized_keys(session: &Session, keep: &str, remove: &[String]) -> Result<()> {
    let values = minijinja::context! { keep => keep, remove => remove.join("\n") };
    let script = template::render(template::AUTHORIZED_KEYS_REMOVE, values)?;
    let output = session.run("sh -s", script.as_bytes()).await?;
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
        shell.arg("-s").env("HOME", home).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = shell.spawn().unwrap();
        child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        (Answer::parse(&output.stdout), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    fn remove(home: &Path, keep: &str, remove: &[&str]) -> bool {
        let values = minijinja::context! { keep => keep, remove => remove.join("\n") };
        run(home, &template::render(template::AUTHORIZED_KEYS_REMOVE, values).unwrap()).0.is("end")
    }

    fn lines(home: &Path) -> Vec<String> {
        let answer = run(home, template::AUTHORIZED_KEYS).0.complete().unwrap();
        answer.all("line").map(answer::decode).collect()
    }

    #[allow(clippy::disallowed_methods, reason = "a test's own files")]
    #[test]
    fn lines_are_read_and_taken_out_letter_by_letter() {
        let home = tempfile::tempdir().unwrap();
        assert_eq!(lines(home.path()), Vec::<String>::new(), "no file");
        let file = home.path().join(".ssh/authorized_keys");
        std::fs::create_dir(home.path().join(".ssh")).unwrap();
        let odd = "command=\"a \\\"b\\\" $(x) '*'\" ssh-rsa .* [c]\td";
        std::fs::write(&file, format!("# one\n\nkeep 1\n{odd}\nkeep 1 too\n-e x\nlast")).unwrap();
        assert_eq!(lines(home.path()), ["keep 1", odd, "keep 1 too", "-e x", "last"]);
        // A pattern is none, and a part of a line is no line.
        assert!(remove(home.path(), "keep 1", &["ssh-rsa .*", "keep", ".*"]));
        assert_eq!(lines(home.path()).len(), 5);
        assert!(remove(home.path(), "keep 1", &[odd, "-e x"]));
        assert_eq!(lines(home.path()), ["keep 1", "keep 1 too", "last"]);
        assert!(std::fs::read_to_string(&file).unwrap().starts_with("# one\n"), "comments stay");
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        // Never without the key that has let us in.
        assert!(!remove(home.path(), "keep 1", &["keep 1"]) && !remove(home.path(), "other", &["last"]));
        assert_eq!(lines(home.path()), ["keep 1", "keep 1 too", "last"]);
    }

    #[test]
    fn the_key_of_a_line_is_found_behind_its_options() {
        let key = crate::ssh::KeyPair::generate_ed25519("a b").unwrap().public_openssh();
        for options in ["", "no-pty ", "command=\"echo \\\"x y\\\" z\",no-pty\t", "from=\"a b\" "] {
            let line = format!("{options}{key}");
            assert_eq!(crate::ssh::authorized_key(&line), Some(key.as_str()), "{line}");
        }
        for none in ["", "no-pty", "ssh-ed25519 AAAA", "command=\"x ssh-ed25519 AAAA"] {
            assert_eq!(crate::ssh::authorized_key(none), None, "{none}");
        }
    }
}
