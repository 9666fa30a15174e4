"""EC2's states take their time, show late, and hold on to what belongs to them."""

from __future__ import annotations

from conftest import LONG, Lab, code, until

UNKNOWN = "i-0123456789abcdef0"


def by_filter(lab: Lab, name: str, *values: str) -> list[str]:
    found = lab.ec2.describe_instances(Filters=[{"Name": name, "Values": list(values)}])["Reservations"]
    return [i["InstanceId"] for r in found for i in r["Instances"]]


def test_a_new_instance_shows_late(lab: Lab) -> None:
    lab.control("POST", "delays", {"visible": LONG})
    hidden = lab.run(TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "late", "Value": "yes"}]}])
    assert by_filter(lab, "instance-id", hidden) == [] and by_filter(lab, "tag:late", "yes") == []
    for call in ("describe_instances", "terminate_instances", "stop_instances", "start_instances", "reboot_instances"):
        assert code(getattr(lab.ec2, call), InstanceIds=[hidden]) == "InvalidInstanceID.NotFound"
    assert hidden in lab.control("GET", "resources")["instances"]
    lab.control("POST", "delays", {"visible": 0.5})
    shown = lab.run()
    until(lambda: by_filter(lab, "instance-id", shown) == [shown])
    lab.terminate(shown)


def test_one_unknown_id_fails_the_whole_call(lab: Lab) -> None:
    id = lab.run()
    assert code(lab.ec2.describe_instances, InstanceIds=[id, UNKNOWN]) == "InvalidInstanceID.NotFound"
    assert code(lab.ec2.terminate_instances, InstanceIds=[id, UNKNOWN]) == "InvalidInstanceID.NotFound"
    assert code(lab.ec2.describe_instances, InstanceIds=["host-1"]) == "InvalidInstanceID.Malformed"
    assert lab.wait(id, "running")


def test_pending_lasts_and_cannot_be_stopped(lab: Lab) -> None:
    lab.control("POST", "delays", {"pending": LONG})
    id = lab.run()
    assert lab.instance(id)["State"]["Name"] == "pending"
    assert code(lab.ec2.stop_instances, InstanceIds=[id]) == "IncorrectInstanceState"
    lab.terminate(id)  # but it can be terminated


def test_stopping_lasts_and_cannot_be_started(lab: Lab) -> None:
    id = lab.run()
    lab.wait(id, "running")
    lab.control("POST", "delays", {"stopping": LONG})
    change = lab.ec2.stop_instances(InstanceIds=[id])["StoppingInstances"][0]
    assert (change["PreviousState"]["Name"], change["CurrentState"]["Name"]) == ("running", "stopping")
    assert code(lab.ec2.start_instances, InstanceIds=[id]) == "IncorrectInstanceState"
    assert code(lab.ec2.reboot_instances, InstanceIds=[id]) == "IncorrectInstanceState"
    lab.terminate(id)


def test_shutting_down_lasts_and_keeps_the_group(lab: Lab) -> None:
    group = lab.group("busy")
    id = lab.run(SecurityGroupIds=[group])
    lab.wait(id, "running")
    lab.control("POST", "delays", {"shutting_down": LONG})
    lab.ec2.terminate_instances(InstanceIds=[id])
    assert lab.instance(id)["State"]["Name"] == "shutting-down"
    assert code(lab.ec2.delete_security_group, GroupId=group) == "DependencyViolation"
    held = lab.control("GET", "resources")
    assert held["volumes"] and held["interfaces"]
    assert lab.ec2.terminate_instances(InstanceIds=[id])["TerminatingInstances"][0]["CurrentState"]["Name"] == "shutting-down"


def test_a_group_is_free_when_its_instance_is_terminated(lab: Lab) -> None:
    lab.control("POST", "delays", {"shutting_down": 0.5})
    group = lab.group("soon free")
    id = lab.run(SecurityGroupIds=[group])
    assert code(lab.ec2.delete_security_group, GroupId=group) == "DependencyViolation"
    lab.terminate(id)
    lab.ec2.delete_security_group(GroupId=group)
    assert code(lab.ec2.delete_security_group, GroupId=group) == "InvalidGroup.NotFound"


