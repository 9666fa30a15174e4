//! First-boot data: the user's own, whatever its form, and ours last, in one MIME archive.
//!
//! Formats: docs.cloud-init.io, "User-data formats"; merging: "Merging user-data sections".

use std::io::{Read, Write};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use flate2::{Compression, read::MultiGzDecoder, write::GzEncoder};
use rmachine_model::{EngineSource, EngineSpec};
use rmachine_ssh::KeyPair;

use rmachine_provider_api::BootForm;

use super::{Error, Repository, Result, spec::may_install_at_boot, template};

/// Largest size that a user's gzip may unpack to.
const LARGEST: u64 = 1024 * 1024;

/// How the part with our lists (users, bootcmd) is merged: they are appended to the user's, so that
/// neither replaces the other. With `replace` cloud-init would not look into lists (cloudinit/mergers/m_dict.py).
const APPEND: &str = "list(append)+dict(no_replace,recurse_array)+str()";
/// How the part with the host's keys is merged: ours count, or nobody could log in to a host that we know.
const REPLACE: &str = "dict(replace)+list()+str()";

/// What the first boot has to do.
#[derive(Debug, Clone, Copy)]
pub struct BootSpec<'a> {
    /// What reads it.
    pub form: BootForm,
    /// The host's name.
    pub hostname: &'a str,
    /// Login name.
    pub login_user: &'a str,
    /// Public half of the login key; `None` when the provider brings it.
    pub login_public_key: Option<&'a str>,
    /// Host key of the first session.
    pub seed_host_key: Option<&'a KeyPair>,
    /// What is asked of the engine.
    pub engine: &'a EngineSpec,
    /// The user's own data.
    pub user_supplied: Option<&'a [u8]>,
    /// Largest size in bytes.
    pub limit: usize,
}

/// Renders the first-boot data: for cloud-init a gzipped archive, else a script.
///
/// # Errors
///
/// [`Error::UserData`] when the user's own is of no known form, or all is too large.
pub fn user_data(spec: &BootSpec<'_>) -> Result<Vec<u8>> {
    if spec.form == BootForm::Script {
        return Ok(script(spec)?.into_bytes());
    }
    let archive = archive(spec)?;
    let failed = |e: std::io::Error| Error::UserData(e.to_string());
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(archive.as_bytes()).map_err(failed)?;
    let bytes = encoder.finish().map_err(failed)?;
    if bytes.len() > spec.limit {
        return Err(Error::UserData(format!("with ours it has {} bytes, and {} are allowed", bytes.len(), spec.limit)));
    }
    Ok(bytes)
}

/// The script of a host without cloud-init.
fn script(spec: &BootSpec<'_>) -> Result<String> {
    template::render(
        template::FIRST_BOOT,
        minijinja::context! {
            login_user => spec.login_user,
            login_public_key => spec.login_public_key.unwrap_or_default(),
            seed_private => spec.seed_host_key.map(KeyPair::private_openssh).unwrap_or_default(),
            seed_public => spec.seed_host_key.map(KeyPair::public_openssh).unwrap_or_default(),
            gate => if spec.engine.source == EngineSource::None { "no" } else { "yes" },
        },
    )
}

pub(super) fn archive(spec: &BootSpec<'_>) -> Result<String> {
    let own = spec.user_supplied.filter(|own| !own.is_empty()).map(gunzipped).transpose()?;
    let own = own.map(|own| user_part(&own)).transpose()?;
    // A user's archive may have any boundary, ours included.
    let mut boundary = "==rmachine==".to_owned();
    while own.as_ref().is_some_and(|own| own.contains(&boundary)) {
        boundary.push('=');
    }
    let mut text = format!("Content-Type: multipart/mixed; boundary=\"{boundary}\"\nMIME-Version: 1.0\n\n");
    if let Some(own) = own {
        text.push_str(&format!("--{boundary}\n"));
        text.push_str(&own);
    }
    text.push_str(&format!("--{boundary}\n"));
    text.push_str(&part("text/cloud-config", &[("X-Merge-Type", APPEND)], cloud_config(spec)?.as_bytes()));
    text.push_str(&format!("--{boundary}\n"));
    text.push_str(&part("text/cloud-config", &[("X-Merge-Type", REPLACE)], host_config(spec)?.as_bytes()));
    text.push_str(&format!("--{boundary}--\n"));
    Ok(text)
}

