//! What was asked, checked as far as it can be without looking at the world.

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
};

use rmachine_provider_api::{Error, Result, Values};
use rmachine_provider_local::{
    parse_size,
    publish::{self, Published},
};
use serde::{Deserialize, Serialize};

/// Smallest memory that is taken, in MiB: firmware alone needs some.
const LEAST_MEMORY: u64 = 32;
/// Most processors of a machine (q35's own limit is 288).
const MOST_CPUS: i64 = 255;

/// Processor architecture of a machine, as Docker and Debian name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Arch {
    Amd64,
    Arm64,
}

impl Arch {
    pub(crate) fn here() -> Self {
        if cfg!(target_arch = "aarch64") { Self::Arm64 } else { Self::Amd64 }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    pub(crate) fn binary(self) -> &'static str {
        match self {
            Self::Amd64 => "qemu-system-x86_64",
            Self::Arm64 => "qemu-system-aarch64",
        }
    }

    /// Debian's package of [`Arch::binary`].
    pub(crate) fn package(self) -> &'static str {
        match self {
            Self::Amd64 => "qemu-system-x86",
            Self::Arm64 => "qemu-system-arm",
        }
    }
}

/// What runs the machine's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Accel {
    Kvm,
    Hvf,
    Tcg,
}

impl Accel {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Hvf => "hvf",
            Self::Tcg => "tcg",
        }
    }
}

/// Which firmware is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum FirmwareChoice {
    Auto,
    Bios,
    Uefi,
    Path(PathBuf),
}

/// Which image is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ImageChoice {
    Default,
    Url { url: String, checksum: String },
    Path(PathBuf),
}

/// What was asked; saved in the record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Config {
    pub image: ImageChoice,
    pub arch: Arch,
    /// In MiB.
    pub memory: u64,
    pub cpus: u16,
    /// In bytes.
    pub disk_size: u64,
    /// `None`: whatever really runs a machine.
    pub accel: Option<Accel>,
    pub firmware: FirmwareChoice,
    pub publish: Vec<Published>,
    pub bind: Option<IpAddr>,
    pub user: String,
    pub userdata: Option<PathBuf>,
    pub binary: Option<String>,
    pub mirror: String,
    pub directory: PathBuf,
}

impl Config {
    pub(crate) fn read(value: &serde_json::Value) -> Result<Self> {
        Self::deserialize(value).map_err(|e| Error::invalid("the saved config of the machine does not read").source(e))
    }

    pub(crate) fn from_values(values: &Values) -> Result<Self> {
        let text = |flag| values.text(flag).map(str::to_owned);
        let arch = match values.text("qemu-arch") {
            None => Arch::here(),
            Some("amd64" | "x86_64") => Arch::Amd64,
            Some("arm64" | "aarch64") => Arch::Arm64,
            Some(other) => return Err(Error::invalid(format!("--qemu-arch takes amd64 or arm64, not \"{other}\""))),
        };
        let memory = parse_size("qemu-memory", values.text("qemu-memory").unwrap_or("2g"))? >> 20;
        if memory < LEAST_MEMORY {
            return Err(Error::invalid(format!("--qemu-memory is less than {LEAST_MEMORY} MiB")).hint("such as 2g"));
        }
        let cpus = values.integer("qemu-cpus").unwrap_or(2);
        if !(1..=MOST_CPUS).contains(&cpus) {
            return Err(Error::invalid(format!("--qemu-cpus takes 1 to {MOST_CPUS}, not {cpus}")));
        }
        let mut publish = Vec::new();
        for port in values.list("qemu-publish") {
            publish.extend(publish::parse("qemu-publish", port)?);
        }
        let bind = values
            .text("qemu-bind-address")
            .map(|text| {
                text.trim_matches(['[', ']'])
                    .parse()
                    .map_err(|_| Error::invalid(format!("--qemu-bind-address takes an IP address, not \"{text}\"")))
            })
            .transpose()?;
        Ok(Self {
            image: image(values)?,
            arch,
            memory,
            cpus: u16::try_from(cpus).unwrap_or(1),
            disk_size: parse_size("qemu-disk-size", values.text("qemu-disk-size").unwrap_or("20g"))?,
            accel: accel(values)?,
            firmware: firmware(values)?,
            publish,
            bind,
            user: values.text("qemu-ssh-user").unwrap_or("debian").to_owned(),
            userdata: values.text("qemu-userdata").map(readable("qemu-userdata")).transpose()?,
            binary: text("qemu-binary"),
            mirror: text("qemu-mirror").unwrap_or_default(),
            directory: directory(values)?,
        })
    }
}

fn accel(values: &Values) -> Result<Option<Accel>> {
    match values.text("qemu-accel").unwrap_or("auto") {
        "auto" => Ok(None),
        "kvm" if cfg!(target_os = "linux") => Ok(Some(Accel::Kvm)),
        "hvf" if cfg!(target_os = "macos") => Ok(Some(Accel::Hvf)),
        "tcg" => Ok(Some(Accel::Tcg)),
        other @ ("kvm" | "hvf") => {
            Err(Error::invalid(format!("this operating system has no {other}")).hint("--qemu-accel auto"))
        }
        other => Err(Error::invalid(format!("--qemu-accel takes auto, kvm, hvf or tcg, not \"{other}\""))),
    }
}

