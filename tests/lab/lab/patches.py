"""Hooks into moto's model: what an instance does goes to the lab's cloud, what EC2 shows is shown.

moto 5.2.5 is pinned in requirements.txt; read this file again when that changes.
"""

from __future__ import annotations

from typing import Any

from moto.core.responses import ActionResult
from moto.ec2 import utils
from moto.ec2.exceptions import EC2ClientError, InvalidInstanceIdError, InvalidKeyPairFormatError
from moto.ec2.models import elastic_network_interfaces
from moto.ec2.models.elastic_block_store import VolumeAttachment
from moto.ec2.models.elastic_network_interfaces import NetworkInterface
from moto.ec2.models.instances import Instance, InstanceBackend, InstanceState
from moto.ec2.responses.instances import InstanceResponse
from moto.servicequotas.models import ServiceQuotasBackend

from . import inventory
from .ec2 import Cloud

# Filters of DescribeInstances that moto does not know.
FILTERS = {
    "client-token": "client_token", "instance-lifecycle": "lifecycle", "spot-instance-request-id": "spot_instance_request_id",
    "root-device-name": "root_device_name", "reservation-id": "lab_reservation", "network-interface.network-interface-id": "lab_nic_ids",
}  # fmt: skip


def state_of(instance: Instance) -> InstanceState:
    """A copy of the state."""
    return InstanceState(instance._state.name, instance._state.code)


def refused(code: str, message: str) -> Exception:
    """An error of EC2's own form, from within moto."""
    return EC2ClientError(code, message)


def install(cloud: Cloud) -> None:
    """Puts the hooks in place."""
    _instances(cloud)
    _visibility(cloud)
    _groups()
    _keys()
    _volumes()
    _answers()
    inventory.install()
    _quotas()
    utils.filter_dict_attribute_mapping.update(FILTERS)
    # moto would hand out strangers' addresses; nothing may ever dial one.
    elastic_network_interfaces.random_public_ip = lambda: None  # type: ignore[assignment,return-value]
    NetworkInterface.start = lambda self: None  # type: ignore[method-assign]


def _instances(cloud: Cloud) -> None:
    make = Instance.__init__
    Instance.lab_terminate = Instance.terminate  # type: ignore[attr-defined]

    def init(self: Instance, *arguments: Any, **kwargs: Any) -> None:
        make(self, *arguments, **kwargs)
        self.spot_instance_request_id = None  # type: ignore[attr-defined]
        spec = kwargs.get("nics") or [{}]
        for nic in self.nics.values():
            nic.delete_on_termination = spec[0].get("DeleteOnTermination") is not False
            nic.public_ip = None
        self.lab_nic_ids = [nic.id for nic in self.nics.values()]  # type: ignore[attr-defined]
        # The groups of the first interface are the instance's.
        self.security_groups = list(self.security_groups or self.nics[0].group_set)
        cloud.launch(self)

    def start(self: Instance) -> InstanceState:
        previous = state_of(self)
        if previous.name in ("running", "pending"):
            return previous
        if previous.name != "stopped":
            raise refused("IncorrectInstanceState", f"The instance '{self.id}' is not in a state from which it can be started.")
        cloud.start(self)
        return previous

    def stop(self: Instance) -> InstanceState:
        previous = state_of(self)
        if self.spot_instance_request_id and not getattr(self, "lab_persistent", False):  # type: ignore[attr-defined]
            raise refused("UnsupportedOperation", f"You can't stop the Spot Instance '{self.id}' because it is associated with a one-time Spot Instance request. You can only stop Spot Instances associated with persistent Spot Instance requests.")
        if previous.name in ("stopped", "stopping"):
            return previous
        if previous.name != "running":
            raise refused("IncorrectInstanceState", f"The instance '{self.id}' is not in a state from which it can be stopped.")
        cloud.stop(self, force=getattr(self, "lab_force", False))
        return previous

    def terminate(self: Instance) -> InstanceState:
        previous = state_of(self)
        if previous.name not in ("shutting-down", "terminated"):
            cloud.terminate(self)
        return previous

    def reboot(self: Instance) -> None:
        if self._state.name not in ("running", "pending"):
            raise refused("IncorrectInstanceState", f"The instance '{self.id}' is not in a state from which it can be rebooted.")
        cloud.reboot(self)

    Instance.__init__, Instance.start, Instance.stop = init, start, stop  # type: ignore[method-assign]
    Instance.terminate, Instance.reboot = terminate, reboot  # type: ignore[method-assign]


