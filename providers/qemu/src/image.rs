//! Disk images below machines' disks: by path, downloaded, or built from Debian's packages. Those that
//! this driver gets are kept, named by what they are made of; nothing ever writes to one.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use rmachine_provider_api::{Error, Kind, Notify, Result};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::{
    build,
    config::{Arch, Config, ImageChoice},
    digest::Digest,
    download, files,
    tools::{Tools, run},
};

/// Debian's own images for clouds: one directory with images and their SHA512SUMS.
const DEBIAN: &str = "https://cloud.debian.org/images/cloud/trixie/latest";
/// How long the choice of a default image holds, so that a create asks nobody.
const FRESH: time::Duration = time::Duration::days(30);

/// Where an image comes from, resolved: two equal ones are the same bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Source {
    Download { url: String, digest: Digest },
    Path(Base),
    Build { arch: Arch, mirror: String, inputs: String },
}

/// An image that is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Base {
    pub file: PathBuf,
    /// qemu's name of its format.
    pub format: String,
    /// Virtual size in bytes.
    pub size: u64,
    /// Booted without a boot loader where there is one.
    pub kernel: Option<Kernel>,
}

/// A kernel outside of the disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kernel {
    pub kernel: PathBuf,
    pub initrd: PathBuf,
    /// Its command line, without the console.
    pub append: String,
}

/// What was taken as the default image, and when.
#[derive(Debug, Serialize, Deserialize)]
struct Chosen {
    source: Source,
    #[serde(with = "time::serde::rfc3339")]
    when: OffsetDateTime,
}

fn images(root: &Path) -> PathBuf {
    root.join("images")
}

impl Source {
    /// Name of the image below `images/`.
    fn key(&self) -> String {
        match self {
            Self::Download { digest, .. } => digest.file_name(),
            Self::Path(base) => base.file.display().to_string(),
            Self::Build { arch, inputs, .. } => format!("debian-{}-{inputs}", arch.name()),
        }
    }

    /// One line for the user.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Download { url, .. } => url.clone(),
            Self::Path(base) => base.file.display().to_string(),
            Self::Build { .. } => "Debian 13, built from packages".to_owned(),
        }
    }

    pub(crate) fn has_kernel(&self) -> bool {
        matches!(self, Self::Build { .. })
    }

    /// Whether the image is on this computer.
    fn is_here(&self, root: &Path) -> bool {
        matches!(self, Self::Path(_)) || images(root).join(self.key()).exists()
    }
}

/// Resolves which image `config` means; asks, and makes nothing.
///
/// # Errors
///
/// When it cannot be had, as far as that can be told before.
pub(crate) async fn resolve(config: &Config, tools: &Tools, notify: &dyn Notify) -> Result<Source> {
    match &config.image {
        ImageChoice::Path(path) => inspect(tools, path).await.map(Source::Path),
        ImageChoice::Url { url, checksum } => {
            let digest = download::resolve_checksum(url, checksum).await?;
            Ok(Source::Download { url: url.clone(), digest })
        }
        ImageChoice::Default => default(config, notify).await,
    }
}

async fn default(config: &Config, notify: &dyn Notify) -> Result<Source> {
    let root = &config.directory;
    let built = build::source(config);
    if let Some(source) = chosen(root, config.arch, &built) {
        return Ok(source);
    }
    let url = format!("{DEBIAN}/debian-13-genericcloud-{}.qcow2", config.arch.name());
    notify.progress("looking for Debian's cloud image");
    let error = match download::resolve_checksum(&url, &format!("{DEBIAN}/SHA512SUMS")).await {
        Ok(digest) => return Ok(Source::Download { url, digest }),
        Err(error) => error,
    };
    if !built.is_here(root) {
        build::require_tools().map_err(|e| e.source(format!("Debian's cloud image cannot be had: {error}")))?;
    }
    notify.warn(&format!("Debian's cloud image cannot be had ({error}): the image is built from Debian's packages"));
    Ok(built)
}

/// The default of an earlier create, as long as it is fresh and there; a built one of other inputs is not it.
fn chosen(root: &Path, arch: Arch, built: &Source) -> Option<Source> {
    let bytes = std::fs::read(choice_file(root, arch)).ok()?;
    let chosen: Chosen = serde_json::from_slice(&bytes).ok()?;
    let is_outdated = matches!(chosen.source, Source::Build { .. }) && chosen.source != *built;
    let is_fresh = OffsetDateTime::now_utc() - chosen.when < FRESH;
    (is_fresh && !is_outdated && chosen.source.is_here(root)).then_some(chosen.source)
}

