"""Instances are hosts: cloud-init, keys, user-data in each form, firewalls, power."""

from __future__ import annotations

import gzip
import socket
import subprocess
from collections.abc import Iterator
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from pathlib import Path
from typing import Any

import pytest
from conftest import Lab, until

SCRIPT = "#!/bin/sh\necho from-script >/run/marker\n"
CONFIG = "#cloud-config\nwrite_files:\n  - path: /etc/marker\n    content: from-config\n"


def both() -> bytes:
    """A script and a cloud-config in one, gzipped."""
    whole = MIMEMultipart()
    whole.attach(MIMEText(SCRIPT, "x-shellscript"))
    whole.attach(MIMEText(CONFIG, "cloud-config"))
    return gzip.compress(whole.as_bytes())


def tcp(port: int, source: str) -> list[dict[str, Any]]:
    return [{"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "IpRanges": [{"CidrIp": source}]}]


def ssh(address: str, key: Path, command: str, user: str = "admin") -> subprocess.CompletedProcess[str]:
    """Runs a command over SSH; the first host key is taken, as this tests the lab and no secrets."""
    options = ["-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=accept-new", "-o", f"UserKnownHostsFile={key}.hosts", "-o", "ConnectTimeout=2"]
    return subprocess.run(["ssh", *options, "-i", key, f"{user}@{address}", command], capture_output=True, text=True, stdin=subprocess.DEVNULL)


def answer(address: str, key: Path, command: str, user: str = "admin") -> str:
    """What a command prints, once the host lets us in."""
    return until(lambda: (done := ssh(address, key, command, user)).returncode == 0 and (done.stdout.strip() or "nothing"))


def opened(address: str, port: int, source: str = "127.0.0.1") -> bool:
    """Whether a port answers; silence is a no."""
    try:
        socket.create_connection((address, port), timeout=1, source_address=(source, 0)).close()
    except OSError:
        return False
    return True


@pytest.fixture
def account(hosted: Lab, key: Path) -> Iterator[Lab]:
    """An account with our key pair."""
    hosted.reset()
    hosted.ec2.import_key_pair(KeyName="mine", PublicKeyMaterial=key.with_suffix(".pub").read_bytes())
    yield hosted
    hosted.reset()
    key.with_suffix(".hosts").unlink(missing_ok=True)


def launch(lab: Lab, *ports: int, **words: Any) -> tuple[str, str, str]:
    group = lab.group(f"of {len(lab.control('GET', 'resources')['groups'])}")
    for port in ports:
        lab.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=tcp(port, "127.0.0.1/32"))
    id = lab.run(SecurityGroupIds=[group], KeyName="mine", **words)
    return id, lab.wait(id, "running")["PublicIpAddress"], group


@pytest.mark.parametrize("image", ["rmachine-lab-debian-12", "rmachine-lab-debian-13"])
def test_user_data_and_key_pair(account: Lab, key: Path, image: str) -> None:
    _, address, _ = launch(account, 22, ImageId=account.image(image), UserData=both())
    assert answer(address, key, "id -un; sudo -n id -un").split() == ["admin", "root"]
    assert answer(address, key, "cloud-init status --wait >/dev/null; cat /run/marker /etc/marker").split() == ["from-script", "from-config"]
    release = image[-2:]
    assert f'VERSION_ID="{release}"' in answer(address, key, "cat /etc/os-release")
    assert answer(address, key, "systemctl is-system-running; hostname; sudo true 2>&1").startswith("running")


@pytest.mark.parametrize(("data", "marker"), [(SCRIPT, "/run/marker"), (CONFIG, "/etc/marker")])
def test_plain_user_data(account: Lab, key: Path, data: str, marker: str) -> None:
    _, address, _ = launch(account, 22, UserData=data)
    assert answer(address, key, f"cloud-init status --wait >/dev/null; cat {marker}").startswith("from-")


def test_an_engine_in_the_image(account: Lab, key: Path) -> None:
    _, address, _ = launch(account, 22, ImageId=account.image("rmachine-lab-debian-13-docker"))
    assert '"ApiVersion"' in answer(address, key, "sudo curl -sf --unix-socket /run/docker.sock http://docker/version")


def test_the_login_user_is_the_images(account: Lab, key: Path) -> None:
    image = account.ec2.describe_images(Owners=["099720109477"], Filters=[{"Name": "architecture", "Values": ["x86_64"]}])["Images"][0]
    _, address, _ = launch(account, 22, ImageId=image["ImageId"])
    assert answer(address, key, "id -un", user="ubuntu") == "ubuntu"


def test_ports_as_the_groups_admit(account: Lab, key: Path) -> None:
    id, address, group = launch(account, 22)
    until(lambda: opened(address, 22))
    answer(address, key, "nohup python3 -m http.server 8000 >/dev/null 2>&1 & echo")
    private = account.instance(id)["PrivateIpAddress"]
    gateway = account.env["RMACHINE_LAB_GATEWAY"]
    assert not opened(address, 8000) and not opened(private, 8000, gateway) and not opened(private, 22, gateway)
    assert not opened(address, 22, "127.0.0.9")
    account.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=tcp(8000, "127.0.0.9/32"))
    until(lambda: opened(address, 8000, "127.0.0.9"))
    assert not opened(address, 8000)
    account.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=tcp(8000, f"{gateway}/32"))
    until(lambda: opened(private, 8000, gateway))
    account.ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=tcp(22, "127.0.0.1/32"))
    assert not opened(address, 22)
    other = account.group("other")
    account.ec2.authorize_security_group_ingress(GroupId=other, IpPermissions=tcp(22, "127.0.0.0/8"))
    account.ec2.modify_instance_attribute(InstanceId=id, Groups=[other])
    assert opened(address, 22) and not opened(address, 8000, "127.0.0.9")