fn firmware(values: &Values) -> Result<FirmwareChoice> {
    Ok(match values.text("qemu-firmware").unwrap_or("auto") {
        "auto" => FirmwareChoice::Auto,
        "bios" => FirmwareChoice::Bios,
        "uefi" => FirmwareChoice::Uefi,
        path => FirmwareChoice::Path(readable("qemu-firmware")(path)?),
    })
}

fn image(values: &Values) -> Result<ImageChoice> {
    let checksum = values.text("qemu-image-checksum");
    let Some(image) = values.text("qemu-image") else {
        return match checksum {
            None => Ok(ImageChoice::Default),
            Some(_) => Err(Error::invalid("--qemu-image-checksum without an image").hint("add --qemu-image URL")),
        };
    };
    // A URL has a scheme of two letters or more; a path that looks like one can be given as ./PATH.
    if image.contains("://") {
        let unpacked = [".xz", ".gz", ".zst", ".bz2", ".zip"].iter().find(|end| image.ends_with(**end));
        if let Some(end) = unpacked {
            return Err(Error::invalid(format!("the image is packed ({end})"))
                .hint("unpack it here and give its path with --qemu-image, or name a .qcow2, .img or .raw"));
        }
        let checksum = checksum.ok_or_else(|| {
            Error::invalid("an image by URL needs a checksum").hint(
                "add --qemu-image-checksum sha256:HEX, or the URL of the SHA256SUMS or SHA512SUMS file beside the image",
            )
        })?;
        return Ok(ImageChoice::Url { url: image.to_owned(), checksum: checksum.to_owned() });
    }
    if checksum.is_some() {
        return Err(Error::invalid("--qemu-image-checksum is for an image by URL")
            .hint("check a file of yours with `sha256sum`, and leave the flag out"));
    }
    readable("qemu-image")(image).map(ImageChoice::Path)
}

/// The whole path of a file that `flag` names and that can be read.
fn readable(flag: &'static str) -> impl Fn(&str) -> Result<PathBuf> {
    move |text| {
        let missing = |e: std::io::Error| {
            Error::invalid(format!("cannot read {text}"))
                .source(e)
                .hint(format!("--{flag} takes the path of a file that you can read"))
        };
        std::fs::File::open(text).map_err(missing)?;
        std::fs::canonicalize(text).map_err(missing)
    }
}

fn directory(values: &Values) -> Result<PathBuf> {
    if let Some(path) = values.text("qemu-directory") {
        return std::path::absolute(path)
            .map_err(|e| Error::invalid(format!("--qemu-directory {path} is no path")).source(e));
    }
    // The name of the program and of the directory that its store is in.
    directories::BaseDirs::new().map(|base| base.data_local_dir().join(Path::new("rmachine/qemu"))).ok_or_else(|| {
        Error::invalid("there is no home directory to keep disks in").hint("give a place with --qemu-directory PATH")
    })
}

#[cfg(test)]
mod tests {
    use rmachine_provider_api::{Kind, Value};

    use super::*;

    fn with(set: &[(&str, &str)]) -> Result<Config> {
        let mut values = Values::default();
        values.set("qemu-directory", Value::Text("/tmp".into()));
        let flags = crate::flags::flags();
        for (name, value) in set {
            let flag = flags.iter().find(|f| f.name == *name).unwrap();
            values.set(name, flag.parse(value).unwrap());
        }
        Config::from_values(&values)
    }

    #[test]
    fn defaults_and_values_read() {
        let config = with(&[]).unwrap();
        assert_eq!((config.memory, config.cpus, config.disk_size), (2048, 2, 20 << 30));
        assert_eq!((config.image, config.accel), (ImageChoice::Default, None));
        let config = with(&[("qemu-arch", "aarch64"), ("qemu-memory", "512m"), ("qemu-publish", "80-81")]).unwrap();
        assert_eq!((config.arch, config.memory, config.publish.len()), (Arch::Arm64, 512, 2));
        let saved = serde_json::to_value(&config).unwrap();
        assert_eq!(Config::read(&saved).unwrap(), config);
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        let url = ("qemu-image", "https://h/i.qcow2");
        for set in [
            vec![url],
            vec![("qemu-image-checksum", "sha256:00")],
            vec![("qemu-image", "https://h/i.qcow2.xz"), ("qemu-image-checksum", "sha256:00")],
            vec![("qemu-image", "/nonexistent/i.qcow2")],
            vec![("qemu-image", "/dev/null"), ("qemu-image-checksum", "sha256:00")],
            vec![("qemu-arch", "riscv64")],
            vec![("qemu-memory", "1m")],
            vec![("qemu-cpus", "0")],
            vec![("qemu-accel", "xen")],
            vec![("qemu-firmware", "/nonexistent")],
            vec![("qemu-bind-address", "here")],
            vec![("qemu-userdata", "/nonexistent")],
        ] {
            assert_eq!(with(&set).unwrap_err().kind(), Kind::InvalidInput, "{set:?}");
        }
        assert!(with(&[url, ("qemu-image-checksum", "sha256:00")]).is_ok(), "the digest itself is read at preflight");
    }
}