fn cloud_config(spec: &BootSpec<'_>) -> Result<String> {
    let repository = Repository::for_engine(spec.engine)?;
    let boot = if may_install_at_boot(spec.engine, &repository) {
        let install = template::install(spec.engine, &repository)?;
        template::render(template::BOOT, minijinja::context! { install => install })?
    } else {
        String::new()
    };
    template::render(
        template::CLOUD_CONFIG,
        minijinja::context! {
            login_user => spec.login_user,
            login_public_key => spec.login_public_key.unwrap_or_default(),
            boot => boot,
        },
    )
}

fn host_config(spec: &BootSpec<'_>) -> Result<String> {
    template::render(
        template::CLOUD_CONFIG_HOST,
        minijinja::context! {
            // Where the user has data of his own, the name is his to choose.
            hostname => if spec.user_supplied.is_none() { spec.hostname } else { "" },
            seed_private => spec.seed_host_key.map(KeyPair::private_openssh).unwrap_or_default(),
            seed_public => spec.seed_host_key.map(KeyPair::public_openssh).unwrap_or_default(),
        },
    )
}

fn part(content_type: &str, headers: &[(&str, &str)], body: &[u8]) -> String {
    let mut text = format!("Content-Type: {content_type}; charset=\"utf-8\"\nContent-Transfer-Encoding: base64\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\n"));
    }
    text.push('\n');
    for line in STANDARD.encode(body).as_bytes().chunks(76) {
        text.push_str(&String::from_utf8_lossy(line));
        text.push('\n');
    }
    text
}

fn gunzipped(own: &[u8]) -> Result<Vec<u8>> {
    if !own.starts_with(&[0x1f, 0x8b]) {
        return Ok(own.to_vec());
    }
    let mut plain = Vec::new();
    // As gzip(1) does with files that were put together.
    MultiGzDecoder::new(own)
        .take(LARGEST + 1)
        .read_to_end(&mut plain)
        .map_err(|e| Error::UserData(format!("its gzip does not unpack: {e}")))?;
    if plain.len() as u64 > LARGEST {
        return Err(Error::UserData(format!("its gzip unpacks to more than {LARGEST} bytes")));
    }
    Ok(plain)
}

