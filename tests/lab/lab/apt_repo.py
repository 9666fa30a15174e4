"""A stand-in for Docker's apt repository, made from Debian's own packages and signed with a throw-away key.

docker-ce, docker-ce-cli and containerd.io hold what Debian ships as docker.io, docker-cli, containerd and
runc, laid out as Docker does it: dockerd in /usr/bin, one package for containerd and runc. Built once
and cached; the key lives and dies with the cache.
"""

from __future__ import annotations

import gzip
import hashlib
import re
import shutil
import subprocess
from email.utils import formatdate
from pathlib import Path

from . import cache, images

RECIPE = "1"  # raise it when this file changes what is in the repository
OWNER = "rmachine lab (stand-in for Docker Release)"
DROPPED = {"Installed-Size", "Source", "Built-Using", "Recommends", "Suggests", "Breaks", "Enhances", "Static-Built-Using"}


def directory() -> Path:
    """The repository, as https://download.docker.com has it: linux/debian/{gpg,dists,pool}."""
    path = cache.root() / f"lab-docker-repo-{cache.key(RECIPE, images.mirror(), repr(images.RELEASES))}"
    return cache.made(path, "docker-repo", _make)


def _make(work: Path) -> None:
    work.mkdir()
    root = work / "linux/debian"
    for release in images.RELEASES.values():
        _packages(work / "tmp" / release, root / f"pool/{release}", release)
    _sign(root, work / "tmp/gnupg", list(images.RELEASES.values()), work / "fingerprint")
    shutil.rmtree(work / "tmp")


def fingerprint() -> str:
    """The fingerprint of the key that signs the repository."""
    return (directory() / "fingerprint").read_text().strip()


def _packages(work: Path, pool: Path, release: str) -> None:
    """Downloads a release's packages and makes Docker's of them."""
    pool.mkdir(parents=True)
    debs = work / "debs"
    debs.mkdir(parents=True)
    names = ["docker.io", "containerd", "runc"] + ([] if release == "bookworm" else ["docker-cli"])
    images.apt_download(work / "apt", release, names, debs)
    trees = {}
    for deb in debs.glob("*.deb"):
        name = cache.run("dpkg-deb", "-f", deb, "Package").stdout.strip()
        trees[name] = work / name
        cache.run("dpkg-deb", "-R", deb, trees[name])
    engine, cli = trees["docker.io"], trees.get("docker-cli", work / "docker-cli")
    if not cli.exists():  # bookworm's docker.io has the client in it
        (cli / "usr/bin").mkdir(parents=True)
        (cli / "DEBIAN").mkdir()
        shutil.copy(engine / "DEBIAN/control", cli / "DEBIAN/control")
        (engine / "usr/bin/docker").rename(cli / "usr/bin/docker")
    (engine / "usr/bin").mkdir(exist_ok=True)
    (engine / "usr/sbin/dockerd").rename(engine / "usr/bin/dockerd")
    for unit in engine.glob("**/docker.service"):
        unit.write_text(unit.read_text().replace("/usr/sbin/dockerd", "/usr/bin/dockerd"))
    shutil.copytree(trees["runc"] / "usr", trees["containerd"] / "usr", dirs_exist_ok=True)
    version = {name: _field(tree, "Version").split("+")[0].split("~")[0] for name, tree in trees.items()}
    tail = f"1~debian.{12 if release == 'bookworm' else 13}~{release}"
    ce = f"5:{version['docker.io']}-{tail}"
    _build(pool, engine, "docker-ce", ce, {"Conflicts": "docker.io", "Replaces": "docker.io"}, {"containerd": "containerd.io", "runc": "docker-ce-cli"})
    _build(pool, cli, "docker-ce-cli", ce, {"Conflicts": "docker.io, docker-cli", "Replaces": "docker.io, docker-cli"}, {}, only=["libc6"])
    both = {"Conflicts": "containerd, runc", "Replaces": "containerd, runc", "Provides": "containerd, runc"}
    _build(pool, trees["containerd"], "containerd.io", f"{version['containerd']}-1", both, {"runc": "libseccomp2"})


