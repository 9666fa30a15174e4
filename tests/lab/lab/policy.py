"""What rmachine asked of the account, and whether an IAM policy would have allowed it.

Of IAM's language it knows what `rmachine iam-policy` writes: Allow, actions, resources with `*`, and the conditions
StringEquals, StringEqualsIfExists and ForAllValues:StringEquals. It stands in for AWS's own evaluation, and is none.
"""

from __future__ import annotations

import fnmatch
import json
import threading
from collections.abc import Callable
from typing import Any

from .forms import listed, structures, tag_specifications

OWNER = "rmachine:owner"
TYPES = {
    "i": "instance", "vol": "volume", "sg": "security-group", "eni": "network-interface", "sir": "spot-instances-request",
    "eipalloc": "elastic-ip", "key": "key-pair",
}  # fmt: skip
SERVICES = {"GetParameter": "ssm", "SendSSHPublicKey": "ec2-instance-connect", "GetServiceQuota": "servicequotas"}
MADE = {"RunInstances": ["instance", "volume", "network-interface"], "CreateSecurityGroup": ["security-group"]}
USED = {"RunInstances": ["image", "subnet", "security-group"], "CreateSecurityGroup": ["vpc"]}


class Seen:
    """The calls of rmachine since the lab began, each form once."""

    def __init__(self) -> None:
        self.calls: dict[str, dict[str, Any]] = {}
        self.lock = threading.Lock()

    def add(self, action: str, form: dict[str, str], tags_of: Callable[[str], dict[str, str]]) -> None:
        """Takes a call before it is carried out."""
        for request in requests(action, form, tags_of):
            with self.lock:
                self.calls[json.dumps(request, sort_keys=True)] = request

    def check(self, policy: dict[str, Any]) -> dict[str, Any]:
        """What the policy does not allow; besides, what it is known not to cover."""
        with self.lock:
            calls = list(self.calls.values())
        refused = [call for call in calls if not allows(policy, call)]
        # Of docker-machine's machines nothing carries a tag, and who asks for IMDSv1 has to allow it himself.
        untagged = [call for call in refused if call["untagged"]]
        optional = [call for call in refused if call["context"].get("ec2:MetadataHttpTokens") == "optional"]
        known = untagged + optional
        return {"checked": len(calls), "refused": [call for call in refused if call not in known], "untagged": len(untagged), "optional": len(optional)}


def requests(action: str, form: dict[str, str], tags_of: Callable[[str], dict[str, str]]) -> list[dict[str, Any]]:
    """What IAM is asked for one call: an action, a resource, and the context of the conditions."""
    service = SERVICES.get(action, "ec2")
    name = f"{service}:{action}"
    if action.startswith(("Describe", "Get")) and action != "GetConsoleOutput":
        return [request(name, "*", {})]
    asked = []
    if action in MADE:
        given = tag_specifications(form)
        kinds = MADE[action] + (["spot-instances-request"] if form.get("InstanceMarketOptions.MarketType") == "spot" else [])
        for kind in kinds:
            tags = given.get(kind, {})
            context = request_tags(tags)
            if kind == "instance":
                context["ec2:MetadataHttpTokens"] = form.get("MetadataOptions.HttpTokens", "none")
            asked.append(request(name, arn(kind), context))
            if tags:
                asked.append(request("ec2:CreateTags", arn(kind), request_tags(tags) | {"ec2:CreateAction": action}))
        kinds = USED[action] + (["key-pair"] if form.get("KeyName") else [])
        return asked + [request(name, arn(kind), {}) for kind in kinds]
    context = request_tags({t["Key"]: t.get("Value", "") for t in structures(form, "Tag")}) if action == "CreateTags" else {}
    about = [(TYPES.get(id.rsplit("-", 1)[0], "unknown"), id) for id in targets(form)]
    if action == "DeleteKeyPair" and "KeyName" in form:
        # The one thing that is deleted by its name: docker-machine recorded no id of its key pair.
        about.append(("key-pair", form["KeyName"]))
    for kind, id in about:
        tags = tags_of(id)
        owned = {f"aws:ResourceTag/{OWNER}": "OWNER"} if OWNER in tags else {}
        asked.append(request(name, arn(kind), context | owned, untagged=OWNER not in tags))
    return asked or [request(name, "*", context)]


def request(action: str, resource: str, context: dict[str, Any], untagged: bool = False) -> dict[str, Any]:
    """One question."""
    return {"action": action, "resource": resource, "context": context, "untagged": untagged}


def request_tags(tags: dict[str, str]) -> dict[str, Any]:
    """Tags of a call as context; whoever the owner is, the policy is his."""
    context: dict[str, Any] = {f"aws:RequestTag/{OWNER}": "OWNER"} if OWNER in tags else {}
    # Tags of a user's own choice are many; `Name` stands for them where one is there.
    return context | {"aws:TagKeys": sorted(key for key in tags if key == "Name" or key.startswith("rmachine:"))}


def targets(form: dict[str, str]) -> list[str]:
    """The ids that a call is about."""
    names = ("InstanceId", "VolumeId", "GroupId", "NetworkInterfaceId", "SpotInstanceRequestId", "AllocationId", "KeyPairId", "ResourceId")
    return [id for name in names for id in ([form[name]] if name in form else []) + listed(form, name)]


def arn(kind: str) -> str:
    """Some resource of a type."""
    return f"arn:aws:ec2:us-east-1:{'' if kind == 'image' else '123456789012'}:{kind}/x-1"


def allows(policy: dict[str, Any], call: dict[str, Any]) -> bool:
    """Whether a statement allows the call."""
    return any(fits(statement, call) for statement in policy["Statement"] if statement["Effect"] == "Allow")


def fits(statement: dict[str, Any], call: dict[str, Any]) -> bool:
    """Whether action, resource and all conditions of a statement fit."""
    if not any(fnmatch.fnmatchcase(call["action"], action) for action in many(statement["Action"])):
        return False
    if not any(fnmatch.fnmatchcase(call["resource"], resource) for resource in many(statement["Resource"])):
        return False
    context = call["context"]
    for operator, keys in statement.get("Condition", {}).items():
        for key, wanted in keys.items():
            has = context.get(key)
            if operator == "ForAllValues:StringEquals":
                good = all(value in many(wanted) for value in has or [])
            elif operator == "StringEqualsIfExists":
                good = has is None or has in many(wanted)
            elif operator == "StringEquals":
                good = has in many(wanted)
            else:
                raise ValueError(f"unknown condition {operator}")
            if not good:
                return False
    return True


def many(value: Any) -> list[Any]:
    """A list, also of one."""
    return value if isinstance(value, list) else [value]
