//! The flags, as data.

use rmachine_provider_api::Flag;

/// All of them.
pub(crate) fn flags() -> Vec<Flag> {
    vec![
        Flag::text(
            "qemu-image",
            "IMAGE",
            "disk image to boot: https URL or path (Debian 13; built from packages when it cannot be had)",
        )
        .env(&["RMACHINE_QEMU_IMAGE"]),
        Flag::text(
            "qemu-image-checksum",
            "CHECKSUM",
            "sha256:HEX, sha512:HEX, or the URL of a SHA256SUMS or SHA512SUMS file; an image by URL needs it",
        )
        .env(&["RMACHINE_QEMU_IMAGE_CHECKSUM"]),
        Flag::text("qemu-arch", "ARCH", "architecture of the machine: amd64 or arm64 (this computer's)")
            .env(&["RMACHINE_QEMU_ARCH"]),
        Flag::text("qemu-memory", "SIZE", "memory").env(&["RMACHINE_QEMU_MEMORY"]).default("2g"),
        Flag::integer("qemu-cpus", "COUNT", "processors").env(&["RMACHINE_QEMU_CPUS"]).default("2"),
        Flag::text("qemu-disk-size", "SIZE", "size of the disk; takes room as it is filled")
            .env(&["RMACHINE_QEMU_DISK_SIZE"])
            .default("20g"),
        Flag::text(
            "qemu-accel",
            "ACCEL",
            "auto, kvm (Linux), hvf (macOS) or tcg (slow); auto takes what really runs a machine",
        )
        .env(&["RMACHINE_QEMU_ACCEL"])
        .default("auto"),
        Flag::text("qemu-firmware", "FIRMWARE", "auto, bios, uefi, or the path of a firmware image")
            .env(&["RMACHINE_QEMU_FIRMWARE"])
            .default("auto"),
        Flag::list(
            "qemu-publish",
            "PORT",
            "port of the machine to reach from here: [ADDRESS:]PORT[:MACHINE_PORT][/udp], or a range; may be repeated",
        )
        .env(&["RMACHINE_QEMU_PUBLISH"]),
        Flag::text(
            "qemu-bind-address",
            "ADDRESS",
            "address of this computer that its ports are at (a loopback address of its own)",
        )
        .env(&["RMACHINE_QEMU_BIND_ADDRESS"]),
        Flag::text("qemu-ssh-user", "USER", "login name; made when the image has none of that name")
            .env(&["RMACHINE_QEMU_SSH_USER"])
            .default("debian"),
        Flag::text("qemu-userdata", "PATH", "first-boot data of your own: script, cloud-config, MIME, gzip, #include")
            .env(&["RMACHINE_QEMU_USERDATA"]),
        Flag::text("qemu-binary", "PATH", "qemu-system-* to run, by name or path; else that of the architecture")
            .env(&["RMACHINE_QEMU_BINARY"]),
        Flag::text("qemu-mirror", "URL", "Debian mirror that an image is built from")
            .env(&["RMACHINE_QEMU_MIRROR"])
            .default("https://deb.debian.org/debian"),
        Flag::text("qemu-directory", "PATH", "where disks and images are kept (rmachine/qemu in your data directory)")
            .env(&["RMACHINE_QEMU_DIRECTORY"]),
    ]
}
