"""What EC2 refuses of the other calls, and moto lets pass or names otherwise.

Codes: docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html. `check` runs before moto.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Any

from moto.ec2.utils import filter_dict_attribute_mapping

from .errors import Refused
from .forms import filters, listed, structures, tag_specifications

# A security group's name and description: a-z, A-Z, 0-9, spaces, and ._-:/()#,@[]+=&;{}!$*
GROUP_TEXT = re.compile(r"[a-zA-Z0-9 ._\-:/()#,@\[\]+=&;{}!$*]{1,255}")
FILTER_VALUES = 200  # "The maximum number of filter values specified on a single call is 200."
TAGS = 50


def check(action: str, form: dict[str, str], backend: Any, instances: dict[str, Any]) -> None:
    """Refuses a bad request."""
    if sum(len(values) for values in filters(form).values()) > FILTER_VALUES:
        raise Refused("FilterLimitExceeded", f"The maximum number of filter values specified on a single call is {FILTER_VALUES}.")
    if action.endswith("Instances") or action == "DescribeInstanceStatus":
        for id in listed(form, "InstanceId"):
            if not re.fullmatch(r"i-([0-9a-f]{8}|[0-9a-f]{17})", id):
                raise Refused("InvalidInstanceID.Malformed", f'Invalid id: "{id}"')
        _instance_filters(form, backend)
        if (most := form.get("MaxResults")) and not 5 <= int(most) <= 1000:
            raise Refused("InvalidParameterValue", f"Value ( {most} ) for parameter maxResults is invalid. Expecting a value between 5 and 1000.")
    match action:
        case "CreateSecurityGroup":
            _new_group(form, backend)
        case "DeleteSecurityGroup":
            _group_is_free(form, backend, instances)
        case "AuthorizeSecurityGroupIngress":
            _new_rules(form, backend)
        case "RevokeSecurityGroupIngress" | "AuthorizeSecurityGroupEgress" | "RevokeSecurityGroupEgress":
            _named_group(form, backend)
        case "ModifyInstanceAttribute" | "ModifyNetworkInterfaceAttribute":
            for id in [*listed(form, "GroupId"), *listed(form, "SecurityGroupId")]:
                find_group(backend, id)
        case "DescribeInstanceTypes":
            _instance_types(form)
        case "CreateTags":
            tags = {t["Key"]: t.get("Value", "") for t in structures(form, "Tag") if "Key" in t}
            _check_tag_set(tags)
    if action != "RunInstances":
        check_tags(form)


def _instance_filters(form: dict[str, str], backend: Any) -> None:
    for name in filters(form):
        if name not in filter_dict_attribute_mapping and name != "tag-key" and name != "tag-value" and not name.startswith("tag:"):
            raise Refused("InvalidParameterValue", f"The filter '{name}' is invalid")
    if (token := form.get("NextToken")) and token not in backend.reservations:
        raise Refused("InvalidParameterValue", f"Unable to parse pagination token: {token}")


def find_group(backend: Any, id: str) -> Any:
    """The group with this id."""
    if not re.fullmatch(r"sg-([0-9a-f]{8}|[0-9a-f]{17})", id):
        raise Refused("InvalidGroupId.Malformed", f'Invalid id: "{id}" (expecting "sg-...")')
    group = backend.get_security_group_from_id(id)
    if not group:
        raise Refused("InvalidGroup.NotFound", f"The security group '{id}' does not exist")
    return group


def check_tags(form: dict[str, str]) -> None:
    """Refuses tags that EC2 refuses (user guide, "Tag restrictions")."""
    for tags in tag_specifications(form).values():
        _check_tag_set(tags)


def _check_tag_set(tags: dict[str, str]) -> None:
    if len(tags) > TAGS:
        raise Refused("TagLimitExceeded", f"The maximum number of Tags for a resource has been reached ({TAGS}).")
    for key, value in tags.items():
        if not 1 <= len(key) <= 128:
            raise Refused("InvalidParameterValue", "Tag key exceeds the maximum length of 128 characters")
        if len(value) > 256:
            raise Refused("InvalidParameterValue", "Tag value exceeds the maximum length of 256 characters")
        if key.lower().startswith("aws:"):
            raise Refused("InvalidParameterValue", "Tag keys starting with 'aws:' are reserved for internal use")


def _new_group(form: dict[str, str], backend: Any) -> None:
    vpc = form.get("VpcId")
    if vpc and vpc not in backend.vpcs:
        raise Refused("InvalidVpcID.NotFound", f"The vpc ID '{vpc}' does not exist")
    for name in ("GroupName", "GroupDescription"):
        value = form.get(name, "")
        if not value:
            raise Refused("MissingParameter", f"The request must contain the parameter {name}")
        if not GROUP_TEXT.fullmatch(value):
            raise Refused("InvalidParameterValue", f"Value ({value}) for parameter {name} is invalid. Character sets beyond ASCII are not supported.")
    if form["GroupName"].startswith("sg-"):
        raise Refused("InvalidParameterValue", f"Value ({form['GroupName']}) for parameter GroupName is invalid. Group names may not be in the format sg-*")


def _named_group(form: dict[str, str], backend: Any) -> Any:
    if id := form.get("GroupId"):
        return find_group(backend, id)
    name = form.get("GroupName", "")
    vpc = backend.get_default_vpc().id
    group = backend.get_security_group_from_name(name, vpc)
    if not group:
        raise Refused("InvalidGroup.NotFound", f"The security group '{name}' does not exist in default VPC '{vpc}'")
    return group


def _group_is_free(form: dict[str, str], backend: Any, instances: dict[str, Any]) -> None:
    group = _named_group(form, backend)
    if group.is_default:
        raise Refused("CannotDelete", f'the specified group: "{group.id}" name: "default" cannot be deleted by a user')
    used = any(group.id in [g.id for g in nic.group_set] for nic in list(backend.enis.values()))
    for instance in list(instances.values()):
        used = used or (instance._state.name != "terminated" and group.id in [g.id for g in instance.security_groups])
    for other in [g for groups in list(backend.groups.values()) for g in list(groups.values()) if g.id != group.id]:
        used = used or any(r.source_group.get("GroupId") == group.id for r in other.ingress_rules)
    if used:
        raise Refused("DependencyViolation", f"resource {group.id} has a dependent object")


def _new_rules(form: dict[str, str], backend: Any) -> None:
    """All of a call or nothing: moto would keep what comes before a refused rule."""
    group = _named_group(form, backend)
    have = {
        (r.ip_protocol, _port(r.from_port), _port(r.to_port), r.cidr_ipv4 or r.cidr_ipv6)
        for r in group.ingress_rules
    }
    permissions = structures(form, "IpPermissions")
    if form.get("CidrIp"):
        permissions.append({**form, "IpRanges.1.CidrIp": form["CidrIp"]})
    for permission in permissions:
        protocol = permission.get("IpProtocol", "")
        if protocol in ("tcp", "udp") and not (permission.get("FromPort") and permission.get("ToPort")):
            raise Refused("MissingParameter", "The request must contain the parameter fromPort")
        if protocol in ("tcp", "udp") and int(permission["FromPort"]) > int(permission["ToPort"]):
            raise Refused("InvalidParameterValue", f"Invalid TCP/UDP port range ({permission['FromPort']}:{permission['ToPort']})")
        for source in [*structures(permission, "IpRanges"), *structures(permission, "Ipv6Ranges")]:
            text = source.get("CidrIp") or source.get("CidrIpv6") or ""
            try:
                ipaddress.ip_network(text, strict=False)
            except ValueError as error:
                raise Refused("InvalidParameterValue", f"CIDR block {text} is malformed") from error
            if "/" not in text:
                raise Refused("InvalidParameterValue", f"CIDR block {text} is malformed")
            if (said := source.get("Description")) and not GROUP_TEXT.fullmatch(said):
                raise Refused("InvalidParameterValue", "Invalid rule description. Valid descriptions are strings less than 256 characters from the following set: a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*")
            rule = (protocol, _port(permission.get("FromPort")), _port(permission.get("ToPort")), text)
            if rule in have:
                raise Refused(
                    "InvalidPermission.Duplicate",
                    f'the specified rule "peer: {text}, {protocol.upper()}, from port: {rule[1]}, to port: {rule[2]}, ALLOW" already exists',
                )
            have.add(rule)


def _port(value: Any) -> int:
    return -1 if value in (None, "") else int(value)


def _instance_types(form: dict[str, str]) -> None:
    from moto.ec2.models.instance_types import INSTANCE_TYPES

    if unknown := [name for name in listed(form, "InstanceType") if name not in INSTANCE_TYPES]:
        raise Refused("InvalidInstanceType", f"The following supplied instance types do not exist: [{', '.join(unknown)}]")
