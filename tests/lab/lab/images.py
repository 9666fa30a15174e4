"""Host images: Debian root file systems with what a cloud image has, built once and cached.

`debian12` and `debian13` have no engine; `debian12-docker` and `debian13-docker` have Debian's, as a
prebaked AMI has; `debian13-current` has the current one (current.py).
"""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

from . import cache, current

RELEASES = {"debian12": "bookworm", "debian13": "trixie"}
CURRENT = "debian13-current"
IMAGES = [*(f"{name}{kind}" for name in RELEASES for kind in ("", "-docker")), CURRENT]
PACKAGES = (
    "systemd,systemd-sysv,dbus,openssh-server,sudo,ca-certificates,curl,iproute2,iptables,cloud-init,"
    "gnupg,gpg,locales,procps,python3,netbase,less"
)
RECIPE = "5"  # raise it when this file changes what is in an image

CLOUD_CFG = """\
datasource_list: [ NoCloud, None ]
network: {config: disabled}
"""


def mirror() -> str:
    """The Debian mirror of this machine."""
    for file in [*Path("/etc/apt").glob("sources.list"), *Path("/etc/apt/sources.list.d").glob("*")]:
        for word in file.read_text(errors="replace").split():
            if word.startswith("http") and word.rstrip("/").endswith("/debian"):
                return word.rstrip("/")
    return "http://deb.debian.org/debian"


def image_key() -> str:
    """Names the set of images that this recipe makes."""
    return cache.key(RECIPE, PACKAGES, CLOUD_CFG, mirror(), repr(RELEASES))


def directory() -> Path:
    """Where the root file systems are."""
    path = cache.root() / f"lab-images-{image_key()}"
    path.mkdir(exist_ok=True)
    return path


def key(name: str) -> str:
    """Names what the image `name` is made of."""
    return cache.key(image_key(), current.key()) if name == CURRENT else image_key()


def rootfs(name: str) -> Path:
    """The root file system `name` (a tar), built when it is missing."""
    if name == CURRENT:
        tar = directory() / f"{name}-{key(name)}.tar"
        return cache.made(tar, f"image-{name}", lambda work: current.image(rootfs("debian13"), work))
    return cache.made(directory() / f"{name}.tar", f"image-{name}", lambda work: _build(name, work))


def _build(name: str, tar: Path) -> None:
    release = RELEASES[name.removesuffix("-docker")]
    packages = PACKAGES + (",docker.io" if name.endswith("-docker") else "")
    hooks = [
        # A host makes its own keys and id at first boot, as an AMI does.
        'rm -f "$1"/etc/ssh/ssh_host_*; : >"$1/etc/machine-id"',
        # What only hardware needs, and what would wait for a network that is there already.
        'for u in systemd-networkd systemd-resolved systemd-timesyncd getty@tty1 e2scrub_reap apt-daily.timer '
        'apt-daily-upgrade.timer systemd-modules-load fstrim.timer; do chroot "$1" systemctl mask -q "$u" || :; done',
    ]
    # Its name is the one on the host; several images may be built at once.
    config = tar.with_name(f"{tar.name}.cfg.d") / "99-lab.cfg"
    config.parent.mkdir(exist_ok=True)
    config.write_text(CLOUD_CFG)
    cache.run(
        "mmdebstrap", "--format=tar", "--variant=minbase", "--aptopt=Acquire::Languages \"none\"",
        "--aptopt=APT::Install-Recommends \"false\"", f"--include={packages}",
        *[f"--customize-hook={hook}" for hook in hooks],
        f"--customize-hook=copy-in {config} /etc/cloud/cloud.cfg.d",
        "--customize-hook=echo 'en_US.UTF-8 UTF-8' >\"$1/etc/locale.gen\"",
        release, tar, mirror(),
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
    )  # fmt: skip
    cache.remove(config.parent)


def busybox() -> Path:
    """A tar of one static busybox, for `docker import`: the tiny image that containers run."""
    return cache.made(cache.root() / f"lab-busybox-{cache.key('1', mirror())}.tar", "busybox", _busybox)


def _busybox(tar: Path) -> None:
    work = tar.with_suffix(".d")
    cache.remove(work)
    work.mkdir()
    cache.run("apt-get", "download", "busybox-static", cwd=work)
    cache.run("dpkg", "-x", next(work.glob("*.deb")), work / "x")
    binary = next(p for p in (work / "x/bin/busybox", work / "x/usr/bin/busybox") if p.exists())
    applets = cache.run(binary, "--list").stdout.split()
    with tarfile.open(tar, "w") as archive:
        archive.add(binary, "bin/busybox")
        for applet in applets:
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "/bin/busybox"
            if applet != "busybox":
                archive.addfile(link)
        for name in ("tmp", "etc", "proc", "sys", "dev", "root"):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
            archive.addfile(entry)
    cache.remove(work)


def client_tools() -> Path:
    """A directory with `docker`, `docker compose`, `docker buildx` and `docker-registry`, from Debian's packages.

    Debian 12 has no Compose v2, so they come from the newest release that the lab knows; they are
    static Go programs and run anywhere.
    """
    return cache.made(cache.root() / f"lab-tools-{cache.key('1', mirror())}", "clients", _client_tools) / "x"


def _client_tools(work: Path) -> None:
    work.mkdir()
    apt_download(work / "apt", "trixie", ["docker-cli", "docker-compose", "docker-buildx", "docker-registry"], work)
    for deb in work.glob("*.deb"):
        cache.run("dpkg", "-x", deb, work / "x")
        deb.unlink()
    cache.remove(work / "apt")


def apt_download(work: Path, release: str, packages: list[str], into: Path) -> None:
    """Downloads packages of any Debian release, whatever this machine runs; `work` is apt's own."""
    (work / "lists/partial").mkdir(parents=True)
    (work / "archives/partial").mkdir(parents=True)
    (work / "status").touch()
    (work / "sources.list").write_text(f"deb {mirror()} {release} main\n")
    apt = [
        "apt-get", "-o", f"Dir::Etc::sourcelist={work}/sources.list", "-o", "Dir::Etc::sourceparts=-",
        "-o", f"Dir::State={work}", "-o", f"Dir::State::status={work}/status",
        "-o", f"Dir::Cache={work}", "-o", "APT::Sandbox::User=root",
    ]  # fmt: skip
    cache.run(*apt, "update")
    cache.run(*apt, "download", *packages, cwd=into)
