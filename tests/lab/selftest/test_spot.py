"""Spot requests live and end as on EC2."""

from __future__ import annotations

from typing import Any

from conftest import Lab, code, until

TAGS = [{"ResourceType": "spot-instances-request", "Tags": [{"Key": "owner", "Value": "me"}]}]


def spot(lab: Lab, kind: str, **words: Any) -> tuple[str, str]:
    options = {"SpotInstanceType": kind} | ({"InstanceInterruptionBehavior": "stop"} if kind == "persistent" else {})
    id = lab.run(InstanceMarketOptions={"MarketType": "spot", "SpotOptions": options}, TagSpecifications=TAGS, **words)
    instance = lab.wait(id, "running")
    assert instance["InstanceLifecycle"] == "spot"
    return id, instance["SpotInstanceRequestId"]


def state(lab: Lab, request: str) -> str:
    return lab.ec2.describe_spot_instance_requests(SpotInstanceRequestIds=[request])["SpotInstanceRequests"][0]["State"]


def test_one_time(lab: Lab) -> None:
    id, request = spot(lab, "one-time")
    found = lab.ec2.describe_spot_instance_requests(Filters=[{"Name": "tag:owner", "Values": ["me"]}, {"Name": "state", "Values": ["open", "active"]}])
    assert [(r["SpotInstanceRequestId"], r["InstanceId"], r["Type"]) for r in found["SpotInstanceRequests"]] == [(request, id, "one-time")]
    assert found["SpotInstanceRequests"][0]["Tags"] == [{"Key": "owner", "Value": "me"}]
    assert code(lab.ec2.stop_instances, InstanceIds=[id]) == "UnsupportedOperation"
    assert lab.control("GET", "resources")["spot"] == [request]
    lab.terminate(id)
    assert state(lab, request) == "closed"
    assert lab.control("GET", "resources")["spot"] == []


def test_a_persistent_one_starts_another_instance(lab: Lab) -> None:
    id, request = spot(lab, "persistent", ClientToken="spot-1")
    lab.control("POST", "delays", {"spot_reopen": 1})
    lab.terminate(id)
    assert state(lab, request) in ("open", "active")
    until(lambda: state(lab, request) == "active")
    held = lab.control("GET", "resources")
    assert held["spot"] == [request] and len(held["instances"]) == 1 and held["instances"] != [id]
    lab.ec2.cancel_spot_instance_requests(SpotInstanceRequestIds=[request])
    assert lab.control("GET", "resources")["instances"] == held["instances"]  # cancelling ends no instance
    lab.terminate(*held["instances"])


def test_a_cancelled_one_does_not(lab: Lab) -> None:
    lab.control("POST", "delays", {"spot_reopen": 0})
    id, request = spot(lab, "persistent")
    lab.ec2.cancel_spot_instance_requests(SpotInstanceRequestIds=[request])
    lab.terminate(id)
    assert state(lab, request) == "cancelled"
    assert lab.control("GET", "resources")["instances"] == []


def test_a_persistent_one_stops_and_starts(lab: Lab) -> None:
    id, request = spot(lab, "persistent")
    lab.ec2.stop_instances(InstanceIds=[id])
    lab.wait(id, "stopped")
    assert state(lab, request) == "disabled"
    lab.ec2.start_instances(InstanceIds=[id])
    lab.wait(id, "running")
    assert state(lab, request) == "active"
    lab.ec2.cancel_spot_instance_requests(SpotInstanceRequestIds=[request])
    lab.terminate(id)


def test_unknown_requests(lab: Lab) -> None:
    for call in (lab.ec2.describe_spot_instance_requests, lab.ec2.cancel_spot_instance_requests):
        assert code(call, SpotInstanceRequestIds=["sir-00000000"]) == "InvalidSpotInstanceRequestID.NotFound"


def test_on_demand_has_no_request(lab: Lab) -> None:
    instance = lab.wait(lab.run(), "running")
    assert "SpotInstanceRequestId" not in instance and "InstanceLifecycle" not in instance
