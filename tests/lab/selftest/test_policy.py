"""The stand-in for IAM's evaluation."""

from __future__ import annotations

from typing import Any

from lab.policy import OWNER, Seen, allows, requests

OWN = {"StringEquals": {f"aws:ResourceTag/{OWNER}": ["OWNER"]}}


def policy(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": [{"Effect": "Allow"} | statement for statement in statements]}


def test_a_condition_on_a_tag_holds_for_what_carries_it() -> None:
    allowed = policy({"Action": ["ec2:TerminateInstances"], "Resource": "arn:aws:ec2:*:*:instance/*", "Condition": OWN})
    ours = requests("TerminateInstances", {"InstanceId.1": "i-1"}, lambda _: {OWNER: "5f0c"})
    theirs = requests("TerminateInstances", {"InstanceId.1": "i-1"}, lambda _: {})
    other = requests("StopInstances", {"InstanceId.1": "i-1"}, lambda _: {OWNER: "5f0c"})
    assert [[allows(allowed, call) for call in calls] for calls in (ours, theirs, other)] == [[True], [False], [False]]


def test_a_key_pair_is_known_by_its_name_too() -> None:
    """docker-machine recorded no id, and tagged none of its key pairs."""
    allowed = policy({"Action": ["ec2:DeleteKeyPair"], "Resource": "arn:aws:ec2:*:*:key-pair/*", "Condition": OWN})
    ours = requests("DeleteKeyPair", {"KeyName": "ci"}, lambda _: {OWNER: "5f0c"})
    theirs = requests("DeleteKeyPair", {"KeyName": "ci"}, lambda _: {})
    assert [(allows(allowed, call), call["untagged"]) for call in ours + theirs] == [(True, False), (False, True)]


def test_a_launch_asks_for_each_thing_and_for_its_tags() -> None:
    form = {"TagSpecification.1.ResourceType": "instance", "TagSpecification.1.Tag.1.Key": OWNER, "TagSpecification.1.Tag.1.Value": "5f0c",
            "MetadataOptions.HttpTokens": "required"}  # fmt: skip
    asked = [(call["action"], call["resource"].split(":")[5].split("/")[0]) for call in requests("RunInstances", form, lambda _: {})]
    assert ("ec2:CreateTags", "instance") in asked
    assert {kind for action, kind in asked if action == "ec2:RunInstances"} == {"instance", "volume", "network-interface", "image", "subnet", "security-group"}


def test_what_is_not_allowed_is_named() -> None:
    seen = Seen()
    seen.add("DescribeInstances", {}, lambda _: {})
    seen.add("DeleteVolume", {"VolumeId": "vol-1"}, lambda _: {OWNER: "5f0c"})
    seen.add("DeleteVolume", {"VolumeId": "vol-2"}, lambda _: {})
    found = seen.check(policy({"Action": "ec2:Describe*", "Resource": "*"}))
    assert (found["checked"], found["untagged"], [call["action"] for call in found["refused"]]) == (3, 1, ["ec2:DeleteVolume"])
