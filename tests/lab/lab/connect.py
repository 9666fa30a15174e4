"""EC2 Instance Connect: a public key that the sshd of an instance takes for a minute.

docs.aws.amazon.com/ec2-instance-connect/latest/APIReference/API_SendSSHPublicKey.html. As on EC2, the API
takes the key whether or not the host has the agent that shows it to sshd.
"""

from __future__ import annotations

import binascii
import json
import re
import shlex
import time
import uuid
from typing import Any

from .agent import KEYS
from .ec2 import Cloud, Delays
from .errors import Answer, Refused

# InstanceOSUser's pattern in the API's model; SSHPublicKey has 80 to 4096 characters.
USER = re.compile(r"[A-Za-z_][A-Za-z0-9@._-]{0,30}[A-Za-z0-9$_-]?")
KEY = re.compile(r"(ssh-ed25519|ssh-rsa) ([A-Za-z0-9+/]+={0,2})( [^\n]*)?\n?")


def send(form: dict[str, str], backend: Any, cloud: Cloud) -> Answer:
    """Carries out SendSSHPublicKey."""
    id, user, key = (form.get(name, "") for name in ("InstanceId", "InstanceOSUser", "SSHPublicKey"))
    if not re.fullmatch(r"i-[0-9a-f]{8,30}", id) or not USER.fullmatch(user) or not well_formed(key):
        raise Refused("InvalidArgsException", "One of the parameters is not valid.")
    instance = cloud.instances.get(id)
    zone = form.get("AvailabilityZone")
    mine = instance and instance.ec2_backend is backend and cloud.visible(instance)
    if not instance or not mine or zone not in (None, instance._placement.zone):
        raise Refused("EC2InstanceNotFoundException", "The specified instance was not found.")
    if instance._state.name != "running":
        raise Refused("EC2InstanceStateInvalidException", f"The instance {id} is {instance._state.name}: it takes keys while it is running.")
    if cloud.hosts and id in cloud.hosts.hosts:
        line = f"{int(time.time() + Delays.connect_key)} {key.strip()}"
        file = shlex.quote(f"{KEYS}/{user}")
        done = cloud.hosts.execute(id, f"umask 022; mkdir -p {KEYS} && echo {shlex.quote(line)} >>{file}")
        if done["code"]:
            raise Refused("EC2InstanceUnavailableException", "The instance is currently unavailable. Wait a few minutes and try again.", 500)
    text = json.dumps({"RequestId": str(uuid.uuid4()), "Success": True}).encode()
    return "200 OK", [("Content-Type", "application/x-amz-json-1.1"), ("Content-Length", str(len(text)))], text


def well_formed(key: str) -> bool:
    """Whether a key is one that the API takes: RSA or ED25519, in OpenSSH's form."""
    found = KEY.fullmatch(key)
    if not found or not 80 <= len(key) <= 4096:
        return False
    try:
        blob = binascii.a2b_base64(found[2])
    except binascii.Error:
        return False
    name = found[1].encode()
    return blob.startswith(len(name).to_bytes(4, "big") + name)
