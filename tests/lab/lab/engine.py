"""A private Docker Engine: its own data, socket, bridge and process id, so that it can be removed whole."""

from __future__ import annotations

import fcntl
import ipaddress
import json
import os
import signal
import subprocess
import time
from pathlib import Path

from . import cache, images


class Engine:
    """One dockerd; all its traces are below `state` but for the images, which the cache keeps."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.socket = state / "docker.sock"
        self.docker = images.client_tools() / "usr/bin/docker"
        self.pidfile = state / "docker.pid"
        self.lock_file = None

    def start(self) -> None:
        """Starts dockerd with a bridge and a subnet that nothing else has."""
        shared = cache.root() / f"lab-engine-{images.image_key()}"
        self.lock_file = open(cache.root() / ".lab-engine.lock", "w")  # noqa: SIM115 - held while we live
        try:
            fcntl.flock(self.lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            data = shared
        except BlockingIOError:
            data = self.state / "engine"  # another lab has the cached one
        data.mkdir(parents=True, exist_ok=True)
        self.bridge, self.subnet = self._free_network()
        gateway = next(self.subnet.hosts())
        cache.run("ip", "link", "add", self.bridge, "type", "bridge")
        cache.run("ip", "addr", "add", f"{gateway}/{self.subnet.prefixlen}", "dev", self.bridge)
        cache.run("ip", "link", "set", self.bridge, "up")
        Path(f"/proc/sys/net/ipv4/conf/{self.bridge}/route_localnet").write_text("1")
        command = [
            "dockerd", "--config-file", str(self.state / "daemon.json"), "--data-root", str(data),
            "--exec-root", str(self.state / "exec"), "-H", f"unix://{self.socket}",
            "--pidfile", str(self.pidfile), "--bridge", self.bridge, "--mtu", str(_mtu()),
            "--userland-proxy=false", "--storage-driver", "overlay2", "--log-level", "warn",
        ]  # fmt: skip
        (self.state / "daemon.json").write_text("{}")
        log = open(self.state / "dockerd.log", "ab")  # noqa: SIM115
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        for _ in range(300):
            if self.socket.exists() and self.call("version", check=False).returncode == 0:
                break
            if self.process.poll() is not None:
                raise RuntimeError(f"dockerd ended: see {self.state}/dockerd.log")
            time.sleep(0.1)
        else:
            raise RuntimeError(f"dockerd did not answer: see {self.state}/dockerd.log")
        stale = self.call("ps", "-aq").stdout.split()
        if stale:  # a lab that used these images before us was killed
            self.call("rm", "-fv", *stale)

    def _free_network(self) -> tuple[str, ipaddress.IPv4Network]:
        taken = {a["local"].rsplit(".", 2)[0] for link in json.loads(cache.run("ip", "-j", "-4", "addr").stdout)
                 for a in link["addr_info"]}  # fmt: skip
        for number in range(100, 250):
            bridge = f"rmlab{number}"
            if f"10.{number}" not in taken and not Path(f"/sys/class/net/{bridge}").exists():
                return bridge, ipaddress.ip_network(f"10.{number}.0.0/24")
        raise RuntimeError("no free network for the lab's bridge")

    def call(self, *arguments: str, check: bool = True, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Runs the docker client against this engine."""
        done = subprocess.run(
            [str(self.docker), "-H", f"unix://{self.socket}", *arguments],
            capture_output=True, text=True, input=stdin or "",
        )  # fmt: skip
        if check and done.returncode != 0:
            raise RuntimeError(f"docker {' '.join(arguments)}: {done.stderr.strip()}")
        return done

    def image(self, name: str) -> str:
        """The image of host `name`, imported when the engine does not have it."""
        tag = f"lab/{name}:{images.image_key()}"
        if self.call("image", "inspect", tag, check=False).returncode != 0:
            cache.say(f"importing the host image {name}")
            self.call("import", str(images.rootfs(name)), tag)
        return tag

    def stop(self) -> None:
        """Removes all containers and ends dockerd and the bridge."""
        remove(self.state, self.socket, self.docker, self.bridge)


def remove(state: Path, socket: Path, docker: Path, bridge: str) -> None:
    """Removes an engine by what it left in `state`; missing parts are fine."""
    call = [str(docker), "-H", f"unix://{socket}"]
    if socket.exists():
        listed = subprocess.run([*call, "ps", "-aq"], capture_output=True, text=True)
        if ids := listed.stdout.split():
            subprocess.run([*call, "rm", "-fv", *ids], capture_output=True)
    pidfile = state / "docker.pid"
    if pidfile.exists():
        pid = int(pidfile.read_text())
        try:
            if "dockerd" in Path(f"/proc/{pid}/cmdline").read_text():
                os.kill(pid, signal.SIGTERM)
                for _ in range(200):
                    if not Path(f"/proc/{pid}").exists() or "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text():
                        break
                    time.sleep(0.1)
        except (FileNotFoundError, ProcessLookupError):
            pass
    subprocess.run(["ip", "link", "del", bridge], capture_output=True)
    for mount in sorted(
        (line.split()[1] for line in Path("/proc/mounts").read_text().splitlines() if line.split()[1].startswith(f"{state}/")),
        reverse=True,
    ):
        subprocess.run(["umount", "-l", mount], capture_output=True)


def _mtu() -> int:
    """The smallest MTU on the way out: what is larger is lost where ICMP is filtered."""
    routes = json.loads(cache.run("ip", "-j", "route", "show", "default").stdout)
    names = [route["dev"] for route in routes]
    return min([int(Path(f"/sys/class/net/{name}/mtu").read_text()) for name in names] or [1500])
