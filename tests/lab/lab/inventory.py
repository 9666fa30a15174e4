"""What an inventory of an account asks and cleans up, where moto falls short of EC2: regions, account attributes,
key pairs by id, addresses in use, tags of spot requests, spot prices. `patches.install` puts it in place.
"""

from __future__ import annotations

import datetime
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.models import instance_types
from moto.ec2.models.elastic_ip_addresses import ElasticAddressBackend
from moto.ec2.responses.account_attributes import AccountAttributes
from moto.ec2.responses.availability_zones_and_regions import AvailabilityZonesAndRegions
from moto.ec2.responses.elastic_network_interfaces import ElasticNetworkInterfaces
from moto.ec2.responses.key_pairs import KeyPairs
from moto.ec2.responses.spot_instances import SpotInstances

from .auth import REGIONS
from .errors import Refused
from .forms import listed, structures

PRODUCT = "Linux/UNIX"
SPOT_PRICE = "0.003100"  # dollars an hour, for every type: the lab has no market
ATTRIBUTES = {
    "supported-platforms": ["VPC"], "max-instances": ["20"], "vpc-max-security-groups-per-interface": ["5"],
    "max-elastic-ips": ["5"], "vpc-max-elastic-ips": ["5"],
}  # fmt: skip


def install() -> None:
    """Puts the hooks in place."""
    _regions()
    _attributes()
    _key_pairs()
    _addresses()
    _interfaces()
    _spot_prices()


def _regions() -> None:
    def describe(self: AvailabilityZonesAndRegions) -> ActionResult:
        names = self._get_param("RegionNames", [])
        if unknown := [name for name in names if name not in REGIONS]:
            raise Refused("InvalidParameterValue", f"Invalid region names: [{', '.join(unknown)}]")
        return ActionResult({"Regions": self.ec2_backend.describe_regions(names or sorted(REGIONS))})

    AvailabilityZonesAndRegions.describe_regions = describe  # type: ignore[method-assign]


def _attributes() -> None:
    def describe(self: AccountAttributes) -> ActionResult:
        vpc = self.ec2_backend.get_default_vpc()
        known = ATTRIBUTES | {"default-vpc": [vpc.id if vpc else "none"]}
        names = self._get_param("AttributeNames", []) or list(known)
        if unknown := [name for name in names if name not in known]:
            raise Refused("InvalidParameterValue", f"Invalid attribute name(s): {', '.join(unknown)}")
        return ActionResult({"AccountAttributes": [
            {"AttributeName": name, "AttributeValues": [{"AttributeValue": value} for value in known[name]]} for name in names
        ]})  # fmt: skip

    AccountAttributes.describe_account_attributes = describe  # type: ignore[method-assign]


def _key_pairs() -> None:
    by_name, delete_by_name = KeyPairs.describe_key_pairs, KeyPairs.delete_key_pair

    def name_of(self: KeyPairs, id: str) -> str | None:
        return next((pair.key_name for pair in self.ec2_backend.key_pairs.values() if pair.id == id), None)

    def describe(self: KeyPairs) -> ActionResult:
        ids = self._get_param("KeyPairIds", [])
        if missing := [id for id in ids if not name_of(self, id)]:
            raise Refused("InvalidKeyPair.NotFound", f"The key pair ID '{missing[0]}' does not exist")
        answer = by_name(self)
        if ids:
            result: Any = answer.result
            result["KeyPairs"] = [pair for pair in result["KeyPairs"] if pair.id in ids]
        return answer

    def delete(self: KeyPairs) -> ActionResult:
        id = self._get_param("KeyPairId")
        if not id:
            return delete_by_name(self)
        # A key pair that is not there is no error, by name or by id.
        name = name_of(self, id)
        if name:
            self.ec2_backend.delete_key_pair(name)
        return ActionResult({"Return": True, "KeyPairId": id if name else None})

    KeyPairs.describe_key_pairs, KeyPairs.delete_key_pair = describe, delete  # type: ignore[method-assign]


def _addresses() -> None:
    release = ElasticAddressBackend.release_address

    def checked(self: Any, address: str | None = None, allocation_id: str | None = None) -> None:
        for eip in self.addresses:
            if eip.association_id and (eip.allocation_id == allocation_id or eip.public_ip == address):
                raise Refused("InvalidIPAddress.InUse", f"Address {eip.public_ip} is in use.")
        release(self, address=address, allocation_id=allocation_id)

    ElasticAddressBackend.release_address = checked  # type: ignore[method-assign]


def _interfaces() -> None:
    delete_unused = ElasticNetworkInterfaces.delete_network_interface

    def delete(self: ElasticNetworkInterfaces) -> ActionResult:
        id = self._get_param("NetworkInterfaceId")
        nic = self.ec2_backend.enis.get(id)
        if nic and nic.instance:
            raise Refused("InvalidParameterValue", f"Network interface '{id}' is currently in use.")
        return delete_unused(self)

    ElasticNetworkInterfaces.delete_network_interface = delete  # type: ignore[method-assign]


def _spot_prices() -> None:
    def describe(self: SpotInstances) -> ActionResult:
        types, zone = self._get_param("InstanceTypes", []), self._get_param("AvailabilityZone")
        if unknown := [name for name in types if name not in instance_types.INSTANCE_TYPES]:
            raise Refused("InvalidParameterValue", f"Invalid value '{unknown[0]}' for instanceType")
        products = self._get_param("ProductDescriptions", [])
        offered = self.ec2_backend.describe_spot_price_history(types, self._filters_from_querystring())
        now = datetime.datetime.now(datetime.UTC)
        return ActionResult({"SpotPriceHistory": [
            {"InstanceType": o["InstanceType"], "ProductDescription": PRODUCT, "SpotPrice": SPOT_PRICE, "AvailabilityZone": o["Location"], "Timestamp": now}
            for o in offered if zone in (None, o["Location"]) and (not products or PRODUCT in products)
        ]})  # fmt: skip

    SpotInstances.describe_spot_price_history = describe  # type: ignore[method-assign]


def check_tagged(form: dict[str, str], backend: Any, instances: dict[str, Any], spot: dict[str, Any], region: str) -> None:
    """Refuses to tag instances and spot requests that are not there; moto checks the rest."""
    for id in listed(form, "ResourceId"):
        if id.startswith("i-") and (id not in instances or instances[id].ec2_backend is not backend):
            raise Refused("InvalidInstanceID.NotFound", f"The instance ID '{id}' does not exist")
        if id.startswith("sir-") and (id not in spot or spot[id].region != region):
            raise Refused("InvalidSpotInstanceRequestID.NotFound", f"The spot instance request ID '{id}' does not exist")


def tag_spot_requests(action: str, form: dict[str, str], spot: dict[str, Any]) -> None:
    """What CreateTags and DeleteTags do to spot requests, which moto does not know."""
    for id in [id for id in listed(form, "ResourceId") if id in spot]:
        for tag in structures(form, "Tag"):
            if action == "CreateTags":
                spot[id].tags[tag["Key"]] = tag.get("Value", "")
            elif tag.get("Value") in (None, spot[id].tags.get(tag["Key"])):
                spot[id].tags.pop(tag["Key"], None)
