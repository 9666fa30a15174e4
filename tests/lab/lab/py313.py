"""Runs a script under Debian 13's own Python 3.13 with docker-py in it, where this machine has an older one.

The root file system of the host image is unpacked once, and entered with this machine's network, /tmp,
/root, /home and what DOCKER_CERT_PATH and the script name mounted in place; the environment is the caller's.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path

from . import cache, images

DOCKER_PY = "docker==7.1.0"
ENTER = """\
set -eu
root=$1; work=$2; shift 2
for path in /dev /proc /sys /tmp /root /home; do mount --rbind "$path" "$root$path"; done
while [ "$1" != -- ]; do mkdir -p "$root$1"; mount --rbind "$1" "$root$1"; shift; done
shift
mount --bind /etc/resolv.conf "$root/etc/resolv.conf"
exec chroot "$root" sh -c 'cd "$1" 2>/dev/null || cd /; shift; exec python3.13 "$@"' sh "$work" "$@"
"""
SHARED = ("/dev", "/proc", "/sys", "/tmp", "/root", "/home")


def directory() -> Path:
    """The unpacked root file system with docker-py in it."""
    return cache.made(cache.root() / f"lab-py313-{cache.key(images.image_key(), DOCKER_PY)}", "py313", _make)


def _make(work: Path) -> None:
    work.mkdir()
    with tarfile.open(images.rootfs("debian13")) as archive:
        members = [m for m in archive if not m.isdev()]
        archive.extractall(work, members, filter="fully_trusted")
    target = work / "usr/local/lib/python3.13/dist-packages"
    cache.run(
        sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--target", target,
        "--python-version", "3.13", "--platform", "any", "--implementation", "py", "--abi", "none",
        "--only-binary", ":all:", "--no-deps", DOCKER_PY, "requests<3", "urllib3<3", "idna", "certifi", "charset-normalizer",
    )  # fmt: skip
    # What is mounted over in a run, as a file where the image has a link.
    (work / "etc/resolv.conf").unlink(missing_ok=True)
    (work / "etc/resolv.conf").touch()


def run(arguments: list[str]) -> int:
    """Runs `python3.13 ARGUMENTS…`; the exit code is the script's."""
    if not arguments:
        raise SystemExit("py313: which script?")
    named = [os.environ.get("DOCKER_CERT_PATH", ""), str(Path(arguments[0]).resolve().parent), os.getcwd()]
    wanted = {p for p in named if p and Path(p).is_dir() and p != "/" and not p.startswith(tuple(f"{s}/" for s in SHARED)) and p not in SHARED}
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYENV", "PYTHON", "VIRTUAL_ENV"))}
    environment["PATH"] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    script = [str(Path(arguments[0]).resolve()), *arguments[1:]]
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", ENTER, "sh", str(directory()), os.getcwd(), *sorted(wanted), "--", *script]
    return subprocess.run(command, env=environment).returncode
