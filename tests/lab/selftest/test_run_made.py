"""RunInstances: what was asked for is made, and shown by the Describe calls."""

from __future__ import annotations

import base64
from pathlib import Path

from conftest import Lab

KINDS = ("instance", "volume", "network-interface")


def test_root_volume(lab: Lab) -> None:
    ebs = {"VolumeSize": 20, "VolumeType": "gp3", "Encrypted": True, "Iops": 4000, "Throughput": 200}
    id = lab.run(BlockDeviceMappings=[{"DeviceName": "/dev/xvda", "Ebs": ebs}])
    lab.wait(id, "running")
    volumes = lab.ec2.describe_volumes(Filters=[{"Name": "attachment.instance-id", "Values": [id]}])["Volumes"]
    assert len(volumes) == 1
    have = volumes[0]
    assert (have["Size"], have["VolumeType"], have["Encrypted"], have["Iops"], have["Throughput"]) == (20, "gp3", True, 4000, 200)
    assert have["Attachments"][0]["DeleteOnTermination"] is True
    assert lab.instance(id)["RootDeviceName"] == "/dev/xvda"


def test_another_device_name_is_another_volume(lab: Lab) -> None:
    """A mapping that misses the root device's name leaves the root volume as the image has it."""
    id = lab.run(BlockDeviceMappings=[{"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 30, "DeleteOnTermination": True}}])
    mapped = {m["DeviceName"] for m in lab.instance(id)["BlockDeviceMappings"]}
    sizes = {v["Size"] for v in lab.ec2.describe_volumes(Filters=[{"Name": "attachment.instance-id", "Values": [id]}])["Volumes"]}
    assert (mapped, sizes) == ({"/dev/xvda", "/dev/sda1"}, {8, 30})


def test_volumes_end_with_the_instance_unless_they_are_kept(lab: Lab) -> None:
    gone, kept = lab.run(), lab.run(BlockDeviceMappings=[{"DeviceName": "/dev/xvda", "Ebs": {"DeleteOnTermination": False}}])
    volume = lab.instance(kept)["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]
    lab.terminate(gone, kept)
    held = lab.control("GET", "resources")
    assert (held["instances"], held["volumes"], held["interfaces"]) == ([], [volume], [])
    lab.ec2.delete_volume(VolumeId=volume)


def test_tags_are_there_from_the_first_moment(lab: Lab) -> None:
    specs = [{"ResourceType": kind, "Tags": [{"Key": "owner", "Value": kind}]} for kind in KINDS]
    id = lab.run(TagSpecifications=specs)
    instance = lab.instance(id)
    volume = lab.ec2.describe_volumes(VolumeIds=[instance["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]])["Volumes"][0]
    nic = lab.ec2.describe_network_interfaces(NetworkInterfaceIds=[instance["NetworkInterfaces"][0]["NetworkInterfaceId"]])["NetworkInterfaces"][0]
    assert instance["Tags"] == [{"Key": "owner", "Value": "instance"}]
    assert volume["Tags"] == [{"Key": "owner", "Value": "volume"}]
    assert nic["TagSet"] == [{"Key": "owner", "Value": "network-interface"}]
    for call, list_name in (("describe_volumes", "Volumes"), ("describe_network_interfaces", "NetworkInterfaces")):
        found = getattr(lab.ec2, call)(Filters=[{"Name": "tag:owner", "Values": list(KINDS)}])[list_name]
        assert len(found) == 1
    tags = lab.ec2.describe_tags(Filters=[{"Name": "key", "Values": ["owner"]}, {"Name": "resource-id", "Values": [id]}])["Tags"]
    assert tags[0]["ResourceType"] == "instance"


def test_group_tags(lab: Lab) -> None:
    group = lab.group("tagged", TagSpecifications=[{"ResourceType": "security-group", "Tags": [{"Key": "owner", "Value": "me"}]}])
    found = lab.ec2.describe_security_groups(Filters=[{"Name": "tag:owner", "Values": ["me"]}])["SecurityGroups"]
    assert [g["GroupId"] for g in found] == [group]
    lab.ec2.delete_security_group(GroupId=group)


def test_metadata_options(lab: Lab) -> None:
    id = lab.run(MetadataOptions={"HttpTokens": "required", "HttpEndpoint": "enabled", "HttpPutResponseHopLimit": 2})
    options = lab.instance(id)["MetadataOptions"]
    assert (options["HttpTokens"], options["HttpPutResponseHopLimit"], options["State"]) == ("required", 2, "applied")


def test_user_data_comes_back(lab: Lab) -> None:
    id = lab.run(UserData="#!/bin/sh\ntrue\n")
    data = lab.ec2.describe_instance_attribute(InstanceId=id, Attribute="userData")["UserData"]["Value"]
    assert base64.b64decode(data) == b"#!/bin/sh\ntrue\n"


def test_public_address_as_asked(lab: Lab) -> None:
    group = lab.group("private")
    nic = {"DeviceIndex": 0, "Groups": [group]}
    public, private = (lab.run(NetworkInterfaces=[{**nic, "AssociatePublicIpAddress": wanted}]) for wanted in (True, False))
    have = lab.wait(public, "running")
    assert have["PublicIpAddress"].startswith("127.")
    assert [g["GroupId"] for g in have["SecurityGroups"]] == [group]
    have = lab.wait(private, "running")
    assert "PublicIpAddress" not in have and have["PrivateIpAddress"].startswith(("10.", "172."))
    lab.terminate(public, private)
    lab.ec2.delete_security_group(GroupId=group)


def test_zone_and_subnet(lab: Lab) -> None:
    assert lab.instance(lab.run(Placement={"AvailabilityZone": "us-east-1c"}))["Placement"]["AvailabilityZone"] == "us-east-1c"
    subnet = lab.ec2.describe_subnets(Filters=[{"Name": "default-for-az", "Values": ["true"]}, {"Name": "availability-zone", "Values": ["us-east-1b"]}])["Subnets"][0]
    assert lab.instance(lab.run(SubnetId=subnet["SubnetId"]))["Placement"]["AvailabilityZone"] == "us-east-1b"


def test_key_pair(lab: Lab, key: Path) -> None:
    public = key.with_suffix(".pub").read_bytes()
    made = lab.ec2.import_key_pair(KeyName="mine", PublicKeyMaterial=public)
    assert made["KeyName"] == "mine" and made["KeyFingerprint"]
    assert lab.instance(lab.run(KeyName="mine"))["KeyName"] == "mine"
    assert lab.control("GET", "resources")["keys"] == ["mine"]
    lab.ec2.delete_key_pair(KeyName="mine")
    lab.ec2.delete_key_pair(KeyName="mine")  # a missing one is success
    assert lab.control("GET", "resources")["keys"] == []
