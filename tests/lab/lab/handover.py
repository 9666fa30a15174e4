"""Hands over what hosts leave behind, before they are deleted: DIRECTORY/HOST.tar where RMACHINE_LAB_KEEP names one.

A tar keeps modes. What differs from the image is in the upper directory of the host's overlay, running or not; /run
is in memory, and only a running host has it. The journal is handed over as text, with all its fields.
"""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .engine import Engine

ON_DISK = ("etc", "var/log", "var/lib/cloud", "var/lib/rmachine", "var/tmp", "root", "home", "tmp")
LARGEST = 16 << 20


def keep(engine: Engine, host: str) -> None:
    """Hands over one host; without RMACHINE_LAB_KEEP nothing happens. Where it fails, HOST.failed says why."""
    if not (named := os.environ.get("RMACHINE_LAB_KEEP")):
        return
    directory = Path(named)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    name = host if len(host) < 40 else host[:12]
    try:
        _keep(engine, host, directory, name)
    except (OSError, RuntimeError, tarfile.TarError) as error:
        (directory / f"{name}.failed").write_text(f"{error}\n")


def _keep(engine: Engine, host: str, directory: Path, name: str) -> None:
    found = engine.call("inspect", "-f", "{{.State.Pid}} {{.GraphDriver.Data.UpperDir}}", host, check=False)
    pid, _, upper = found.stdout.strip().partition(" ")
    if found.returncode != 0 or not upper:
        return  # it has gone already
    new = directory / f".{name}.new"
    with tarfile.open(new, "w") as archive:
        new.chmod(0o600)
        for below in ON_DISK:
            _add(archive, Path(upper), below)
        if pid != "0":
            _add(archive, Path(f"/proc/{pid}/root"), "run")
            _journal(archive, Path(f"/proc/{pid}/root/run/log/journal"), "run/log/journal.txt")
        _journal(archive, Path(upper) / "var/log/journal", "var/log/journal.txt")
        console = engine.call("logs", host, check=False)
        _text(archive, "console", (console.stdout + console.stderr).encode())
    # Several labs may have hosts of one name.
    number = len(list(directory.glob(f"{name}*.tar")))
    new.rename(directory / f"{name}{f'-{number}' * bool(number)}.tar")


def _add(archive: tarfile.TarFile, root: Path, below: str) -> None:
    for at, directories, files in os.walk(root / below):
        directories[:] = [d for d in directories if d != "journal" and not os.path.ismount(os.path.join(at, d))]
        for file in files:
            path = Path(at) / file
            try:
                if path.is_symlink() or not path.is_file() or path.stat().st_size > LARGEST:
                    continue
                # As it is now: a log may grow meanwhile.
                content = path.read_bytes()
                member = archive.gettarinfo(path, str(path.relative_to(root)))
            except OSError:
                continue
            member.size, member.type, member.linkname = len(content), tarfile.REGTYPE, ""
            archive.addfile(member, io.BytesIO(content))


def _journal(archive: tarfile.TarFile, directory: Path, name: str) -> None:
    if not directory.is_dir():
        return
    with tempfile.TemporaryFile() as text:
        command = ["journalctl", "--quiet", "--no-pager", "--all", "--output=export", "--directory", str(directory)]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=text, stderr=subprocess.PIPE)
        if done.returncode != 0:
            raise RuntimeError(f"journalctl: {done.stderr.decode(errors='replace')}")
        text.seek(0)
        _text(archive, name, text.read())


def _text(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    # As readable as the journal's own files are.
    member.size, member.mode = len(content), 0o640
    archive.addfile(member, io.BytesIO(content))
