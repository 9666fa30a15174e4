"""EC2's way to say no, in its XML form and in the JSON form of SSM and STS's kin."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterable
from typing import Any
from xml.sax.saxutils import escape

Start = Callable[..., Any]
Answer = tuple[str, list[tuple[str, str]], bytes]


class Refused(Exception):
    """An answer of EC2's own form that says no."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code, self.message, self.status = code, message, status


class Dropped(Exception):
    """The connection ends here, without an answer."""


# What the JSON services call the refusals that all services share
# (docs.aws.amazon.com/systems-manager/latest/APIReference/CommonErrors.html).
JSON_NAMES = {
    "RequestExpired": "ExpiredTokenException",
    "AuthFailure": "UnrecognizedClientException",
    "MissingAuthenticationToken": "MissingAuthenticationTokenException",
    "RequestLimitExceeded": "ThrottlingException",
}


def refusal(no: Refused, is_json: bool, start: Start) -> Iterable[bytes]:
    """The answer to a refused call, as EC2 (XML) or SSM (JSON) has it."""
    status = no.status
    if is_json:
        status = 400 if status < 500 or no.code == "RequestLimitExceeded" else status
        text = json.dumps({"__type": JSON_NAMES.get(no.code, no.code), "message": no.message})
        kind = "application/x-amz-json-1.1"
    else:
        kind = "text/xml;charset=UTF-8"
        text = (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f"<Response><Errors><Error><Code>{escape(no.code)}</Code><Message>{escape(no.message)}</Message></Error></Errors>"
            f"<RequestID>{uuid.uuid4()}</RequestID></Response>"
        )
    start(f"{status} Refused", [("Content-Type", kind), ("Content-Length", str(len(text.encode())))])
    return [text.encode()]
