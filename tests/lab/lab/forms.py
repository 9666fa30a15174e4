"""Reading EC2's query parameters: `Name.1.Sub.2=value`."""

from __future__ import annotations

import re


def listed(form: dict[str, str], name: str) -> list[str]:
    """The values of `name.1`, `name.2`, … in their order."""
    found = [(int(m[1]), v) for k, v in form.items() if (m := re.fullmatch(rf"{re.escape(name)}\.(\d+)", k))]
    return [value for _, value in sorted(found)]


def structures(form: dict[str, str], name: str) -> list[dict[str, str]]:
    """The members of `name.1.…`, `name.2.…` with what follows the number as keys."""
    found: dict[int, dict[str, str]] = {}
    for key, value in form.items():
        if match := re.fullmatch(rf"{re.escape(name)}\.(\d+)\.(.+)", key):
            found.setdefault(int(match[1]), {})[match[2]] = value
    return [found[number] for number in sorted(found)]


def filters(form: dict[str, str]) -> dict[str, list[str]]:
    """The filters of a Describe… call."""
    return {f["Name"]: listed(f, "Value") for f in structures(form, "Filter") if "Name" in f}


def tag_specifications(form: dict[str, str]) -> dict[str, dict[str, str]]:
    """Tags by resource type."""
    tags: dict[str, dict[str, str]] = {}
    for spec in structures(form, "TagSpecification"):
        pairs = {t["Key"]: t.get("Value", "") for t in structures(spec, "Tag") if "Key" in t}
        tags.setdefault(spec.get("ResourceType", ""), {}).update(pairs)
    return tags


def truth(value: str | None) -> bool:
    """A boolean parameter."""
    return (value or "").lower() == "true"
