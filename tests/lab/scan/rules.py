"""Where a secret may be. Everything else is a violation."""

from __future__ import annotations

import json
import re

from .kept import ARGV, ENVIRON, FILE, Place
from .secrets_of import CA, CLIENT, CREDENTIAL, ENGINE, HOST, LOGIN, OWN, SEED, SERVER

# docs/store.md, and the seed that the driver qemu makes of the first-boot data.
STORE = {
    CA: {"ca-key.pem", "ca-old-key.pem", "authority.pem", "authority-old.pem"},
    CLIENT: {"key.pem"},
    SERVER: {"server-key.pem"},
    LOGIN: {"id_rsa", "id_ed25519", "id_user", "id_next", "id_old"},
    SEED: {"user-data", "seed.img"},
    CREDENTIAL: {"credentials.json"},
    ENGINE: {"engine.json"},
    OWN: {"id_rsa", "id_user"},
    HOST: set(),
}
BEFORE = r"/var/lib/rmachine/before/\S+"
ON_HOSTS = {
    # The seed is in what cloud-init was given, which nobody but root reads, until the host makes a key of its own.
    SEED: r"/etc/ssh/ssh_host_\w+_key|/var/lib/cloud/\S+|/run/cloud-init/\S+",
    HOST: r"/etc/ssh/ssh_host_\w+_key(\.rmachine)?",
    SERVER: rf"/etc/docker/server-key\.pem(\.rmachine-new)?|{BEFORE}",
    ENGINE: rf"/etc/docker/daemon\.json(\.rmachine-new)?|/etc/systemd/system/docker\.service\.d/20-rmachine\.conf(\.rmachine-new)?|{BEFORE}",
}
# The fake cloud of tests/faults, which has the first-boot data as a real one has, and its half-written file.
CLOUD = re.compile(r"account\.json|\.tmp\w{6}")
# A half-written file of a process that was killed.
HALF = re.compile(r"\.tmp-\S+")

# When dockerd reads daemon.json again, it writes all of its configuration into the host's journal, options included, and
# nothing keeps it from that (SECURITY.md).
RELOADED = re.compile(rb"^MESSAGE=.*Reloaded configuration: .*$", re.MULTILINE)

# What a user types to rmachine is in rmachine's own argv; nothing else's.
FLAGS = {
    b"--amazonec2-access-key", b"--amazonec2-secret-key", b"--amazonec2-session-token", b"--fake-token",
    b"--engine-opt", b"--engine-env", b"--engine-registry-mirror", b"--engine-install-url",
}  # fmt: skip
# The account of the whole run is the user's own environment.
ACCOUNT = re.compile(rb"AWS_(ACCESS_KEY_ID|SECRET_ACCESS_KEY|SESSION_TOKEN)=")


# One key may be two things: the user's own and its copy in a store or beside a share, the seed and what the host has of it.
TWINS = {OWN: {LOGIN, CLIENT}, LOGIN: {OWN}, CLIENT: {OWN}, SEED: {HOST}, HOST: {SEED}}


def may_hold(place: Place, kind: str, kinds: frozenset[str], content: bytes) -> bool:
    """Whether a content with a secret that is of these kinds may be at this place for the sake of one of them."""
    return any(may_hold_one(place, one, content) for one in {kind} | (TWINS.get(kind, set()) & kinds))


def may_hold_one(place: Place, kind: str, content: bytes) -> bool:
    """Whether a content with a secret of this kind may be at this place."""
    if place.kind == ENVIRON:
        # --engine-env is the environment of the engine.
        return (kind == CREDENTIAL and bool(ACCOUNT.match(content))) or (kind == ENGINE and place.unit == "docker.service")
    if place.kind != FILE or place.mode & 0o077:
        return False
    if place.host:
        return bool(re.fullmatch(ON_HOSTS.get(kind, "(?!)"), place.name))
    name = place.name.rpartition("/")[2]
    # A user's own key is wherever the user has it, as a file of its own.
    own = kind == OWN and content.startswith(b"-----BEGIN ")
    cloud = kind == SEED and bool(CLOUD.fullmatch(name))
    return name in STORE[kind] or bool(HALF.fullmatch(name)) or own or cloud or (name == "config.json" and kind in theirs(content))


def theirs(content: bytes) -> set[str]:
    """What a record of docker-machine has in the clear: as that one wrote it, all; read where it is and saved by rmachine, what
    docker-machine needs to read it again (docs/store.md)."""
    try:
        record = json.loads(content)
    except ValueError:
        return set()
    if not isinstance(record, dict) or "ConfigVersion" not in record:
        return set()
    section = record.get("Rmachine")
    if section is None:
        return {CREDENTIAL, ENGINE}
    return {ENGINE} if isinstance(section, dict) and section.get("Imported") is True else set()


def looked_at(place: Place, content: bytes) -> bytes:
    """A content without what its user typed there himself."""
    if place.host and place.name.endswith("/journal.txt"):
        return RELOADED.sub(b"", content)
    if place.kind != ARGV or not is_rmachine(place, content):
        return content
    words, kept, skip = content.split(b"\0"), [], False
    for word in words:
        flag, equals, _ = word.partition(b"=")
        if skip:
            skip = False
        elif flag in FLAGS:
            skip = not equals
        else:
            kept.append(word)
    return b"\0".join(kept)


def is_rmachine(place: Place, content: bytes) -> bool:
    """Whether a process is rmachine: by its executable, or as the fault suite runs it."""
    called = content.split(b"\0", 1)[0].rpartition(b"/")[2]
    return place.name in ("rmachine", "docker-machine") or (place.name.startswith("faults-") and called == b"rmachine")
