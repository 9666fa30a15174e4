"""What rmachine looks up before it creates anything, and paging."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Lab, code

CANONICAL, DEBIAN = "099720109477", "136693071363"
UBUNTU = "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-{}-server-*"


@pytest.mark.parametrize(("architecture", "word"), [("x86_64", "amd64"), ("arm64", "arm64")])
def test_newest_image_by_owner_name_and_architecture(lab: Lab, architecture: str, word: str) -> None:
    wanted = {"name": [UBUNTU.format("*")], "architecture": [architecture], "state": ["available"]}
    found = lab.ec2.describe_images(Owners=[CANONICAL], Filters=[{"Name": k, "Values": v} for k, v in wanted.items()])["Images"]
    assert len(found) == 3
    newest = max(found, key=lambda image: image["CreationDate"])
    assert newest["Name"] == UBUNTU.format(word).replace("*", "20260218")
    assert newest["RootDeviceName"] == "/dev/sda1" and newest["Architecture"] == architecture
    assert found[-1] != newest and found[0] != newest  # not in the order of their dates


def test_a_strangers_image_of_that_name_is_not_the_owners(lab: Lab) -> None:
    everyone = lab.ec2.describe_images(Filters=[{"Name": "name", "Values": [UBUNTU.format("amd64")]}])["Images"]
    assert {i["OwnerId"] for i in everyone} == {CANONICAL, "999999999999"}
    assert max(everyone, key=lambda image: image["CreationDate"])["OwnerId"] == "999999999999"


def test_images_by_id(lab: Lab) -> None:
    assert lab.ec2.describe_images(ImageIds=[lab.image()])["Images"][0]["RootDeviceName"] == "/dev/xvda"
    assert code(lab.ec2.describe_images, ImageIds=["ami-0123456789abcdef0"]) == "InvalidAMIID.NotFound"


def test_image_by_parameter(lab: Lab) -> None:
    ssm = lab.client("ssm")
    found = ssm.get_parameter(Name="/rmachine-lab/debian-13-docker")["Parameter"]["Value"]
    assert found == lab.image("rmachine-lab-debian-13-docker")
    assert code(ssm.get_parameter, Name="/nowhere") == "ParameterNotFound"


def test_instance_types(lab: Lab) -> None:
    names = ["t3.micro", "t3.small", "t4g.small"]
    found = {t["InstanceType"]: t for t in lab.ec2.describe_instance_types(InstanceTypes=names)["InstanceTypes"]}
    architectures = {name: found[name]["ProcessorInfo"]["SupportedArchitectures"] for name in names}
    assert architectures == {"t3.micro": ["x86_64"], "t3.small": ["x86_64"], "t4g.small": ["arm64"]}
    assert code(lab.ec2.describe_instance_types, InstanceTypes=["t9.huge"]) == "InvalidInstanceType"


def test_offerings(lab: Lab) -> None:
    found = lab.ec2.describe_instance_type_offerings(LocationType="availability-zone", Filters=[{"Name": "instance-type", "Values": ["t3.small"]}])
    zones = {o["Location"] for o in found["InstanceTypeOfferings"]}
    assert "us-east-1a" in zones and "us-east-1e" not in zones


def test_default_network(lab: Lab) -> None:
    vpcs = lab.ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
    assert len(vpcs) == 1
    subnets = lab.ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpcs[0]["VpcId"]]}, {"Name": "default-for-az", "Values": ["true"]}])["Subnets"]
    assert {s["AvailabilityZone"] for s in subnets} >= {"us-east-1a", "us-east-1b"}
    assert all(s["MapPublicIpOnLaunch"] for s in subnets)
    assert code(lab.ec2.describe_vpcs, VpcIds=["vpc-0123456789abcdef0"]) == "InvalidVpcID.NotFound"
    assert code(lab.ec2.describe_subnets, SubnetIds=["subnet-0123456789abcdef0"]) == "InvalidSubnetID.NotFound"


def test_keys(lab: Lab, key: Path) -> None:
    assert code(lab.ec2.describe_key_pairs, KeyNames=["nobody's"]) == "InvalidKeyPair.NotFound"
    assert code(lab.ec2.import_key_pair, KeyName="bad", PublicKeyMaterial=b"ssh-ed25519 x") == "InvalidKey.Format"
    public = key.with_suffix(".pub").read_bytes()
    lab.ec2.import_key_pair(KeyName="once", PublicKeyMaterial=public)
    assert code(lab.ec2.import_key_pair, KeyName="once", PublicKeyMaterial=public) == "InvalidKeyPair.Duplicate"
    lab.ec2.delete_key_pair(KeyName="once")


def test_other_regions_are_apart(lab: Lab) -> None:
    id = lab.run()
    other = lab.client("ec2", region="eu-central-1")
    assert code(other.describe_instances, InstanceIds=[id]) == "InvalidInstanceID.NotFound"
    assert other.describe_images(ImageIds=[lab.image()])["Images"]


def test_pages_and_filters(lab: Lab) -> None:
    made = {lab.run(TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "page", "Value": str(n)}]}]) for n in range(12)}
    seen: list[str] = []
    token: dict[str, str] = {}
    pages = 0
    while True:
        page = lab.ec2.describe_instances(MaxResults=5, Filters=[{"Name": "tag-key", "Values": ["page"]}], **token)
        seen += [i["InstanceId"] for r in page["Reservations"] for i in r["Instances"]]
        pages += 1
        if not page.get("NextToken"):
            break
        token = {"NextToken": page["NextToken"]}
    assert (pages, len(seen), set(seen)) == (3, 12, made)
    unknown = [f"i-{n:017x}" for n in range(188)]
    two_hundred = [{"Name": "instance-id", "Values": [*made, *unknown]}]
    assert {i["InstanceId"] for r in lab.ec2.describe_instances(Filters=two_hundred)["Reservations"] for i in r["Instances"]} == made
    too_many = [{"Name": "instance-id", "Values": [*made, *unknown, "i-00000000000000fff"]}]
    assert code(lab.ec2.describe_instances, Filters=too_many) == "FilterLimitExceeded"
    assert code(lab.ec2.describe_instances, MaxResults=4) == "InvalidParameterValue"
    assert code(lab.ec2.describe_instances, MaxResults=5, InstanceIds=[seen[0]]) == "InvalidParameterCombination"
    by_state = lab.ec2.describe_instances(Filters=[{"Name": "tag:page", "Values": ["1", "2"]}, {"Name": "instance-state-name", "Values": ["pending", "running"]}])
    assert len([i for r in by_state["Reservations"] for i in r["Instances"]]) == 2
    assert code(lab.ec2.describe_instances, Filters=[{"Name": "colour", "Values": ["red"]}]) == "InvalidParameterValue"
    assert code(lab.ec2.describe_instances, NextToken="no such page") == "InvalidParameterValue"
