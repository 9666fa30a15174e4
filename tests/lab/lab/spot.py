"""Spot requests: moto starts a spot instance without one.

docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-request-status.html: a one-time request closes with its
instance; a persistent one opens again and starts another, unless it is cancelled first.
"""

from __future__ import annotations

import dataclasses
import time
import uuid
from collections.abc import Callable
from typing import Any
from xml.sax.saxutils import escape

from .ec2 import Cloud, Delays
from .errors import Answer, Refused
from .forms import filters, listed

Replay = tuple[dict[str, Any], bytes]


@dataclasses.dataclass
class Request:
    """One spot request."""

    id: str
    region: str
    instance: str
    kind: str
    price: str
    tags: dict[str, str]
    replay: Replay
    state: str = "active"
    made: str = dataclasses.field(default_factory=lambda: time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime()))


class Spot:
    """All spot requests of the account."""

    def __init__(self, cloud: Cloud, relaunch: Callable[[Replay], Any]) -> None:
        self.cloud = cloud
        self.relaunch = relaunch
        self.requests: dict[str, Request] = {}

    def requested(self, instances: list[Any], form: dict[str, str], tags: dict[str, str], region: str, replay: Replay) -> None:
        """Writes down the requests behind new instances."""
        prefix = "InstanceMarketOptions.SpotOptions."
        for instance in instances:
            request = Request(
                f"sir-{uuid.uuid4().hex[:8]}", region, instance.id, form.get(f"{prefix}SpotInstanceType", "one-time"),
                form.get(f"{prefix}MaxPrice", "0.010000"), tags, replay,
            )  # fmt: skip
            self.requests[request.id] = request
            self._bind(request, instance)

    @staticmethod
    def _bind(request: Request, instance: Any) -> None:
        request.instance = instance.id
        instance.spot_instance_request_id = request.id
        instance.lab_persistent = request.kind == "persistent"

    def changed(self, action: str, instances: list[str]) -> None:
        """What a change of its instance does to a request."""
        for request in [r for r in self.requests.values() if r.instance in instances and r.state not in ("cancelled", "closed")]:
            if action == "StopInstances":
                request.state = "disabled"
            elif action == "StartInstances":
                request.state = "active"
            elif request.kind == "one-time":
                request.state = "closed"
            else:
                request.state = "open"
                self.cloud.later(lambda request=request: self._reopen(request))  # type: ignore[misc]

    def _reopen(self, request: Request) -> None:
        time.sleep(Delays.spot_reopen)
        if request.state == "open" and (instance := self.relaunch(request.replay)):
            self._bind(request, instance)
            request.state = "active"

    def answer(self, action: str, form: dict[str, str], region: str) -> Answer | None:
        """Answers the two calls about spot requests."""
        if action not in ("DescribeSpotInstanceRequests", "CancelSpotInstanceRequests"):
            return None
        mine = {id: r for id, r in self.requests.items() if r.region == region}
        ids = listed(form, "SpotInstanceRequestId")
        if missing := [id for id in ids if id not in mine]:
            raise Refused("InvalidSpotInstanceRequestID.NotFound", f"The spot instance request ID '{missing[0]}' does not exist")
        if action == "DescribeSpotInstanceRequests":
            wanted = filters(form)
            return self._xml(action, "".join(self._item(r) for r in mine.values() if (not ids or r.id in ids) and fits(r, wanted)))
        for id in ids:
            if mine[id].state != "closed":
                mine[id].state = "cancelled"
        items = "".join(f"<item><spotInstanceRequestId>{id}</spotInstanceRequestId><state>{mine[id].state}</state></item>" for id in ids)
        return self._xml(action, items)

    def _item(self, request: Request) -> str:
        tags = "".join(f"<item><key>{escape(k)}</key><value>{escape(v)}</value></item>" for k, v in request.tags.items())
        return (
            f"<item><spotInstanceRequestId>{request.id}</spotInstanceRequestId><type>{request.kind}</type>"
            f"<state>{request.state}</state><instanceId>{request.instance}</instanceId>"
            f"<spotPrice>{escape(request.price)}</spotPrice><createTime>{request.made}</createTime><tagSet>{tags}</tagSet></item>"
        )

    @staticmethod
    def _xml(action: str, items: str) -> Answer:
        text = (
            f'<{action}Response xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>{uuid.uuid4()}</requestId>'
            f"<spotInstanceRequestSet>{items}</spotInstanceRequestSet></{action}Response>"
        ).encode()
        return "200 OK", [("Content-Type", "text/xml;charset=UTF-8"), ("Content-Length", str(len(text)))], text


def fits(request: Request, wanted: dict[str, list[str]]) -> bool:
    """Whether a request passes the filters."""
    for name, values in wanted.items():
        if name.startswith("tag:"):
            have = {request.tags.get(name[4:])}
        elif name == "tag-key":
            have = set(request.tags)
        elif name in ("state", "instance-id", "spot-instance-request-id", "type"):
            have = {getattr(request, {"instance-id": "instance", "spot-instance-request-id": "id", "type": "kind"}.get(name, name))}
        else:
            raise Refused("InvalidParameterValue", f"The filter '{name}' is invalid")
        if not have & set(values):
            return False
    return True
