"""Hosts without an EC2, for a driver that takes any SSH host; what they reach; docker-py."""

from __future__ import annotations

import json
import os
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import HERE, IMAGES, Lab
from test_hosts_boot import answer, opened, ssh


@pytest.fixture
def host(hosted: Lab, key: Path) -> Iterator[Any]:
    made = []

    def make(**words: Any) -> dict[str, Any]:
        words = {"authorized_keys": [key.with_suffix(".pub").read_text().strip()]} | words
        made.append(hosted.control("POST", "hosts", words))
        return made[-1]

    yield make
    for one in made:
        hosted.control("DELETE", f"hosts/{one['id']}")


@pytest.mark.parametrize("image", IMAGES)
def test_each_image(hosted: Lab, host: Any, key: Path, image: str) -> None:
    one = host(image=image, user="ada")
    assert answer(one["address"], key, "sudo -n id -un", user="ada") == "root"
    engine = answer(one["address"], key, "ls /usr/sbin/dockerd /usr/bin/dockerd 2>/dev/null; true", user="ada")
    assert ("dockerd" in engine) == image.endswith(("-docker", "-current"))
    scanned = subprocess.run(["ssh-keyscan", "-t", "ed25519", one["address"]], capture_output=True, text=True).stdout
    assert scanned.split()[2] in [k.split()[1] for k in one["host_keys"]]


def test_without_sudo(hosted: Lab, host: Any, key: Path) -> None:
    one = host(sudo=False)
    assert answer(one["address"], key, "id -un", user="debian") == "debian"
    assert ssh(one["address"], key, "sudo -n true", user="debian").returncode != 0
    assert ssh(one["address"], key, "true", user="nobody-here").returncode == 255


def test_the_root_user(hosted: Lab, host: Any, key: Path) -> None:
    assert answer(host(user="root")["address"], key, "id -u", user="root") == "0"


def test_a_host_with_user_data(hosted: Lab, host: Any, key: Path) -> None:
    one = host(user_data="#!/bin/sh\necho hello >/etc/hello\n")
    assert answer(one["address"], key, "cloud-init status --wait >/dev/null; cat /etc/hello", user="debian") == "hello"


def test_pause_and_power(hosted: Lab, host: Any, key: Path) -> None:
    one = host()
    path = f"hosts/{one['id']}"
    before = answer(one["address"], key, "echo x >kept; sync; cat /proc/sys/kernel/random/boot_id", user="debian")
    hosted.control("POST", f"{path}/pause")
    assert ssh(one["address"], key, "true", user="debian").returncode == 255
    hosted.control("POST", f"{path}/unpause")
    assert answer(one["address"], key, "cat /proc/sys/kernel/random/boot_id", user="debian") == before
    hosted.control("POST", f"{path}/stop")
    assert not opened(one["address"], 22)
    address = hosted.control("POST", f"{path}/start")["address"]
    assert address != one["address"] and answer(address, key, "cat kept", user="debian") == "x"
    hosted.control("POST", f"{path}/reboot")
    assert answer(address, key, "cat /proc/sys/kernel/random/boot_id", user="debian") != before
    assert hosted.control("POST", f"{path}/exec", {"command": "id -u"})["stdout"] == "0\n"


def test_an_unknown_image_is_refused(hosted: Lab, host: Any) -> None:
    with pytest.raises(urllib.error.HTTPError):
        host(image="debian1")


def test_a_registry_that_hosts_reach(hosted: Lab, host: Any, key: Path) -> None:
    environment = {**os.environ, **hosted.env}
    address = subprocess.run([HERE / "registry"], env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    with urllib.request.urlopen(f"http://{address}/v2/_catalog") as catalog:
        assert json.load(catalog) == {"repositories": []}
    one = host()
    assert answer(one["address"], key, f"curl -fsS http://{address}/v2/_catalog", user="debian") == '{"repositories":[]}'


def test_hosts_reach_debian(hosted: Lab, host: Any, key: Path) -> None:
    assert "Reading package lists" in answer(host()["address"], key, "sudo apt-get update -q", user="debian")


def test_python_3_13_with_docker_py(hosted: Lab, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("import docker, os, ssl, sys\nprint(sys.version_info[:2], docker.__version__ > '', os.environ['DOCKER_HOST'], open(os.environ['DOCKER_CERT_PATH'] + '/x').read(), sys.argv[1:])\n")
    (tmp_path / "x").write_text("here")
    environment = {**os.environ, "DOCKER_HOST": "tcp://127.0.0.1:1", "DOCKER_CERT_PATH": str(tmp_path)}
    command = [hosted.env["RMACHINE_LAB_PYTHON"], "-m", "lab", "py313", str(script), "word"]
    done = subprocess.run(command, cwd=HERE, env=environment, capture_output=True, text=True)
    assert done.stdout == "(3, 13) True tcp://127.0.0.1:1 here ['word']\n", done.stderr
    script.write_text("raise SystemExit(7)\n")
    assert subprocess.run(command, cwd=HERE, env=environment).returncode == 7
