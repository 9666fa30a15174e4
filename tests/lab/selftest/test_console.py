"""GetConsoleOutput: what a host has written to its console."""

from __future__ import annotations

from typing import Any

from conftest import Lab, code, until
from test_connect import booted, open_account  # noqa: F401 - a fixture

BEGIN = "-----BEGIN SSH HOST KEY FINGERPRINTS-----"


def output(lab: Lab, id: str, **words: Any) -> str:
    answer = lab.ec2.get_console_output(InstanceId=id, **words)
    assert answer["InstanceId"] == id and answer["Timestamp"]
    # boto3 decodes it, as botocore's handlers have it; what is left is text.
    return str(answer.get("Output", ""))


def test_refusals(lab: Lab) -> None:
    assert code(lab.ec2.get_console_output, InstanceId="i-0123456789abcdef0") == "InvalidInstanceID.NotFound"
    old = lab.run(InstanceType="t2.micro")
    assert code(lab.ec2.get_console_output, InstanceId=old, Latest=True) == "UnsupportedOperation"
    assert output(lab, old) == ""
    assert output(lab, lab.run(InstanceType="t3.micro"), Latest=True) == ""


def test_cloud_init_prints_the_hosts_keys(open_account: Lab) -> None:  # noqa: F811
    id, _ = booted(open_account, "rmachine-lab-debian-13")
    until(lambda: BEGIN in output(open_account, id, Latest=True))
    shown = open_account.control("POST", f"hosts/{id}/exec", {"command": "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub"})
    assert shown["stdout"].split()[1] in output(open_account, id, Latest=True).rpartition(BEGIN)[2]
    open_account.control("POST", f"hosts/{id}/exec", {"command": "echo the last word >/dev/console"})
    until(lambda: "the last word" in output(open_account, id, Latest=True))
