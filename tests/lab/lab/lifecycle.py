"""Starting and removing a lab, from outside its server."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from . import auth, cache, current, engine, images, net, services

PATIENCE = 600  # seconds for a lab to come up; importing all images takes a while on a busy machine


def up(state: Path, want_hosts: bool, prepare: list[str], docker_repo: bool = False) -> None:
    """Starts a lab in the background and prints its environment; one that runs is only printed."""
    if not alive(state):
        if (state / "lab.json").exists():
            down(state)  # it was killed
        state.mkdir(parents=True, exist_ok=True)
        _start(state, want_hosts, prepare, docker_repo)
    facts = json.loads((state / "lab.json").read_text())
    url = f"http://127.0.0.1:{facts['port']}"
    variables = {
        "AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": auth.ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": auth.SECRET_KEY,
        "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true", "RMACHINE_IP_ECHO_URL": f"{url}/_lab/ip",
        "RMACHINE_LAB": f"{url}/_lab", "RMACHINE_LAB_STATE": str(state), "RMACHINE_LAB_PYTHON": sys.executable,
    }  # fmt: skip
    if "gateway" in facts:
        variables |= {"RMACHINE_LAB_BUSYBOX": str(images.busybox()), "RMACHINE_LAB_TOOLS": str(images.client_tools()),
                      "RMACHINE_LAB_GATEWAY": facts["gateway"]}  # fmt: skip
        if images.CURRENT in facts["images"]:
            variables["RMACHINE_LAB_CURRENT_TOOLS"] = str(current.client_tools())
    if "docker_repo" in facts:
        variables |= {"RMACHINE_DOCKER_REPOSITORY": facts["docker_repo"], "RMACHINE_DOCKER_APT_FINGERPRINT": facts["docker_fingerprint"]}
    print("unset AWS_PROFILE AWS_SESSION_TOKEN AWS_REGION AWS_ENDPOINT AWS_CONFIG_FILE AWS_SHARED_CREDENTIALS_FILE")
    for name, value in variables.items():
        print(f"export {name}='{value}'")


def _start(state: Path, want_hosts: bool, prepare: list[str], docker_repo: bool) -> None:
    if want_hosts:
        for name in prepare:
            images.rootfs(name)
        images.busybox()
        images.client_tools()
        if images.CURRENT in prepare:
            current.client_tools()
    if docker_repo:
        from . import apt_repo

        apt_repo.directory()
    command = [sys.executable, "-m", "lab", "serve", str(state)]
    command += ["--no-hosts"] * (not want_hosts) + ["--docker-repo"] * docker_repo + (["--images", *prepare] if prepare else [])
    with open(state / "lab.log", "ab") as log:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd=Path(__file__).parent.parent
        )
    deadline = time.monotonic() + PATIENCE
    while not (state / "ready").exists():
        if child.poll() is not None or time.monotonic() > deadline:
            cache.say(f"the lab did not start:\n{(state / 'lab.log').read_text()[-3000:]}")
            down(state)
            raise SystemExit(1)
        time.sleep(0.05)


def server(state: Path) -> int:
    """The process id of this state's server, 0 where there is none."""
    try:
        pid = int(json.loads((state / "lab.json").read_text())["pid"])
        words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except (FileNotFoundError, ProcessLookupError, KeyError, json.JSONDecodeError):
        return 0
    return pid if str(state) in words else 0


def alive(state: Path) -> bool:
    """Whether this state's server runs and answers."""
    return (state / "ready").exists() and server(state) != 0


def down(state: Path) -> None:
    """Removes a lab by what it wrote down, whether its server runs or was killed."""
    if state.exists() and any(state.iterdir()) and not (state / "lab.json").exists() and not (state / "lab.log").exists():
        raise SystemExit(f"{state} is no lab")
    path = state / "lab.json"
    facts = json.loads(path.read_text()) if path.exists() else {}
    if pid := server(state):
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + 60
        while server(state) and time.monotonic() < deadline:
            time.sleep(0.05)
        if server(state):
            os.kill(pid, signal.SIGKILL)
    services.remove(state)
    if "bridge" in facts:
        engine.remove(state, Path(facts.get("data", state / "engine")))
        net.remove(facts["chain"], facts["bridge"])
    shutil.rmtree(state, ignore_errors=True)
