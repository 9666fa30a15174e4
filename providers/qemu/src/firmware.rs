//! Which firmware a machine boots with.

use std::path::{Path, PathBuf};

use rmachine_provider_api::{Error, Kind, Result};
use serde::{Deserialize, Serialize};

use crate::config::{Arch, FirmwareChoice};

/// What is given to qemu.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Firmware {
    /// qemu's own (SeaBIOS on q35; none on virt, which then needs a kernel).
    Builtin,
    /// EDK II: code that is read, and variables of which each machine has a copy.
    Uefi { code: PathBuf, variables: PathBuf },
    /// One image with everything.
    Image(PathBuf),
}

/// Where distributions put EDK II: Debian and Ubuntu, Fedora, Arch, openSUSE, Homebrew (Intel, Apple silicon).
const AMD64: &[(&str, &str)] = &[
    ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
    ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
    ("/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),
    ("/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"),
    ("/usr/share/qemu/ovmf-x86_64-code.bin", "/usr/share/qemu/ovmf-x86_64-vars.bin"),
    ("/usr/local/share/qemu/edk2-x86_64-code.fd", "/usr/local/share/qemu/edk2-i386-vars.fd"),
    ("/opt/homebrew/share/qemu/edk2-x86_64-code.fd", "/opt/homebrew/share/qemu/edk2-i386-vars.fd"),
];
const ARM64: &[(&str, &str)] = &[
    ("/usr/share/AAVMF/AAVMF_CODE.no-secboot.fd", "/usr/share/AAVMF/AAVMF_VARS.fd"),
    ("/usr/share/AAVMF/AAVMF_CODE.fd", "/usr/share/AAVMF/AAVMF_VARS.fd"),
    ("/usr/share/edk2/aarch64/QEMU_EFI-pflash.raw", "/usr/share/edk2/aarch64/vars-template-pflash.raw"),
    ("/usr/share/edk2/aarch64/QEMU_CODE.fd", "/usr/share/edk2/aarch64/QEMU_VARS.fd"),
    ("/usr/share/qemu/aavmf-aarch64-code.bin", "/usr/share/qemu/aavmf-aarch64-vars.bin"),
    ("/usr/local/share/qemu/edk2-aarch64-code.fd", "/usr/local/share/qemu/edk2-arm-vars.fd"),
    ("/opt/homebrew/share/qemu/edk2-aarch64-code.fd", "/opt/homebrew/share/qemu/edk2-arm-vars.fd"),
];

/// Resolves what was asked; `has_kernel`: the image is booted by its kernel, without a boot loader.
///
/// # Errors
///
/// [`Kind::NotFound`] when UEFI is wanted and no EDK II is installed.
pub(crate) fn choose(asked: &FirmwareChoice, arch: Arch, has_kernel: bool) -> Result<Firmware> {
    match asked {
        FirmwareChoice::Path(path) => Ok(Firmware::Image(path.clone())),
        FirmwareChoice::Bios if arch == Arch::Arm64 => {
            Err(Error::invalid("arm64 machines have no BIOS").hint("leave --qemu-firmware out, or take uefi"))
        }
        FirmwareChoice::Bios => Ok(Firmware::Builtin),
        FirmwareChoice::Auto if has_kernel || arch == Arch::Amd64 => Ok(Firmware::Builtin),
        FirmwareChoice::Auto | FirmwareChoice::Uefi => uefi(arch),
    }
}

fn uefi(arch: Arch) -> Result<Firmware> {
    let (places, package) = match arch {
        Arch::Amd64 => (AMD64, "ovmf"),
        Arch::Arm64 => (ARM64, "qemu-efi-aarch64"),
    };
    let found = places.iter().find(|(code, variables)| Path::new(code).exists() && Path::new(variables).exists());
    found.map(|(code, variables)| Firmware::Uefi { code: code.into(), variables: variables.into() }).ok_or_else(|| {
        Error::new(Kind::NotFound, format!("no UEFI firmware for {} is installed", arch.name()))
            .hint(format!("`sudo apt-get install {package}` installs it; --qemu-firmware PATH names another one"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bios_where_it_is_and_a_path_as_given() {
        assert_eq!(choose(&FirmwareChoice::Auto, Arch::Amd64, false).unwrap(), Firmware::Builtin);
        assert_eq!(choose(&FirmwareChoice::Auto, Arch::Arm64, true).unwrap(), Firmware::Builtin);
        assert_eq!(choose(&FirmwareChoice::Bios, Arch::Arm64, false).unwrap_err().kind(), Kind::InvalidInput);
        let path = PathBuf::from("/x");
        assert_eq!(choose(&FirmwareChoice::Path(path.clone()), Arch::Amd64, true).unwrap(), Firmware::Image(path));
    }
}
