"""Labs for the lab's own tests: one without hosts, started once, and one with hosts for those that boot some."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

HERE = Path(__file__).parent.parent
# What is slow to make was made before (tests/prepare): here it would fall into a test's time-out.
os.environ["RMACHINE_LAB_BUILD"] = "no"
IMAGES = ["debian12", "debian12-docker", "debian13", "debian13-docker", "debian13-current"]
DELAYS = {"visible": 0.0, "pending": 0.0, "stopping": 0.0, "shutting_down": 0.0, "spot_reopen": 0.5, "group_visible": 0.0, "connect_key": 60.0}
LONG = 600.0  # longer than any test: a state that does not pass by itself


class Lab:
    """A running lab, its control API and clients for it."""

    def __init__(self, state: Path, *words: str) -> None:
        self.state = state
        printed = subprocess.run([HERE / "up", state, *words], check=True, stdout=subprocess.PIPE, text=True).stdout
        exports = [line.removeprefix("export ") for line in printed.splitlines() if line.startswith("export ")]
        self.env = dict(shlex.split(line)[0].split("=", 1) for line in exports)
        self.ec2 = self.client("ec2")

    def client(self, service: str, key: str | None = None, secret: str | None = None, token: str | None = None, region: str = "us-east-1") -> Any:
        """A client that does not try again, so that a test sees each answer."""
        return boto3.client(
            service, region_name=region, endpoint_url=self.env["AWS_ENDPOINT_URL"],
            aws_access_key_id=key or self.env["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=secret or self.env["AWS_SECRET_ACCESS_KEY"], aws_session_token=token,
            config=Config(retries={"total_max_attempts": 1}),
        )  # fmt: skip

    def control(self, method: str, path: str, body: Any = None) -> Any:
        """A call of the control API."""
        data = json.dumps(body if body is not None else {}).encode() if method != "GET" else None
        request = urllib.request.Request(f"{self.env['RMACHINE_LAB']}/{path}", data=data, method=method)
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.load(answer)

    def reset(self) -> None:
        """Back to a quick lab without instances, faults and groups."""
        self.control("POST", "reset")
        self.control("POST", "delays", DELAYS)

    def image(self, name: str = "rmachine-lab-debian-13") -> str:
        """The id of the image with this name."""
        return self.ec2.describe_images(Filters=[{"Name": "name", "Values": [name]}])["Images"][0]["ImageId"]

    def run(self, **words: Any) -> str:
        """Runs one instance and answers its id."""
        words = {"ImageId": self.image(), "InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 1} | words
        return self.ec2.run_instances(**words)["Instances"][0]["InstanceId"]

    def instance(self, id: str) -> dict[str, Any]:
        """What DescribeInstances says."""
        return self.ec2.describe_instances(InstanceIds=[id])["Reservations"][0]["Instances"][0]

    def wait(self, id: str, state: str) -> dict[str, Any]:
        """Waits until the instance is in a state."""
        until(lambda: self.instance(id)["State"]["Name"] == state)
        return self.instance(id)

    def group(self, name: str, **words: Any) -> str:
        """A new security group."""
        return self.ec2.create_security_group(GroupName=name, Description="of a self-test", **words)["GroupId"]

    def terminate(self, *ids: str) -> None:
        """Terminates, and waits for it."""
        self.ec2.terminate_instances(InstanceIds=list(ids))
        for id in ids:
            self.wait(id, "terminated")

    def down(self) -> None:
        """Takes the lab down."""
        subprocess.run([HERE / "down", self.state], check=True)


def until(true: Callable[[], Any], patience: float = 120) -> Any:
    """Waits for something to become true."""
    deadline = time.monotonic() + patience
    while not (value := true()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)
    return value


def code(call: Callable[..., Any], *arguments: Any, **words: Any) -> str:
    """The error code that a call is refused with."""
    with pytest.raises(ClientError) as caught:
        call(*arguments, **words)
    return str(caught.value.response["Error"]["Code"])


@pytest.fixture(scope="session")
def scratch() -> Iterator[Path]:
    """A directory with a short path."""
    with tempfile.TemporaryDirectory(prefix="labtest-") as path:
        yield Path(path)


@pytest.fixture(scope="session")
def quick(scratch: Path) -> Iterator[Lab]:
    """A lab without hosts."""
    lab = Lab(scratch / "quick", "--no-hosts")
    yield lab
    lab.down()


@pytest.fixture
def lab(quick: Lab) -> Iterator[Lab]:
    """A lab without hosts, quick, and clean before and after."""
    quick.reset()
    yield quick
    quick.reset()


@pytest.fixture(scope="session")
def hosted(scratch: Path) -> Iterator[Lab]:
    """A lab with hosts."""
    if os.geteuid() != 0:
        print("\nSKIPPED, and loudly: the lab's hosts need root", file=sys.stderr)
        pytest.skip("the lab's hosts need root")
    lab = Lab(scratch / "hosted", "--docker-repo", "--images", *IMAGES)
    lab.reset()
    yield lab
    lab.down()


@pytest.fixture(scope="session")
def key(scratch: Path) -> Path:
    """A key pair for logging in; the public half is beside it with .pub."""
    path = scratch / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
    return path
