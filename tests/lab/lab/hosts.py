"""Hosts: systemd containers that boot like a cloud instance, with cloud-init and sshd.

The flags follow from what a container lacks where `--privileged` is refused: every capability of
docker 20.10's list but SYS_RESOURCE, no seccomp or apparmor profile, no masked paths.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

from . import handover
from .agent import AGENT
from .cache import say
from .engine import Engine
from .net import Network, Plug, Rule

CAPABILITIES = (
    "AUDIT_CONTROL AUDIT_READ AUDIT_WRITE BLOCK_SUSPEND CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID "
    "IPC_LOCK IPC_OWNER KILL LEASE LINUX_IMMUTABLE MAC_ADMIN MAC_OVERRIDE MKNOD NET_ADMIN NET_BIND_SERVICE "
    "NET_BROADCAST NET_RAW SETFCAP SETGID SETPCAP SETUID SYSLOG SYS_ADMIN SYS_BOOT SYS_CHROOT SYS_MODULE "
    "SYS_NICE SYS_PACCT SYS_PTRACE SYS_RAWIO SYS_TIME SYS_TTY_CONFIG WAKE_ALARM"
).split()

ANYWHERE = [Rule("tcp", 1, 65535, "0.0.0.0/0"), Rule("udp", 1, 65535, "0.0.0.0/0")]

# What a kernel would do: every boot has an id of its own (a container shows this machine's), and the
# network card is there when systemd starts.
BOOT = """\
cat /proc/sys/kernel/random/uuid >/run/lab-boot-id && chmod 0444 /run/lab-boot-id &&
    mount --bind /run/lab-boot-id /proc/sys/kernel/random/boot_id || exit 1
