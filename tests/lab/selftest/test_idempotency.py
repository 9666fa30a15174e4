"""ClientToken (devguide, "Ensuring idempotency in Amazon EC2 API requests")."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from conftest import LONG, Lab, code


def test_the_same_request_makes_one_instance(lab: Lab) -> None:
    first = lab.run(ClientToken="a", UserData="x")
    assert lab.run(ClientToken="a", UserData="x") == first
    assert lab.control("GET", "resources")["instances"] == [first]
    assert lab.run(UserData="x") != first
    found = lab.ec2.describe_instances(Filters=[{"Name": "client-token", "Values": ["a"]}])["Reservations"]
    assert [i["InstanceId"] for r in found for i in r["Instances"]] == [first]


@pytest.mark.parametrize("words", [{"InstanceType": "t3.small"}, {"UserData": "y"}, {"TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": "k", "Value": "v"}]}]}])
def test_another_request_with_the_token_is_refused(lab: Lab, words: dict[str, Any]) -> None:
    token = f"b-{next(iter(words))}"
    first = lab.run(ClientToken=token)
    assert code(lab.run, ClientToken=token, **words) == "IdempotentParameterMismatch"
    assert lab.control("GET", "resources")["instances"] == [first]


def test_another_zone_is_another_instance(lab: Lab) -> None:
    """Idempotency is zonal where a zone is named: a token used again in the next zone launches a second time."""
    zones = [{"AvailabilityZone": f"us-east-1{letter}"} for letter in "ab"]
    first, second = (lab.run(ClientToken="c", Placement=zone) for zone in zones)
    assert first != second
    assert [lab.run(ClientToken="c", Placement=zone) for zone in zones] == [first, second]
    assert code(lab.run, ClientToken="c", Placement=zones[0], InstanceType="t3.small") == "IdempotentParameterMismatch"


def test_a_refused_request_does_not_use_the_token_up(lab: Lab) -> None:
    assert code(lab.run, ClientToken="d", KeyName="nobody's") == "InvalidKeyPair.NotFound"
    assert lab.run(ClientToken="d")


def test_the_repeated_answer_tells_the_state_of_now(lab: Lab) -> None:
    id = lab.run(ClientToken="e")
    lab.terminate(id)
    again = lab.ec2.run_instances(ClientToken="e", ImageId=lab.image(), InstanceType="t3.micro", MinCount=1, MaxCount=1)["Instances"][0]
    assert (again["InstanceId"], again["State"]["Name"]) == (id, "terminated")


def test_at_the_same_time(lab: Lab) -> None:
    lab.control("POST", "delays", {"pending": LONG})
    image, made = lab.image(), []
    threads = [threading.Thread(target=lambda: made.append(lab.run(ImageId=image, ClientToken="f"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 4 and len(set(made)) == 1
    lab.control("POST", "delays", {"pending": 0})
