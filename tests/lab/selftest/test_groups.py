"""Security groups: names, rules, and what EC2 refuses of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from conftest import Lab, code


@pytest.fixture
def group(lab: Lab) -> Iterator[str]:
    id = lab.group("rules")
    yield id
    lab.ec2.delete_security_group(GroupId=id)


def tcp(port: int, *sources: str, last: int | None = None) -> dict[str, Any]:
    return {"IpProtocol": "tcp", "FromPort": port, "ToPort": last or port, "IpRanges": [{"CidrIp": s} for s in sources]}


def have(lab: Lab, group: str) -> set[tuple[int, str]]:
    found = lab.ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]["IpPermissions"]
    return {(p["FromPort"], r["CidrIp"]) for p in found for r in p["IpRanges"]}


def test_a_duplicate_refuses_the_whole_call(lab: Lab, group: str) -> None:
    lab.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[tcp(22, "127.0.0.1/32")])
    both = [tcp(2376, "127.0.0.1/32"), tcp(22, "127.0.0.1/32")]
    assert code(lab.ec2.authorize_security_group_ingress, GroupId=group, IpPermissions=both) == "InvalidPermission.Duplicate"
    assert have(lab, group) == {(22, "127.0.0.1/32")}


def test_replacing_a_rule(lab: Lab, group: str) -> None:
    lab.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[tcp(22, "127.0.0.1/32"), tcp(2376, "127.0.0.1/32")])
    lab.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[tcp(22, "127.0.0.2/32")])
    lab.ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=[tcp(22, "127.0.0.1/32")])
    assert have(lab, group) == {(22, "127.0.0.2/32"), (2376, "127.0.0.1/32")}
    assert code(lab.ec2.revoke_security_group_ingress, GroupId=group, IpPermissions=[tcp(22, "127.0.0.1/32")]) == "InvalidPermission.NotFound"


@pytest.mark.parametrize(
    ("permission", "refusal"),
    [
        (tcp(22, "127.0.0.1"), "InvalidParameterValue"),
        (tcp(22, "localhost/32"), "InvalidParameterValue"),
        (tcp(2376, "127.0.0.1/32", last=22), "InvalidParameterValue"),
        ({"IpProtocol": "tcp", "IpRanges": [{"CidrIp": "127.0.0.1/32"}]}, "MissingParameter"),
        ({**tcp(22), "IpRanges": [{"CidrIp": "127.0.0.1/32", "Description": "naïve"}]}, "InvalidParameterValue"),
    ],
)
def test_bad_rules(lab: Lab, group: str, permission: dict[str, Any], refusal: str) -> None:
    assert code(lab.ec2.authorize_security_group_ingress, GroupId=group, IpPermissions=[permission]) == refusal
    assert have(lab, group) == set()


def test_ipv6_rules_are_kept(lab: Lab, group: str) -> None:
    permission = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "Ipv6Ranges": [{"CidrIpv6": "2001:db8::1/128"}]}
    lab.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[permission])
    found = lab.ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]["IpPermissions"]
    assert found[0]["Ipv6Ranges"] == [{"CidrIpv6": "2001:db8::1/128"}]
    assert code(lab.ec2.authorize_security_group_ingress, GroupId=group, IpPermissions=[permission]) == "InvalidPermission.Duplicate"


def test_unknown_groups(lab: Lab) -> None:
    nobody = "sg-0123456789abcdef0"
    assert code(lab.ec2.authorize_security_group_ingress, GroupId=nobody, IpPermissions=[tcp(22, "127.0.0.1/32")]) == "InvalidGroup.NotFound"
    assert code(lab.ec2.revoke_security_group_ingress, GroupId=nobody, IpPermissions=[tcp(22, "127.0.0.1/32")]) == "InvalidGroup.NotFound"
    assert code(lab.ec2.describe_security_groups, GroupIds=[nobody]) == "InvalidGroup.NotFound"
    assert code(lab.ec2.delete_security_group, GroupId="rules") == "InvalidGroupId.Malformed"


def test_names(lab: Lab, group: str) -> None:
    assert code(lab.group, "rules") == "InvalidGroup.Duplicate"
    assert code(lab.group, "sg-mine") == "InvalidParameterValue"
    assert code(lab.group, "naïve") == "InvalidParameterValue"
    assert code(lab.group, "fine", VpcId="vpc-0123456789abcdef0") == "InvalidVpcID.NotFound"
    assert code(lab.ec2.create_security_group, GroupName="x", Description="it's | not") == "InvalidParameterValue"


def test_the_default_group_stays(lab: Lab) -> None:
    default = lab.ec2.describe_security_groups(Filters=[{"Name": "group-name", "Values": ["default"]}])["SecurityGroups"][0]
    assert code(lab.ec2.delete_security_group, GroupId=default["GroupId"]) == "CannotDelete"