/// The user's data as one part; a MIME archive is nested as it is.
fn user_part(own: &[u8]) -> Result<String> {
    let head = String::from_utf8_lossy(&own[..own.len().min(200)]).into_owned();
    let lower = head.to_ascii_lowercase();
    if lower.starts_with("content-type: multipart/") || lower.starts_with("mime-version:") || lower.starts_with("from ")
    {
        let text = std::str::from_utf8(own)
            .map_err(|_| Error::UserData("a MIME archive has to be text; encode binary parts as base64".to_owned()))?;
        return Ok(if text.ends_with('\n') { text.to_owned() } else { format!("{text}\n") });
    }
    // cloudinit/handlers/__init__.py, INCLUSION_TYPES_MAP: the longest prefix decides.
    const TYPES: [(&str, &str); 8] = [
        ("## template: jinja", "text/jinja2"),
        ("#cloud-config-archive", "text/cloud-config-archive"),
        ("#cloud-config-jsonp", "text/cloud-config-jsonp"),
        ("#cloud-config", "text/cloud-config"),
        ("#cloud-boothook", "text/cloud-boothook"),
        ("#part-handler", "text/part-handler"),
        ("#include", "text/x-include-url"),
        ("#!", "text/x-shellscript"),
    ];
    let content_type = TYPES.iter().find(|(prefix, _)| head.starts_with(prefix)).map(|(_, content_type)| *content_type);
    match content_type {
        Some("text/x-include-url") if head.starts_with("#include-once") => {
            Ok(part("text/x-include-once-url", &[], own))
        }
        Some(content_type) => Ok(part(content_type, &[], own)),
        None => Err(Error::UserData(
            "it begins with none of #!, #cloud-config, #include, #cloud-boothook, ## template: jinja or a MIME header"
                .to_owned(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec<'a>(engine: &'a EngineSpec, own: Option<&'a [u8]>, seed: &'a KeyPair) -> BootSpec<'a> {
        BootSpec {
            form: BootForm::CloudInit,
            hostname: "m",
            login_user: "admin",
            login_public_key: Some("ssh-ed25519 AAAA x"),
            seed_host_key: Some(seed),
            engine,
            user_supplied: own,
            limit: 16384,
        }
    }

    /// Python's own MIME parser reads the archive back, as cloud-init does.
    fn parts(archive: &str) -> Vec<(String, String)> {
        let script = "import email,sys\n\
            for p in email.message_from_string(sys.stdin.read()).walk():\n\
            \x20if not p.is_multipart(): print(p.get_content_type(), p.get('X-Merge-Type','-'), p.get_payload(decode=True).decode().splitlines()[0], sep='\\t')";
        let mut child = std::process::Command::new("python3")
            .args(["-c", script])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(archive.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout)
            .unwrap()
            .lines()
            .map(|line| {
                let mut fields = line.split('\t');
                (fields.next().unwrap().to_owned(), fields.nth(1).unwrap().to_owned())
            })
            .collect()
    }

    #[test]
    fn every_form_of_user_data_is_kept_and_ours_comes_last() {
        let engine = EngineSpec::default();
        let seed = KeyPair::generate_ed25519("seed").unwrap();
        let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
        gz.write_all(b"#!/bin/sh\necho zipped\n").unwrap();
        let gz = gz.finish().unwrap();
        let mime = b"Content-Type: multipart/mixed; boundary=\"B\"\nMIME-Version: 1.0\n\n--B\nContent-Type: text/x-shellscript\n\n#!/bin/sh nested\n--B--\n";
        let cases: [(&[u8], &str, &str); 8] = [
            (b"#!/bin/sh\necho hi\n", "text/x-shellscript", "#!/bin/sh"),
            (b"#cloud-config\nruncmd: []\n", "text/cloud-config", "#cloud-config"),
            (b"#include\nhttp://x\n", "text/x-include-url", "#include"),
            (b"#include-once\nhttp://x\n", "text/x-include-once-url", "#include-once"),
            (b"#cloud-boothook\nx\n", "text/cloud-boothook", "#cloud-boothook"),
            (b"## template: jinja\n#cloud-config\n", "text/jinja2", "## template: jinja"),
            (&gz, "text/x-shellscript", "#!/bin/sh"),
            (mime, "text/x-shellscript", "#!/bin/sh nested"),
        ];
        for (own, content_type, first_line) in cases {
            let parts = parts(&archive(&spec(&engine, Some(own), &seed)).unwrap());
            assert_eq!(parts[0], (content_type.to_owned(), first_line.to_owned()));
            assert_eq!(parts.last().unwrap(), &("text/cloud-config".to_owned(), "#cloud-config".to_owned()));
        }
        assert!(archive(&spec(&engine, Some(b"hello"), &seed)).is_err());
    }

    #[test]
    fn secrets_of_the_engine_stay_out_and_the_limit_holds() {
        let seed = KeyPair::generate_ed25519("seed").unwrap();
        let engine = EngineSpec {
            env: vec!["TOKEN=verysecret".into()],
            opts: vec!["x=verysecret".into()],
            ..EngineSpec::default()
        };
        let config = cloud_config(&spec(&engine, None, &seed)).unwrap();
        assert!(!config.contains("verysecret") && config.contains("rmachine-install"));
        let mut tight = spec(&engine, None, &seed);
        assert!(user_data(&tight).unwrap().len() < 8192, "half of what EC2 takes is left for the user");
        tight.limit = 100;
        assert!(matches!(user_data(&tight), Err(Error::UserData(_))));
        for url in ["https://u:verysecret@h/x", "https://h/x?token=verysecret", "https://h/x#verysecret"] {
            let install_url = Some(url.to_owned());
            let engine = EngineSpec { source: EngineSource::Url, install_url, ..EngineSpec::default() };
            let config = cloud_config(&spec(&engine, None, &seed)).unwrap();
            assert!(!config.contains("verysecret") && !config.contains("rmachine-install"), "{config}");
        }
        let install_url = Some("https://h/x".to_owned());
        let public = EngineSpec { source: EngineSource::Url, install_url, ..EngineSpec::default() };
        assert!(cloud_config(&spec(&public, None, &seed)).unwrap().contains("https://h/x"));
    }
}
