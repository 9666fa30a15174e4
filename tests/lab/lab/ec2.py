"""The link between moto's instances and the lab's hosts, with EC2's delays.

A started instance is a booted host; its states last as on EC2; its public address is the host's and
changes over stop and start.
"""

from __future__ import annotations

import base64
import random
import threading
import time
from collections.abc import Callable

from moto.ec2.models import instances
from moto.ec2.models.elastic_network_interfaces import NetworkInterface
from moto.ec2.models.instances import Instance

from . import amis
from .cache import say
from .faults import Faults
from .hosts import Hosts
from .net import Rule

CODES = {"pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopping": 64, "stopped": 80}


class Delays:
    """How long EC2's transitions last, in seconds; the control API changes them."""

    visible = 0.3
    pending = 1.0
    stopping = 0.5
    shutting_down = 1.5
    spot_reopen = 3.0
    group_visible = 0.0
    connect_key = 60.0


class Asking(threading.local):
    """What the API call of this thread may see; the lab's own threads see everything."""

    outside = False


class Cloud:
    """All instances, and what happens to them."""

    def __init__(self, hosts: Hosts | None, faults: Faults) -> None:
        self.hosts = hosts
        self.faults = faults
        self.instances: dict[str, Instance] = {}
        self.asking = Asking()
        if hosts:
            hosts.ended = self._ended_inside

    # --- states ---------------------------------------------------------------------------------

    @staticmethod
    def state(instance: Instance, name: str, only_from: str | None = None) -> None:
        """Sets a state; with `only_from`, unless another call has changed it since."""
        if only_from in (None, instance._state.name):
            instance._state.name, instance._state.code = name, CODES[name]

    def visible(self, instance: Instance) -> bool:
        """Whether the call of this thread is shown the instance: not at once, as EC2 is eventually consistent."""
        return not self.asking.outside or time.monotonic() >= getattr(instance, "lab_visible", 0)

    @staticmethod
    def later(work: Callable[[], None]) -> None:
        """Does `work` behind the caller's back."""
        threading.Thread(target=work, daemon=True).start()

    def _within(self, instance: Instance, seconds: float, work: Callable[[], None]) -> None:
        """Does `work`, one at a time for an instance, and lets it last `seconds` at least."""
        began = time.monotonic()
        with instance.lab_lock:  # type: ignore[attr-defined]
            work()
        time.sleep(max(0.0, seconds - (time.monotonic() - began)))

    # --- the five transitions -----------------------------------------------------------------------

    def launch(self, instance: Instance) -> None:
        """Boots a new instance in the background."""
        instance.lab_lock = threading.RLock()  # type: ignore[attr-defined]
        instance.lab_made = threading.Event()  # type: ignore[attr-defined] # RunInstances has given it its volumes and tags
        instance.lab_visible = time.monotonic() + Delays.visible  # type: ignore[attr-defined]
        self.state(instance, "pending")
        self.instances[instance.id] = instance

        def work() -> None:
            if fault := self.faults.take("@launch"):
                # EC2 gives up in the background: RunInstances has attached the disks by then.
                time.sleep(Delays.pending)
                raise LaunchFailed(fault.get("error", "Server.InternalError"), fault.get("message", "by order of the test"))
            image, user = amis.HOSTS.get(instance.image_id, (None, None))
            if not (self.hosts and image and user):
                self._addresses(instance, stand_in() if wants_public(instance) else None, None)
                return
            data = base64.b64decode(instance.user_data._encoded_string) if instance.user_data else None
            keys = []
            if instance.key_name:
                pairs = instance.ec2_backend.describe_key_pairs(key_names=[instance.key_name])
                keys = [k.decode() if isinstance(k, bytes) else k for k in (pair.material_public for pair in pairs)]
            host = self.hosts.launch(
                instance.id, image, user, f"ip-{instance.id[-8:]}", data, keys, self.rules(instance), public=wants_public(instance),
                connect=instance.image_id in amis.CONNECT,
            )  # fmt: skip
            self._addresses(instance, host.address, host.private)

        def run() -> None:
            try:
                self._within(instance, Delays.pending, work)
                self.state(instance, "running", only_from="pending")
            except Exception as error:  # noqa: BLE001 - whatever it was, the API has to show it
                say(f"instance {instance.id} does not boot: {error}")
                instance.lab_made.wait(10)  # type: ignore[attr-defined] # else it would leave the volumes that come later
                code = error.code if isinstance(error, LaunchFailed) else "Server.InternalError"
                if self.hosts:
                    self.hosts.remove(instance.id)
                self._gone(instance, instances.StateReason(f"{code}: {error}", code))

        self.later(run)

    def start(self, instance: Instance) -> None:
        """Boots a stopped instance, at a new public address."""
        self.state(instance, "pending")

        def work() -> None:
            if self.hosts and (host := self.hosts.hosts.get(instance.id)):
                host.rules = self.rules(instance)
                self.hosts.boot(host)
                self._addresses(instance, host.address, host.private)
            else:
                self._addresses(instance, stand_in() if wants_public(instance) else None, None)

        def run() -> None:
            self._within(instance, Delays.pending, work)
            self.state(instance, "running", only_from="pending")

        self.later(run)

    def stop(self, instance: Instance, force: bool = False, code: str = "Client.UserInitiatedShutdown") -> None:
        """Shuts an instance down; its disk stays, its public address goes."""
        self.state(instance, "stopping")

        def work() -> None:
            if self.hosts and instance.id in self.hosts.hosts:
                self.hosts.stop(instance.id, force=force)
            instance.nics[0].public_ip = None

        def run() -> None:
            self._within(instance, Delays.stopping, work)
            instance.state_reason = instances.StateReason(f"{code}: shutdown", code)
            self.state(instance, "stopped", only_from="stopping")

        self.later(run)

    def terminate(self, instance: Instance, code: str = "Client.UserInitiatedShutdown") -> None:
        """Deletes an instance; its interface and volumes go when it is terminated, not before."""
        self.state(instance, "shutting-down")

        def work() -> None:
            if self.hosts:
                self.hosts.remove(instance.id)

        def run() -> None:
            self._within(instance, Delays.shutting_down, work)
            self._gone(instance, instances.StateReason(f"{code}: shutdown", code))

        self.later(run)

    def reboot(self, instance: Instance) -> None:
        """Boots an instance anew, at the same address."""
        if self.hosts and instance.id in self.hosts.hosts:
            hosts = self.hosts
            self.later(lambda: self._within(instance, 0, lambda: hosts.reboot(instance.id)))

    def wipe(self) -> None:
        """Takes every instance away at once, shown or not; for a test that starts anew."""
        for instance in list(self.instances.values()):
            instance.lab_visible = 0  # type: ignore[attr-defined]
            if self.hosts:
                self.hosts.remove(instance.id)
            self._gone(instance, instances.StateReason("wiped", "Client.UserInitiatedShutdown"))

    def _gone(self, instance: Instance, reason: instances.StateReason) -> None:
        with instance.lab_lock:  # type: ignore[attr-defined]
            if instance._state.name == "terminated":
                return
            self._take_away(instance, reason)

    @staticmethod
    def _take_away(instance: Instance, reason: instances.StateReason) -> None:
        instance.nics[0].public_ip = None
        instance.lab_terminate()  # type: ignore[attr-defined] # moto's own: volumes, interface
        instance.state_reason = reason

    def _ended_inside(self, id: str) -> None:
        """A host was shut down from within (`shutdown -h`)."""
        instance = self.instances.get(id)
        if instance and instance._state.name == "running":
            act = self.terminate if instance.instance_initiated_shutdown_behavior == "terminate" else self.stop
            act(instance, code="Client.InstanceInitiatedShutdown")

    # --- addresses and rules ----------------------------------------------------------------------------

    @staticmethod
    def _addresses(instance: Instance, public: str | None, private: str | None) -> None:
        nic = instance.nics[0]
        nic.public_ip = public
        if private:
            nic.private_ip_address = private
            for address in nic.private_ip_addresses:
                if address.get("Primary"):
                    address["PrivateIpAddress"] = private

    def rules(self, instance: Instance) -> list[Rule]:
        """What the instance's groups admit."""
        groups = {group.id: group for group in instance.security_groups}
        for nic in instance.nics.values():
            groups |= {group.id: group for group in nic.group_set}
        found = []
        for group in groups.values():
            for rule in group.ingress_rules:
                first, last = int(rule.from_port or 1), int(rule.to_port or 65535)
                if rule.cidr_ipv4:
                    found.append(Rule(str(rule.ip_protocol), max(first, 1), last, rule.cidr_ipv4))
        return found

    def refresh_rules(self) -> None:
        """Brings the hosts' firewalls in line with the groups; at once, as on EC2."""
        if not self.hosts:
            return
        changed = False
        for instance in list(self.instances.values()):
            host = self.hosts.hosts.get(instance.id)
            if host and instance.nics and (rules := self.rules(instance)) != host.rules:
                host.rules = rules
                changed = True
        if changed:
            self.hosts.publish()


class LaunchFailed(Exception):
    """An instance that EC2 gives up while it is pending."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def wants_public(instance: Instance) -> bool:
    """Whether the instance is to have a public address."""
    nic: NetworkInterface = instance.nics[0]
    return bool(nic.public_ip_auto_assign)


def stand_in() -> str:
    """A loopback address for an instance without a host; nothing answers there, and nothing may ever dial a stranger."""
    return f"127.{random.randint(251, 254)}.{random.randint(0, 255)}.{random.randint(1, 254)}"
