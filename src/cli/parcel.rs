//! The directory that `share` writes for the other one: certificates, and what to do with them.

use std::{fs, io, path::Path};

use rmachine_core::{Core, Given};
use rmachine_model::error::{Error, Kind, Result};
use rmachine_store::{atomic, file};

use super::share::until;

/// What tells the recipient how to use the rest.
pub(super) const README: &str = "README.txt";
/// All that is written; the certificate comes last, so that one without it was not finished.
const FILES: [&str; 3] = [README, file::CA_CERT, file::CLIENT_CERT];

/// Makes `directory`, or takes the one that a killed `share` left; answers whether it is new.
pub(super) fn prepare(core: &Core, name: &str, directory: &Path) -> Result<bool> {
    let other = "name another one with --output DIR";
    let failed = |what: &str, e: io::Error| {
        Error::usage(format!("cannot {what} the directory {}", directory.display())).source(e).hint(other)
    };
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            atomic::create_directory(directory).map_err(|e| failed("make", e))?;
            return Ok(true);
        }
        Err(e) if e.kind() == io::ErrorKind::NotADirectory => return Err(exists(directory)),
        Err(e) => return Err(failed("read", e)),
    };
    let mut temporary = Vec::new();
    for entry in entries {
        let name = entry.map_err(|e| failed("read", e))?.file_name();
        match name.to_str() {
            Some(name) if FILES.contains(&name) => {}
            Some(name) if atomic::is_temporary(name) => temporary.push(directory.join(name)),
            _ => return Err(exists(directory)),
        }
    }
    // A whole one is somebody's, unless the share was not finished.
    let cert = core.store().read_text(&directory.join(file::CLIENT_CERT))?;
    if let Some(cert) = cert
        && !core.is_unfinished_share(name, &cert)?
    {
        return Err(exists(directory));
    }
    for path in temporary {
        fs::remove_file(&path).map_err(|e| failed("clear", e))?;
    }
    Ok(false)
}

fn exists(directory: &Path) -> Error {
    Error::usage(format!("{} exists already", directory.display())).hint("name another directory with --output DIR")
}

/// Writes what the recipient of `given` gets.
pub(super) fn write(directory: &Path, name: &str, given: &Given) -> Result<()> {
    let contents = [&readme(name, given), &given.ca_pem, &given.cert_pem];
    for (file, content) in FILES.into_iter().zip(contents) {
        let path = directory.join(file);
        atomic::write(&path, content.as_bytes(), atomic::PRIVATE)
            .map_err(|e| Error::new(Kind::Failure, format!("cannot write {}", path.display())).source(e))?;
    }
    Ok(())
}

fn readme(name: &str, given: &Given) -> String {
    let (url, until, id) = (&given.url, until(&given.share), &given.share.id);
    format!(
        "\
Access to the Docker engine of machine \"{name}\" until {until} (share {id})

Put the private key here as key.pem whose public half you sent: it is yours alone (chmod 600 key.pem).
Then, in this directory:

    export DOCKER_HOST={url} DOCKER_TLS_VERIFY=1 DOCKER_CERT_PATH=\"$PWD\"
    docker version

or without variables:

    docker -H {url} --tlsverify --tlscacert ca.pem --tlscert cert.pem --tlskey key.pem version

Whoever has the engine is root on its host: this access is for you alone.

\"tls: bad certificate\", \"certificate required\", \"expired certificate\": your access is over. For another one send
a public key again. Whoever shared the machine runs

    rmachine share {name} --to pub.pem --ttl 8h

\"certificate signed by unknown authority\": the engine has another CA. Ask for the new ca.pem, which

    rmachine share {name} --ca

prints for whoever shared the machine.

No answer at all: a firewall has to admit your address (rmachine allow).
"
    )
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;

    use super::*;
    use rmachine_core::Share;
    use rmachine_store::Store;

    fn given() -> Given {
        let share = Share {
            id: "3f9c01aa".to_owned(),
            key: String::new(),
            until: OffsetDateTime::UNIX_EPOCH,
            ca: String::new(),
            ending: false,
            unfinished: false,
            authority: String::new(),
        };
        let text = |text: &str| text.to_owned();
        Given { share, cert_pem: text("the certificate"), ca_pem: text("the CA"), url: text("tcp://192.0.2.7:2376") }
    }

    #[test]
    fn the_recipient_is_told_what_to_do_and_until_when() {
        let text = readme("build-7", &given());
        for words in [
            "until 1970-01-01T00:00:00Z (share 3f9c01aa)",
            "    export DOCKER_HOST=tcp://192.0.2.7:2376 DOCKER_TLS_VERIFY=1 DOCKER_CERT_PATH=\"$PWD\"\n",
            "    docker -H tcp://192.0.2.7:2376 --tlsverify --tlscacert ca.pem --tlscert cert.pem --tlskey key.pem version\n",
            "rmachine share build-7 --to pub.pem",
        ] {
            assert!(text.contains(words), "{words:?} is not in {text}");
        }
        assert!(text.lines().all(|line| line.len() <= 120), "{text}");
    }

    #[test]
    fn what_is_there_already_is_taken_only_when_nobody_has_it() {
        let base = tempfile::tempdir().unwrap();
        let store = Store::at(base.path().join("store"));
        let core = Core::builder(store).build();
        let at = |name: &str| base.path().join(name);
        let refused = |name: &str| {
            let error = prepare(&core, "m", &at(name)).unwrap_err();
            assert_eq!(error.to_string(), format!("{} exists already", at(name).display()));
        };
        assert!(prepare(&core, "m", &at("new")).unwrap());
        assert!(!prepare(&core, "m", &at("new")).unwrap(), "an empty one is as good");
        let put = |path: &str| atomic::write(&at(path), b"", atomic::PRIVATE).unwrap();
        put("new/.tmp-x");
        put("new/ca.pem");
        assert!(!prepare(&core, "m", &at("new")).unwrap());
        assert!(!at("new/.tmp-x").exists(), "what was half written goes");
        write(&at("new"), "m", &given()).unwrap();
        refused("new");
        atomic::create_directory(&at("mine")).unwrap();
        put("mine/notes.txt");
        refused("mine");
        put("file");
        refused("file");
        assert!(prepare(&core, "m", &at("file/below")).is_err());
    }
}