fn choice_file(root: &Path, arch: Arch) -> PathBuf {
    images(root).join(format!("default-{}.json", arch.name()))
}

/// Remembers `source` as the default image of `arch`.
pub(crate) fn remember(root: &Path, arch: Arch, source: &Source) -> Result<()> {
    let chosen = Chosen { source: source.clone(), when: OffsetDateTime::now_utc() };
    let bytes = serde_json::to_vec(&chosen)
        .map_err(|e| Error::new(Kind::Other, "the choice of an image cannot be written down").source(e))?;
    files::write(&choice_file(root, arch), &bytes)
}

/// Gets the image of `source`, where it is not there yet; one process at a time does.
///
/// # Errors
///
/// When it cannot be had, or is not what it should be; a part of it is not left.
pub(crate) async fn ensure(root: &Path, source: &Source, tools: &Tools, notify: &dyn Notify) -> Result<Base> {
    if let Source::Path(base) = source {
        return Ok(base.clone());
    }
    let directory = images(root);
    files::make_directory(&directory)?;
    let place = directory.join(source.key());
    if !place.exists() {
        let lock_file = directory.join(format!("{}.lock", source.key()));
        let lock = wait_for(&lock_file, notify).await?;
        let got = if place.exists() { Ok(()) } else { get_whole(source, &directory, &place, tools, notify).await };
        files::remove(&lock_file)?;
        drop(lock);
        got?;
    }
    match source {
        Source::Build { .. } => build::base(&place, tools).await,
        _ => inspect(tools, &place).await,
    }
}

/// Gets it beside its place and moves it there; what fails or is dropped leaves nothing. The caller holds the image's lock.
async fn get_whole(source: &Source, directory: &Path, place: &Path, tools: &Tools, notify: &dyn Notify) -> Result<()> {
    remove_parts(directory, &source.key())?;
    // A name of its own: a build that was dropped a moment ago may still clean up in its own.
    let part = Part(directory.join(format!("{}.{:x}.part", source.key(), nonce())));
    let got = get(source, &part.0, tools, notify).await;
    let Err(error) = got.and_then(|()| files::rename(&part.0, place)) else { return Ok(()) };
    match files::remove(&part.0) {
        Ok(()) => Err(error),
        Err(left) => Err(left.source(error)),
    }
}

/// A number that no other process has here at the same time.
fn nonce() -> u128 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    since.as_nanos() << 32 | u128::from(std::process::id())
}

/// A part of an image; where whoever gets it is dropped, it goes as well.
struct Part(PathBuf);

impl Drop for Part {
    fn drop(&mut self) {
        if let Err(error) = files::remove(&self.0) {
            tracing::warn!("{error}");
        }
    }
}

/// Removes the parts of the image `key`, whose lock the caller holds.
fn remove_parts(directory: &Path, key: &str) -> Result<()> {
    let entries = std::fs::read_dir(directory).map_err(|e| files::failed("read", directory, e))?;
    let of_it = |name: &str| name.ends_with(".part") && name.starts_with(&format!("{key}."));
    for entry in entries.flatten().filter(|entry| entry.file_name().to_str().is_some_and(of_it)) {
        files::remove(&entry.path())?;
    }
    Ok(())
}

async fn get(source: &Source, part: &Path, tools: &Tools, notify: &dyn Notify) -> Result<()> {
    match source {
        Source::Path(_) => Ok(()),
        Source::Download { url, digest } => {
            download::fetch(url, digest, part, notify).await?;
            let base = inspect(tools, part).await?;
            tracing::debug!("{url}: {} of {} bytes", base.format, base.size);
            Ok(())
        }
        Source::Build { arch, mirror, .. } => build::run(*arch, mirror, part, notify).await,
    }
}

