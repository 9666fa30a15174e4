"""RunInstances: what EC2 refuses, each with its code, and that nothing is made by a refused call."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import Lab, code

NONE = "0123456789abcdef0"
ROOT = {"DeviceName": "/dev/xvda"}


@pytest.mark.parametrize(
    ("words", "refusal"),
    [
        ({"ImageId": "ami-" + NONE}, "InvalidAMIID.NotFound"),
        ({"ImageId": "debian"}, "InvalidAMIID.Malformed"),
        ({"InstanceType": "t9.huge"}, "InvalidParameterValue"),
        ({"InstanceType": "t4g.small"}, "InvalidParameterValue"),  # an arm64 type, an amd64 image
        ({"KeyName": "nobody's"}, "InvalidKeyPair.NotFound"),
        ({"SubnetId": "subnet-" + NONE}, "InvalidSubnetID.NotFound"),
        ({"SecurityGroupIds": ["sg-" + NONE]}, "InvalidGroup.NotFound"),
        ({"SecurityGroupIds": ["web"]}, "InvalidGroupId.Malformed"),
        ({"SecurityGroups": ["nobody's"]}, "InvalidGroup.NotFound"),
        ({"NetworkInterfaces": [{"DeviceIndex": 0, "Groups": ["sg-" + NONE]}]}, "InvalidGroup.NotFound"),
        ({"NetworkInterfaces": [{"DeviceIndex": 0, "SubnetId": "subnet-" + NONE}]}, "InvalidSubnetID.NotFound"),
        ({"NetworkInterfaces": [{"DeviceIndex": 0}], "SubnetId": "subnet-" + NONE}, "InvalidParameterCombination"),
        ({"NetworkInterfaces": [{"DeviceIndex": 0}], "SecurityGroupIds": ["sg-" + NONE]}, "InvalidParameterCombination"),
        ({"NetworkInterfaces": [{"AssociatePublicIpAddress": False}]}, "MissingParameter"),
        ({"UserData": "#" + "x" * 16384}, "InvalidParameterValue"),
        ({"IamInstanceProfile": {"Name": "nobody's"}}, "InvalidParameterValue"),
        ({"IamInstanceProfile": {"Arn": "arn:aws:iam::123456789012:instance-profile/nobody"}}, "InvalidParameterValue"),
        ({"Placement": {"AvailabilityZone": "us-east-1z"}}, "InvalidParameterValue"),
        ({"Placement": {"AvailabilityZone": "us-east-1e"}}, "Unsupported"),  # which has no t3
        ({"BlockDeviceMappings": [{**ROOT, "Ebs": {"VolumeSize": 4}}]}, "InvalidBlockDeviceMapping"),
        ({"BlockDeviceMappings": [{**ROOT, "Ebs": {"VolumeType": "fast"}}]}, "InvalidParameterValue"),
        ({"BlockDeviceMappings": [{**ROOT, "Ebs": {"KmsKeyId": "alias/x"}}]}, "InvalidParameterDependency"),
        ({"TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": "aws:x", "Value": ""}]}]}, "InvalidParameterValue"),
        ({"TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": "x", "Value": "v" * 257}]}]}, "InvalidParameterValue"),
        ({"TagSpecifications": [{"ResourceType": "security-group", "Tags": [{"Key": "x", "Value": ""}]}]}, "InvalidParameterValue"),
        ({"TagSpecifications": [{"ResourceType": "spot-instances-request", "Tags": [{"Key": "x", "Value": ""}]}]}, "InvalidParameterValue"),
        ({"InstanceMarketOptions": {"MarketType": "spot", "SpotOptions": {"MaxPrice": "0.0001"}}}, "SpotMaxPriceTooLow"),
        (
            {"InstanceMarketOptions": {"MarketType": "spot", "SpotOptions": {"SpotInstanceType": "one-time", "InstanceInterruptionBehavior": "stop"}}},
            "InvalidParameterCombination",
        ),
        ({"ClientToken": "x" * 65}, "InvalidParameterValue"),
    ],
)
def test_refused(lab: Lab, words: dict[str, Any], refusal: str) -> None:
    assert code(lab.run, **words) == refusal
    assert lab.control("GET", "resources")["instances"] == []


def test_sixteen_kilobytes_of_user_data_are_accepted(lab: Lab) -> None:
    lab.run(UserData="#" + "x" * 16383)


def test_group_of_another_vpc(lab: Lab) -> None:
    vpc = lab.ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    group = lab.group("elsewhere", VpcId=vpc)
    assert code(lab.run, SecurityGroupIds=[group]) == "InvalidParameter"
    lab.ec2.delete_security_group(GroupId=group)
    lab.ec2.delete_vpc(VpcId=vpc)


def test_dry_run_makes_nothing(lab: Lab) -> None:
    assert code(lab.run, DryRun=True) == "DryRunOperation"
    assert lab.control("GET", "resources")["instances"] == []


def test_the_profile_of_the_lab_is_known(lab: Lab) -> None:
    id = lab.run(IamInstanceProfile={"Name": "rmachine-lab"})
    assert lab.instance(id)["IamInstanceProfile"]["Arn"].endswith("/rmachine-lab")
