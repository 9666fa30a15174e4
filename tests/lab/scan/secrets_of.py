"""Finds the secrets in what was kept, and the forms in which each may turn up again."""

from __future__ import annotations

import base64
import json
import re
import shlex
import urllib.parse
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from .kept import Store

PEM = re.compile(rb"-----BEGIN ([A-Z ]*PRIVATE KEY)-----\s+([A-Za-z0-9+/=\s]+?)-----END \1-----")
BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{40,}(?:\r?\n *[A-Za-z0-9+/_-]{4,})*={0,2}")
SHORTEST = 8  # of a typed secret: shorter ones are in half of all texts
WINDOW = 32  # characters of a key's text: part of a key is found, too
ENOUGH = 20  # characters that no other text has by chance

PLAIN = {"dns", "mtu", "bip", "log-level"}  # engine options that are no secret, whatever config.json makes of them

CA, CLIENT, SERVER, LOGIN, SEED = "CA key", "client key", "engine's key", "login key", "seed host key"
HOST, OWN, CREDENTIAL, ENGINE = "host key", "key of the user", "cloud key", "engine option"
KEYS = {
    "ca-key.pem": CA, "ca-old-key.pem": CA, "authority.pem": CA, "authority-old.pem": CA, "key.pem": CLIENT, "server-key.pem": SERVER,
    "id_rsa": LOGIN, "id_ed25519": LOGIN, "id_user": LOGIN,
}  # fmt: skip


@dataclass
class Secrets:
    """What to look for: each form with the kinds of secret that have it."""

    needles: dict[bytes, set[str]] = field(default_factory=dict)
    count: int = 0
    short: int = 0
    sealed: int = 0  # keys with a passphrase: what they seal cannot be told apart from the rest

    def __post_init__(self) -> None:
        self.known: set[tuple[str, bytes]] = set()
        self.counted: set[bytes] = set()

    def seen(self, value: bytes) -> None:
        """Counts a secret once, whatever it is."""
        self.counted.add(value)
        self.count = len(self.counted)

    def typed(self, kind: str, text: str) -> None:
        """A secret that somebody typed."""
        value = text.encode()
        if (kind, value) in self.known:
            return
        self.known.add((kind, value))
        if len(value) < SHORTEST:
            self.short += 1
            return
        self.seen(value)
        escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
        forms = {text, json.dumps(text)[1:-1], urllib.parse.quote(text, safe=""), shlex.quote(text), escaped, escaped.replace("$", "$$")}
        for form in forms:
            self.add(kind, form.encode())
        for part in aligned(value):
            self.add(kind, part)

    def keys(self, kind: str, text: bytes) -> int:
        """The private keys in a text; how many there are."""
        found = 0
        for match in PEM.finditer(text):
            found += 1
            if (kind, match[2]) in self.known:
                continue
            self.known.add((kind, match[2]))
            private = private_bytes(match[0])
            if private is None:
                self.sealed += 1
                continue
            self.seen(private)
            for line in private_lines(match[2], private):
                for form in {line, urllib.parse.quote(line.decode(), safe="").encode(), *aligned(line)}:
                    self.add(kind, form)
            for form in {private, private.hex().encode(), private.hex().upper().encode(), *aligned(private)}:
                self.add(kind, form)
        return found

    def add(self, kind: str, needle: bytes) -> None:
        """One form."""
        self.needles.setdefault(needle, set()).add(kind)


