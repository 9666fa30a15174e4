"""What EC2 refuses and moto lets pass, and the faults that a test asks for.

Sits before moto as WSGI middleware. Rules and codes: docs.aws.amazon.com/ec2/latest/devguide,
"Error codes for the Amazon EC2 API", "Ensuring idempotency".
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import random
import re
import threading
import time
import urllib.parse
import uuid
from collections.abc import Callable, Iterable
from typing import Any
from xml.sax.saxutils import escape

from moto.ec2.models import ec2_backends

from .ec2 import Cloud
from .spot import Spot

ACCOUNT = "123456789012"
ACCESS_KEY, SECRET_KEY = "AKIARMACHINELAB00001", "rmachine-lab-secret-key-0000000000000000"
REGIONS = {"us-east-1", "us-west-2", "eu-central-1", "eu-west-1", "ap-southeast-2"}
UNSIGNED = {"Signature", "X-Amz-Date", "Version"}

Start = Callable[..., Any]


class Refused(Exception):
    """An answer of EC2's own form that says no."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code, self.message, self.status = code, message, status


class Dropped(Exception):
    """The connection ends here, without an answer."""


class Strict:
    """The middleware."""

    def __init__(self, moto: Callable[..., Iterable[bytes]], cloud: Cloud) -> None:
        self.moto = moto
        self.cloud = cloud
        self.spot = Spot(cloud)
        self.calls: list[dict[str, Any]] = []
        self.faults: list[dict[str, Any]] = []
        self.tokens: dict[tuple[str, str], tuple[str, bytes]] = {}
        self.token_locks: dict[tuple[str, str], threading.Lock] = {}
        self.lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        form = {k: v[0] for k, v in urllib.parse.parse_qs(body.decode(errors="replace"), keep_blank_values=True).items()}
        target = environ.get("HTTP_X_AMZ_TARGET", "")
        action = form.get("Action") or target.rpartition(".")[2] or "?"
        record = {"action": action, "time": time.time(), "token": form.get("ClientToken"), "code": None}
        with self.lock:
            self.calls.append(record)
        try:
            fault = self._fault(action)
            if fault.get("delay"):
                time.sleep(float(fault["delay"]))
            if fault.get("error"):
                raise Refused(fault["error"], fault.get("message", "by order of the test"), int(fault.get("status", 503 if "Limit" in fault["error"] else 400)))
            if fault.get("reset"):
                raise Dropped
            region = self._check_credentials(environ, body)
            status, headers, answer = self._answer(environ, action, form, region)
            record["code"] = int(status.split()[0])
            if record["code"] >= 400 and (code := re.search(rb"<Code>(.*?)</Code>", answer)):
                record["error"] = code[1].decode()
            if fault.get("drop_answer"):
                raise Dropped
            start(status, headers)
            return [answer]
        except Refused as no:
            record["code"], record["error"] = no.status, no.code
            return refusal(no, target != "", start)
        except Dropped:
            record["error"] = "dropped"
            environ["lab.drop"]()
            return []

    # --- faults -------------------------------------------------------------------------------------

    def _fault(self, action: str) -> dict[str, Any]:
        """The first scripted fault that fits; `nth` counts fitting calls from 1, `times` bounds its use."""
        with self.lock:
            for fault in self.faults:
                if fault.get("action", "*") not in ("*", action):
                    continue
                fault["seen"] = fault.get("seen", 0) + 1
                if fault.get("nth") and fault["seen"] != fault["nth"]:
                    continue
                if fault.get("times") is not None and fault.get("used", 0) >= fault["times"]:
                    continue
                if random.random() >= float(fault.get("rate", 1)):
                    continue
                fault["used"] = fault.get("used", 0) + 1
                return fault
        return {}

    # --- who asks -------------------------------------------------------------------------------------

    def _check_credentials(self, environ: dict[str, Any], body: bytes) -> str:
        header = environ.get("HTTP_AUTHORIZATION", "")
        found = re.match(r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d+)/([^/]+)/(\w+)/aws4_request, SignedHeaders=([^,]+), Signature=(\w+)", header)
        if not found:
            raise Refused("MissingAuthenticationToken", "Request is missing Authentication Token", 403)
        key, date, region, service, names, signature = found.groups()
        token = environ.get("HTTP_X_AMZ_SECURITY_TOKEN")
        if token == "expired":
            raise Refused("RequestExpired", "Request has expired.", 400)
        if region not in REGIONS:
            raise Refused("AuthFailure", f"Credential should be scoped to a valid region, not '{region}'.", 401)
        if key != ACCESS_KEY:
            raise Refused("AuthFailure", "AWS was not able to validate the provided access credentials", 401)
        if signature != sign(environ, body, date, region, service, names):
            raise Refused("SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method.", 403)
        return region

    # --- what it asks ----------------------------------------------------------------------------------

    def _answer(self, environ: dict[str, Any], action: str, form: dict[str, str], region: str) -> tuple[str, list[tuple[str, str]], bytes]:
        if own := self.spot.answer(action, form):
            return own
        if action == "RunInstances":
            token = form.get("ClientToken")
            if not token:
                return self._run(environ, form, region)
            with self.lock:
                lock = self.token_locks.setdefault((region, token), threading.Lock())
            with lock:
                digest = json.dumps(sorted((k, v) for k, v in form.items() if k not in UNSIGNED))
                digest = hashlib.sha256(digest.encode()).hexdigest()
                if known := self.tokens.get((region, token)):
                    if known[0] != digest:
                        raise Refused("IdempotentParameterMismatch", "Arguments on this idempotent request are inconsistent with arguments used in previous request(s).")
                    return "200 OK", [("Content-Type", "text/xml")], known[1]
                answer = self._run(environ, form, region)
                if answer[0].startswith("200"):
                    self.tokens[(region, token)] = (digest, answer[2])
                return answer
        if action == "DeleteSecurityGroup":
            self._check_group_is_free(form, region)
        if action == "StopInstances":
            for name, id in form.items():
                if name.startswith("InstanceId.") and id in self.cloud.instances:
                    self.cloud.instances[id].lab_force = form.get("Force") == "true"  # type: ignore[attr-defined]
        answer = self._moto(environ)
        if "SecurityGroup" in action or action == "ModifyInstanceAttribute":
            self.cloud.refresh_rules()
        if action == "TerminateInstances":
            self.spot.ended([id for name, id in form.items() if name.startswith("InstanceId.")])
        return answer

    def _run(self, environ: dict[str, Any], form: dict[str, str], region: str) -> tuple[str, list[tuple[str, str]], bytes]:
        backend = ec2_backends[ACCOUNT][region]
        image = form.get("ImageId", "")
        if not re.fullmatch(r"ami-[0-9a-f]{8,17}", image):
            raise Refused("InvalidAMIID.Malformed", f'Invalid id: "{image}" (expecting "ami-...")')
        if image not in backend.amis:
            raise Refused("InvalidAMIID.NotFound", f"The image id '[{image}]' does not exist")
        key = form.get("KeyName")
        if key and key not in backend.keypairs:
            raise Refused("InvalidKeyPair.NotFound", f"The key pair '{key}' does not exist")
        if data := form.get("UserData"):
            if len(base64.b64decode(data)) > 16384:
                raise Refused("InvalidParameterValue", "User data is limited to 16384 bytes")
        if form.get("IamInstanceProfile.Name") == "missing":
            raise Refused("InvalidParameterValue", "Value (missing) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name")
        before = set(self.cloud.instances)
        answer = self._moto(environ)
        if answer[0].startswith("200"):
            made = [self.cloud.instances[id] for id in set(self.cloud.instances) - before if id.encode() in answer[2]]
            tags = tag_specifications(form)
            for instance in made:
                for nic in instance.nics.values():
                    nic.add_tags(tags.get("network-interface", {}))
            if form.get("InstanceMarketOptions.MarketType") == "spot":
                self.spot.requested(made, form, tags.get("spot-instances-request", {}))
        return answer

    def _check_group_is_free(self, form: dict[str, str], region: str) -> None:
        group = form.get("GroupId")
        for instance in self.cloud.instances.values():
            ids = {g.id for g in instance.security_groups} | {g.id for nic in instance.nics.values() for g in nic.group_set}
            if group in ids and instance._state.name != "terminated":
                raise Refused("DependencyViolation", f"resource {group} has a dependent object")

    def _moto(self, environ: dict[str, Any]) -> tuple[str, list[tuple[str, str]], bytes]:
        taken: dict[str, Any] = {}

        def start(status: str, headers: list[tuple[str, str]], _: object = None) -> None:
            taken.update(status=status, headers=headers)

        answer = b"".join(self.moto(environ, start))
        return taken["status"], taken["headers"], answer


