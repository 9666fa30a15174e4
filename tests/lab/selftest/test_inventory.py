"""What an inventory of the account asks, and what it takes away."""

from __future__ import annotations

import datetime
import time
from typing import Any

import pytest
from conftest import Lab, code

OWNER = [{"Key": "rmachine:owner", "Value": "me"}]


def tagged(kind: str) -> dict[str, Any]:
    return {"TagSpecifications": [{"ResourceType": kind, "Tags": OWNER}]}


def make(lab: Lab, kind: str, **tags: Any) -> str:
    """One thing of a kind, by the call that makes it."""
    ec2 = lab.ec2
    match kind:
        case "address":
            return ec2.allocate_address(Domain="vpc", **tags)["AllocationId"]
        case "key":
            return ec2.create_key_pair(KeyName=f"key-{len(tags)}", **tags)["KeyPairId"]
        case "interface":
            subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
            return ec2.create_network_interface(SubnetId=subnet, **tags)["NetworkInterface"]["NetworkInterfaceId"]
        case "group":
            return lab.group(f"group-{len(tags)}", **tags)
        case "volume":
            return ec2.create_volume(Size=1, AvailabilityZone="us-east-1a", **tags)["VolumeId"]
        case _:
            id = lab.run(InstanceMarketOptions={"MarketType": "spot"}, **tags)
            return lab.instance(id)["SpotInstanceRequestId"]


def found(lab: Lab, kind: str, name: str, value: str) -> list[str]:
    call, key, id = {
        "address": ("describe_addresses", "Addresses", "AllocationId"),
        "key": ("describe_key_pairs", "KeyPairs", "KeyPairId"),
        "interface": ("describe_network_interfaces", "NetworkInterfaces", "NetworkInterfaceId"),
        "group": ("describe_security_groups", "SecurityGroups", "GroupId"),
        "volume": ("describe_volumes", "Volumes", "VolumeId"),
        "spot": ("describe_spot_instance_requests", "SpotInstanceRequests", "SpotInstanceRequestId"),
    }[kind]
    return [one[id] for one in getattr(lab.ec2, call)(Filters=[{"Name": name, "Values": [value]}])[key]]


TYPES = {
    "address": "elastic-ip", "key": "key-pair", "interface": "network-interface", "group": "security-group", "volume": "volume",
    "spot": "spot-instances-request",
}  # fmt: skip


@pytest.mark.parametrize("kind", TYPES)
def test_filters_by_tag(lab: Lab, kind: str) -> None:
    mine, other = make(lab, kind, **tagged(TYPES[kind])), make(lab, kind)
    assert found(lab, kind, "tag-key", "rmachine:owner") == [mine]
    assert found(lab, kind, "tag:rmachine:owner", "me") == [mine]
    assert found(lab, kind, "tag:rmachine:owner", "you") == []
    lab.ec2.create_tags(Resources=[mine, other], Tags=[{"Key": "rmachine:owner", "Value": "you"}])
    assert set(found(lab, kind, "tag:rmachine:owner", "you")) == {mine, other}
    lab.ec2.delete_tags(Resources=[other], Tags=[{"Key": "rmachine:owner"}])
    assert found(lab, kind, "tag-key", "rmachine:owner") == [mine]


def test_what_is_not_there_takes_no_tags(lab: Lab) -> None:
    for id, refused in {
        "i-0123456789abcdef0": "InvalidInstanceID.NotFound", "sir-00000000": "InvalidSpotInstanceRequestID.NotFound",
        "vol-0123456789abcdef0": "InvalidVolume.NotFound", "sg-0123456789abcdef0": "InvalidGroup.NotFound",
    }.items():  # fmt: skip
        assert code(lab.ec2.create_tags, Resources=[id], Tags=OWNER) == refused


def test_the_resources_of_the_account_name_them_all(lab: Lab) -> None:
    made = {kind: make(lab, kind) for kind in TYPES if kind != "spot"}
    held = lab.control("GET", "resources")
    assert held["addresses"] == [made["address"]] and held["groups"] == [made["group"]] and held["keys"] == ["key-0"]
    assert held["interfaces"] == [made["interface"]] and held["volumes"] == [made["volume"]]
    lab.control("POST", "reset")
    assert not any(lab.control("GET", "resources").values())


def test_regions(lab: Lab) -> None:
    names = [region["RegionName"] for region in lab.ec2.describe_regions()["Regions"]]
    assert names == ["ap-southeast-2", "eu-central-1", "eu-west-1", "us-east-1", "us-west-2"]
    for name in names:
        assert lab.client("ec2", region=name).describe_vpcs()["Vpcs"]
    assert len(lab.ec2.describe_regions(RegionNames=["eu-west-1"])["Regions"]) == 1
    assert code(lab.ec2.describe_regions, RegionNames=["mars-1"]) == "InvalidParameterValue"


