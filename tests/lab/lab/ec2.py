"""moto's EC2 with hosts behind its instances, and with EC2's delays.

Hooks moto's instance model: a started instance is a booted host, its states last as on EC2, its
public address is the host's and changes over stop and start.
"""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable
from typing import Any

from moto.ec2.exceptions import InvalidInstanceIdError
from moto.ec2.models import elastic_network_interfaces, instances
from moto.ec2.models.elastic_network_interfaces import NetworkInterface
from moto.ec2.models.instances import Instance, InstanceBackend, InstanceState

from . import amis
from .cache import say
from .hosts import Hosts
from .net import Rule

CODES = {"pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopping": 64, "stopped": 80}


class Delays:
    """How long EC2's transitions last, in seconds; the control API changes them."""

    visible = 0.3
    pending = 1.0
    stopping = 0.5
    shutting_down = 1.5


class Cloud:
    """The link between moto's instances and the lab's hosts."""

    def __init__(self, hosts: Hosts | None) -> None:
        self.hosts = hosts
        self.instances: dict[str, Instance] = {}
        self.lock = threading.RLock()
        self._install()

    # --- states ---------------------------------------------------------------------------------

    @staticmethod
    def state(instance: Instance, name: str) -> None:
        instance._state.name, instance._state.code = name, CODES[name]

    def _later(self, work: Callable[[], None]) -> None:
        threading.Thread(target=work, daemon=True).start()

    def _launch(self, instance: Instance) -> None:
        began = time.monotonic()
        nic = instance.nics[0]
        try:
            image, user = amis.HOSTS.get(instance.image_id, (None, None))
            if self.hosts and image and user:
                data = base64.b64decode(instance.user_data._encoded_string) if instance.user_data else None
                keys = []
                if instance.key_name:
                    pairs = instance.ec2_backend.describe_key_pairs(key_names=[instance.key_name])
                    keys = [pair.material_public.decode() if isinstance(pair.material_public, bytes) else pair.material_public for pair in pairs]
                host = self.hosts.launch(instance.id, image, user, f"ip-{instance.id[-8:]}", data, keys, self.rules(instance))
                self._addresses(nic, host.address, host.private)
            time.sleep(max(0.0, Delays.pending - (time.monotonic() - began)))
            with self.lock:
                if instance._state.name == "pending":
                    self.state(instance, "running")
        except Exception as error:  # noqa: BLE001 - whatever it was, the API has to show it
            say(f"instance {instance.id} does not boot: {error}")
            instance.state_reason = instances.StateReason(f"Server.InternalError: {error}", "Server.InternalError")
            self.state(instance, "terminated")

    @staticmethod
    def _addresses(nic: NetworkInterface, public: str | None, private: str | None) -> None:
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
                for source in rule.ip_ranges:
                    found.append(Rule(rule.ip_protocol, max(first, 1), last, source["CidrIp"]))
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

    # --- moto's model -----------------------------------------------------------------------------

    def _install(self) -> None:
        cloud = self
        make, terminate = Instance.__init__, Instance.terminate
        listed, by_id = InstanceBackend.all_reservations, InstanceBackend.get_multi_instances_by_id

        def init(self: Instance, *arguments: Any, **kwargs: Any) -> None:
            make(self, *arguments, **kwargs)
            spec = kwargs.get("nics") or [{}]
            for nic in self.nics.values():
                nic.delete_on_termination = spec[0].get("DeleteOnTermination") is not False
                nic.add_tags(kwargs.get("lab_nic_tags") or {})
                nic.public_ip = None
            self.lab_visible = time.monotonic() + Delays.visible
            cloud.state(self, "pending")
            cloud.instances[self.id] = self
            cloud._later(lambda: cloud._launch(self))

        def change(self: Instance, name: str) -> InstanceState:
            previous = InstanceState(self._state.name, self._state.code)
            cloud.state(self, name)
            return previous

        def start(self: Instance) -> InstanceState:
            if self._state.name in ("running", "pending"):
                return InstanceState(self._state.name, self._state.code)
            if self._state.name != "stopped":
                raise IncorrectState(self.id)
            previous = change(self, "pending")

            def work() -> None:
                began = time.monotonic()
                if cloud.hosts and self.id in cloud.hosts.hosts:
                    host = cloud.hosts.hosts[self.id]
                    host.rules = cloud.rules(self)
                    cloud.hosts.boot(host)
                    cloud._addresses(self.nics[0], host.address, host.private)
                time.sleep(max(0.0, Delays.pending - (time.monotonic() - began)))
                cloud.state(self, "running")

            cloud._later(work)
            return previous

        def stop(self: Instance) -> InstanceState:
            if self._state.name in ("stopped", "stopping"):
                return InstanceState(self._state.name, self._state.code)
            if getattr(self, "spot_instance_request_id", None) and not getattr(self, "lab_persistent", False):
                raise UnsupportedOperation(f"You can't stop the Spot Instance '{self.id}' because it is associated with a one-time Spot Instance request.")
            previous = change(self, "stopping")

            def work() -> None:
                began = time.monotonic()
                if cloud.hosts and self.id in cloud.hosts.hosts:
                    cloud.hosts.stop(self.id, force=getattr(self, "lab_force", False))
                self.nics[0].public_ip = None
                time.sleep(max(0.0, Delays.stopping - (time.monotonic() - began)))
                cloud.state(self, "stopped")

            cloud._later(work)
            return previous

        def end(self: Instance) -> InstanceState:
            if self._state.name in ("shutting-down", "terminated"):
                return InstanceState(self._state.name, self._state.code)
            previous = change(self, "shutting-down")

            def work() -> None:
                began = time.monotonic()
                if cloud.hosts:
                    cloud.hosts.remove(self.id)
                time.sleep(max(0.0, Delays.shutting_down - (time.monotonic() - began)))
                self.nics[0].public_ip = None
                terminate(self)

            cloud._later(work)
            return previous

        def reboot(self: Instance) -> None:
            if cloud.hosts and self.id in cloud.hosts.hosts:
                cloud._later(lambda: cloud.hosts.reboot(self.id))  # type: ignore[union-attr]

        def visible(instance: Instance) -> bool:
            return time.monotonic() >= getattr(instance, "lab_visible", 0)

        def reservations(self: InstanceBackend, filters: Any = None) -> Any:
            found = listed(self, filters)
            for reservation in found:
                reservation.instances = [i for i in reservation.instances if visible(i)]
            return [reservation for reservation in found if reservation.instances]

        def instances_by_id(self: InstanceBackend, ids: list[str], *arguments: Any, **kwargs: Any) -> Any:
            hidden = [id for id in ids or [] if id in cloud.instances and not visible(cloud.instances[id])]
            if hidden:
                raise InvalidInstanceIdError(hidden)
            return by_id(self, ids, *arguments, **kwargs)

        def nic_start(self: NetworkInterface) -> None:
            """moto would hand out a stranger's address here; nothing may ever dial one."""

        Instance.__init__, Instance.start, Instance.stop = init, start, stop  # type: ignore[method-assign]
        Instance.terminate, Instance.reboot = end, reboot  # type: ignore[method-assign]
        InstanceBackend.all_reservations = reservations  # type: ignore[method-assign]
        InstanceBackend.get_multi_instances_by_id = instances_by_id  # type: ignore[method-assign]
        NetworkInterface.start = nic_start  # type: ignore[method-assign]
        elastic_network_interfaces.random_public_ip = lambda: None  # type: ignore[assignment]


def IncorrectState(id: str) -> Exception:  # noqa: N802 - EC2's name
    from moto.ec2.exceptions import EC2ClientError

    return EC2ClientError("IncorrectInstanceState", f"The instance '{id}' is not in a state from which it can be started.")


def UnsupportedOperation(message: str) -> Exception:  # noqa: N802 - EC2's name
    from moto.ec2.exceptions import EC2ClientError

    return EC2ClientError("UnsupportedOperation", message)
