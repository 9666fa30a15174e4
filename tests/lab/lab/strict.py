"""The EC2 endpoint: WSGI middleware before moto that is as strict as EC2, and as faulty as a test asks.

A call goes through faults (faults.py), credentials (auth.py), the rules (rules.py, launch.py, tokens.py)
and then to moto, or to spot.py, which moto has no equal of.
"""

from __future__ import annotations

import io
import json
import re
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterable
from typing import Any

from moto.ec2.models import ec2_backends

from . import auth, connect, console, inventory, launch, policy, rules
from .auth import ACCESS_KEY, ACCOUNT, REGIONS, SECRET_KEY  # noqa: F401 - the lab's other modules have them from here
from .ec2 import Cloud, Delays
from .errors import Answer, Dropped, Refused, Start, refusal
from .faults import Faults
from .forms import listed, structures, tag_specifications, truth
from .spot import Spot
from .tokens import Tokens

UNLOGGED = {"UserData", "Version", "PublicKeyMaterial", "SSHPublicKey"}


class Strict:
    """The middleware."""

    def __init__(self, moto: Callable[..., Iterable[bytes]], cloud: Cloud, faults: Faults) -> None:
        self.moto = moto
        self.cloud = cloud
        self.faults = faults
        self.spot = Spot(cloud, self._relaunch)
        self.tokens = Tokens()
        self.calls: list[dict[str, Any]] = []
        self.seen = policy.Seen()
        self.groups_made: dict[str, float] = {}
        self.lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        target = environ.get("HTTP_X_AMZ_TARGET", "")
        form = parameters(body, target != "")
        action = form.pop("Action", "") or target.rpartition(".")[2] or "?"
        record: dict[str, Any] = {"action": action, "time": time.time(), "token": form.get("ClientToken"), "code": None,
                  "parameters": {k: v for k, v in form.items() if k not in UNLOGGED}}  # fmt: skip
        with self.lock:
            self.calls.append(record)
        try:
            fault = self.faults.take(action)
            if not self.faults.hold(fault, "before", action):
                raise Dropped
            if fault.get("delay"):
                time.sleep(float(fault["delay"]))
            if fault.get("error"):
                status = int(fault.get("status", 503 if "Limit" in fault["error"] else 400))
                raise Refused(fault["error"], fault.get("message", "by order of the test"), status)
            if fault.get("reset"):
                raise Dropped
            region = auth.check(environ, body)
            record["region"] = region
            # What tests and the lab itself ask is theirs.
            if "aws-sdk-rust" in environ.get("HTTP_USER_AGENT", ""):
                self.seen.add(action, form, lambda id: self._tags_of(id, region))
            self.cloud.asking.outside = action != "RunInstances"
            status_line, headers, answer = self._answer(environ, body, action, form, region)
            record["code"] = int(status_line.split()[0])
            if record["code"] >= 400 and (code := re.search(rb"<Code>(.*?)</Code>", answer)):
                record["error"] = code[1].decode()
            if not self.faults.hold(fault, "after", action) or fault.get("drop_answer"):
                raise Dropped
            start(status_line, headers)
            return [answer]
        except Refused as no:
            record["code"], record["error"] = no.status, no.code
            return refusal(no, target != "", start)
        except Dropped:
            record["error"] = "dropped"
            environ["lab.drop"]()
            return []
        finally:
            self.cloud.asking.outside = False

    def _answer(self, environ: dict[str, Any], body: bytes, action: str, form: dict[str, str], region: str) -> Answer:
        backend = ec2_backends[ACCOUNT][region]
        rules.check(action, form, backend, self.cloud.instances)
        self._check_groups_are_visible(form)
        if action == "SendSSHPublicKey":
            return connect.send(form, backend, self.cloud)
        if action == "GetConsoleOutput":
            return console.output(form, backend, self.cloud)
        if action in ("CreateTags", "DeleteTags"):
            inventory.check_tagged(form, backend, self.cloud.instances, self.spot.requests, region)
        if own := self.spot.answer(action, form, region):
            return own
        if action == "RunInstances":
            zone = launch.check(form, backend)
            return self.tokens.once(region, zone, form, self.cloud.instances, lambda: self._run(environ, body, form, region))
        if action == "StopInstances":
            for id in listed(form, "InstanceId"):
                if id in self.cloud.instances:
                    self.cloud.instances[id].lab_force = form.get("Force") == "true"  # type: ignore[attr-defined]
        answer = self._moto(environ)
        if not answer[0].startswith("200"):
            return answer
        if "SecurityGroup" in action or action.startswith("Modify"):
            self.cloud.refresh_rules()
        if action in ("CreateTags", "DeleteTags"):
            inventory.tag_spot_requests(action, form, self.spot.requests)
        if action == "CreateSecurityGroup" and (made := re.search(rb"<groupId>(.*?)</groupId>", answer[2])):
            self.groups_made[made[1].decode()] = time.monotonic()
        if action in ("TerminateInstances", "StopInstances", "StartInstances"):
            self.spot.changed(action, listed(form, "InstanceId"))
        return answer

    def _tags_of(self, id: str, region: str) -> dict[str, str]:
        if request := self.spot.requests.get(id):
            return request.tags
        backend = ec2_backends[ACCOUNT][region]
        pair = backend.key_pairs.get(id)  # by its name
        return dict(backend.tags.get(pair.id if pair else id, {}))

    def _check_groups_are_visible(self, form: dict[str, str]) -> None:
        """A group is not known everywhere at once; only when a test asks for the delay."""
        if Delays.group_visible:
            for value in form.values():
                if time.monotonic() - self.groups_made.get(value, float("-inf")) < Delays.group_visible:
                    raise Refused("InvalidGroup.NotFound", f"The security group '{value}' does not exist")

    def _run(self, environ: dict[str, Any], body: bytes, form: dict[str, str], region: str) -> Answer:
        answer = self._moto(environ)
        if answer[0].startswith("200"):
            made = [self.cloud.instances[id.decode()] for id in re.findall(rb"<instanceId>(i-[0-9a-f]+)</instanceId>", answer[2])]
            tags = tag_specifications(form)
            for instance in made:
                instance.lab_reservation = (re.search(rb"<reservationId>(.*?)</reservationId>", answer[2]) or [b"", b""])[1].decode()  # type: ignore[attr-defined]
                for nic in instance.nics.values():
                    nic.add_tags(tags.get("network-interface", {}))
                instance.disable_api_termination = truth(form.get("DisableApiTermination"))
                self._volume_figures(instance, form, region)
                instance.lab_made.set()  # type: ignore[attr-defined]
            if launch.is_spot(form):
                self.spot.requested(made, form, tags.get("spot-instances-request", {}), region, (environ, body))
        return answer

    @staticmethod
    def _volume_figures(instance: Any, form: dict[str, str], region: str) -> None:
        """IOPS and throughput of the volumes, which moto's run_instances drops."""
        volumes = {name: ec2_backends[ACCOUNT][region].volumes[b.volume_id] for name, b in instance.block_device_mapping.items()}
        for volume in volumes.values():
            if volume.volume_type == "gp3":
                volume.throughput = volume.throughput or 125
        for mapping in structures(form, "BlockDeviceMapping"):
            if named := volumes.get(mapping.get("DeviceName", "")):
                named.iops = int(mapping.get("Ebs.Iops") or named.iops or 0) or None
                named.throughput = int(mapping.get("Ebs.Throughput") or named.throughput or 0) or None

    def _relaunch(self, request: tuple[dict[str, Any], bytes]) -> Any:
        """Launches again what a persistent spot request asks for."""
        environ, body = request
        kept = [(k, v) for k, v in urllib.parse.parse_qsl(body.decode(), keep_blank_values=True) if k != "ClientToken"]
        again = urllib.parse.urlencode(kept).encode()
        answer = self._moto({**environ, "wsgi.input": io.BytesIO(again), "CONTENT_LENGTH": str(len(again))})
        id = re.search(rb"<instanceId>(i-[0-9a-f]+)</instanceId>", answer[2])
        if not id:
            return None
        instance: Any = self.cloud.instances[id[1].decode()]
        instance.lab_made.set()
        return instance

    def _moto(self, environ: dict[str, Any]) -> Answer:
        taken: dict[str, Any] = {}

        def start(status: str, headers: list[tuple[str, str]], _: object = None) -> None:
            taken.update(status=status, headers=headers)

        environ = {k: v for k, v in environ.items() if k != "HTTP_X_FORWARDED_PROTO"}
        answer = b"".join(self.moto(environ, start))
        return taken["status"], taken["headers"], answer


def parameters(body: bytes, is_json: bool) -> dict[str, str]:
    """The parameters of a call: EC2's are a form, those of SSM and EC2 Instance Connect JSON."""
    if not is_json:
        return {k: v[0] for k, v in urllib.parse.parse_qs(body.decode(errors="replace"), keep_blank_values=True).items()}
    try:
        return {k: v for k, v in json.loads(body).items() if isinstance(v, str)}
    except (ValueError, AttributeError):
        return {}
