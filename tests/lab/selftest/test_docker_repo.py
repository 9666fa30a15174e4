"""The stand-in for Docker's apt repository installs an engine, by its key only."""

from __future__ import annotations

import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Lab
from test_hosts_boot import answer
from test_plain_hosts import host  # noqa: F401 - a fixture

SETUP = """set -eu
curl -fsS -o /tmp/docker.asc {url}/linux/debian/gpg
gpg --batch --with-colons --show-keys /tmp/docker.asc | awk -F: '$1 == "fpr" {{ print $10; exit }}'
sudo install -m 0644 /tmp/docker.asc /etc/apt/keyrings/docker.asc
. /etc/os-release
echo "deb [arch=amd64 signed-by=/etc/apt/keyrings/docker.asc] {url}/linux/debian $VERSION_CODENAME stable" | sudo tee /etc/apt/sources.list.d/docker.list >/dev/null
sudo apt-get -q update >/dev/null
sudo DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends docker-ce docker-ce-cli containerd.io >/tmp/log 2>&1 || {{ cat /tmp/log; exit 1; }}
sudo docker version -f '{{{{.Server.Version}}}}'
command -v dockerd
"""


@pytest.mark.parametrize(("image", "version"), [("debian12", "20.10"), ("debian13", "26.1")])
def test_installs(hosted: Lab, host: Callable[..., dict[str, Any]], key: Path, image: str, version: str) -> None:  # noqa: F811
    one = host(image=image)
    assert answer(one["address"], key, "cloud-init status --wait >/dev/null; id -un", user="debian") == "debian"
    words = answer(one["address"], key, SETUP.format(url=hosted.env["RMACHINE_DOCKER_REPOSITORY"]), user="debian").split()
    assert words[0] == hosted.env["RMACHINE_DOCKER_APT_FINGERPRINT"]
    assert words[1].startswith(version) and words[2] == "/usr/bin/dockerd"


def test_it_is_reached_from_here_too(hosted: Lab) -> None:
    with urllib.request.urlopen(f"{hosted.env['RMACHINE_DOCKER_REPOSITORY']}/linux/debian/gpg") as key:
        assert key.read().startswith(b"-----BEGIN PGP PUBLIC KEY BLOCK-----")
