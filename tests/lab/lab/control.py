"""The lab's own API under /_lab: hosts, faults, calls, resources, delays. JSON in and out."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Callable, Iterable
from typing import Any

from moto.ec2.models import ec2_backends

from . import images
from .ec2 import Cloud, Delays
from .hosts import Hosts
from .services import Services
from .strict import ACCOUNT, REGIONS, Strict


class Control:
    """Routes /_lab/… here and everything else to EC2."""

    def __init__(self, strict: Strict, cloud: Cloud, hosts: Hosts | None, services: Services | None = None) -> None:
        self.strict, self.cloud, self.hosts, self.services = strict, cloud, hosts, services

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if not path.startswith("/_lab/"):
            return self.strict(environ, start)
        if path == "/_lab/ip":
            start("200 OK", [("Content-Type", "text/plain")])
            return [f"{environ['REMOTE_ADDR']}\n".encode()]
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        try:
            value = self._route(environ["REQUEST_METHOD"], path.removeprefix("/_lab/").split("/"), json.loads(body or b"{}"))
            status = "200 OK"
        except Exception as error:  # noqa: BLE001 - a test has to see it
            value, status = {"error": f"{type(error).__name__}: {error}"}, "500 Failed"
        text = json.dumps(value).encode()
        start(status, [("Content-Type", "application/json"), ("Content-Length", str(len(text)))])
        return [text]

    def _route(self, method: str, path: list[str], body: dict[str, Any]) -> Any:
        match method, path:
            case "POST", ["reset"]:
                self._reset()
            case "GET", ["calls"]:
                return self.strict.calls
            case "DELETE", ["calls"]:
                self.strict.calls.clear()
            case "POST", ["policy"]:
                return self.strict.seen.check(body)
            case "GET", ["faults"]:
                return self.strict.faults.list
            case "POST", ["faults"]:
                self.strict.faults.add(body)
            case "DELETE", ["faults"]:
                self.strict.faults.clear()
            case "GET", ["held"]:
                return self.strict.faults.holding()
            case "POST", ["release"]:
                self.strict.faults.release(drop=bool(body.get("drop")))
            case "GET", ["delays"]:
                return {name: value for name, value in vars(Delays).items() if isinstance(value, float)}
            case "POST", ["delays"]:
                for name, seconds in body.items():
                    if not hasattr(Delays, name):
                        raise KeyError(name)
                    setattr(Delays, name, float(seconds))
            case "GET", ["resources"]:
                return self.resources()
            case "GET", ["instances"]:
                return {id: instance._state.name for id, instance in self.cloud.instances.items()}
            case "GET", ["hosts"]:
                return {id: {"address": h.address, "private": h.private, "image": h.image} for id, h in self._hosts.hosts.items()}
            case "POST", ["hosts"]:
                return self._new_host(body)
            case "DELETE", ["hosts", id]:
                self._hosts.remove(id)
            case "POST", ["hosts", id, "exec"]:
                return self._hosts.execute(id, body["command"], body.get("stdin", ""))
            case "POST", ["hosts", id, "pause" | "unpause" as what]:
                self._hosts.pause(id, what == "pause")
            case "POST", ["hosts", id, "stop"]:
                self._hosts.stop(id, force=bool(body.get("force")))
            case "POST", ["hosts", id, "reboot"]:
                self._hosts.reboot(id)
            case "POST", ["hosts", id, "start"]:
                host = self._hosts.hosts[id]
                self._hosts.boot(host)
                return {"address": host.address}
            case "POST", ["registry"]:
                return {"address": self._services.registry()}
            case _:
                raise LookupError(f"{method} {'/'.join(path)}")
        return {}

    def _reset(self) -> None:
        """An empty account, no faults, no calls; hosts that are no instances stay, delays too."""
        self.strict.faults.clear()
        self.strict.spot.requests.clear()
        self.cloud.wipe()
        for region in REGIONS:
            backend = ec2_backends[ACCOUNT][region]
            backend.key_pairs.clear()
            backend.addresses.clear()
            for nic in [id for id, nic in backend.enis.items() if not nic.instance]:
                del backend.enis[nic]
            for groups in backend.groups.values():
                for id in [g.id for g in groups.values() if not g.is_default]:
                    del groups[id]
            for volume in list(backend.volumes):
                del backend.volumes[volume]
        self.strict.calls.clear()

    @property
    def _hosts(self) -> Hosts:
        if not self.hosts:
            raise LookupError("this lab was started without hosts")
        return self.hosts

    @property
    def _services(self) -> Services:
        if not self.services:
            raise LookupError("this lab was started without hosts")
        return self.services

    def _new_host(self, body: dict[str, Any]) -> dict[str, Any]:
        image = body.get("image", "debian13")
        if image not in images.IMAGES:
            raise LookupError(f"image {image}: {', '.join(images.IMAGES)}")
        id = f"host-{uuid.uuid4().hex[:8]}"
        data = body.get("user_data")
        host = self._hosts.launch(
            id, image, body.get("user", "debian"), id, base64.b64decode(body["user_data_base64"]) if "user_data_base64" in body else data.encode() if data else None,
            body.get("authorized_keys", []), sudo=body.get("sudo", True), public=body.get("public", True),
        )  # fmt: skip
        return {"id": id, "address": host.address, "private": host.private, "port": 22, "host_keys": self._hosts.host_keys(id)}

    def resources(self) -> dict[str, list[str]]:
        """Everything that the account holds and would pay for or stumble over."""
        held: dict[str, list[str]] = {}
        for region in sorted(REGIONS):
            backend = ec2_backends[ACCOUNT][region]
            reservations = backend.reservations.values()
            found = {
                "instances": [i.id for r in reservations for i in r.instances if i._state.name != "terminated"],
                "volumes": list(backend.volumes),
                "interfaces": list(backend.enis),
                "addresses": [a.allocation_id or a.public_ip for a in backend.addresses],
                "groups": [g.id for groups in backend.groups.values() for g in groups.values() if g.name != "default"],
                "keys": list(backend.key_pairs),
            }
            for kind, ids in found.items():
                held.setdefault(kind, []).extend(ids)
        held["spot"] = [r.id for r in self.strict.spot.requests.values() if r.state in ("open", "active")]
        return held
