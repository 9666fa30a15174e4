"""GetConsoleOutput: what an instance has written to its console, 64 KiB of it at most.

docs.aws.amazon.com/AWSEC2/latest/APIReference/API_GetConsoleOutput.html. A host's console is its container's terminal.
Unlike EC2's, what is not the latest is no older than that.
"""

from __future__ import annotations

import base64
import datetime
import uuid
from typing import Any

from .ec2 import Cloud
from .errors import Answer, Refused
from .forms import truth

MOST = 64 << 10
# Families before Nitro (docs.aws.amazon.com/ec2/latest/instancetypes/ec2-nitro-instances.html): they have no latest output.
XEN = {"t1", "t2", "m1", "m2", "m3", "m4", "c1", "c3", "c4", "r3", "r4", "i2", "i3", "d2", "x1", "x1e", "h1"}


def output(form: dict[str, str], backend: Any, cloud: Cloud) -> Answer:
    """Carries out GetConsoleOutput."""
    id = form.get("InstanceId", "")
    instance = cloud.instances.get(id)
    if not instance or instance.ec2_backend is not backend or not cloud.visible(instance):
        raise Refused("InvalidInstanceID.NotFound", f"The instance ID '{id}' does not exist")
    if truth(form.get("Latest")) and instance.instance_type.partition(".")[0] in XEN:
        raise Refused("UnsupportedOperation", "This instance type does not support retrieving the latest console logs.")
    text = b""
    if cloud.hosts and id in cloud.hosts.hosts:
        text = cloud.hosts.engine.call("logs", id, check=False).stdout.encode()[-MOST:]
    read = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    answer = (
        f'<GetConsoleOutputResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>{uuid.uuid4()}</requestId>'
        f"<instanceId>{id}</instanceId><timestamp>{read}</timestamp>"
        f"<output>{base64.b64encode(text).decode()}</output></GetConsoleOutputResponse>"
    ).encode()
    return "200 OK", [("Content-Type", "text/xml;charset=UTF-8"), ("Content-Length", str(len(answer)))], answer
