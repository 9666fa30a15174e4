"""Keeps argv and environment of all processes: at each exec where the kernel tells of it, and by looking often.

The kernel's messages: linux/cn_proc.h, linux/connector.h. They need root.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import socket
import struct
import time
from collections.abc import Callable

from .kept import ARGV, ENVIRON, Place, Writer

CONNECTOR, PROC_IDX, PROC_VAL, LISTEN, EXEC = 11, 1, 1, 1, 2
OFTEN = 0.1  # seconds between two looks at all processes
UNIT = re.compile(rb"/([\w@.-]+\.service)")


class Processes:
    """A watch over all processes that are seen from here, containers' included."""

    def __init__(self, writer: Writer) -> None:
        self.writer = writer
        self.seen: set[tuple[str, str, bytes]] = set()
        self.socket: socket.socket

    def subscribe(self) -> bool:
        """Asks to be told of processes; `False` where this user may not hear of them."""
        try:
            kernel = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, CONNECTOR)
            kernel.setsockopt(socket.SOL_SOCKET, 33, 16 << 20)  # SO_RCVBUFFORCE
            kernel.bind((0, PROC_IDX))
            message = struct.pack("=IIIIHHI", PROC_IDX, PROC_VAL, 0, 0, 4, 0, LISTEN)
            kernel.send(struct.pack("=IHHII", 16 + len(message), 3, 0, 0, os.getpid()) + message)
            kernel.setblocking(False)
        except OSError:
            return False
        self.socket = kernel
        return True

    def run(self, ended: Callable[[], bool]) -> None:
        """Looks at all processes again and again, until `ended`."""
        while not ended():
            started = time.monotonic()
            self.look()
            # Never more than a tenth of one core: what begins a program is told of, where the kernel does that (`listen`).
            time.sleep(max(OFTEN, 9 * (time.monotonic() - started)))
        self.look()

    def listen(self, ended: Callable[[], bool]) -> None:
        """Looks at each process that begins a program, before it ends, until `ended`."""
        if not self.subscribe():
            self.writer.counts["deaf"] = 1
            return
        # Ahead of the processes that it has to see; it sleeps nearly always.
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
        poll = select.poll()
        poll.register(self.socket, select.POLLIN)
        while not ended():
            if poll.poll(200):
                self.announced()

    def announced(self) -> None:
        """Looks at the processes that have called exec since."""
        while True:
            try:
                message = self.socket.recv(4096)
            except BlockingIOError:
                return
            except OSError:  # ENOBUFS: the kernel has thrown some away
                self.writer.counts["overflows"] += 1
                return
            what, pid = struct.unpack_from("=I", message, 36)[0], struct.unpack_from("=I", message, 52)[0]
            if what == EXEC:
                self.writer.counts["execs"] += 1
                if not self.process(pid):
                    self.writer.counts["ended"] += 1

    def look(self) -> None:
        """Looks at all processes."""
        for name in os.listdir("/proc"):
            if name.isdigit():
                self.process(int(name))

    def process(self, pid: int) -> bool:
        """Keeps one process; `False` when it has ended already."""
        try:
            argv = read(f"/proc/{pid}/cmdline")
            environ = read(f"/proc/{pid}/environ")
        except OSError:
            return False
        if not argv:
            return True  # a thread of the kernel, or one that is ending
        name = os.path.basename(argv.split(b"\0", 1)[0]).decode(errors="replace")
        unit: str | None = None
        with contextlib.suppress(OSError):
            name = os.path.basename(os.readlink(f"/proc/{pid}/exe")).removesuffix(" (deleted)")
            found = UNIT.findall(read(f"/proc/{pid}/cgroup"))
            unit = found[-1].decode() if found else ""
        self.add(Place(ARGV, name, unit=unit or ""), argv)
        if unit is None:
            return False  # it has ended meanwhile: whose environment that was cannot be told
        # By variable: thousands of processes have the same ones.
        for variable in environ.split(b"\0"):
            self.add(Place(ENVIRON, name, unit=unit), variable)
        return True

    def add(self, place: Place, content: bytes) -> None:
        """Keeps what was not seen before."""
        key = (place.kind, place.unit, content) if place.kind == ENVIRON else (place.name, place.unit, content)
        if key not in self.seen:
            self.seen.add(key)
            self.writer.add(place, content)
            if place.kind == ARGV:
                self.writer.counts["processes"] += 1


def read(path: str) -> bytes:
    """A file of /proc."""
    with open(path, "rb", buffering=0) as file:
        return b"".join(iter(lambda: file.read(1 << 16), b""))
