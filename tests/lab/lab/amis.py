"""The machine images of the lab's EC2, named as their real owners name them.

Which host image an AMI boots is in HOSTS, by AMI id.
"""

from __future__ import annotations

import json
from pathlib import Path

CANONICAL = "099720109477"  # documentation.ubuntu.com/aws, "Find Ubuntu images on AWS"
DEBIAN = "136693071363"  # wiki.debian.org/Cloud/AmazonEC2Image
AMAZON = "137112412989"
OURS = "123456789012"

# AMI id → (host image, login user); arm64 images and Amazon Linux are there to be looked up, not to be booted.
HOSTS: dict[str, tuple[str, str]] = {}
# Those with the agent of EC2 Instance Connect; Debian's own have none (docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-instance-connect-prerequisites.html).
CONNECT: set[str] = set()
PARAMETER = "/rmachine-lab/debian-13-docker"


def _ami(number: int, name: str, owner: str, date: str, device: str, arch: str = "x86_64") -> dict[str, object]:
    return {
        "ami_id": f"ami-{number:017x}", "name": name, "owner_id": owner, "creation_date": f"{date}T00:00:00.000Z",
        "description": name, "architecture": arch, "root_device_name": device, "root_device_type": "ebs",
        "virtualization_type": "hvm", "hypervisor": "xen", "image_type": "machine", "public": True,
        "image_location": f"lab/{name}", "sriov": "simple", "state": "available", "platform": None,
    }  # fmt: skip


def write(path: Path) -> None:
    """Writes the images in the form that moto's MOTO_AMIS_PATH wants."""
    images = []
    number = 0x1AB000

    def add(name: str, owner: str, date: str, device: str, host: tuple[str, str] | None = None, arch: str = "x86_64") -> str:
        nonlocal number
        number += 1
        image = _ami(number, name, owner, date, device, arch)
        images.append(image)
        if host and arch == "x86_64":
            HOSTS[str(image["ami_id"])] = host
            if owner != DEBIAN:
                CONNECT.add(str(image["ami_id"]))
        return str(image["ami_id"])

    for date in ("2024-04-23", "2026-02-18", "2025-06-10"):
        day = date.replace("-", "")
        for arch, word in (("x86_64", "amd64"), ("arm64", "arm64")):
            name = f"ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-{word}-server-{day}"
            add(name, CANONICAL, date, "/dev/sda1", ("debian13", "ubuntu"), arch)
            for release in ("12", "13"):
                add(f"debian-{release}-{word}-{day}-2031", DEBIAN, date, "/dev/xvda", (f"debian{release}", "admin"), arch)
    add("ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-20270101", "999999999999", "2027-01-01", "/dev/sda1")
    add("al2023-ami-2023.9.20260210.0-kernel-6.1-x86_64", AMAZON, "2026-02-10", "/dev/xvda")
    for release in ("12", "13"):
        for kind in ("", "-docker"):
            add(f"rmachine-lab-debian-{release}{kind}", OURS, "2026-03-01", "/dev/xvda", (f"debian{release}{kind}", "admin"))
    add("rmachine-lab-debian-13-current", OURS, "2026-03-01", "/dev/xvda", ("debian13-current", "admin"))
    path.write_text(json.dumps(images))


def by_name(path: Path) -> dict[str, str]:
    """AMI ids by name."""
    return {image["name"]: image["ami_id"] for image in json.loads(path.read_text())}
