"""Who may ask: EC2's answers to credentials that do not fit."""

from __future__ import annotations

import datetime
import json
import sys
from pathlib import Path

import botocore.auth
import pytest
from conftest import Lab, code

sys.path.insert(0, str(Path(__file__).parent.parent))
from lab import auth


def test_good_ones_are_accepted(lab: Lab) -> None:
    assert lab.ec2.describe_vpcs()["Vpcs"]
    session = lab.client("ec2", auth.SESSION_KEY, auth.SESSION_SECRET, auth.SESSION_TOKEN)
    assert session.describe_vpcs()["Vpcs"]


def test_unknown_key(lab: Lab) -> None:
    assert code(lab.client("ec2", key="AKIANOBODY0000000000").describe_vpcs) == "AuthFailure"


def test_wrong_secret(lab: Lab) -> None:
    assert code(lab.client("ec2", secret="wrong").describe_vpcs) == "AuthFailure"


def test_tokens(lab: Lab) -> None:
    assert code(lab.client("ec2", token="expired").describe_vpcs) == "RequestExpired"
    assert code(lab.client("ec2", token="not of this key").describe_vpcs) == "AuthFailure"
    assert code(lab.client("ec2", auth.SESSION_KEY, auth.SESSION_SECRET).describe_vpcs) == "AuthFailure"
    assert code(lab.client("ec2", auth.SESSION_KEY, auth.SESSION_SECRET, "expired").describe_vpcs) == "RequestExpired"


def test_unknown_region(lab: Lab) -> None:
    assert code(lab.client("ec2", region="us-nowhere-1").describe_vpcs) == "AuthFailure"


def test_clock_too_far_off(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    late = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=1)
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: late.replace(tzinfo=None), raising=True)
    assert code(lab.client("ec2").describe_vpcs) == "RequestExpired"


def test_the_json_services_have_names_of_their_own(lab: Lab) -> None:
    assert code(lab.client("ssm", token="expired").get_parameter, Name="x") == "ExpiredTokenException"
    assert code(lab.client("ssm", secret="wrong").get_parameter, Name="x") == "UnrecognizedClientException"


def test_what_is_signed_is_checked(lab: Lab) -> None:
    """A body that was changed on the way is refused."""
    client = lab.client("ec2")
    client.meta.events.register("before-send.ec2.*", lambda request, **_: setattr(request, "body", request.body.replace("2016-11-15", "2014-11-15")))
    assert code(client.describe_vpcs) == "AuthFailure"


def test_the_calls_are_in_the_log(lab: Lab) -> None:
    code(lab.client("ec2", secret="wrong").describe_vpcs)
    call = lab.control("GET", "calls")[-1]
    assert (call["action"], call["error"], call["code"]) == ("DescribeVpcs", "AuthFailure", 401)
    assert "wrong" not in json.dumps(call)
