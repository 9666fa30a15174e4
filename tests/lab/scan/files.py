"""Keeps every file that appears below some directories, also of those that are gone a moment later (inotify(7))."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import select
import stat
from collections.abc import Callable
from pathlib import Path

from inotify_simple import INotify, flags

from .kept import FILE, Place, Writer

MASK = flags.CREATE | flags.MODIFY | flags.CLOSE_WRITE | flags.MOVED_FROM | flags.MOVED_TO | flags.ATTRIB | flags.ONLYDIR | flags.DONT_FOLLOW
LARGEST = 1 << 20  # of what is no text: seeds and archives of data are small, disks and programs are not
LARGEST_TEXT = 64 << 20
PROGRAMS = re.compile(rb"\x7fELF|!<arch>")
# What is no place for a secret of rmachine: root file systems while they are built, what rustc and engines work with,
# what the self-tests of this scan plant.
PASSED = re.compile(r".*/(mmdebstrap\.\w+|rustc\w{6}|rustdoctest\w{6}|engine/(data|exec)|planted-by-a-selftest)")


def passed(path: str) -> bool:
    """Whether a directory is not looked into; those of a lab's engine stand beside lab.json."""
    parent, name = os.path.split(path)
    return bool(PASSED.fullmatch(path)) or (name in ("exec", "engine") and os.path.exists(f"{parent}/lab.json"))


class Files:
    """A watch over directories."""

    def __init__(self, writer: Writer, roots: list[Path], own: Path | None = None) -> None:
        self.writer = writer
        self.roots = [str(root) for root in roots]
        self.own = str(own)  # where all of this is kept
        self.inotify = INotify()
        self.paths: dict[int, str] = {}
        # A file that is being written stays open here, so that its end is seen also when it was unlinked before.
        self.open: dict[str, int] = {}
        # Names that were gone before they could be opened, and those whose content is kept.
        self.gone: set[str] = set()
        self.kept: set[str] = set()
        self.devices = {os.stat(root).st_dev for root in self.roots}
        for root in self.roots:
            self.enter(root)

    def run(self, ended: Callable[[], bool]) -> None:
        """Watches until `ended`, and looks at everything once more."""
        poll = select.poll()
        poll.register(self.inotify.fileno(), select.POLLIN)
        while not ended():
            if poll.poll(200):
                self.events()
        self.events()
        for path in list(self.open):
            self.finish(path)
        for root in self.roots:
            self.enter(root)
        self.writer.counts["vanished"] = len(self.gone - self.kept)

    def events(self) -> None:
        """Handles what has happened since."""
        for event in self.inotify.read(timeout=0):
            if event.mask & flags.Q_OVERFLOW:
                self.writer.counts["overflows"] += 1
                for root in self.roots:
                    self.enter(root)
                continue
            directory = self.paths.get(event.wd)
            if event.mask & flags.IGNORED:
                self.paths.pop(event.wd, None)
            elif directory is not None and event.name:
                self.event(os.path.join(directory, event.name), event.mask)

    def event(self, path: str, mask: int) -> None:
        """One thing that has happened to one entry of a directory."""
        if mask & flags.ISDIR:
            if mask & (flags.CREATE | flags.MOVED_TO):
                self.enter(path)
        elif mask & flags.MOVED_FROM:
            self.close(path)
            self.kept.add(path)  # by its new name
        elif mask & flags.CLOSE_WRITE:
            self.finish(path)
        elif mask & flags.CREATE:
            # Of one that was unlinked and is still written to, the end is not seen where its name is taken again.
            self.close(path)
            self.begin(path)
        elif mask & flags.MODIFY and path not in self.open:
            self.begin(path)
        elif mask & flags.MOVED_TO:
            # The name may have been another file's, and still be open.
            self.finish(path, anew=True)
        elif mask & flags.ATTRIB:
            self.now(path)

    def enter(self, directory: str) -> None:
        """Watches a directory with all below it; a directory that moved is known by its new name from now on."""
        if directory == self.own or passed(directory):
            return
        try:
            if os.lstat(directory).st_dev not in self.devices:
                self.writer.counts["mounts"] += 1
                return
            self.paths[self.inotify.add_watch(directory, MASK)] = directory
            entries = list(os.scandir(directory))
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR):
                raise
            return
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):
                if entry.is_dir(follow_symlinks=False):
                    self.enter(entry.path)
                else:
                    self.now(entry.path)

    def opened(self, path: str) -> int | None:
        """A regular file, opened; nothing else is: opening a pipe or a device does something."""
        try:
            if not stat.S_ISREG(os.lstat(path).st_mode):
                return None
            return os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            self.gone.add(path)
            return None

    def begin(self, path: str) -> None:
        """Opens a file that is being written; it is read when its writer closes it."""
        if (fd := self.opened(path)) is not None:
            self.open[path] = fd

    def close(self, path: str) -> None:
        """Keeps what was written so far of a file that is open here."""
        if (fd := self.open.pop(path, None)) is not None:
            self.keep(path, fd)

    def now(self, path: str) -> None:
        """Keeps a file as it is."""
        if (fd := self.opened(path)) is not None:
            self.keep(path, fd)

    def finish(self, path: str, anew: bool = False) -> None:
        """Keeps a file whose writer has closed it, by the descriptor that is open here or by its name."""
        if (fd := self.open.pop(path, None)) is not None:
            self.keep(path, fd)
        if fd is None or anew:
            self.now(path)

    def keep(self, path: str, fd: int) -> None:
        """Reads a descriptor to its end and closes it."""
        try:
            self.kept.add(path)
            status = os.fstat(fd)
            head = os.pread(fd, 8192, 0)
            binary = b"\0" in head
            if PROGRAMS.match(head) or status.st_size > (LARGEST if binary else LARGEST_TEXT):
                self.writer.counts["large"] += 1
                return
            content = b"".join(iter(lambda: os.read(fd, 1 << 20), b""))
            self.writer.add(Place(FILE, path, stat.S_IMODE(status.st_mode)), content)
        finally:
            os.close(fd)
