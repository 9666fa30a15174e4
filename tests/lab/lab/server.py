"""The lab's server process: engine, hosts, EC2 endpoint and control API, until SIGTERM."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
from pathlib import Path

from . import amis, engine, net


def serve(state: Path, want_hosts: bool, prepare: list[str], docker_repo: bool = False) -> None:
    """Runs engine, EC2 endpoint and control API until SIGTERM."""
    save(state, pid=os.getpid())
    amis_path = state / "amis.json"
    amis.write(amis_path)
    os.environ.update(
        MOTO_AMIS_PATH=str(amis_path), MOTO_EC2_ENABLE_INSTANCE_TYPE_VALIDATION="true", MOTO_ALLOW_NONEXISTENT_REGION="false"
    )
    # moto reads its settings when it is imported.
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    from . import account, patches
    from .control import Control
    from .ec2 import Cloud
    from .faults import Faults
    from .hosts import Hosts
    from .services import Services
    from .strict import Strict

    docker = network = hosts = services = None
    if want_hosts:
        docker = engine.Engine(state)
        save(state, data=str(docker.data), images=prepare)
        network = net.Network(state)
        save(state, bridge=network.bridge, chain=network.chain, prefix=network.prefix, gateway=network.gateway)
        docker.start()
        hosts = Hosts(docker, network, state)
        services = Services(state, network.gateway)
        for image in prepare:
            docker.image(image)
        docker.serves = True

    class Handler(WSGIRequestHandler):
        """Quiet, without HTTP/1.0's closed connections, and able to hang up."""

        protocol_version = "HTTP/1.1"

        def log(self, *_: object) -> None:
            pass

        def make_environ(self) -> dict[str, object]:
            environ = super().make_environ()

            def drop() -> None:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                os.close(self.connection.detach())
                raise ConnectionResetError  # which werkzeug takes for the client's doing

            environ["lab.drop"] = drop
            return environ

    faults = Faults()
    cloud = Cloud(hosts, faults)
    patches.install(cloud)
    strict = Strict(DomainDispatcherApplication(create_backend_app), cloud, faults)
    server = make_server("127.0.0.1", 0, Control(strict, cloud, hosts, services), threaded=True, request_handler=Handler)
    account.furnish(amis_path)
    if docker_repo and services:
        from . import apt_repo

        url = services.files(apt_repo.directory())
        save(state, docker_repo=url, docker_fingerprint=apt_repo.fingerprint())
    save(state, port=server.port)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    (state / "ready").touch()
    server.serve_forever()
    if services:
        services.stop()
    if docker and network:
        docker.stop()
        network.remove()


def save(state: Path, **facts: object) -> None:
    """Adds facts to STATE/lab.json, which `down` works from."""
    path = state / "lab.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(known | facts))