def tag_specifications(form: dict[str, str]) -> dict[str, dict[str, str]]:
    """Tags by resource type."""
    tags: dict[str, dict[str, str]] = {}
    for name, kind in form.items():
        if found := re.fullmatch(r"TagSpecification\.(\d+)\.ResourceType", name):
            prefix = f"TagSpecification.{found[1]}.Tag."
            numbers = {n[len(prefix) :].split(".")[0] for n in form if n.startswith(prefix)}
            tags.setdefault(kind, {}).update({form[f"{prefix}{n}.Key"]: form.get(f"{prefix}{n}.Value", "") for n in numbers})
    return tags


def refusal(no: Refused, is_json: bool, start: Start) -> Iterable[bytes]:
    """The answer to a refused call, as EC2 (XML) or SSM (JSON) has it."""
    request = uuid.uuid4()
    if is_json:
        text, kind = json.dumps({"__type": no.code, "message": no.message}), "application/x-amz-json-1.1"
    else:
        kind = "text/xml"
        text = (
            f"<?xml version='1.0' encoding='UTF-8'?><Response><Errors><Error><Code>{no.code}</Code>"
            f"<Message>{escape(no.message)}</Message></Error></Errors><RequestID>{request}</RequestID></Response>"
        )
    start(f"{no.status} Refused", [("Content-Type", kind)])
    return [text.encode()]


def sign(environ: dict[str, Any], body: bytes, date: str, region: str, service: str, names: str) -> str:
    """The signature that the request should have (AWS Signature Version 4)."""
    import hmac

    headers = ""
    for name in names.split(";"):
        variable = {"content-type": "CONTENT_TYPE", "content-length": "CONTENT_LENGTH"}.get(name, "HTTP_" + name.upper().replace("-", "_"))
        headers += f"{name}:{' '.join(environ.get(variable, '').split())}\n"
    path = urllib.parse.quote(environ.get("PATH_INFO", "/"), safe="/-_.~")
    query = "&".join(sorted(environ.get("QUERY_STRING", "").split("&"))) if environ.get("QUERY_STRING") else ""
    canonical = "\n".join([environ["REQUEST_METHOD"], path, query, headers, names, hashlib.sha256(body).hexdigest()])
    scope = f"{date}/{region}/{service}/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", environ.get("HTTP_X_AMZ_DATE", ""), scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = f"AWS4{SECRET_KEY}".encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
