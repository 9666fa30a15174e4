"""ClientToken of RunInstances (devguide, "Ensuring idempotency in Amazon EC2 API requests").

Zonal when the request names a zone or a subnet: the same token launches once in each zone. Regional
otherwise. Any other difference is IdempotentParameterMismatch.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

from .errors import Answer, Refused

# What may differ between a request and its repetition.
ASIDE = {"Version", "Placement.AvailabilityZone"}


class Tokens:
    """The tokens that were used, and what was answered."""

    def __init__(self) -> None:
        self.known: dict[tuple[str, str | None, str], tuple[str, Answer]] = {}
        self.locks: dict[tuple[str, str], threading.Lock] = {}
        self.lock = threading.Lock()

    @contextlib.contextmanager
    def _alone(self, region: str, token: str) -> Iterator[None]:
        with self.lock:
            lock = self.locks.setdefault((region, token), threading.Lock())
        with lock:
            yield

    def once(self, region: str, zone: str | None, form: dict[str, str], instances: dict[str, Any], run: Callable[[], Answer]) -> Answer:
        """Runs `run` unless the token was used; then the same instances are answered, as they are now."""
        token = form.get("ClientToken", "")
        if not token:
            return run()
        if len(token) > 64 or not token.isascii():
            raise Refused("InvalidParameterValue", "The client token is longer than 64 ASCII characters")
        digest = json.dumps(sorted((k, v) for k, v in form.items() if k not in ASIDE))
        digest = hashlib.sha256(digest.encode()).hexdigest()
        with self._alone(region, token):
            if known := self.known.get((region, zone, token)):
                if known[0] != digest:
                    raise Refused("IdempotentParameterMismatch", "Arguments on this idempotent request are inconsistent with arguments used in previous request(s).")
                return refreshed(known[1], instances)
            answer = run()
            if answer[0].startswith("200"):
                self.known[(region, zone, token)] = (digest, answer)
            return answer


def refreshed(answer: Answer, instances: dict[str, Any]) -> Answer:
    """The answer of then, with the states of now."""
    status, headers, body = answer
    for id in set(re.findall(rb"<instanceId>(i-[0-9a-f]+)</instanceId>", body)):
        if instance := instances.get(id.decode()):
            state = instance._state
            new = f"<instanceState><code>{state.code}</code><name>{state.name}</name></instanceState>".encode()
            body = re.sub(rb"<instanceState>.*?</instanceState>", new, body)
    headers = [(k, v) for k, v in headers if k.lower() != "content-length"] + [("Content-Length", str(len(body)))]
    return status, headers, body