def test_account_attributes(lab: Lab) -> None:
    found = lab.ec2.describe_account_attributes(AttributeNames=["default-vpc", "max-instances"])["AccountAttributes"]
    values = {one["AttributeName"]: one["AttributeValues"][0]["AttributeValue"] for one in found}
    assert values == {"default-vpc": lab.ec2.describe_vpcs()["Vpcs"][0]["VpcId"], "max-instances": "20"}
    assert len(lab.ec2.describe_account_attributes()["AccountAttributes"]) >= 5
    assert code(lab.ec2.describe_account_attributes, AttributeNames=["max-horses"]) == "InvalidParameterValue"


def test_key_pairs_by_id(lab: Lab) -> None:
    id, name = make(lab, "key"), "key-0"
    lab.ec2.create_key_pair(KeyName="another")
    assert [k["KeyName"] for k in lab.ec2.describe_key_pairs(KeyPairIds=[id])["KeyPairs"]] == [name]
    assert code(lab.ec2.describe_key_pairs, KeyPairIds=["key-0123456789abcdef0"]) == "InvalidKeyPair.NotFound"
    lab.ec2.delete_key_pair(KeyPairId=id)
    assert lab.control("GET", "resources")["keys"] == ["another"]
    for words in ({"KeyPairId": id}, {"KeyName": "another"}, {"KeyName": "another"}):
        lab.ec2.delete_key_pair(**words)
    assert lab.control("GET", "resources")["keys"] == []


def test_an_address_in_use_is_not_released(lab: Lab) -> None:
    id, instance = make(lab, "address"), lab.run()
    association = lab.ec2.associate_address(AllocationId=id, InstanceId=instance)["AssociationId"]
    assert code(lab.ec2.release_address, AllocationId=id) == "InvalidIPAddress.InUse"
    lab.ec2.disassociate_address(AssociationId=association)
    lab.ec2.release_address(AllocationId=id)
    assert code(lab.ec2.release_address, AllocationId=id) == "InvalidAllocationID.NotFound"
    assert lab.control("GET", "resources")["addresses"] == []


def test_instance_attributes(lab: Lab) -> None:
    id = lab.run(DisableApiTermination=True)
    read = lambda name: lab.ec2.describe_instance_attribute(InstanceId=id, Attribute=name)  # noqa: E731
    assert read("disableApiTermination")["DisableApiTermination"] == {"Value": True}
    assert read("instanceType")["InstanceType"] == {"Value": "t3.micro"}
    assert code(lab.ec2.terminate_instances, InstanceIds=[id]) == "OperationNotPermitted"
    lab.ec2.modify_instance_attribute(InstanceId=id, DisableApiTermination={"Value": False})
    assert read("disableApiTermination")["DisableApiTermination"] == {"Value": False}
    lab.terminate(id)
    unknown = {"InstanceId": "i-0123456789abcdef0", "Attribute": "userData"}
    assert code(lab.ec2.describe_instance_attribute, **unknown) == "InvalidInstanceID.NotFound"


def test_spot_prices(lab: Lab) -> None:
    ask = lambda **words: lab.ec2.describe_spot_price_history(**words)["SpotPriceHistory"]  # noqa: E731
    prices = ask(InstanceTypes=["t3.micro"], ProductDescriptions=["Linux/UNIX"], AvailabilityZone="us-east-1b")
    assert [(p["InstanceType"], p["AvailabilityZone"], p["ProductDescription"]) for p in prices] == [("t3.micro", "us-east-1b", "Linux/UNIX")]
    age = datetime.datetime.now(datetime.UTC) - prices[0]["Timestamp"]
    assert float(prices[0]["SpotPrice"]) > 0 and abs(age.total_seconds()) < 60
    assert ask(InstanceTypes=["t3.micro"], ProductDescriptions=["Windows"]) == []
    assert code(lab.ec2.describe_spot_price_history, InstanceTypes=["t9.huge"]) == "InvalidParameterValue"


def test_a_spot_request_tells_when_it_was_made(lab: Lab) -> None:
    request = make(lab, "spot")
    made = lab.ec2.describe_spot_instance_requests(SpotInstanceRequestIds=[request])["SpotInstanceRequests"][0]["CreateTime"]
    assert abs(made.timestamp() - time.time()) < 60


def test_an_interface_in_use_stays(lab: Lab) -> None:
    id = lab.run()
    nic = lab.instance(id)["NetworkInterfaces"][0]["NetworkInterfaceId"]
    assert code(lab.ec2.delete_network_interface, NetworkInterfaceId=nic) == "InvalidParameterValue"
    lab.terminate(id)
    assert lab.control("GET", "resources")["interfaces"] == []