/// Takes the lock, however long another process has it.
async fn wait_for(path: &Path, notify: &dyn Notify) -> Result<files::Lock> {
    let mut said = false;
    loop {
        if let Some(lock) = files::try_lock(path)? {
            // Who had it before removes it at the end: then this is the lock of a file that is gone.
            if lock.is_at(path) {
                return Ok(lock);
            }
            continue;
        }
        if !said {
            notify.progress("waiting for another rmachine that gets the same image");
            said = true;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Removes what processes left that were killed while they got an image; a lock that is held is respected.
pub(crate) fn sweep(root: &Path) -> Result<()> {
    let directory = images(root);
    let Ok(entries) = std::fs::read_dir(&directory) else { return Ok(()) };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_str().unwrap_or_default();
        // KEY.lock, KEY.NUMBER.part, and KEY.part of earlier versions.
        let of_part = |name: &str| {
            let stem = name.strip_suffix(".part")?;
            Some(stem.rsplit_once('.').map_or(stem, |(key, _)| key).to_owned())
        };
        let Some(key) = name.strip_suffix(".lock").map(str::to_owned).or_else(|| of_part(name)) else { continue };
        let lock_file = directory.join(format!("{key}.lock"));
        // One that is not at its place any more is not the one that others take.
        if let Some(lock) = files::try_lock(&lock_file)?
            && lock.is_at(&lock_file)
        {
            remove_parts(&directory, &key)?;
            files::remove(&lock_file)?;
            drop(lock);
        }
    }
    Ok(())
}

/// What qemu-img says of an image.
#[derive(Debug, Deserialize)]
struct Info {
    format: String,
    #[serde(rename = "virtual-size")]
    size: u64,
    #[serde(rename = "backing-filename")]
    backing: Option<String>,
}

/// Looks at the image `file`.
///
/// # Errors
///
/// When qemu does not know it, or it reads from another file: whoever made it could name any file of this computer.
pub(crate) async fn inspect(tools: &Tools, file: &Path) -> Result<Base> {
    let path = file.display().to_string();
    let wrong = |why: String| {
        Error::invalid(format!("{path} is no disk image that can be booted"))
            .source(why)
            .hint("--qemu-image takes a qcow2 or raw image; `qemu-img info` shows what a file is")
    };
    let json = run(&tools.img, &["info", "-U", "--output=json", &path]).await.map_err(|e| wrong(e.to_string()))?;
    let info: Info = serde_json::from_str(&json).map_err(|e| wrong(e.to_string()))?;
    if let Some(backing) = info.backing {
        return Err(wrong(format!("it is a layer over {backing}: `qemu-img convert` makes one file of both")));
    }
    if info.size == 0 {
        return Err(wrong("it is empty".to_owned()));
    }
    Ok(Base { file: file.to_path_buf(), format: info.format, size: info.size, kernel: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_removes_what_nobody_gets_any_more() {
        let base = tempfile::tempdir().unwrap();
        let directory = images(base.path());
        files::make_directory(&directory.join("built.part")).unwrap();
        for file in ["dead.part", "live.part", "live.7.part", "gone.7.part", "sha256-00", "old.lock"] {
            files::write(&directory.join(file), b"x").unwrap();
        }
        let held = files::try_lock(&directory.join("live.lock")).unwrap().unwrap();
        sweep(base.path()).unwrap();
        let mut left: Vec<_> = std::fs::read_dir(&directory).unwrap().flatten().map(|e| e.file_name()).collect();
        left.sort();
        assert_eq!(left, ["live.7.part", "live.lock", "live.part", "sha256-00"]);
        drop(held);
        sweep(base.path()).unwrap();
        let left: Vec<_> = std::fs::read_dir(&directory).unwrap().flatten().map(|e| e.file_name()).collect();
        assert_eq!(left, ["sha256-00"]);
    }

    #[test]
    fn a_default_is_kept_while_it_is_fresh_and_there() {
        let base = tempfile::tempdir().unwrap();
        let root = base.path();
        files::make_directory(&images(root)).unwrap();
        let of = |inputs: &str| Source::Build { arch: Arch::Amd64, mirror: "m".into(), inputs: inputs.into() };
        let source = of("one");
        remember(root, Arch::Amd64, &source).unwrap();
        assert_eq!(chosen(root, Arch::Amd64, &source), None, "it is not there");
        files::make_directory(&images(root).join(source.key())).unwrap();
        assert_eq!(chosen(root, Arch::Amd64, &source), Some(source.clone()));
        assert_eq!(chosen(root, Arch::Amd64, &of("two")), None, "the inputs have changed");
        let old = Chosen { source: source.clone(), when: OffsetDateTime::now_utc() - FRESH };
        files::write(&choice_file(root, Arch::Amd64), &serde_json::to_vec(&old).unwrap()).unwrap();
        assert_eq!(chosen(root, Arch::Amd64, &source), None, "it is old");
    }
}
