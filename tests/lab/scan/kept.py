"""What was seen in a run, in an append-only file: each content once, each place with its mode."""

from __future__ import annotations

import collections
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FILE, ARGV, ENVIRON, OUTPUT = "file", "argv", "environ", "output"


@dataclass(frozen=True)
class Place:
    """Where a content was seen. `name` is a path, or the executable of a process; `unit` is a process's systemd unit."""

    kind: str
    name: str
    mode: int = 0
    host: str = ""
    unit: str = ""

    def __str__(self) -> str:
        where = f"host {self.host}:{self.name}" if self.host else self.name
        return f"{where} (mode {self.mode:04o})" if self.kind in (FILE, OUTPUT) else f"{self.kind} of {where}"


class Writer:
    """Keeps what one watcher sees in DIRECTORY/NAME.{data,index}; owner-only, as all in the directory."""

    def __init__(self, directory: Path, name: str) -> None:
        self.data = open(directory / f"{name}.data", "wb")  # noqa: SIM115 - open as long as the watcher
        self.index = open(directory / f"{name}.index", "w")  # noqa: SIM115
        self.known: dict[bytes, tuple[int, int]] = {}
        self.places: set[tuple[Place, int]] = set()
        self.counts: collections.Counter[str] = collections.Counter()

    def add(self, place: Place, content: bytes) -> None:
        """Keeps a content at a place, unless both were seen before."""
        if not content:
            return
        digest = hashlib.blake2b(content, digest_size=16).digest()
        if digest not in self.known:
            self.known[digest] = (self.data.tell(), len(content))
            self.data.write(content)
        at, size = self.known[digest]
        if (place, at) not in self.places:
            self.places.add((place, at))
            self.index.write(json.dumps([at, size, place.kind, place.name, place.mode, place.host, place.unit]) + "\n")

    def close(self) -> None:
        """Writes the counts, which also say that the watcher came to its end."""
        self.data.close()
        self.index.write(json.dumps(dict(self.counts)) + "\n")
        self.index.close()


class Store:
    """All that was kept, by content."""

    def __init__(self) -> None:
        self.contents: dict[bytes, set[Place]] = {}
        self.counts: collections.Counter[str] = collections.Counter()

    def add(self, place: Place, content: bytes) -> None:
        """One more content."""
        if content:
            self.contents.setdefault(content, set()).add(place)

    def read(self, directory: Path, name: str) -> None:
        """What a watcher kept; one that did not come to its end is an error."""
        data = (directory / f"{name}.data").read_bytes()
        ended = False
        for line in (directory / f"{name}.index").read_text().splitlines():
            entry = json.loads(line)
            if isinstance(entry, dict):
                self.counts.update(entry)
                ended = True
            else:
                at, size, *place = entry
                self.add(Place(*place), data[at : at + size])
        if not ended:
            raise RuntimeError(f"the watcher of {name} did not come to its end")

    def files(self) -> Iterator[tuple[Place, bytes]]:
        """All files with their content."""
        for content, places in self.contents.items():
            for place in places:
                if place.kind == FILE:
                    yield place, content
