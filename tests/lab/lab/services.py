"""What hosts reach on this machine, at the bridge's gateway address: a registry, static files.

All of it ends with the lab's server; `down` ends what a killed server left, by STATE/services.json.
"""

from __future__ import annotations

import functools
import http.server
import json
import os
import socket
import subprocess
import threading
import time
from pathlib import Path

from . import engine, images


class Services:
    """The services of one lab."""

    def __init__(self, state: Path, gateway: str) -> None:
        self.state = state
        self.gateway = gateway
        self.registries: list[subprocess.Popen[bytes]] = []

    def registry(self) -> str:
        """Starts an empty image registry (plain HTTP) and answers its HOST:PORT."""
        with socket.socket() as probe:
            probe.bind((self.gateway, 0))
            port = probe.getsockname()[1]
        address = f"{self.gateway}:{port}"
        directory = self.state / f"registry-{port}"
        directory.mkdir()
        config = directory / "config.yml"
        # JSON is YAML.
        config.write_text(json.dumps({
            "version": 0.1, "log": {"level": "error"}, "http": {"addr": address},
            "storage": {"filesystem": {"rootdirectory": str(directory / "data")}, "delete": {"enabled": True}},
        }))  # fmt: skip
        with open(directory / "log", "ab") as log:
            process = subprocess.Popen(
                [images.client_tools() / "usr/bin/docker-registry", "serve", str(config)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=directory,
            )  # fmt: skip
        self.registries.append(process)
        (self.state / "services.json").write_text(json.dumps([p.pid for p in self.registries]))
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise RuntimeError(f"docker-registry ended: {(directory / 'log').read_text()[-1000:]}")
            try:
                socket.create_connection((self.gateway, port), timeout=1).close()
                return address
            except OSError:
                time.sleep(0.05)
        raise RuntimeError("docker-registry did not answer")

    def files(self, directory: Path) -> str:
        """Serves a directory at a URL that hosts can reach."""

        class Handler(http.server.SimpleHTTPRequestHandler):
            """Quiet."""

            def log_message(self, *_: object) -> None:
                pass

        handler = functools.partial(Handler, directory=os.fspath(directory))
        server = http.server.ThreadingHTTPServer((self.gateway, 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://{self.gateway}:{server.server_port}"

    def stop(self) -> None:
        """Ends the registries."""
        for process in self.registries:
            process.terminate()
            process.wait()


def remove(state: Path) -> None:
    """Ends what a killed server left."""
    path = state / "services.json"
    for pid in json.loads(path.read_text()) if path.exists() else []:
        engine.end(pid, str(state), patience=3)