def test_private_only(account: Lab, key: Path) -> None:
    group = account.group("inside")
    account.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=tcp(22, f"{account.env['RMACHINE_LAB_GATEWAY']}/32"))
    nic = {"DeviceIndex": 0, "Groups": [group], "AssociatePublicIpAddress": False}
    id = account.run(KeyName="mine", NetworkInterfaces=[nic])
    instance = account.wait(id, "running")
    assert "PublicIpAddress" not in instance
    assert answer(instance["PrivateIpAddress"], key, "id -un") == "admin"


def test_stop_and_start(account: Lab, key: Path) -> None:
    id, address, _ = launch(account, 22)
    before = answer(address, key, "echo kept >kept; sync; cat /proc/sys/kernel/random/boot_id")
    private = account.instance(id)["PrivateIpAddress"]
    account.ec2.stop_instances(InstanceIds=[id])
    account.wait(id, "stopped")
    assert not opened(address, 22)
    account.ec2.start_instances(InstanceIds=[id])
    instance = account.wait(id, "running")
    assert instance["PublicIpAddress"] != address and instance["PrivateIpAddress"] == private
    assert answer(instance["PublicIpAddress"], key, "cat kept") == "kept"
    assert answer(instance["PublicIpAddress"], key, "cat /proc/sys/kernel/random/boot_id") != before


@pytest.mark.parametrize("by", ["api", "itself"])
def test_reboot(account: Lab, key: Path, by: str) -> None:
    id, address, _ = launch(account, 22)
    boot_id = "cat /proc/sys/kernel/random/boot_id"
    before = answer(address, key, boot_id)
    if by == "api":
        account.ec2.reboot_instances(InstanceIds=[id])
    else:
        ssh(address, key, "sudo systemctl reboot")
    until(lambda: (done := ssh(address, key, boot_id)).returncode == 0 and done.stdout.strip() != before)
    assert account.instance(id)["PublicIpAddress"] == address
    journal = answer(address, key, "sudo journalctl -b -o cat -u ssh | grep -c listening; sudo journalctl --list-boots | wc -l")
    assert int(journal.split()[0]) >= 1


def test_power_off_from_within_stops_the_instance(account: Lab, key: Path) -> None:
    id, address, _ = launch(account, 22)
    answer(address, key, "sudo systemctl poweroff")
    account.wait(id, "stopped")
    account.ec2.start_instances(InstanceIds=[id])
    assert answer(account.wait(id, "running")["PublicIpAddress"], key, "id -un") == "admin"


def test_terminate_takes_the_host_away(account: Lab) -> None:
    id, address, group = launch(account, 22)
    until(lambda: opened(address, 22))
    account.terminate(id)
    assert id not in account.control("GET", "hosts") and not opened(address, 22)
    assert not (account.state / "seed" / id).exists()
    account.ec2.delete_security_group(GroupId=group)
