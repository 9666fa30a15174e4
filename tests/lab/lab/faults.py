"""Faults that a test asks for, as `POST /_lab/faults` takes them.

A fault is `{"action": NAME or "*", …}` with one or more of
  delay: SECONDS          wait before anything else
  error: CODE             refuse with this code; `message`, `status` (503 for …Limit…, else 400)
  reset: true             cut the connection before the call is carried out
  drop_answer: true       carry the call out, then cut the connection
  hold: before | after    hold the call before, or after it is carried out, until `POST /_lab/release` or
                          for `within` seconds (60): the moment in which a test kills the client
and, to choose calls, `nth` (the nth that fits, from 1), `times` (at most so often), `rate` (0 to 1).
The action `@launch` is the moment in which an instance boots: `error` and `message` become its state
reason, and it goes from pending to terminated, as on EC2 without capacity or with an unusable KMS key.
"""

from __future__ import annotations

import random
import threading
import time
from typing import Any

KNOWN = {"action", "delay", "error", "message", "status", "reset", "drop_answer", "hold", "within", "nth", "times", "rate", "seen", "used"}


class Held:
    """A call that waits for the test."""

    def __init__(self, action: str, when: str) -> None:
        self.action, self.when, self.since = action, when, time.time()
        self.released = threading.Event()
        self.dropped = False


class Faults:
    """The scripted faults, first fit first."""

    def __init__(self) -> None:
        self.list: list[dict[str, Any]] = []
        self.lock = threading.Lock()
        self.held: list[Held] = []

    def add(self, fault: dict[str, Any]) -> None:
        """Adds one; a word that nobody knows is an error, not a fault that never happens."""
        if unknown := set(fault) - KNOWN:
            raise KeyError(f"unknown in a fault: {', '.join(sorted(unknown))}")
        if not set(fault) & {"delay", "error", "reset", "drop_answer", "hold"}:
            raise KeyError("a fault needs delay, error, reset, drop_answer or hold")
        if fault.get("hold", "before") not in ("before", "after") or ("hold" in fault and str(fault.get("action")).startswith("@")):
            raise KeyError("a call is held before or after; what is no call cannot be held")
        with self.lock:
            self.list.append(fault)

    def clear(self) -> None:
        """Takes all away; held calls go on."""
        with self.lock:
            self.list.clear()
        self.release()

    def hold(self, fault: dict[str, Any], when: str, action: str) -> bool:
        """Holds a call where the fault says so; false: it is to be dropped."""
        if fault.get("hold") != when:
            return True
        held = Held(action, when)
        with self.lock:
            self.held.append(held)
        held.released.wait(float(fault.get("within", 60)))
        with self.lock:
            self.held.remove(held)
        return not held.dropped

    def release(self, drop: bool = False) -> None:
        """Lets held calls go on, or cuts their connections: a call that is held before then never happens."""
        with self.lock:
            for held in self.held:
                held.dropped = drop
                held.released.set()

    def holding(self) -> list[dict[str, Any]]:
        """The calls that are held now."""
        with self.lock:
            return [{"action": h.action, "hold": h.when, "since": h.since} for h in self.held if not h.released.is_set()]

    def take(self, action: str) -> dict[str, Any]:
        """The first fault that fits this call, counted as used; {} without one."""
        with self.lock:
            for fault in self.list:
                wanted = fault.get("action", "*")
                if wanted != action and (wanted != "*" or action.startswith("@")):
                    continue
                fault["seen"] = fault.get("seen", 0) + 1
                if fault.get("nth") and fault["seen"] != fault["nth"]:
                    continue
                if fault.get("times") is not None and fault.get("used", 0) >= fault["times"]:
                    continue
                if random.random() >= float(fault.get("rate", 1)):
                    continue
                fault["used"] = fault.get("used", 0) + 1
                return dict(fault)
        return {}
