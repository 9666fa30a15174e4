"""The images that rmachine makes itself at the first machine of a driver: made before tests that have a time-out."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from . import cache

ROOT = Path(__file__).parent.parent.parent.parent


def program() -> Path:
    """The rmachine of this checkout's build."""
    target = os.environ.get("CARGO_TARGET_DIR") or cache.root() / "target"
    path = Path(target) / "debug/rmachine"
    if not path.exists():
        raise RuntimeError(f"{path} is not built: cargo build --locked --workspace")
    return path


def inputs(*paths: str) -> str:
    """Names what an image is made of, from the sources that make it."""
    return cache.key(*(file.read_text() for path in paths for file in sorted((ROOT / path).glob("**/*")) if file.is_file()))


@contextlib.contextmanager
def store(**variables: str) -> Iterator[dict[str, str]]:
    """The environment of a store of its own."""
    with tempfile.TemporaryDirectory(prefix="rm-") as directory:
        mine = {k: v for k, v in os.environ.items() if not k.startswith(("MACHINE_", "DOCKER_"))}
        yield mine | {"MACHINE_STORAGE_PATH": f"{directory}/store", "DOCKER_CONFIG": f"{directory}/docker"} | variables


# --- docker -----------------------------------------------------------------------------------------------


def docker() -> None:
    """The machines' image on the engine that the tests use: RMACHINE_DOCKER_HOST, else their own, which is started for it."""
    if url := os.environ.get("RMACHINE_DOCKER_HOST"):
        _docker_on(url)
        return
    with open(cache.root() / ".local-engine.lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            cache.say("the tests' own engine is in use by a run, which has done this")
            return
        script, directory = ROOT / "tests/local-engine", cache.root() / "local-engine"
        said = cache.run(script, "up", directory, "--own", pass_fds=[file.fileno()]).stdout
        try:
            _docker_on(said.split("RMACHINE_DOCKER_HOST='")[1].split("'")[0])
        finally:
            cache.run(script, "stop", directory)


def _docker_on(url: str) -> None:
    def ask(*words: str) -> str:
        done = subprocess.run(["docker", "-H", url, *words], capture_output=True, text=True, stdin=subprocess.DEVNULL)
        return done.stdout.strip() if done.returncode == 0 else ""

    # The id of what was made from this; whoever removed it from the engine has it made again.
    stamp = cache.root() / f"lab-machine-docker-{inputs('templates/docker', 'providers/docker/src')}-{cache.key(url)}"
    if stamp.exists() and ask("image", "inspect", "-f", "{{.Id}}", stamp.read_text()):
        return
    with store(RMACHINE_DOCKER_HOST=url) as environment:
        try:
            cache.run(program(), "create", "--driver", "docker", "prepare", env=environment)
            owner = ask("ps", "-q", "-n", "1", "--filter", "label=rmachine:owner")
            image = ask("inspect", "-f", "{{.Image}}", owner)
        finally:
            _rm(environment)
    _write(stamp, image)


# --- qemu -------------------------------------------------------------------------------------------------


def qemu() -> None:
    """The disk image below the virtual machines' disks; the machine that asks for it is not waited for."""
    directory = cache.root() / "qemu"
    stamp = directory / f"prepared-{inputs('templates/qemu', 'providers/qemu/src')}"
    if stamp.exists() and (directory / "images" / stamp.read_text()).exists():
        return
    before = _images(directory)
    with store(RMACHINE_QEMU_DIRECTORY=str(directory)) as environment, tempfile.TemporaryFile("w+") as said:
        command: list[str | Path] = [program(), "create", "--driver", "qemu", "--qemu-accel", "tcg", "--qemu-cpus", "1", "prepare"]
        create = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        try:
            # The console is there when the machine boots: from an image that is whole.
            while create.poll() is None and not any(_boots(Path(environment["MACHINE_STORAGE_PATH"]))):
                time.sleep(0.5)
            if create.poll() not in (None, 0):
                said.seek(0)
                raise RuntimeError(said.read())
        finally:
            if create.poll() is None:
                create.send_signal(signal.SIGINT)
                create.wait()
            _rm(environment)
    made = _images(directory) - before or before
    _write(stamp, max(made, key=lambda name: (directory / "images" / name).stat().st_mtime))


def _rm(environment: dict[str, str]) -> None:
    """Removes the machine, unless its create has done so."""
    if Path(environment["MACHINE_STORAGE_PATH"], "machines/prepare").exists():
        cache.run(program(), "rm", "-y", "prepare", env=environment)


def _boots(store: Path) -> Iterator[Path]:
    """The record, once it says that the machine boots."""
    for record in store.glob("machines/prepare/config.json"):
        if '"booting"' in record.read_text() or '"provisioning"' in record.read_text():
            yield record


def _images(directory: Path) -> set[str]:
    return {p.name for p in directory.glob("images/*") if p.suffix not in (".part", ".lock", ".json")}


def _write(path: Path, text: str) -> None:
    work = path.with_name(f"{path.name}.partial")
    work.write_text(text)
    work.rename(path)
