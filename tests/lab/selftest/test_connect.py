"""EC2 Instance Connect: a key that lets in for a minute."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import LONG, Lab, code, until
from test_hosts_boot import answer, ssh, tcp


def send(lab: Lab, instance: str, key: Path, **words: Any) -> Any:
    words = {"InstanceId": instance, "InstanceOSUser": "admin", "SSHPublicKey": key.with_suffix(".pub").read_text()} | words
    return lab.client("ec2-instance-connect").send_ssh_public_key(**words)


def test_a_running_instance_takes_a_key(lab: Lab, key: Path) -> None:
    id = lab.run()
    zone = lab.wait(id, "running")["Placement"]["AvailabilityZone"]
    assert send(lab, id, key)["Success"] is True
    assert send(lab, id, key, AvailabilityZone=zone)["Success"] is True
    call = lab.control("GET", "calls")[-1]
    assert (call["action"], call["code"], call["parameters"]) == (
        "SendSSHPublicKey", 200, {"InstanceId": id, "InstanceOSUser": "admin", "AvailabilityZone": zone},
    )  # fmt: skip


def test_refusals(lab: Lab, key: Path) -> None:
    id = lab.run()
    lab.wait(id, "running")
    assert code(send, lab, "i-0123456789abcdef0", key) == "EC2InstanceNotFoundException"
    assert code(send, lab, id, key, AvailabilityZone="us-east-1f") == "EC2InstanceNotFoundException"
    other = lab.client("ec2-instance-connect", region="eu-central-1")
    public = key.with_suffix(".pub").read_text()
    assert code(other.send_ssh_public_key, InstanceId=id, InstanceOSUser="admin", SSHPublicKey=public) == "EC2InstanceNotFoundException"
    for wrong in ({"InstanceOSUser": "ad min"}, {"SSHPublicKey": "ssh-dss " + public}, {"SSHPublicKey": public.replace("AAAA", "BBBB")}):
        assert code(send, lab, id, key, **wrong) == "InvalidArgsException"
    stranger = lab.client("ec2-instance-connect", secret="wrong")
    assert code(stranger.send_ssh_public_key, InstanceId=id, InstanceOSUser="admin", SSHPublicKey=public) == "UnrecognizedClientException"
    lab.control("POST", "faults", {"action": "SendSSHPublicKey", "error": "RequestLimitExceeded", "times": 1})
    assert code(send, lab, id, key) == "ThrottlingException"


def test_states(lab: Lab, key: Path) -> None:
    lab.control("POST", "delays", {"pending": LONG})
    assert code(send, lab, lab.run(), key) == "EC2InstanceStateInvalidException"
    lab.control("POST", "delays", {"pending": 0})
    id = lab.run()
    lab.wait(id, "running")
    lab.ec2.stop_instances(InstanceIds=[id])
    lab.wait(id, "stopped")
    assert code(send, lab, id, key) == "EC2InstanceStateInvalidException"
    lab.terminate(id)
    assert code(send, lab, id, key) == "EC2InstanceStateInvalidException"


@pytest.fixture
def open_account(hosted: Lab) -> Iterator[Lab]:
    """An account whose default group admits SSH."""
    hosted.reset()
    group = hosted.ec2.describe_security_groups(GroupNames=["default"])["SecurityGroups"][0]["GroupId"]
    rule = {"GroupId": group, "IpPermissions": tcp(22, "127.0.0.1/32")}
    hosted.ec2.authorize_security_group_ingress(**rule)
    yield hosted
    hosted.ec2.revoke_security_group_ingress(**rule)
    hosted.reset()


def booted(lab: Lab, image: str) -> tuple[str, str]:
    """A new instance without a key pair, and its address, once its sshd answers."""
    id = lab.run(ImageId=lab.image(image))
    address = lab.wait(id, "running")["PublicIpAddress"]
    until(lambda: lab.control("POST", f"hosts/{id}/exec", {"command": "systemctl is-active ssh"})["code"] == 0)
    return id, address


def test_the_key_lets_in_for_a_while(open_account: Lab, key: Path) -> None:
    lab = open_account
    id, address = booted(lab, "rmachine-lab-debian-13")
    assert ssh(address, key, "true").returncode == 255
    lab.control("POST", "delays", {"connect_key": 60})
    send(lab, id, key, InstanceOSUser="nobody")
    assert ssh(address, key, "true").returncode == 255, "it is another user's"
    lab.control("POST", "delays", {"connect_key": 5})
    send(lab, id, key)
    assert answer(address, key, "sudo -n id -un") == "root"
    time.sleep(5)
    assert ssh(address, key, "true").returncode == 255, "its time is over"
    lab.control("POST", "delays", {"connect_key": 60})
    send(lab, id, key)
    assert answer(address, key, "echo in") == "in"


def test_an_image_without_the_agent(open_account: Lab, key: Path) -> None:
    id, address = booted(open_account, "debian-13-amd64-20260218-2031")
    assert send(open_account, id, key)["Success"] is True
    assert ssh(address, key, "true").returncode == 255
    open_account.control("POST", f"hosts/{id}/pause")
    assert code(send, open_account, id, key) == "EC2InstanceUnavailableException"
    open_account.control("POST", f"hosts/{id}/unpause")