until grep -q '^eth0' /proc/net/route; do sleep 0.02; done
exec /lib/systemd/systemd "$@"
"""
REBOOT_CODE = 129  # reboot(2) in a pid namespace ends its init by SIGHUP, power-off by SIGINT


@dataclasses.dataclass
class Host:
    """One host; `address` is where it is reached from this machine, None while it is stopped."""

    id: str
    image: str
    private: str
    public: bool = True
    address: str | None = None
    rules: list[Rule] = dataclasses.field(default_factory=lambda: list(ANYWHERE))
    ours: bool = False  # the lab is stopping or restarting it: not to be taken for a shutdown from within


class Hosts:
    """All hosts of a lab."""

    def __init__(self, engine: Engine, network: Network, state: Path) -> None:
        self.engine = engine
        self.network = network
        self.state = state
        self.hosts: dict[str, Host] = {}
        self.lock = threading.RLock()
        self.ended: Callable[[str], None] = lambda id: None
        self.events: subprocess.Popen[str] | None = None
        threading.Thread(target=self._watch, daemon=True).start()

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
        public: bool = True,
        connect: bool = False,
    ) -> Host:
        """Boots a new host with a NoCloud seed: the user-data byte for byte, keys as metadata."""
        config = self._seed(id, user, hostname, user_data, public_keys or [], sudo)
        host = Host(id, image, self.network.private_address(), public, rules=list(ANYWHERE) if rules is None else rules)
        seed = config.parent
        command = [
            "create", "--name", id, "--hostname", hostname, "--add-host", f"{hostname}:{host.private}",
            "--cgroupns=host", "--network", "none", "--tty",
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
        boot = (AGENT if connect else "") + BOOT
        self.engine.call(*command, self.engine.image(image), "/bin/sh", "-c", boot, "systemd", *arguments)
        with self.lock:
            self.hosts[id] = host
        self.boot(host)
        return host

    def _seed(self, id: str, user: str, hostname: str, user_data: bytes | None, keys: list[str], sudo: bool) -> Path:
        seed = self.state / "seed" / id
        seed.mkdir(parents=True)
        (seed / "meta-data").write_text(json.dumps({"instance-id": id, "local-hostname": hostname, "public-keys": keys}))
        # As secret as on EC2: the host's root reads it, and whoever may ask the account.
        (seed / "user-data").touch(mode=0o600)
        (seed / "user-data").write_bytes(user_data or b"")
        (seed / "vendor-data").write_text("")
        # `sudo: false` takes back what Debian's own configuration grants.
        rights = ["ALL=(ALL) NOPASSWD:ALL"] if sudo else False
        default_user = {"name": user, "lock_passwd": True, "shell": "/bin/bash", "sudo": rights}
        config = seed / "98-user.cfg"
        config.write_text(json.dumps({"system_info": {"default_user": default_user}, "disable_root": user != "root"}))
        return config

    def boot(self, host: Host) -> None:
        """Starts a host, at a new public address where it has one."""
        self._power_on(host)
        with self.lock:
            if host.public:
                host.address = host.address or self.network.public_address()
            self.publish()

    def _power_on(self, host: Host) -> None:
        self.engine.call("start", host.id)
        host.ours = False
        pid = self.engine.call("inspect", "-f", "{{.State.Pid}}", host.id).stdout.strip()
        self.network.plug(int(pid), host.private)

    def publish(self) -> None:
        """Brings the packet rules in line with the hosts and their rules."""
        with self.lock:
            self.network.publish([Plug(h.address, h.private, tuple(h.rules)) for h in self.hosts.values()])

    def stop(self, id: str, force: bool = False) -> None:
        """Shuts a host down; its disk stays, its public address goes."""
        host = self.hosts[id]
        host.ours = True
        self._power_off(id, force)
        with self.lock:
            host.address = None
            self.publish()

    def _power_off(self, id: str, force: bool = False) -> None:
        self.engine.call("kill" if force else "stop", *([] if force else ["-t", "15"]), id, check=False)
        self.engine.call("wait", id, check=False)

    def reboot(self, id: str) -> None:
        """Restarts a host; it keeps its addresses."""
        host = self.hosts[id]
        host.ours = True
        self._power_off(id)
        self._power_on(host)

    def pause(self, id: str, paused: bool) -> None:
        """Unplugs a host: it answers nothing, and knows nothing of it."""
        self.engine.call("pause" if paused else "unpause", id)

    def remove(self, id: str) -> None:
        """Deletes a host with its disks."""
        with self.lock:
            host = self.hosts.pop(id, None)
            self.publish()
        if host:
            host.ours = True
            handover.keep(self.engine, host.id)
            self.engine.call("rm", "-fv", host.id, check=False)
            self.network.release(host.private)
            shutil.rmtree(self.state / "seed" / id, ignore_errors=True)

    def execute(self, id: str, command: str, stdin: str = "") -> dict[str, object]:
        """Runs a shell command inside, for tests that look behind the scenes; what nobody may see in argv comes by `stdin`."""
        done = self.engine.call("exec", *["-i"] * bool(stdin), id, "sh", "-c", command, check=False, stdin=stdin)
        return {"code": done.returncode, "stdout": done.stdout, "stderr": done.stderr}

    def host_keys(self, id: str, patience: float = 60) -> list[str]:
        """The public host keys that sshd has made or been given."""
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            found = self.execute(id, "cat /etc/ssh/ssh_host_*_key.pub 2>/dev/null | base64 -w0")
            keys = base64.b64decode(str(found["stdout"])).decode().splitlines()
            if any(key.startswith("ssh-ed25519 ") for key in keys):
                return keys
            time.sleep(0.2)
        raise RuntimeError(f"host {id} has no host keys")

    # --- what a host does by itself ---------------------------------------------------------------------

    def _watch(self) -> None:
        """Follows hosts that reboot or shut down from within, as the virtual machine under an instance does."""
        words = ["events", "--filter", "event=die", "--format", "{{.Actor.Attributes.name}} {{.Actor.Attributes.exitCode}}"]
        self.events = subprocess.Popen(
            [str(self.engine.docker), "-H", f"unix://{self.engine.socket}", *words],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        assert self.events.stdout
        for line in self.events.stdout:
            id, code = line.split()
            host = self.hosts.get(id)
            if host and not host.ours:
                threading.Thread(target=self._died, args=(host, int(code)), daemon=True).start()

    def _died(self, host: Host, code: int) -> None:
        try:
            if code == REBOOT_CODE:
                self._power_on(host)
            else:
                with self.lock:
                    host.address = None
                    self.publish()
                self.ended(host.id)
        except RuntimeError as error:
            say(f"host {host.id}: {error}")
