"""What outlives a lab: images and tools, outside the checkout, keyed by what they are built from."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

BUILD = "RMACHINE_LAB_BUILD"  # "no": what is missing is an error, and not made under a test's time-out


class Missing(RuntimeError):
    """Something that a step of `tests/prepare` makes is not there."""


def root() -> Path:
    """The cache directory: $RMACHINE_CACHE, or ~/.cache/rmachine."""
    path = Path(os.environ.get("RMACHINE_CACHE") or Path.home() / ".cache" / "rmachine")
    path.mkdir(parents=True, exist_ok=True)
    return path


def key(*parts: str) -> str:
    """A short key for `parts`."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


@contextlib.contextmanager
def lock(name: str) -> Iterator[None]:
    """Lets one process at a time build what is called `name`."""
    with open(root() / f".{name}.lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def made(path: Path, step: str, make: Callable[[Path], None]) -> Path:
    """`path`, made by `make` where it is missing: beside it, and renamed when it is whole.

    `step` is the step of `tests/prepare` that makes it, which an error names where nothing may be made.
    """
    if path.exists():
        return path
    if os.environ.get(BUILD) == "no":
        raise Missing(f"{path.name} is not there, and no test makes it: `tests/prepare {step}` does")
    with lock(step):
        if not path.exists():
            work = path.with_name(f"{path.name}.partial")
            remove(work)
            make(work)
            work.rename(path)
    return path


def remove(path: Path) -> None:
    """Removes a file or a directory; a missing one is fine."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def say(text: str) -> None:
    """Progress, on stderr."""
    print(f"lab: {text}", file=sys.stderr, flush=True)


def run(*command: str | Path, **kwargs: object) -> subprocess.CompletedProcess[str]:
    """Runs a command; its output is shown only when it fails."""
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, stdin=subprocess.DEVNULL, **kwargs)  # type: ignore[call-overload]
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done
