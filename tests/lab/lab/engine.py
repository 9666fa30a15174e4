"""A private Docker Engine: its own data, socket and process id, so that it can be removed whole.

It has no network of its own (net.py does that) and touches no packet rule: a second dockerd on one
machine would clear the first one's chains.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from . import cache, handover, images

SLOTS = 8  # engines that keep their images between labs; a further lab imports its own
# What `tests/prepare` imports, by slot: one for the labs of a run, and one for the lab that stands beside.
PREPARED = {0: images.IMAGES, 1: ["debian13"]}


class Engine:
    """One dockerd; all its traces are below `state` but for the images, which the cache keeps."""

    def __init__(self, state: Path, data: Path | None = None) -> None:
        self.state = state
        self.socket = state / "docker.sock"
        self.docker = images.client_tools() / "usr/bin/docker"
        self.tags: dict[str, str] = {}
        self.lock_fds: list[int] = []
        self.serves = False  # hosts are asked for, by tests that have no time for an import
        self.data = data or self._data()

    def _data(self) -> Path:
        """A directory for images that no running engine has: a cached one, or one of our own."""
        for slot in range(SLOTS):
            if data := self._take(slot):
                return data
        return self.state / "engine"

    def _take(self, slot: int) -> Path | None:
        """The data of a slot, if no running engine has it."""
        lock = open(cache.root() / f".lab-engine{slot or ''}.lock", "w")  # noqa: SIM115 - held while dockerd lives
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            return None
        # dockerd inherits the lock: where we are killed, it still has the directory.
        self.lock_fds = [lock.fileno()]
        self.lock_file = lock
        return slot_data(slot)

    def start(self) -> None:
        """Starts dockerd, and clears what a killed lab left in it."""
        self.data.mkdir(parents=True, exist_ok=True)
        (self.state / "daemon.json").write_text("{}")
        command = [
            "dockerd", "--config-file", str(self.state / "daemon.json"), "--data-root", str(self.data),
            "--exec-root", str(self.state / "exec"), "-H", f"unix://{self.socket}",
            "--pidfile", str(self.state / "docker.pid"), "--bridge", "none", "--iptables=false", "--ip6tables=false",
            "--cgroup-parent", f"/{cgroup(self.state)}", "--ip-masq=false", "--userland-proxy=false", "--storage-driver", "overlay2", "--log-level", "warn",
        ]  # fmt: skip
        with open(self.state / "dockerd.log", "ab") as log:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, pass_fds=self.lock_fds
            )
        for _ in range(600):
            if self.socket.exists() and self.call("version", check=False).returncode == 0:
                break
            if process.poll() is not None:
                raise RuntimeError(f"dockerd ended: {(self.state / 'dockerd.log').read_text()[-2000:]}")
            time.sleep(0.1)
        else:
            raise RuntimeError(f"dockerd did not answer: {(self.state / 'dockerd.log').read_text()[-2000:]}")
        self.clear()

    def clear(self) -> None:
        """Removes all containers with their volumes."""
        if stale := self.call("ps", "-a", "--format", "{{.Names}}", check=False).stdout.split():
            for name in stale:
                handover.keep(self, name)
            self.call("rm", "-fv", *stale, check=False)

    def call(self, *arguments: str, check: bool = True, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Runs the docker client against this engine."""
        done = subprocess.run(
            [str(self.docker), "-H", f"unix://{self.socket}", *arguments],
            capture_output=True, text=True, errors="replace", input=stdin or "",
        )  # fmt: skip
        if check and done.returncode != 0:
            raise RuntimeError(f"docker {' '.join(arguments)}: {done.stderr.strip()}")
        return done

    def image(self, name: str) -> str:
        """The image of host `name`, imported when the engine does not have it."""
        if name not in self.tags:
            tag = f"lab/{name}:{images.key(name)}"
            if self.call("image", "inspect", tag, check=False).returncode != 0:
                if self.serves and os.environ.get(cache.BUILD) == "no":
                    raise cache.Missing(f"the lab has not imported {name}: name it in `up --images`")
                cache.say(f"importing the host image {name}")
                self.call("import", str(images.rootfs(name)), tag)
            self.tags[name] = tag
        return self.tags[name]

    def stop(self) -> None:
        """Removes all containers and ends dockerd."""
        remove(self.state, self.data)


