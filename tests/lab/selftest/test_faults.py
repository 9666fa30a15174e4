"""The faults that a test can ask for, and the log of calls."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.error
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import ConnectionClosedError, HTTPClientError
from conftest import Lab, code, until

CUT = (ConnectionClosedError, HTTPClientError)


def test_error_and_times(lab: Lab) -> None:
    lab.control("POST", "faults", {"action": "RunInstances", "error": "InsufficientInstanceCapacity", "message": "none left", "times": 2})
    assert [code(lab.run) for _ in range(2)] == ["InsufficientInstanceCapacity"] * 2
    assert lab.run()
    call = next(c for c in lab.control("GET", "calls") if c["action"] == "RunInstances")
    assert (call["error"], call["code"]) == ("InsufficientInstanceCapacity", 400)


def test_throttling_is_a_503(lab: Lab) -> None:
    lab.control("POST", "faults", {"action": "*", "error": "RequestLimitExceeded"})
    assert code(lab.ec2.describe_vpcs) == "RequestLimitExceeded"
    assert lab.control("GET", "calls")[-1]["code"] == 503


def test_nth(lab: Lab) -> None:
    lab.control("POST", "faults", {"action": "DescribeVpcs", "error": "InternalError", "status": 500, "nth": 2})
    assert lab.ec2.describe_vpcs()
    assert code(lab.ec2.describe_vpcs) == "InternalError"
    assert lab.ec2.describe_vpcs() and lab.ec2.describe_subnets()


def test_reset_does_nothing(lab: Lab) -> None:
    image = lab.image()
    lab.control("POST", "faults", {"action": "RunInstances", "reset": True})
    with pytest.raises(CUT):
        lab.run(ImageId=image)
    assert lab.control("GET", "resources")["instances"] == []


def test_a_dropped_answer_leaves_an_instance_that_the_token_finds(lab: Lab) -> None:
    lab.control("POST", "faults", {"action": "RunInstances", "drop_answer": True, "times": 1})
    with pytest.raises(CUT):
        lab.run(ClientToken="dropped")
    made = lab.control("GET", "resources")["instances"]
    assert len(made) == 1
    assert [lab.run(ClientToken="dropped")] == made
    assert lab.control("GET", "resources")["instances"] == made


def test_delay(lab: Lab) -> None:
    lab.control("POST", "faults", {"action": "DescribeVpcs", "delay": 0.5, "times": 1})
    began = time.monotonic()
    lab.ec2.describe_vpcs()
    assert time.monotonic() - began >= 0.5


def test_rate(lab: Lab) -> None:
    lab.control("POST", "faults", {"action": "DescribeVpcs", "error": "InternalError", "rate": 0})
    assert lab.ec2.describe_vpcs()
    lab.control("DELETE", "faults")
    lab.control("POST", "faults", {"action": "DescribeVpcs", "error": "InternalError", "rate": 1})
    assert code(lab.ec2.describe_vpcs) == "InternalError"
    assert lab.control("GET", "faults")[0]["used"] == 1


def test_a_misspelt_fault_is_refused(lab: Lab) -> None:
    for fault in ({"action": "RunInstances", "eror": "x"}, {"action": "RunInstances"}):
        with pytest.raises(urllib.error.HTTPError):
            lab.control("POST", "faults", fault)
    with pytest.raises(urllib.error.HTTPError):
        lab.control("POST", "delays", {"slowness": 1})


def test_calls_are_logged_without_user_data(lab: Lab) -> None:
    lab.run(ClientToken="t", UserData="topsecret")
    call = lab.control("GET", "calls")[-1]
    assert (call["action"], call["token"], call["code"], call["region"]) == ("RunInstances", "t", 200, "us-east-1")
    assert call["parameters"]["InstanceType"] == "t3.micro" and "UserData" not in call["parameters"]
    lab.control("DELETE", "calls")
    assert lab.control("GET", "calls") == []


def held(lab: Lab) -> list[tuple[str, str]]:
    return [(call["action"], call["hold"]) for call in lab.control("GET", "held")]


@pytest.mark.parametrize(("when", "drop", "made"), [("before", False, 1), ("before", True, 0), ("after", False, 1), ("after", True, 1)])
def test_hold(lab: Lab, when: str, drop: bool, made: int) -> None:
    image = lab.image()
    before = set(lab.control("GET", "instances"))
    lab.control("POST", "faults", {"action": "*", "nth": 2, "hold": when})
    with ThreadPoolExecutor() as pool:
        lab.ec2.describe_vpcs()
        assert held(lab) == []
        call = pool.submit(lab.ec2.run_instances, ImageId=image, InstanceType="t3.micro", MinCount=1, MaxCount=1)
        until(lambda: held(lab) == [("RunInstances", when)])
        assert len(lab.control("GET", "resources")["instances"]) == (when == "after")
        lab.ec2.describe_vpcs()  # others are not held
        lab.control("POST", "release", {"drop": drop})
        assert isinstance(call.exception(), CUT) if drop else call.result()["Instances"]
    assert held(lab) == []
    assert len(set(lab.control("GET", "instances")) - before) == made


def test_a_held_call_goes_on_in_time_or_when_the_faults_go(lab: Lab) -> None:
    lab.control("POST", "faults", {"action": "DescribeVpcs", "hold": "before", "within": 0.5, "times": 1})
    began = time.monotonic()
    assert lab.ec2.describe_vpcs() and time.monotonic() - began >= 0.5
    lab.control("POST", "faults", {"action": "DescribeVpcs", "hold": "after"})
    with ThreadPoolExecutor() as pool:
        call = pool.submit(lab.ec2.describe_vpcs)
        until(lambda: held(lab) == [("DescribeVpcs", "after")])
        lab.control("DELETE", "faults")
        assert call.result()["Vpcs"]


def test_a_call_is_held_when_its_client_dies(lab: Lab) -> None:
    image = lab.image()
    lab.control("POST", "faults", {"action": "RunInstances", "hold": "before"})
    script = f"import boto3; boto3.client('ec2').run_instances(ImageId='{image}', InstanceType='t3.micro', MinCount=1, MaxCount=1)"
    client = subprocess.Popen([sys.executable, "-c", script], env={**os.environ, **lab.env})
    until(lambda: held(lab) == [("RunInstances", "before")])
    client.kill()
    client.wait()
    lab.control("POST", "release", {"drop": True})
    until(lambda: held(lab) == [])
    lab.control("DELETE", "faults")
    assert lab.control("GET", "resources")["instances"] == []
    assert lab.run()


def test_what_cannot_be_held_is_refused(lab: Lab) -> None:
    for fault in ({"action": "RunInstances", "hold": "during"}, {"action": "@launch", "hold": "before"}):
        with pytest.raises(urllib.error.HTTPError):
            lab.control("POST", "faults", fault)
