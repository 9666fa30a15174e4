"""Looks for every secret in everything that was kept, and says what was found where; never the secret itself."""

from __future__ import annotations

import multiprocessing
import tarfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ahocorasick_rs import BytesAhoCorasick

from .kept import ARGV, FILE, OUTPUT, Place, Store
from .rules import looked_at, may_hold
from .secrets_of import Secrets, harvest, views

SHOWN = 100
SHARE = 1 << 20  # bytes that a process takes at a time, at least
# A test that does to a store what rmachine would not puts this file beside it.
SPOILED = "/spoiled-on-purpose"


of_this_process: Search


@dataclass
class Report:
    """What a scan has seen and found."""

    counts: Counter[str] = field(default_factory=Counter)
    violations: set[str] = field(default_factory=set)
    blind: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether there was something to look at, and nothing was found."""
        return not self.violations and not self.blind

    def text(self) -> str:
        """For people."""
        c = self.counts
        lines = [f"{c['secrets']} secrets ({c['short']} more are too short to look for, {c['sealed']} keys have a passphrase) of {c['stores']} stores, "
                 f"{c['spoiled']} of them spoiled by tests on purpose",
                 f"looked for in {c['files']} files, {c['processes']} processes and {c['hosts']} hosts, {c['bytes'] >> 20} MiB; "
                 f"{c['allowed']} times where they belong",
                 f"not seen: {c['ended']} of {c['execs']} processes had ended before, {c['vanished']} files had gone, "
                 f"{c['large']} disks and programs, {c['mounts']} file systems of tests, {c['overflows']} overflows"]  # fmt: skip
        found = sorted(self.violations)
        lines += [f"FOUND {line}" for line in found[:SHOWN]]
        lines += [f"FOUND {len(found) - SHOWN} more"] * (len(found) > SHOWN)
        lines += [f"BLIND: {what}" for what in self.blind]
        return "\n".join(lines)


def read_hosts(directory: Path, kept: Store) -> int:
    """What the labs handed over of their hosts."""
    hosts = sorted(directory.glob("*.tar")) if directory.is_dir() else []
    for path in hosts:
        with tarfile.open(path) as archive:
            for member in archive:
                if member.isfile() and (file := archive.extractfile(member)):
                    kept.add(Place(FILE, "/" + member.name, member.mode & 0o7777, path.stem), file.read())
    return len(hosts)


def scan(kept: Store, declared: dict[str, list[str]], hosts: int = 0, failed: list[str] | None = None, wanted: tuple[str, ...] = ()) -> Report:
    """Looks through all. `declared` are secrets that no store has; `wanted` names what must have been seen."""
    secrets, stores = harvest(kept)
    for kind, texts in declared.items():
        for text in texts:
            secrets.typed(kind, text)
    report = Report(kept.counts)
    spoilt = {place.name.removesuffix(SPOILED) for place, _ in kept.files() if place.name.endswith(SPOILED)}
    places = [(place, content) for content, all_places in kept.contents.items() for place in all_places]
    report.counts.update(
        stores=len(stores), spoiled=len(spoilt), secrets=secrets.count, short=secrets.short, sealed=secrets.sealed, hosts=hosts,
        files=sum(place.kind == FILE for place, _ in places), processes=sum(place.kind == ARGV for place, _ in places),
        bytes=sum(len(content) for content in kept.contents),
    )  # fmt: skip
    report.blind = [f"the host {name} was not handed over" for name in failed or []]
    report.blind += [f"no {what} were seen" for what in ("stores", "secrets", "files", *wanted) if not report.counts[what]]
    if not secrets.needles:
        return report
    search = Search(kept, secrets, spoilt)
    with multiprocessing.get_context("fork").Pool(initializer=begin_search, initargs=(search,)) as pool:
        for allowed, violations in pool.imap_unordered(search_in, search.shares()):
            report.counts["allowed"] += allowed
            report.violations |= violations
    return report


class Search:
    """What the processes of a scan share: forked, so that no content is copied."""

    def __init__(self, kept: Store, secrets: Secrets, spoilt: set[str]) -> None:
        self.contents = list(kept.contents.items())
        self.finder = BytesAhoCorasick(list(secrets.needles))
        self.needles = [frozenset(kinds) for kinds in secrets.needles.values()]
        self.spoilt = spoilt

    def shares(self) -> Iterator[list[int]]:
        """What a process takes at a time: a large content by itself, the largest first, many small ones together."""
        share, size = [], 0
        for at in sorted(range(len(self.contents)), key=lambda at: -len(self.contents[at][0])):
            share.append(at)
            size += len(self.contents[at][0])
            if size >= SHARE:
                yield share
                share, size = [], 0
        if share:
            yield share

    def look(self, content: bytes, all_places: set[Place]) -> tuple[int, set[str]]:
        """How many secrets of a content are where they belong, and the violations."""
        allowed, violations = 0, set()
        by_view: dict[bytes, list[Place]] = {}
        for place in all_places:
            by_view.setdefault(looked_at(place, content), []).append(place)
        for view, its_places in by_view.items():
            for kinds in found_in(self.finder, self.needles, view):
                for place in its_places:
                    if spoiled(place, self.spoilt):
                        continue
                    if all(may_hold(place, kind, kinds, content) for kind in kinds):
                        allowed += 1
                    else:
                        violations.add(f"{' or '.join(sorted(kinds))}: {place}{hint(place, content)}")
        return allowed, violations


def begin_search(search: Search) -> None:
    """Keeps the search in a forked process of its own."""
    global of_this_process  # noqa: PLW0603 - what a pool's initializer is for
    of_this_process = search


def search_in(share: list[int]) -> tuple[int, set[str]]:
    """Looks through some of the contents."""
    allowed, violations = 0, set()
    for at in share:
        belong, wrong = of_this_process.look(*of_this_process.contents[at])
        allowed += belong
        violations |= wrong
    return allowed, violations


def found_in(finder: BytesAhoCorasick, needles: list[frozenset[str]], content: bytes) -> set[frozenset[str]]:
    """What a content has of the secrets: of each, the kinds of secret that it is."""
    return {needles[match[0]] for view in views(content) for match in finder.find_matches_as_indexes(view, overlapping=True)}


def spoiled(place: Place, directories: set[str]) -> bool:
    """Whether a file is in a store that a test has spoiled on purpose."""
    return place.kind == FILE and any(place.name.startswith(f"{directory}/") for directory in directories)


def hint(place: Place, content: bytes) -> str:
    """Helps to find the place again, without the secret."""
    if place.kind == ARGV:
        words = content.split(b"\0")
        return f": {b' '.join(words[:2])[:60].decode(errors='replace')}… of {len(words)} words"
    if place.kind in (FILE, OUTPUT):
        return ""
    return f": {content.partition(b'=')[0][:60].decode(errors='replace')}"
