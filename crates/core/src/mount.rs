//! `mount`: a directory of a machine as one of this computer, by sshfs.

use std::{ffi::OsString, os::unix::ffi::OsStringExt, path::PathBuf};

use rmachine_model::error::{Error, Kind, Result};

use super::{
    Core,
    copy::Place,
    stock::{find, require, run},
};

/// What to mount where, or to unmount.
#[derive(Debug, Clone)]
pub struct MountOptions {
    /// `[[USER@]MACHINE:]PATH`; without a machine, of the one called `default`.
    pub source: OsString,
    /// Directory of this computer; the same path as there where it is not given.
    pub target: Option<PathBuf>,
    /// The machine where none is named.
    pub default: String,
}

/// Options of ssh for a mount: reads of a dead host fail after 45 seconds instead of never.
const ALIVE: [&str; 4] = ["-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=3"];

impl Core {
    /// Mounts a directory of a machine; answers where.
    ///
    /// # Errors
    ///
    /// [`Kind::Failure`] where sshfs or the directory is missing, or sshfs fails; [`Kind::Conflict`] when the machine has
    /// no address.
    pub async fn mount(&self, options: &MountOptions) -> Result<PathBuf> {
        let (user, machine, path, target) = parse(options)?;
        let program = require(
            "sshfs",
            "mount",
            "install sshfs (Debian, Ubuntu: `apt-get install sshfs`; Fedora: `dnf install fuse-sshfs`; macOS: macFUSE), \
             or copy files with `rmachine scp`",
        )?;
        require("ssh", "mount", "install OpenSSH's client (Debian, Ubuntu: `apt-get install openssh-client`)")?;
        let config = self.ssh_config_file(&machine).await?;
        if !target.is_dir() {
            return Err(Error::new(Kind::Failure, format!("{} is not a directory", target.display()))
                .hint(format!("make it, or name another one: `rmachine mount {machine}:PATH DIRECTORY`")));
        }
        let host = user.map_or_else(|| machine.clone(), |user| format!("{user}@{machine}"));
        let mut source = OsString::from(format!("{host}:"));
        source.push(OsString::from_vec(path));
        let mut arguments: Vec<OsString> = vec!["-F".into(), config.into()];
        arguments.extend(ALIVE.map(OsString::from));
        arguments.extend([source, target.clone().into()]);
        let status = run(&program, &arguments).await?;
        if status.success() {
            return Ok(target);
        }
        let error = Error::new(Kind::Failure, format!("sshfs could not mount {}: {status}", target.display()));
        Err(match std::path::Path::new("/dev/fuse").exists() || !cfg!(target_os = "linux") {
            true => error,
            false => {
                error.hint("there is no /dev/fuse: `modprobe fuse`, or start the container with --device /dev/fuse")
            }
        })
    }

    /// Unmounts it; the machine need not answer, nor be there. Answers where it was.
    ///
    /// # Errors
    ///
    /// [`Kind::Failure`] when nothing is mounted there, or something in it is in use.
    pub async fn unmount(&self, options: &MountOptions) -> Result<PathBuf> {
        let (_, _, _, target) = parse(options)?;
        let (program, arguments): (_, Vec<OsString>) = match find("fusermount3").or_else(|| find("fusermount")) {
            Some(program) => (program, vec!["-u".into(), "--".into(), target.clone().into()]),
            None => {
                let hint = "install fuse3 (Debian, Ubuntu: `apt-get install fuse3`)";
                (require("umount", "mount -u", hint)?, vec!["--".into(), target.clone().into()])
            }
        };
        let status = run(&program, &arguments).await?;
        if status.success() {
            return Ok(target);
        }
        Err(Error::new(Kind::Failure, format!("{} could not be unmounted: {status}", target.display()))
            .hint("nothing may have its files or directories open; `fuser -vm DIRECTORY` says who has"))
    }
}

type Parsed = (Option<String>, String, Vec<u8>, PathBuf);

fn parse(options: &MountOptions) -> Result<Parsed> {
    let (user, machine, path) = match Place::parse(&options.source)? {
        Place::There { user, machine, path } => (user, machine, path),
        Place::Here(path) => (None, options.default.clone(), path.into_os_string().into_vec()),
    };
    let target = match &options.target {
        Some(target) => target.clone(),
        None if path.is_empty() => {
            return Err(Error::usage("no directory of this computer was named")
                .hint(format!("`rmachine mount {machine}: DIRECTORY` mounts the login user's home directory")));
        }
        None => PathBuf::from(OsString::from_vec(path.clone())),
    };
    // A path for a program's command line is no option.
    let target =
        if target.as_os_str().as_encoded_bytes().starts_with(b"-") { PathBuf::from(".").join(target) } else { target };
    Ok((user, machine, path, target))
}
