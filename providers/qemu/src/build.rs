//! The image that is built from Debian's packages.

use std::path::Path;

use rmachine_provider_api::{Error, Kind, Notify, Result};
use rmachine_provider_local::build::{Script, have, key};

use crate::{
    config::{Arch, Config},
    files,
    image::{Base, Kernel, Source, inspect},
    tools::Tools,
};

const SCRIPT: &str = include_str!("../../../templates/qemu/build-image.sh");
/// The root file system's label, as the script sets it.
const ROOT: &str = "root=LABEL=rmachine-root rw";
/// What a build needs of the disk for a while: the packages unpacked, the raw image and the packed one.
const ROOM: u64 = 3 << 30;
/// What it needs of this computer: (program, Debian package).
const TOOLS: [(&str, &str); 3] = [("mmdebstrap", "mmdebstrap"), ("mke2fs", "e2fsprogs"), ("qemu-img", "qemu-utils")];

/// The image that would be built for `config`, named by what goes in.
pub(crate) fn source(config: &Config) -> Source {
    let inputs = key([SCRIPT, &config.mirror, config.arch.name()], 8);
    Source::Build { arch: config.arch, mirror: config.mirror.clone(), inputs }
}

/// Refuses when something is missing that a build needs.
///
/// # Errors
///
/// [`Kind::NotFound`] that names the packages.
pub(crate) fn require_tools() -> Result<()> {
    let missing: Vec<_> = TOOLS.iter().filter(|(program, _)| !have(program)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let list = |of: fn(&(&'static str, &'static str)) -> &'static str, with: &str| {
        missing.iter().map(|tool| of(tool)).collect::<Vec<_>>().join(with)
    };
    let (programs, packages) = (list(|t| t.0, ", "), list(|t| t.1, " "));
    Err(Error::new(Kind::NotFound, format!("there is no image to boot, and none can be built without {programs}"))
        .hint(format!(
            "`sudo apt-get install {packages} debian-archive-keyring` installs what builds one; or name an image: \
             --qemu-image PATH"
        )))
}

/// Builds into the directory `to`.
///
/// # Errors
///
/// With the script's last words.
pub(crate) async fn run(arch: Arch, mirror: &str, to: &Path, notify: &dyn Notify) -> Result<()> {
    require_tools()?;
    files::make_directory(to)?;
    files::require_room(to, ROOM)?;
    notify.progress("building the image: about a minute, once");
    let script = Script {
        makes: "the image",
        text: SCRIPT,
        environment: vec![("OUT", to.into()), ("ARCH", arch.name().into()), ("MIRROR", mirror.into())],
        arguments: Vec::new(),
    };
    script.run(notify).await.map_err(|e| {
        e.hint(
            "--debug shows all that the build says; --qemu-mirror URL names another mirror, --qemu-image PATH an image",
        )
    })
}

/// What is in the built `place`.
pub(crate) async fn base(place: &Path, tools: &Tools) -> Result<Base> {
    let base = inspect(tools, &place.join("disk.qcow2")).await?;
    let kernel = Kernel { kernel: place.join("kernel"), initrd: place.join("initrd"), append: ROOT.to_owned() };
    Ok(Base { kernel: Some(kernel), ..base })
}
