"""Hosts: systemd containers that boot like a cloud instance, with cloud-init and sshd.

The flags follow from what a container lacks where `--privileged` is refused: every capability of
docker 20.10's list but SYS_RESOURCE, no seccomp or apparmor profile, no masked paths.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import shutil
import threading
import time
from pathlib import Path

from .engine import Engine
from .net import Network, Rule

CAPABILITIES = (
    "AUDIT_CONTROL AUDIT_READ AUDIT_WRITE BLOCK_SUSPEND CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID "
    "IPC_LOCK IPC_OWNER KILL LEASE LINUX_IMMUTABLE MAC_ADMIN MAC_OVERRIDE MKNOD NET_ADMIN NET_BIND_SERVICE "
    "NET_BROADCAST NET_RAW SETFCAP SETGID SETPCAP SETUID SYSLOG SYS_ADMIN SYS_BOOT SYS_CHROOT SYS_MODULE "
    "SYS_NICE SYS_PACCT SYS_PTRACE SYS_RAWIO SYS_TIME SYS_TTY_CONFIG WAKE_ALARM"
).split()

ANYWHERE = [Rule("tcp", 1, 65535, "0.0.0.0/0")]


@dataclasses.dataclass
class Host:
    """One host; `address` is where it is reached from this machine, None while it is stopped."""

    id: str
    container: str
    image: str
    address: str | None = None
    private: str | None = None
    rules: list[Rule] = dataclasses.field(default_factory=lambda: list(ANYWHERE))


class Hosts:
    """All hosts of a lab."""

    def __init__(self, engine: Engine, network: Network, state: Path) -> None:
        self.engine = engine
        self.network = network
        self.state = state
        self.hosts: dict[str, Host] = {}
        self.lock = threading.RLock()

    def launch(
        self,
        id: str,
        image: str,
        user: str,
        hostname: str,
        user_data: bytes | None = None,
        public_keys: list[str] | None = None,
        rules: list[Rule] | None = None,
        sudo: bool = True,
    ) -> Host:
        """Boots a new host with a NoCloud seed: the user-data byte for byte, keys as metadata."""
        seed = self.state / "seed" / id
        seed.mkdir(parents=True)
        (seed / "meta-data").write_text(
            json.dumps({"instance-id": id, "local-hostname": hostname, "public-keys": public_keys or []})
        )
        (seed / "user-data").write_bytes(user_data or b"")
        (seed / "vendor-data").write_text("")
        default_user: dict[str, object] = {"name": user, "lock_passwd": True, "shell": "/bin/bash"}
        if sudo:
            default_user["sudo"] = ["ALL=(ALL) NOPASSWD:ALL"]
        config = seed / "98-user.cfg"
        config.write_text(json.dumps({"system_info": {"default_user": default_user}, "disable_root": user != "root"}))
        command = [
            "create", "--name", id, "--hostname", hostname, "--cgroupns=host", "--network", "bridge",
            "--tmpfs", "/run:exec", "--tmpfs", "/run/lock", "-v", "/sys/fs/cgroup:/sys/fs/cgroup:rw",
            "-v", "/var/lib/docker", "-v", "/var/lib/containerd",
            "-v", f"{seed}:/var/lib/cloud/seed/nocloud:ro", "-v", f"{config}:/etc/cloud/cloud.cfg.d/98-user.cfg:ro",
            "--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined",
            "--security-opt", "systempaths=unconfined", "--device-cgroup-rule", "a *:* rwm",
            *[word for capability in CAPABILITIES for word in ("--cap-add", capability)],
            "--stop-signal", "SIGRTMIN+3", "-e", "container=docker", "--label", "rmachine.lab=host",
        ]  # fmt: skip
        arguments = []
        if not Path("/sys/fs/cgroup/cgroup.controllers").exists():
            # systemd of Debian 13 refuses cgroup v1 unless it is told twice.
            for name in ("SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE", "SYSTEMD_PROC_CMDLINE"):
                value = "1" if name.endswith("FORCE") else "SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1"
                command += ["-e", f"{name}={value}"]
            arguments = ["systemd.unified_cgroup_hierarchy=0"]
        container = self.engine.call(*command, self.engine.image(image), "/lib/systemd/systemd", *arguments).stdout.strip()
        host = Host(id, container, image, rules=list(ANYWHERE) if rules is None else rules)
        with self.lock:
            self.hosts[id] = host
        self.boot(host)
        return host

    def boot(self, host: Host) -> None:
        """Starts a host, at a new address."""
        self.engine.call("start", host.id)
        inspected = json.loads(self.engine.call("inspect", host.id).stdout)[0]
        with self.lock:
            host.private = inspected["NetworkSettings"]["IPAddress"]
            host.address = host.address or self.network.new_address()
            self.publish()

    def publish(self) -> None:
        """Brings the packet rules in line with the hosts and their rules."""
        with self.lock:
            self.network.publish(
                [(h.address, h.private, h.rules) for h in self.hosts.values() if h.address and h.private]
            )

    def reserve_address(self, host: Host) -> str:
        """Gives a host that is about to boot the address that it will have."""
        with self.lock:
            host.address = self.network.new_address()
            return host.address

    def stop(self, id: str, force: bool = False) -> None:
        """Shuts a host down; its disk stays, its address goes."""
        host = self.hosts[id]
        self.engine.call("kill" if force else "stop", *([] if force else ["-t", "15"]), host.id, check=False)
        with self.lock:
            host.address = host.private = None
            self.publish()

    def reboot(self, id: str) -> None:
        """Restarts a host; it keeps its address."""
        self.engine.call("restart", "-t", "15", id)
        with self.lock:
            host = self.hosts[id]
            host.private = json.loads(self.engine.call("inspect", id).stdout)[0]["NetworkSettings"]["IPAddress"]
            self.publish()

    def pause(self, id: str, paused: bool) -> None:
        """Unplugs a host: it answers nothing, and knows nothing of it."""
        self.engine.call("pause" if paused else "unpause", id)

    def remove(self, id: str) -> None:
        """Deletes a host with its disks."""
        with self.lock:
            host = self.hosts.pop(id, None)
            self.publish()
        if host:
            self.engine.call("rm", "-fv", host.id, check=False)
            shutil.rmtree(self.state / "seed" / id, ignore_errors=True)

    def execute(self, id: str, command: str) -> dict[str, object]:
        """Runs a shell command inside, for tests that look behind the scenes."""
        done = self.engine.call("exec", id, "sh", "-c", command, check=False)
        return {"code": done.returncode, "stdout": done.stdout, "stderr": done.stderr}

    def host_keys(self, id: str, patience: float = 30) -> list[str]:
        """The public host keys that sshd has made or been given."""
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            found = self.execute(id, "cat /etc/ssh/ssh_host_*_key.pub 2>/dev/null | base64 -w0")
            keys = base64.b64decode(str(found["stdout"])).decode().splitlines()
            if any(key.startswith("ssh-ed25519 ") for key in keys):
                return keys
            time.sleep(0.2)
        raise RuntimeError(f"host {id} has no host keys")
