"""Faults that a test asks for, as `POST /_lab/faults` takes them.

A fault is `{"action": NAME or "*", …}` with one or more of
  delay: SECONDS          wait before anything else
  error: CODE             refuse with this code; `message`, `status` (503 for …Limit…, else 400)
  reset: true             cut the connection before the call is carried out
  drop_answer: true       carry the call out, then cut the connection
and, to choose calls, `nth` (the nth that fits, from 1), `times` (at most so often), `rate` (0 to 1).
The action `@launch` is the moment in which an instance boots: `error` and `message` become its state
reason, and it goes from pending to terminated, as on EC2 without capacity or with an unusable KMS key.
"""

from __future__ import annotations

import random
import threading
from typing import Any

KNOWN = {"action", "delay", "error", "message", "status", "reset", "drop_answer", "nth", "times", "rate", "seen", "used"}


class Faults:
    """The scripted faults, first fit first."""

    def __init__(self) -> None:
        self.list: list[dict[str, Any]] = []
        self.lock = threading.Lock()

    def add(self, fault: dict[str, Any]) -> None:
        """Adds one; a word that nobody knows is an error, not a fault that never happens."""
        if unknown := set(fault) - KNOWN:
            raise KeyError(f"unknown in a fault: {', '.join(sorted(unknown))}")
        if not set(fault) & {"delay", "error", "reset", "drop_answer"}:
            raise KeyError("a fault needs delay, error, reset or drop_answer")
        with self.lock:
            self.list.append(fault)

    def clear(self) -> None:
        """Takes all away."""
        with self.lock:
            self.list.clear()

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
