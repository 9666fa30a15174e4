"""Everything slow or fetched that tests need, in named steps: `tests/prepare`.

A step that is done says so at once. Each writes beside its place and renames, under a lock, and is named by what it
is made of, so that runs at once, kills and changes of a recipe do no harm. Tests make none of it (cache.BUILD).
"""

from __future__ import annotations

import dataclasses
import functools
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator

from . import apt_repo, cache, current, drivers, engine, images, py313


@dataclasses.dataclass(frozen=True)
class Step:
    """One thing to be made; `make` is quick where it is there already."""

    name: str
    what: str
    make: Callable[[], object]
    with_program: bool = False  # needs rmachine itself, built


def steps() -> Iterator[Step]:
    """All steps, in an order in which each finds what it needs."""
    yield Step("clients", "docker, Compose, buildx and a registry, of Debian 13", images.client_tools)
    yield Step("busybox", "the tiny image that containers run", images.busybox)
    for name in images.IMAGES:
        if name != images.CURRENT:
            yield Step(f"image-{name}", "a host's root file system", functools.partial(images.rootfs, name))
    yield Step("docker-repo", "the stand-in for Docker's apt repository", apt_repo.directory)
    yield Step("py313", "Debian 13's Python with docker-py", py313.directory)
    yield Step("go", f"Go {'.'.join(map(str, current.OLDEST_GO))} or newer, of PyPI where this machine has none", current.go)
    for name in current.MODULES:
        yield Step(f"go-{name}", f"{', '.join(current.MODULES[name].programs)}, built by Go", functools.partial(current.programs, name))
    yield Step("current-clients", "the current docker, Compose and buildx", current.client_tools)
    yield Step(f"image-{images.CURRENT}", "a host with the current engine", lambda: images.rootfs(images.CURRENT))
    for slot, wanted in engine.PREPARED.items():
        yield Step(f"engine-{slot}", f"a lab's engine with {', '.join(wanted)}", functools.partial(engine.prepare, slot))
    yield Step("machine-docker", "the image of the driver docker's machines", drivers.docker, True)
    yield Step("machine-qemu", "the image of the driver qemu's machines", drivers.qemu, True)


def run(chosen: list[str], program: bool) -> None:
    """Does the chosen steps, or all; those that need the program only with `program` or by name."""
    known = list(steps())
    if unknown := set(chosen) - {step.name for step in known}:
        raise SystemExit(f"no such step: {', '.join(sorted(unknown))}; there are {', '.join(step.name for step in known)}")
    os.environ.pop(cache.BUILD, None)
    begun = time.monotonic()
    for step in known:
        if step.name in chosen or (not chosen and (program or not step.with_program)):
            _do(step)
    current.forget_sources()
    print(f"prepare: all there, after {time.monotonic() - begun:.0f} s", flush=True)


def _do(step: Step) -> None:
    print(f"prepare: {step.name}: {step.what} ...", flush=True)
    begun, before = time.monotonic(), _cpu()
    try:
        step.make()
    except Exception as error:  # noqa: BLE001 - the step's name is what the reader needs
        print(f"prepare: {step.name} FAILED after {time.monotonic() - begun:.0f} s: {error}", file=sys.stderr, flush=True)
        raise SystemExit(1) from None
    seconds = time.monotonic() - begun
    done = "there already" if seconds < 1 else f"{seconds:.0f} s, {_cpu() - before:.0f} s of CPU"
    print(f"prepare: {step.name}: {done}", flush=True)


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)