def _field(tree: Path, name: str) -> str:
    found = re.search(rf"^{name}: (.*)$", (tree / "DEBIAN/control").read_text(), re.MULTILINE)
    return found[1] if found else ""


def _build(pool: Path, tree: Path, name: str, version: str, fields: dict[str, str], renamed: dict[str, str], only: list[str] | None = None) -> None:
    """Builds `tree` as the package `name`; `renamed` replaces dependencies, `only` keeps those named."""
    depends = []
    for dependency in _field(tree, "Depends").split(", "):
        word = dependency.split()[0]
        if only is None or word in only:
            depends.append(renamed.get(word, dependency))
    wanted = {"Package": name, "Version": version, "Depends": ", ".join(dict.fromkeys(depends)), **fields}
    lines, skipped = [], False
    for line in (tree / "DEBIAN/control").read_text().splitlines():
        if line[:1] not in (" ", "\t"):
            field = line.split(":")[0]
            skipped = field in DROPPED or field in ("Conflicts", "Replaces", "Provides", *wanted)
        if not skipped:
            lines.append(line)
    control = [f"{field}: {value}" for field, value in wanted.items() if value]
    (tree / "DEBIAN/control").write_text("\n".join([*control, *lines, ""]))
    (tree / "DEBIAN/md5sums").unlink(missing_ok=True)
    cache.run("dpkg-deb", "-b", "-Zgzip", "-z1", "--root-owner-group", tree, pool / f"{name}_{version.split(':')[-1]}_amd64.deb")


def _sign(root: Path, home: Path, releases: list[str], fingerprint_file: Path) -> None:
    """Writes the indices of each release, signed by a new key whose public half is `gpg`."""
    home.mkdir(mode=0o700, parents=True)
    gpg = ["gpg", "--batch", "--homedir", str(home), "--pinentry-mode", "loopback", "--passphrase", ""]
    cache.run(*gpg, "--quick-generate-key", OWNER, "rsa3072", "sign", "never")
    listed = cache.run(*gpg, "--with-colons", "--list-keys").stdout
    fingerprint_file.write_text(next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr:")))
    cache.run(*gpg, "--armor", "--output", root / "gpg", "--export")
    for release in releases:
        dist = root / f"dists/{release}"
        binary = dist / "stable/binary-amd64"
        binary.mkdir(parents=True)
        stanzas = []
        for deb in sorted((root / f"pool/{release}").glob("*.deb")):
            control = cache.run("dpkg-deb", "-f", deb).stdout.strip()
            data = deb.read_bytes()
            stanzas.append(f"{control}\nFilename: pool/{release}/{deb.name}\nSize: {len(data)}\nSHA256: {hashlib.sha256(data).hexdigest()}\n")
        (binary / "Packages").write_text("\n".join(stanzas))
        (binary / "Packages.gz").write_bytes(gzip.compress((binary / "Packages").read_bytes()))
        sums = [
            f" {hashlib.sha256(path.read_bytes()).hexdigest()} {path.stat().st_size} {path.relative_to(dist)}"
            for path in (binary / "Packages", binary / "Packages.gz")
        ]
        head = [
            "Origin: Docker", "Label: Docker CE", f"Suite: {release}", f"Codename: {release}", f"Date: {formatdate(usegmt=True)}",
            "Architectures: amd64", "Components: stable", "SHA256:",
        ]  # fmt: skip
        (dist / "Release").write_text("\n".join([*head, *sums, ""]))
        cache.run(*gpg, "--output", dist / "InRelease", "--clearsign", dist / "Release")
        cache.run(*gpg, "--armor", "--output", dist / "Release.gpg", "--detach-sign", dist / "Release")
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "gpg-agent"], capture_output=True)