def _visibility(cloud: Cloud) -> None:
    listed, by_id = InstanceBackend.all_reservations, InstanceBackend.get_reservations_by_instance_ids

    def reservations(self: InstanceBackend, filters: Any = None) -> Any:
        found = listed(self, filters)
        for reservation in found:
            reservation.instances = [i for i in reservation.instances if cloud.visible(i)]
        return [reservation for reservation in found if reservation.instances]

    def reservations_by_id(self: InstanceBackend, ids: list[str], filters: Any = None) -> Any:
        # moto counts, so that an id given twice is "not found".
        ids = list(dict.fromkeys(ids))
        known = {i.id for r in self.all_reservations() for i in r.instances}
        if missing := [id for id in ids if id not in known]:
            raise InvalidInstanceIdError(missing if len(missing) > 1 else missing[0])
        return by_id(self, ids, filters)

    InstanceBackend.all_reservations = reservations  # type: ignore[method-assign]
    InstanceBackend.get_reservations_by_instance_ids = reservations_by_id  # type: ignore[method-assign,assignment]


def _volumes() -> None:
    def kept(self: VolumeAttachment) -> bool:
        block = self.instance.block_device_mapping.get(self.device)
        return bool(block and block.delete_on_termination)

    VolumeAttachment.delete_on_termination = property(kept)  # type: ignore[attr-defined]


def _groups() -> None:
    def modify(self: Any, instance_id: str, ids: list[str]) -> Instance:
        instance: Instance = self.get_instance(instance_id)
        groups = [self.get_security_group_from_id(id) for id in ids]
        instance.security_groups = groups
        instance.nics[0]._group_set = list(groups)
        return instance

    InstanceBackend.modify_instance_security_groups = modify  # type: ignore[method-assign,assignment]


def _keys() -> None:
    def init(self: InvalidKeyPairFormatError) -> None:
        EC2ClientError.__init__(self, "InvalidKey.Format", "Key is not in valid OpenSSH public key format")

    InvalidKeyPairFormatError.__init__ = init  # type: ignore[method-assign]


def _answers() -> None:
    def changed(what: str, method: str) -> Any:
        def answer(self: InstanceResponse) -> ActionResult:
            self.error_on_dryrun()
            ids = list(dict.fromkeys(self._get_param("InstanceIds", [])))
            done = getattr(self.ec2_backend, method)(ids)
            return ActionResult({what: [
                {"InstanceId": i.id, "CurrentState": state_of(i), "PreviousState": previous} for i, previous in done
            ]})  # fmt: skip

        return answer

    def mappings(self: InstanceResponse) -> list[dict[str, Any]]:
        """The volumes of an instance: the image's own, changed by what was asked."""
        image = self.ec2_backend.amis[self._get_param("ImageId")]
        root = {"SnapshotId": None, "VolumeSize": 8, "DeleteOnTermination": True, "Encrypted": False, "KmsKeyId": None,
                "VolumeType": "gp3" if "gp3" in image.name else "gp2"}  # fmt: skip
        volumes = {image.root_device_name: root}
        for asked in self._get_param("BlockDeviceMappings", []):
            name, ebs = asked.get("DeviceName"), asked.get("Ebs") or {}
            if "NoDevice" in asked:
                continue
            if name not in volumes and not ebs.get("VolumeSize") and not ebs.get("SnapshotId"):
                raise refused("MissingParameter", "The request must contain the parameter size or snapshotId")
            base = volumes.get(name, {**root, "VolumeType": "gp2", "DeleteOnTermination": False})
            volumes[name] = {**base, **{k: v for k, v in ebs.items() if k in base and v is not None}}
        return [{"VirtualName": None, "DeviceName": n, "NoDevice": None, "Ebs": e} for n, e in volumes.items()]

    InstanceResponse.start_instances = changed("StartingInstances", "start_instances")  # type: ignore[method-assign]
    InstanceResponse.stop_instances = changed("StoppingInstances", "stop_instances")  # type: ignore[method-assign]
    InstanceResponse.terminate_instances = changed("TerminatingInstances", "terminate_instances")  # type: ignore[method-assign]
    InstanceResponse._parse_block_device_mapping = mappings  # type: ignore[method-assign]


def _quotas() -> None:
    """Service Quotas knows one of EC2's: vCPUs of running on-demand standard instances. It is told, not enforced."""
    known = ServiceQuotasBackend.get_service_quota

    def get_service_quota(self: ServiceQuotasBackend, service_code: str, quota_code: str) -> dict[str, Any]:
        if (service_code, quota_code) == ("ec2", "L-1216C47A"):
            return {
                "ServiceCode": "ec2", "ServiceName": "Amazon Elastic Compute Cloud (Amazon EC2)", "QuotaCode": quota_code,
                "QuotaName": "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances", "Value": 64.0,
                "Unit": "None", "Adjustable": True, "GlobalQuota": False,
            }  # fmt: skip
        return known(self, service_code, quota_code)

    ServiceQuotasBackend.get_service_quota = get_service_quota  # type: ignore[method-assign]
