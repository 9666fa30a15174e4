"""Who asks: credentials and signatures (AWS Signature Version 4), with EC2's refusals.

EC2 answers AuthFailure both for a key that it does not know and for a wrong secret
(devguide, "Error codes for the Amazon EC2 API", AuthFailure).
"""

from __future__ import annotations

import calendar
import hashlib
import hmac
import re
import time
import urllib.parse
from typing import Any

from .errors import Refused

ACCOUNT = "123456789012"
ACCESS_KEY, SECRET_KEY = "AKIARMACHINELAB00001", "rmachine-lab-secret-key-0000000000000000"
# Temporary credentials, as a role or SSO gives them. The token "expired" has run out, with either key.
SESSION_KEY, SESSION_SECRET = "ASIARMACHINELAB00001", "rmachine-lab-session-key-000000000000000"
SESSION_TOKEN = "rmachine-lab-session-token"
REGIONS = {"us-east-1", "us-west-2", "eu-central-1", "eu-west-1", "ap-southeast-2"}
SKEW = 300  # seconds between the clocks that AWS tolerates

AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d+)/([^/]+)/([\w-]+)/aws4_request, ?SignedHeaders=([^,]+), ?Signature=(\w+)"
)


def check(environ: dict[str, Any], body: bytes) -> str:
    """The region that a well signed request is for; everything else is refused."""
    found = AUTHORIZATION.match(environ.get("HTTP_AUTHORIZATION", ""))
    if not found:
        raise Refused("MissingAuthenticationToken", "Request is missing Authentication Token", 403)
    key, date, region, service, names, signature = found.groups()
    if region not in REGIONS:
        raise Refused("AuthFailure", f"Credential should be scoped to a valid region, not '{region}'.", 401)
    secret = {ACCESS_KEY: SECRET_KEY, SESSION_KEY: SESSION_SECRET}.get(key)
    if secret is None:
        raise Refused("AuthFailure", "AWS was not able to validate the provided access credentials", 401)
    stamp = environ.get("HTTP_X_AMZ_DATE", "")
    try:
        asked = calendar.timegm(time.strptime(stamp, "%Y%m%dT%H%M%SZ"))
    except ValueError as error:
        raise Refused("IncompleteSignature", f"Date must be in ISO-8601 'basic format'. Got '{stamp}'.") from error
    if abs(time.time() - asked) > SKEW or not stamp.startswith(date):
        raise Refused("RequestExpired", "Request has expired.")
    signed = names.split(";")
    if "host" not in signed or "x-amz-date" not in signed or sign(environ, body, secret, date, region, service, names) != signature:
        raise Refused("AuthFailure", "AWS was not able to validate the provided access credentials", 401)
    token = environ.get("HTTP_X_AMZ_SECURITY_TOKEN")
    if token == "expired":
        raise Refused("RequestExpired", "Request has expired.")
    if token != (SESSION_TOKEN if key == SESSION_KEY else None):
        raise Refused("AuthFailure", "AWS was not able to validate the provided access credentials", 401)
    return region


def sign(environ: dict[str, Any], body: bytes, secret: str, date: str, region: str, service: str, names: str) -> str:
    """The signature that the request should have."""
    headers = ""
    for name in names.split(";"):
        variable = {"content-type": "CONTENT_TYPE", "content-length": "CONTENT_LENGTH"}.get(
            name, "HTTP_" + name.upper().replace("-", "_")
        )
        headers += f"{name}:{' '.join(environ.get(variable, '').split())}\n"
    path = urllib.parse.quote(environ.get("PATH_INFO", "/"), safe="/-_.~")
    query = "&".join(sorted(environ.get("QUERY_STRING", "").split("&"))) if environ.get("QUERY_STRING") else ""
    canonical = "\n".join([environ["REQUEST_METHOD"], path, query, headers, names, hashlib.sha256(body).hexdigest()])
    scope = f"{date}/{region}/{service}/aws4_request"
    text = "\n".join(
        ["AWS4-HMAC-SHA256", environ.get("HTTP_X_AMZ_DATE", ""), scope, hashlib.sha256(canonical.encode()).hexdigest()]
    )
    key = f"AWS4{secret}".encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
