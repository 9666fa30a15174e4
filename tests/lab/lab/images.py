"""Host images: Debian root file systems with what a cloud image has, built once and cached.

`debian12` and `debian13` have no engine; `debian12-docker` and `debian13-docker` have one, as a
prebaked AMI has.
"""

from __future__ import annotations

import os
import shutil
import tarfile
from pathlib import Path

from . import cache

RELEASES = {"debian12": "bookworm", "debian13": "trixie"}
IMAGES = [f"{name}{kind}" for name in RELEASES for kind in ("", "-docker")]
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


def rootfs(name: str) -> Path:
    """The root file system `name` (a tar), built when it is missing."""
    tar = directory() / f"{name}.tar"
    with cache.lock(f"image-{name}"):
        if not tar.exists():
            _build(name, tar)
    return tar


def _build(name: str, tar: Path) -> None:
    release = RELEASES[name.removesuffix("-docker")]
    packages = PACKAGES + (",docker.io" if name.endswith("-docker") else "")
    cache.say(f"building the host image {name} (once, about a minute)")
    partial = tar.with_suffix(".partial.tar")
    hooks = [
        # A host makes its own keys and id at first boot, as an AMI does.
        'rm -f "$1"/etc/ssh/ssh_host_*; : >"$1/etc/machine-id"',
        # What only hardware needs, and what would wait for a network that is there already.
        'for u in systemd-networkd systemd-resolved systemd-timesyncd getty@tty1 e2scrub_reap apt-daily.timer '
        'apt-daily-upgrade.timer systemd-modules-load fstrim.timer; do chroot "$1" systemctl mask -q "$u" || :; done',
    ]
    config = directory() / "99-lab.cfg"
    config.write_text(CLOUD_CFG)
    cache.run(
        "mmdebstrap", "--variant=minbase", "--aptopt=Acquire::Languages \"none\"",
        "--aptopt=APT::Install-Recommends \"false\"", f"--include={packages}",
        *[f"--customize-hook={hook}" for hook in hooks],
        f"--customize-hook=copy-in {config} /etc/cloud/cloud.cfg.d",
        "--customize-hook=echo 'en_US.UTF-8 UTF-8' >\"$1/etc/locale.gen\"",
        release, partial, mirror(),
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
    )  # fmt: skip
    partial.rename(tar)


def busybox() -> Path:
    """A tar of one static busybox, for `docker import`: the tiny image that containers run."""
    tar = cache.root() / "lab-busybox.tar"
    with cache.lock("busybox"):
        if not tar.exists():
            work = cache.root() / "busybox.partial"
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir()
            cache.run("apt-get", "download", "busybox-static", cwd=work)
            cache.run("dpkg", "-x", next(work.glob("*.deb")), work / "x")
            binary = next(p for p in (work / "x/bin/busybox", work / "x/usr/bin/busybox") if p.exists())
            applets = cache.run(binary, "--list").stdout.split()
            partial = tar.with_suffix(".partial")
            with tarfile.open(partial, "w") as archive:
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
            partial.rename(tar)
            shutil.rmtree(work)
    return tar


def client_tools() -> Path:
    """A directory with current `docker`, `docker compose` and `docker buildx`, from Debian's packages.

    Debian 12 has no Compose v2, so they come from the newest release that the lab knows; they are
    static Go programs and run anywhere.
    """
    path = cache.root() / f"lab-tools-{cache.key('1', mirror())}"
    with cache.lock("tools"):
        if not path.exists():
            cache.say("fetching docker, docker compose and docker buildx (Debian packages)")
            work = path.with_suffix(".partial")
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir()
            apt_download(work / "apt", "trixie", ["docker-cli", "docker-compose", "docker-buildx", "docker-registry"], work)
            for deb in work.glob("*.deb"):
                cache.run("dpkg", "-x", deb, work / "x")
                deb.unlink()
            shutil.rmtree(work / "apt")
            work.rename(path)
    return path / "x"


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
