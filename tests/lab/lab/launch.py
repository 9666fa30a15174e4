"""What EC2 refuses of a RunInstances call, and moto lets pass or names otherwise.

Codes and messages: docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

from moto.ec2.models.instance_types import INSTANCE_TYPE_OFFERINGS, INSTANCE_TYPES

from .errors import Refused
from .forms import listed, structures, tag_specifications, truth
from .rules import check_tags, find_group

USER_DATA_LIMIT = 16384  # bytes before base64; user guide, "Run commands at launch"
VOLUME_TYPES = {"standard", "gp2", "gp3", "io1", "io2", "sc1", "st1"}
TAGGABLE = {"instance", "volume", "network-interface", "spot-instances-request", "elastic-gpu"}
LOWEST_SPOT_PRICE = 0.001


def check(form: dict[str, str], backend: Any) -> str | None:
    """Refuses a bad request; the zone that the request names, by itself or by its subnet."""
    for name in ("MinCount", "MaxCount"):
        if not form.get(name):
            raise Refused("MissingParameter", f"The request must contain the parameter {name}")
    image = _image(form, backend)
    _zone(form, backend)
    _instance_type(form, backend, image)
    key = form.get("KeyName")
    if key and key not in backend.key_pairs:
        raise Refused("InvalidKeyPair.NotFound", f"The key pair '{key}' does not exist")
    _user_data(form)
    subnet, zone = _network(form, backend)
    _groups(form, backend, subnet)
    _volumes(form)
    _spot(form)
    _profile(form, backend)
    for kind in tag_specifications(form):
        if kind not in TAGGABLE or (kind == "spot-instances-request" and not is_spot(form)):
            raise Refused("InvalidParameterValue", f"'{kind}' is not a valid taggable resource type for this operation.")
    check_tags(form)
    return zone


def is_spot(form: dict[str, str]) -> bool:
    """Whether a spot instance is asked for."""
    return form.get("InstanceMarketOptions.MarketType") == "spot"


def _image(form: dict[str, str], backend: Any) -> Any:
    id = form.get("ImageId", "")
    if not id:
        raise Refused("MissingParameter", "The request must contain the parameter ImageId")
    if not re.fullmatch(r"ami-([0-9a-f]{8}|[0-9a-f]{17})", id):
        raise Refused("InvalidAMIID.Malformed", f'Invalid id: "{id}" (expecting "ami-...")')
    if id not in backend.amis:
        raise Refused("InvalidAMIID.NotFound", f"The image id '[{id}]' does not exist")
    return backend.amis[id]


def _instance_type(form: dict[str, str], backend: Any, image: Any) -> None:
    name = form.get("InstanceType") or "m1.small"
    known = INSTANCE_TYPES.get(name)
    if not known:
        raise Refused("InvalidParameterValue", f"Invalid value '{name}' for InstanceType.")
    supported = known["ProcessorInfo"]["SupportedArchitectures"]
    if image.architecture not in supported:
        raise Refused(
            "InvalidParameterValue",
            f"The architecture '{','.join(supported)}' of the specified instance type does not match the architecture "
            f"'{image.architecture}' of the specified AMI. Specify an instance type and an AMI that have matching "
            "architectures, and try again. You can use 'describe-instance-types' or 'describe-images' to discover the "
            "architecture of the instance type or AMI.",
        )
    offered = [o["Location"] for o in INSTANCE_TYPE_OFFERINGS["availability-zone"][backend.region_name] if o["InstanceType"] == name]
    zone = form.get("Placement.AvailabilityZone") or _subnet_zone(form, backend)
    if zone and zone not in offered:
        raise Refused(
            "Unsupported",
            f"Your requested instance type ({name}) is not supported in your requested Availability Zone ({zone}). Please retry "
            f"your request by not specifying an Availability Zone or choosing {', '.join(sorted(offered))}.",
        )


def _user_data(form: dict[str, str]) -> None:
    data = form.get("UserData")
    if not data:
        return
    try:
        size = len(base64.b64decode(data, validate=True))
    except binascii.Error as error:
        raise Refused("InvalidParameterValue", "Invalid BASE64 encoding of user data.") from error
    if size > USER_DATA_LIMIT:
        raise Refused("InvalidParameterValue", f"User data is limited to {USER_DATA_LIMIT} bytes")


def _subnet_zone(form: dict[str, str], backend: Any) -> str | None:
    id = subnet_id(form)
    for zones in backend.subnets.values():
        for subnet in zones.values() if isinstance(zones, dict) else [zones]:
            if subnet.id == id:
                return str(subnet.availability_zone)
    return None


def subnet_id(form: dict[str, str]) -> str | None:
    """The subnet that is asked for."""
    nics = structures(form, "NetworkInterface")
    return form.get("SubnetId") or (nics[0].get("SubnetId") if nics else None)


def _zone(form: dict[str, str], backend: Any) -> None:
    zone = form.get("Placement.AvailabilityZone")
    if zone and zone not in [z.name for z in backend.describe_availability_zones()]:
        raise Refused("InvalidParameterValue", f"Invalid availability zone: [{zone}]")


def _network(form: dict[str, str], backend: Any) -> tuple[Any, str | None]:
    nics = structures(form, "NetworkInterface")
    if nics:
        for name, words in (("SubnetId", "subnet ID"), ("SecurityGroupId.1", "security groups"), ("SecurityGroup.1", "security groups")):
            if form.get(name):
                raise Refused("InvalidParameterCombination", f"Network interfaces and an instance-level {words} may not be specified on the same request")
        if any(not n.get("DeviceIndex") for n in nics):
            raise Refused("MissingParameter", "The request must contain the parameter deviceIndex")
    zone = form.get("Placement.AvailabilityZone")
    id = subnet_id(form)
    if not id:
        return None, zone
    try:
        subnet = backend.get_subnet(id)
    except Exception as error:
        raise Refused("InvalidSubnetID.NotFound", f"The subnet ID '{id}' does not exist") from error
    if zone and subnet.availability_zone != zone:
        raise Refused("InvalidParameterValue", f"The availability zone '{zone}' does not match the subnet's, '{subnet.availability_zone}'")
    return subnet, subnet.availability_zone


def _groups(form: dict[str, str], backend: Any, subnet: Any) -> None:
    ids = listed(form, "SecurityGroupId")
    for nic in structures(form, "NetworkInterface"):
        ids += listed(nic, "SecurityGroupId")
    groups = [find_group(backend, id) for id in ids]
    vpc = subnet.vpc_id if subnet else backend.get_default_vpc().id
    for group in groups:
        if group.vpc_id != vpc:
            other = f"subnet {subnet.id}" if subnet else "the default subnet"
            raise Refused("InvalidParameter", f"Security group {group.id} and {other} belong to different networks.")
    for name in listed(form, "SecurityGroup"):
        if subnet and not subnet.default_for_az:
            raise Refused("InvalidParameterCombination", "The parameter groupName cannot be used with the parameter subnet")
        if not backend.get_security_group_from_name(name, vpc):
            raise Refused("InvalidGroup.NotFound", f"The security group '{name}' does not exist in default VPC '{vpc}'")


def _volumes(form: dict[str, str]) -> None:
    for mapping in structures(form, "BlockDeviceMapping"):
        kind = mapping.get("Ebs.VolumeType")
        if kind and kind not in VOLUME_TYPES:
            raise Refused("InvalidParameterValue", f"Value ({kind}) for parameter volumeType is invalid.")
        if mapping.get("Ebs.KmsKeyId") and not truth(mapping.get("Ebs.Encrypted")):
            raise Refused("InvalidParameterDependency", "The parameter KmsKeyId requires the parameter Encrypted to be set.")
        size = mapping.get("Ebs.VolumeSize")
        if size and int(size) < 8:
            raise Refused("InvalidBlockDeviceMapping", f"Volume of size {size}GB is smaller than snapshot 'snap-0lab', expect size >= 8GB")
        if size and int(size) > 16384:
            raise Refused("InvalidParameterValue", f"Volume of {size}GiB is too large for volume type {kind or 'gp2'}; maximum is 16384GiB")


def _spot(form: dict[str, str]) -> None:
    if not is_spot(form):
        return
    prefix = "InstanceMarketOptions.SpotOptions."
    kind = form.get(f"{prefix}SpotInstanceType", "one-time")
    behaviour = form.get(f"{prefix}InstanceInterruptionBehavior", "terminate")
    if kind == "one-time" and behaviour != "terminate":
        raise Refused("InvalidParameterCombination", f"The interruption behavior '{behaviour}' is not supported with a one-time Spot request.")
    price = form.get(f"{prefix}MaxPrice")
    try:
        if price and float(price) < LOWEST_SPOT_PRICE:
            raise Refused("SpotMaxPriceTooLow", f"Your Spot request price of {price} is lower than the minimum required Spot request fulfillment price of {LOWEST_SPOT_PRICE}.")
    except ValueError as error:
        raise Refused("InvalidParameterValue", f"Invalid spot price: {price}") from error


def _profile(form: dict[str, str], backend: Any) -> None:
    from moto.iam.models import iam_backends

    profiles = iam_backends[backend.account_id]["aws"].instance_profiles.values()
    if name := form.get("IamInstanceProfile.Name"):
        if name not in [p.name for p in profiles]:
            raise Refused("InvalidParameterValue", f"Value ({name}) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name")
    if arn := form.get("IamInstanceProfile.Arn"):
        if arn not in [p.arn for p in profiles]:
            raise Refused("InvalidParameterValue", f"Value ({arn}) for parameter iamInstanceProfile.arn is invalid. Invalid IAM Instance Profile ARN")