def test_a_group_that_another_names_is_not_free(lab: Lab) -> None:
    one, two = lab.group("one"), lab.group("two")
    permission = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "UserIdGroupPairs": [{"GroupId": one}]}
    lab.ec2.authorize_security_group_ingress(GroupId=two, IpPermissions=[permission])
    assert code(lab.ec2.delete_security_group, GroupId=one) == "DependencyViolation"
    lab.ec2.delete_security_group(GroupId=two)
    lab.ec2.delete_security_group(GroupId=one)


def test_a_terminated_instance_stays_to_be_seen_and_terminated_again(lab: Lab) -> None:
    id = lab.run()
    lab.terminate(id)
    assert by_filter(lab, "instance-state-name", "terminated").count(id) == 1
    change = lab.ec2.terminate_instances(InstanceIds=[id])["TerminatingInstances"][0]
    assert (change["PreviousState"]["Name"], change["CurrentState"]["Name"]) == ("terminated", "terminated")
    assert code(lab.ec2.start_instances, InstanceIds=[id]) == "IncorrectInstanceState"
    assert "PublicIpAddress" not in lab.instance(id)


def test_address_over_stop_start_and_reboot(lab: Lab) -> None:
    id = lab.run()
    first = lab.wait(id, "running")
    lab.ec2.reboot_instances(InstanceIds=[id])
    assert lab.instance(id)["PublicIpAddress"] == first["PublicIpAddress"]
    lab.ec2.stop_instances(InstanceIds=[id])
    stopped = lab.wait(id, "stopped")
    assert "PublicIpAddress" not in stopped
    lab.ec2.start_instances(InstanceIds=[id])
    again = lab.wait(id, "running")
    assert again["PublicIpAddress"] != first["PublicIpAddress"]
    assert again["PrivateIpAddress"] == first["PrivateIpAddress"] == stopped["PrivateIpAddress"]


def test_termination_protection(lab: Lab) -> None:
    id = lab.run(DisableApiTermination=True)
    assert code(lab.ec2.terminate_instances, InstanceIds=[id]) == "OperationNotPermitted"
    lab.ec2.modify_instance_attribute(InstanceId=id, DisableApiTermination={"Value": False})
    lab.terminate(id)


def test_groups_of_an_instance_can_be_changed(lab: Lab) -> None:
    one, two = lab.group("before"), lab.group("after")
    id = lab.run(SecurityGroupIds=[one])
    assert code(lab.ec2.modify_instance_attribute, InstanceId=id, Groups=["sg-0123456789abcdef0"]) == "InvalidGroup.NotFound"
    lab.ec2.modify_instance_attribute(InstanceId=id, Groups=[two])
    instance = lab.instance(id)
    assert [g["GroupId"] for g in instance["SecurityGroups"]] == [two]
    assert [g["GroupId"] for g in instance["NetworkInterfaces"][0]["Groups"]] == [two]
    lab.ec2.delete_security_group(GroupId=one)
    lab.terminate(id)
    lab.ec2.delete_security_group(GroupId=two)


def test_an_instance_that_ec2_gives_up(lab: Lab) -> None:
    lab.control("POST", "faults", {"action": "@launch", "error": "Client.InvalidKMSKey.InvalidState"})
    for id in [lab.run() for _ in range(8)]:
        assert lab.wait(id, "terminated")["StateReason"]["Code"] == "Client.InvalidKMSKey.InvalidState"
    held = lab.control("GET", "resources")
    assert (held["instances"], held["volumes"], held["interfaces"]) == ([], [], [])


def test_a_group_may_show_late(lab: Lab) -> None:
    lab.control("POST", "delays", {"group_visible": LONG})
    group = lab.group("late")
    permission = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "127.0.0.1/32"}]}
    assert code(lab.ec2.authorize_security_group_ingress, GroupId=group, IpPermissions=[permission]) == "InvalidGroup.NotFound"
    lab.control("POST", "delays", {"group_visible": 0})
    lab.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[permission])
    lab.ec2.delete_security_group(GroupId=group)
