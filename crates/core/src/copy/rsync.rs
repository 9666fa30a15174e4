//! `scp --delta`: only what differs, by the rsync of both ends.

use std::{
    ffi::OsString,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::Path,
};

use rmachine_model::error::{Error, Kind, Result};

use super::{CopyOptions, Place, parse};
use crate::{
    Core,
    stock::{require, run},
};

/// Exit codes of rsync(1) when it does not get to the other one: of its protocol, of the host's shell, and of ssh.
const NOT_REACHED: [i32; 3] = [12, 127, 255];

impl Core {
    /// Copies by rsync, over the stock ssh with the machine's keys and pinned host key.
    ///
    /// # Errors
    ///
    /// [`Kind::Usage`] unless exactly one end is a machine; [`Kind::Failure`] when rsync is missing or fails,
    /// [`Kind::Ssh`] when there is no session.
    pub async fn copy_delta(&self, options: &CopyOptions) -> Result<()> {
        let (sources, destination) = parse(options)?;
        let (user, machine) = one_machine(&sources, &destination)?;
        let program = require(
            "rsync",
            "--delta",
            "install rsync here and on the machine (Debian, Ubuntu: `apt-get install rsync`), or go without --delta",
        )?;
        require("ssh", "--delta", "install OpenSSH's client (Debian, Ubuntu: `apt-get install openssh-client`)")?;
        let config = self.ssh_config_file(&machine).await?;
        let mut arguments = flags(options, &config)?;
        arguments.extend(sources.iter().chain([&destination]).map(argument));
        let status = run(&program, &arguments).await?;
        if status.success() {
            return Ok(());
        }
        let error = Error::new(Kind::Failure, format!("rsync failed: {status}"));
        if !status.code().is_some_and(|code| NOT_REACHED.contains(&code)) {
            return Err(error);
        }
        // Why not: no session, or no rsync there.
        let session = self.ssh_as(&machine, user.as_deref()).await?;
        let found = session.run("command -v rsync", b"").await.map_err(Error::from)?;
        session.close().await;
        Err(match found.exit.is_success() {
            true => error,
            false => error.hint(format!(
                "the machine needs rsync as well: `rmachine ssh {machine} -- sudo apt-get install -y rsync`; or go without --delta"
            )),
        })
    }
}

/// User and name of the machine of the one end that is on one.
fn one_machine(sources: &[Place], destination: &Place) -> Result<(Option<String>, String)> {
    let login = |place: &Place| match place {
        Place::Here(_) => None,
        Place::There { user, machine, .. } => Some((user.clone(), machine.clone())),
    };
    let from = sources.first().and_then(login);
    if sources.iter().any(|source| login(source) != from) {
        return Err(
            Error::usage("--delta takes its sources from one place").hint("copy those of each in a call of its own")
        );
    }
    match (from, login(destination)) {
        (Some(login), None) | (None, Some(login)) => Ok(login),
        _ => Err(Error::usage("--delta copies between this computer and a machine, not between two machines")
            .hint("go without --delta, or through a directory of this computer")),
    }
}

/// As a copy without rsync does it: permissions and times are kept, links followed, names are not a shell's.
fn flags(options: &CopyOptions, config: &Path) -> Result<Vec<OsString>> {
    let mut flags: Vec<OsString> = vec!["--rsh".into(), shell(config)?];
    flags.extend(["--perms", "--times", "--copy-links", "--protect-args"].map(OsString::from));
    if options.recursive {
        flags.push("--recursive".into());
    }
    flags.push(if options.progress.is_some() { "--info=progress2" } else { "--quiet" }.into());
    flags.push("--".into());
    Ok(flags)
}

/// `ssh -F FILE`, in the quoting of rsync(1): quotes around a word, doubled inside it.
fn shell(config: &Path) -> Result<OsString> {
    let text = config.to_str().ok_or_else(|| {
        Error::usage(format!("the path {} is not UTF-8", config.display()))
            .hint("keep the store at another place with --storage-path")
    })?;
    Ok(format!("ssh -F '{}'", text.replace('\'', "''")).into())
}

fn argument(place: &Place) -> OsString {
    match place {
        Place::Here(path) => {
            let bytes = path.as_os_str().as_bytes();
            // Neither an option nor a host.
            let plain = bytes.starts_with(b"/") || bytes.starts_with(b"./") || bytes.starts_with(b"../");
            if plain { path.into() } else { Path::new(".").join(path).into() }
        }
        Place::There { user, machine, path } => {
            let host = user.as_ref().map_or_else(|| machine.clone(), |user| format!("{user}@{machine}"));
            OsString::from_vec([host.as_bytes(), b":", path].concat())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str) -> Place {
        Place::parse(text.as_ref()).unwrap()
    }

    #[test]
    fn places_become_arguments_that_are_no_options_and_no_hosts() {
        for (text, expected) in [
            ("-x", "./-x"),
            ("./a:b", "./a:b"),
            ("a b", "./a b"),
            ("../x", "../x"),
            ("/x", "/x"),
            ("m:/x y", "m:/x y"),
            ("me@m:-x", "me@m:-x"),
        ] {
            assert_eq!(argument(&place(text)), OsString::from(expected));
        }
        assert_eq!(shell(Path::new("/it's here/ssh_config")).unwrap(), "ssh -F '/it''s here/ssh_config'");
    }

    #[test]
    fn one_end_is_a_machine() {
        let machine = |sources: &[&str], destination: &str| {
            one_machine(&sources.iter().map(|text| place(text)).collect::<Vec<_>>(), &place(destination))
        };
        assert_eq!(machine(&["a", "b"], "m:").unwrap(), (None, "m".to_owned()));
        assert_eq!(machine(&["me@m:a", "me@m:b"], ".").unwrap(), (Some("me".to_owned()), "m".to_owned()));
        for (sources, destination) in
            [(&["m:a"][..], "n:"), (&["m:a", "n:b"], "."), (&["m:a", "me@m:b"], "."), (&["a", "m:b"], "m:")]
        {
            assert!(machine(sources, destination).is_err(), "{sources:?} {destination}");
        }
    }
}