def slot_data(slot: int) -> Path:
    """Where the engine of a slot keeps its images."""
    return cache.root() / f"lab-engine-{images.image_key()}{f'-{slot}' if slot else ''}"


def prepare(slot: int) -> None:
    """Imports a slot's images, unless they are there; a lab that runs on it has imported what it wants by itself."""
    wanted = {name: images.key(name) for name in PREPARED[slot]}
    stamp = slot_data(slot) / "lab-images.json"

    def made() -> bool:
        return stamp.exists() and json.loads(stamp.read_text()) == wanted

    if made():
        return
    with cache.lock(f"prepare-engine{slot}"), tempfile.TemporaryDirectory(prefix="rmlab-") as directory:
        # Another one may have made it meanwhile.
        if made():
            return
        engine = Engine(Path(directory), slot_data(slot))
        if not engine._take(slot):
            cache.say(f"engine-{slot} is in use by a lab")
            return
        engine.start()
        try:
            for name in wanted:
                engine.image(name)
        finally:
            engine.stop()
        stamp.write_text(json.dumps(wanted))


def cgroup(state: Path) -> str:
    """The control group above this lab's hosts."""
    return f"rmlab-{cache.key(str(state))[:8]}"


def alive(pid: int, word: str) -> bool:
    """Whether process `pid` runs and has `word` in its command line."""
    try:
        return word in Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except (FileNotFoundError, ProcessLookupError):
        return False


def end(pid: int, word: str, patience: float = 20) -> None:
    """Ends a process of ours, kindly first."""
    for kind, seconds in ((signal.SIGTERM, patience), (signal.SIGKILL, 5.0)):
        deadline = time.monotonic() + seconds
        while alive(pid, word) and time.monotonic() < deadline:
            try:
                os.kill(pid, kind)
            except ProcessLookupError:
                return
            wait = time.monotonic() + 1
            while alive(pid, word) and time.monotonic() < wait:
                time.sleep(0.05)


def remove(state: Path, data: Path) -> None:
    """Removes an engine by what it left in `state`, dead or alive; missing parts are fine."""
    pidfile = state / "docker.pid"
    pid = int(pidfile.read_text()) if pidfile.exists() else 0
    engine = Engine(state, data)
    if pid and alive(pid, str(state)):
        engine.clear()
    elif (state / "exec").exists():
        # dockerd was killed too: its shims and the hosts live on. A new one finds and removes them.
        _kill_orphans(state)
        # Not to be taken for running ones where the dead are not yet buried.
        for stale in (pidfile, *(state / "exec/containerd").glob("containerd*.[ps][io][dc]*")):
            stale.unlink(missing_ok=True)
        engine.start()
        pid = int(pidfile.read_text())
    if pid:
        end(pid, str(state))
    _kill_orphans(state)
    roots = (f"{state}/", f"{data}/")
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for mount in sorted((m for m in mounts if m.startswith(roots)), reverse=True):
        subprocess.run(["umount", "-l", mount], capture_output=True)
    for group in Path("/sys/fs/cgroup").glob(f"**/{cgroup(state)}"):
        for directory in sorted([group, *(p for p in group.glob("**/") if p != group)], key=lambda p: -len(p.parts)):
            with contextlib.suppress(OSError):
                directory.rmdir()


def _kill_orphans(state: Path) -> None:
    """Kills what runs by this engine's exec-root: containerd, the shims, and the hosts below the shims."""
    mine = [int(p.name) for p in Path("/proc").glob("[0-9]*") if alive(int(p.name), f"{state}/exec")]
    for pid in mine:
        for path in Path(f"/proc/{pid}/task").glob("*/children"):
            for child in path.read_text().split():
                _kill(int(child))
        _kill(pid)
    for _ in range(100):
        if not any(alive(pid, f"{state}/exec") for pid in mine):
            break
        time.sleep(0.05)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
