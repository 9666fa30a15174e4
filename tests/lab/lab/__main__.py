"""`python -m lab serve STATE`: the server process; `up` and `down` beside this package call it."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

from . import amis, cache, engine, images, net


def serve(state: Path, want_hosts: bool, prepare: list[str]) -> None:
    """Runs engine, EC2 endpoint and control API until SIGTERM."""
    amis_path = state / "amis.json"
    amis.write(amis_path)
    os.environ.update(
        MOTO_AMIS_PATH=str(amis_path), MOTO_EC2_ENABLE_INSTANCE_TYPE_VALIDATION="true", MOTO_ALLOW_NONEXISTENT_REGION="false"
    )
    # moto reads its settings when it is imported.
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from moto.ssm.models import ssm_backends
    from werkzeug.serving import WSGIRequestHandler, make_server

    from .control import Control
    from .ec2 import Cloud
    from .hosts import Hosts
    from .strict import ACCOUNT, REGIONS, Strict

    docker = network = hosts = None
    if want_hosts:
        docker = engine.Engine(state)
        docker.start()
        network = net.Network(state.name[-8:], docker.bridge)
        save(state, bridge=docker.bridge, chain=network.chain, prefix=network.prefix)
        hosts = Hosts(docker, network, state)
        for image in prepare:
            docker.image(image)

    class Handler(WSGIRequestHandler):
        """Quiet, without HTTP/1.0's closed connections, and able to hang up."""

        protocol_version = "HTTP/1.1"

        def log(self, *_: object) -> None:
            pass

        def make_environ(self) -> dict[str, object]:
            environ = super().make_environ()

            def drop() -> None:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                self.connection.close()

            environ["lab.drop"] = drop
            return environ

    cloud = Cloud(hosts)
    strict = Strict(DomainDispatcherApplication(create_backend_app), cloud)
    server = make_server("127.0.0.1", 0, Control(strict, cloud, hosts), threaded=True, request_handler=Handler)
    for region in REGIONS:
        ssm_backends[ACCOUNT][region].put_parameter(
            name=amis.PARAMETER, description="", value=amis.by_name(amis_path)["rmachine-lab-debian-13-docker"],
            parameter_type="String", allowed_pattern="", keyid="", overwrite=True, tags=[], data_type="text", tier="Standard", policies=None,
        )  # fmt: skip
    save(state, port=server.port, pid=os.getpid())
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    (state / "ready").touch()
    server.serve_forever()
    if docker and network:
        docker.stop()
        network.remove()


def save(state: Path, **facts: object) -> None:
    """Adds facts to STATE/lab.json, which `down` works from."""
    path = state / "lab.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(known | facts))


def up(state: Path, want_hosts: bool, prepare: list[str]) -> None:
    """Starts a lab in the background and prints its environment; one that runs is only printed."""
    state.mkdir(parents=True, exist_ok=True)
    if not alive(state):
        if want_hosts:
            for name in prepare:
                images.rootfs(name)
            images.busybox()
            images.client_tools()
        (state / "ready").unlink(missing_ok=True)
        log = open(state / "lab.log", "ab")  # noqa: SIM115
        command = [sys.executable, "-m", "lab", "serve", str(state), *(["--no-hosts"] if not want_hosts else []), *(["--images", *prepare] if prepare else [])]
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd=Path(__file__).parent.parent)
        deadline = time.monotonic() + 180
        while not (state / "ready").exists():
            if child.poll() is not None or time.monotonic() > deadline:
                cache.say(f"the lab did not start:\n{(state / 'lab.log').read_text()[-3000:]}")
                down(state)
                raise SystemExit(1)
            time.sleep(0.05)
    from .strict import ACCESS_KEY, SECRET_KEY

    url = f"http://127.0.0.1:{json.loads((state / 'lab.json').read_text())['port']}"
    variables = {
        "AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true", "RMACHINE_IP_ECHO_URL": f"{url}/_lab/ip",
        "RMACHINE_LAB": f"{url}/_lab", "RMACHINE_LAB_STATE": str(state), "RMACHINE_LAB_PYTHON": sys.executable,
    }  # fmt: skip
    if want_hosts:
        variables |= {"RMACHINE_LAB_BUSYBOX": str(images.busybox()), "RMACHINE_LAB_TOOLS": str(images.client_tools())}
    print("unset AWS_PROFILE AWS_SESSION_TOKEN AWS_REGION AWS_ENDPOINT AWS_CONFIG_FILE AWS_SHARED_CREDENTIALS_FILE")
    for name, value in variables.items():
        print(f"export {name}='{value}'")


def alive(state: Path) -> bool:
    """Whether this state's server runs."""
    try:
        facts = json.loads((state / "lab.json").read_text())
        return (state / "ready").exists() and str(state) in Path(f"/proc/{facts['pid']}/cmdline").read_text()
    except (FileNotFoundError, KeyError, json.JSONDecodeError):
        return False


def down(state: Path) -> None:
    """Removes a lab by what it wrote down, whether its server runs or was killed."""
    path = state / "lab.json"
    facts = json.loads(path.read_text()) if path.exists() else {}
    if pid := facts.get("pid"):
        try:
            if str(state) in Path(f"/proc/{pid}/cmdline").read_text():
                os.kill(pid, signal.SIGTERM)
                for _ in range(600):
                    if not Path(f"/proc/{pid}").exists():
                        break
                    time.sleep(0.1)
        except (FileNotFoundError, ProcessLookupError):
            pass
    if bridge := facts.get("bridge"):
        engine.remove(state, state / "docker.sock", images.client_tools() / "usr/bin/docker", bridge)
        net.remove(facts["chain"], facts["prefix"], bridge)
    shutil.rmtree(state, ignore_errors=True)


def main() -> None:
    """Parses the command line."""
    parser = argparse.ArgumentParser(prog="lab")
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("serve", "up", "down", "build"):
        command = commands.add_parser(name)
        command.add_argument("state", type=Path, nargs="?", default=Path("/tmp/rmachine-lab"))
        command.add_argument("--no-hosts", action="store_true", help="the EC2 API only, nothing boots")
        command.add_argument("--images", nargs="*", default=[], metavar="IMAGE", help="host images to make ready now")
    arguments = parser.parse_args()
    state = arguments.state.resolve()
    match arguments.command:
        case "serve":
            serve(state, not arguments.no_hosts, arguments.images)
        case "up":
            up(state, not arguments.no_hosts, arguments.images)
        case "down":
            down(state)
        case "build":
            for name in images.IMAGES:
                images.rootfs(name)


if __name__ == "__main__":
    main()
