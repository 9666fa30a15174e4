"""Spot requests: moto starts a spot instance without one.

docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-requests.html: a one-time request closes with its
instance; a persistent one would start another, unless it is cancelled first.
"""

from __future__ import annotations

import dataclasses
import uuid
from typing import Any
from xml.sax.saxutils import escape

from .ec2 import Cloud


@dataclasses.dataclass
class Request:
    """One spot request."""

    id: str
    instance: str
    kind: str
    price: str
    tags: dict[str, str]
    state: str = "active"


class Spot:
    """All spot requests of the account."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.requests: dict[str, Request] = {}

    def requested(self, instances: list[Any], form: dict[str, str], tags: dict[str, str]) -> None:
        """Writes down the requests behind new instances."""
        prefix = "InstanceMarketOptions.SpotOptions."
        for instance in instances:
            request = Request(
                f"sir-{uuid.uuid4().hex[:8]}", instance.id, form.get(f"{prefix}SpotInstanceType", "one-time"),
                form.get(f"{prefix}MaxPrice", ""), tags,
            )  # fmt: skip
            self.requests[request.id] = request
            instance.spot_instance_request_id = request.id
            instance.lab_persistent = request.kind == "persistent"

    def ended(self, instances: list[str]) -> None:
        """A terminated instance closes its request, unless that is persistent and not cancelled."""
        for request in self.requests.values():
            if request.instance in instances and request.state != "cancelled":
                request.state = "open" if request.kind == "persistent" else "closed"

    def answer(self, action: str, form: dict[str, str]) -> tuple[str, list[tuple[str, str]], bytes] | None:
        """Answers the two calls about spot requests."""
        if action == "DescribeSpotInstanceRequests":
            return self._xml(action, "".join(self._item(r) for r in self.requests.values() if self._fits(r, form)))
        if action == "CancelSpotInstanceRequests":
            ids = [id for name, id in form.items() if name.startswith("SpotInstanceRequestId.")]
            for id in ids:
                if id in self.requests:
                    self.requests[id].state = "cancelled"
            items = "".join(f"<item><spotInstanceRequestId>{id}</spotInstanceRequestId><state>cancelled</state></item>" for id in ids)
            return self._xml(action, items)
        return None

    def _fits(self, request: Request, form: dict[str, str]) -> bool:
        ids = [id for name, id in form.items() if name.startswith("SpotInstanceRequestId.")]
        if ids and request.id not in ids:
            return False
        number = 1
        while name := form.get(f"Filter.{number}.Name"):
            values = {v for k, v in form.items() if k.startswith(f"Filter.{number}.Value.")}
            have = {
                "state": {request.state}, "instance-id": {request.instance}, "spot-instance-request-id": {request.id},
                "tag-key": set(request.tags),
            }.get(name, {request.tags.get(name[4:])} if name.startswith("tag:") else set())  # fmt: skip
            if not have & values:
                return False
            number += 1
        return True

    def _item(self, request: Request) -> str:
        tags = "".join(f"<item><key>{escape(k)}</key><value>{escape(v)}</value></item>" for k, v in request.tags.items())
        return (
            f"<item><spotInstanceRequestId>{request.id}</spotInstanceRequestId><type>{request.kind}</type>"
            f"<state>{request.state}</state><instanceId>{request.instance}</instanceId>"
            f"<spotPrice>{request.price}</spotPrice><createTime>2026-01-01T00:00:00Z</createTime><tagSet>{tags}</tagSet></item>"
        )

    @staticmethod
    def _xml(action: str, items: str) -> tuple[str, list[tuple[str, str]], bytes]:
        text = (
            f'<{action}Response xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>{uuid.uuid4()}</requestId>'
            f"<spotInstanceRequestSet>{items}</spotInstanceRequestSet></{action}Response>"
        )
        return "200 OK", [("Content-Type", "text/xml")], text.encode()
