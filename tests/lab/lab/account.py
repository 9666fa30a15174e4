"""What the account holds from the start, in every region."""

from __future__ import annotations

from pathlib import Path

from . import amis
from .auth import ACCOUNT, REGIONS

PROFILE = "rmachine-lab"


def furnish(amis_path: Path) -> None:
    """Adds the SSM parameter of an image and an IAM instance profile."""
    from moto.iam.models import iam_backends
    from moto.ssm.models import ssm_backends

    image = amis.by_name(amis_path)["rmachine-lab-debian-13-docker"]
    for region in REGIONS:
        ssm_backends[ACCOUNT][region].put_parameter(
            name=amis.PARAMETER, description="", value=image, parameter_type="String", allowed_pattern="", keyid="",
            overwrite=True, tags=[], data_type="text", tier="Standard", policies=None,
        )  # fmt: skip
    iam_backends[ACCOUNT]["aws"].create_instance_profile(name=PROFILE, path="/", role_names=[], tags=[])