def aligned(data: bytes) -> Iterator[bytes]:
    """What of `data` is always the same in base64, wherever in a text it begins; both alphabets."""
    for shift in range(3):
        begin, end = -(-shift * 8 // 6), (shift + len(data)) * 8 // 6
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            form = encode(b"\0" * shift + data)[begin:end]
            if len(form) >= SHORTEST:
                yield form


def private_bytes(pem: bytes) -> bytes | None:
    """What is private in a key; `None` where a passphrase seals it."""
    load = serialization.load_ssh_private_key if b"OPENSSH" in pem[:40] else serialization.load_pem_private_key
    try:
        with warnings.catch_warnings(action="ignore"):  # of old kinds of key, which tests have on purpose
            key = load(pem, None)
    except (TypeError, ValueError, UnsupportedAlgorithm):
        return None
    match key:
        case ed25519.Ed25519PrivateKey():
            return key.private_bytes_raw()
        case ec.EllipticCurvePrivateKey():
            return key.private_numbers().private_value.to_bytes((key.key_size + 7) // 8, "big").lstrip(b"\0")
        case rsa.RSAPrivateKey():
            size = key.key_size // 8
            return key.private_numbers().d.to_bytes(size, "big").lstrip(b"\0")
    return None


def private_lines(body: bytes, private: bytes) -> Iterator[bytes]:
    """The parts of a key's lines that say something of what is private."""
    lines = body.split()
    at = base64.b64decode(b"".join(lines)).index(private)
    begin, end = -(-at * 8 // 6), (at + len(private)) * 8 // 6
    position = 0
    for line in lines:
        part = line[max(begin - position, 0) : max(end - position, 0)]
        position += len(line)
        if len(part) >= ENOUGH:
            yield part[:WINDOW]


def views(content: bytes, depth: int = 4) -> Iterator[bytes]:
    """A content, and what it is when it is unpacked: gzip anywhere in it, base64 of several lines."""
    yield content
    if depth == 0:
        return
    at = content.find(b"\x1f\x8b\x08")
    while at >= 0:
        try:
            plain = zlib.decompressobj(31).decompress(content[at:], 64 << 20)
        except zlib.error:
            plain = b""
        if plain:
            yield from views(plain, depth - 1)
        at = content.find(b"\x1f\x8b\x08", at + 3)
    text = content.replace(b"\\n", b"\n") if b"\\n" in content else content
    if text is not content:
        yield text
    for match in BASE64.finditer(text):
        packed = b"".join(match[0].split()).rstrip(b"=").translate(bytes.maketrans(b"-_", b"+/"))
        plain = base64.b64decode(packed[: len(packed) // 4 * 4])
        yield from views(plain, depth - 1)


def harvest(kept: Store) -> tuple[Secrets, set[str]]:
    """All secrets of all stores, hosts and users, and the stores."""
    secrets, stores = Secrets(), set()
    for place, content in kept.files():
        directory, _, name = place.name.rpartition("/")
        if place.host:
            if re.fullmatch(r"/etc/ssh/ssh_host_\w+_key", place.name):
                secrets.keys(HOST, content)
        elif name == "rmachine.json":
            stores.add(directory)
        elif name == "credentials.json":
            for value in strings(parsed(content)):
                secrets.typed(CREDENTIAL, value)
        elif name == "engine.json":
            for value in engine(parsed(content)):
                secrets.typed(ENGINE, value)
        elif name == "user-data":
            for view in views(content):
                secrets.keys(SEED, view)
        elif name in KEYS:
            secrets.keys(KEYS[name], content)
        elif content.startswith(b"-----BEGIN ") and not name.startswith(".tmp-"):
            secrets.keys(OWN, content)
    return secrets, stores


def parsed(content: bytes) -> object:
    """JSON; a file that was caught half written says nothing."""
    try:
        return json.loads(content)
    except ValueError:
        return None


def strings(value: object) -> Iterator[str]:
    """All texts in a JSON value but keys and versions."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from strings(inner)


def engine(value: object) -> Iterator[str]:
    """What of an engine's options config.json does not show."""
    if not isinstance(value, dict):
        return
    for option in [*value.get("opts", []), *value.get("env", [])]:
        key, equals, typed = option.partition("=")
        if equals and key not in PLAIN:
            yield typed
            yield from user_of(typed)
    for url in [*value.get("registry_mirrors", []), value.get("install_url") or ""]:
        yield from user_of(url)


def user_of(url: str) -> Iterator[str]:
    """User and password of a URL, together and the password alone."""
    _, scheme, rest = url.partition("://")
    user, at, _ = rest.split("/", 1)[0].rpartition("@")
    if scheme and at:
        yield user
        yield user.partition(":")[2]
