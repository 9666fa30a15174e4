"""Addresses and firewalls: each host at a loopback address of its own, reachable on admitted ports only.

Packets to 127.X.Y.N are translated to the host's own address by the kernel where a rule admits the
sender, and dropped in silence otherwise, as a security group does; the same rules hold for the host's
private address. The hosts hang on a bridge of the lab's own, and go out through this machine.
Every rule carries the lab's chain name, and goes with it.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import random
import shlex
import subprocess
import threading
from pathlib import Path

from . import cache

FIRST, LAST = 10, 250  # host numbers; the gateway is 1


@dataclasses.dataclass(frozen=True)
class Rule:
    """One ingress permission."""

    protocol: str
    first: int
    last: int
    source: str


@dataclasses.dataclass(frozen=True)
class Plug:
    """Where a host hangs: its public (loopback) address, its private one, and what is admitted."""

    public: str | None
    private: str
    rules: tuple[Rule, ...]


class Network:
    """The bridge, the addresses and the packet rules of one lab."""

    def __init__(self, state: Path) -> None:
        self.chain = f"RMLAB-{cache.key(str(state))[:8]}"
        self.lock = threading.Lock()
        with cache.lock("lab-net"):
            self.bridge, self.subnet = free_bridge()
            self.prefix = free_prefix()
            self.gateway = str(next(self.subnet.hosts()))
            self.mtu = smallest_mtu()
            remove(self.chain, self.bridge)  # what a killed lab of this name left
            cache.run("ip", "link", "add", self.bridge, "mtu", str(self.mtu), "type", "bridge")
            cache.run("ip", "addr", "add", f"{self.gateway}/{self.subnet.prefixlen}", "dev", self.bridge)
            cache.run("ip", "link", "set", self.bridge, "up")
            self._rules()
        # Translated loopback packets may leave by this bridge.
        Path(f"/proc/sys/net/ipv4/conf/{self.bridge}/route_localnet").write_text("1")
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
        self.next_public = random.randint(2, 120)
        self.next_private = FIRST
        self.next_cable = 0
        self.taken: set[str] = set()

    def _rules(self) -> None:
        mark = ["-m", "comment", "--comment", self.chain]
        for table, chain in (("nat", self.chain), ("filter", self.chain), ("filter", f"{self.chain}-P")):
            iptables(table, "-N", chain)
        iptables("nat", "-A", "OUTPUT", "-d", f"{self.prefix}.0/24", "-j", self.chain)
        iptables("filter", "-A", "OUTPUT", "-d", f"{self.prefix}.0/24", "-j", self.chain)
        iptables("filter", "-A", "OUTPUT", "-d", str(self.subnet), "-o", self.bridge, "-j", f"{self.chain}-P")
        # Answers have to come back to us: a host cannot reach 127.0.0.1.
        iptables("nat", "-A", "POSTROUTING", "-s", "127.0.0.0/8", "-o", self.bridge, *mark, "-j", "MASQUERADE")
        iptables("nat", "-A", "POSTROUTING", "-s", str(self.subnet), "!", "-o", self.bridge, *mark, "-j", "MASQUERADE")
        for way in ("-i", "-o"):
            iptables("filter", "-I", "FORWARD", way, self.bridge, *mark, "-j", "ACCEPT")
        self.publish([])

    def public_address(self) -> str:
        """An address that no host has had in this lab for the last two hundred."""
        with self.lock:
            self.next_public = 2 if self.next_public >= 250 else self.next_public + 1
            return f"{self.prefix}.{self.next_public}"

    def private_address(self) -> str:
        """A free address on the bridge; `release` it."""
        with self.lock:
            for _ in range(LAST - FIRST + 1):
                address = str(self.subnet.network_address + self.next_private)
                self.next_private = FIRST if self.next_private >= LAST else self.next_private + 1
                if address not in self.taken:
                    self.taken.add(address)
                    return address
        raise RuntimeError("no free address on the lab's bridge")

    def release(self, address: str | None) -> None:
        """Gives a private address back."""
        with self.lock:
            self.taken.discard(address or "")

    def plug(self, pid: int, address: str) -> None:
        """Gives the network namespace of `pid` an eth0 with `address`; it goes with the namespace.

        The hardware address follows from `address`: a host that boots again is found at once.
        """
        with self.lock:
            self.next_cable += 1
            cable = f"{self.bridge}v{self.next_cable}"
        mac = "02:42:" + ":".join(f"{int(part):02x}" for part in address.split("."))
        end = f"rl{self.next_cable}x"
        cache.run("ip", "link", "add", cable, "mtu", str(self.mtu), "type", "veth", "peer", "name", end, "address", mac, "mtu", str(self.mtu))
        cache.run("ip", "link", "set", cable, "master", self.bridge, "up")
        cache.run("ip", "link", "set", end, "netns", str(pid))
        batch = "\n".join([
            f"link set {end} name eth0", f"addr add {address}/{self.subnet.prefixlen} dev eth0", "link set eth0 up",
            f"route add default via {self.gateway}",
        ])  # fmt: skip
        done = subprocess.run(["nsenter", "-t", str(pid), "-n", "ip", "-batch", "-"], input=batch, capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"the host's network: {done.stderr.strip()}")

    def publish(self, plugs: list[Plug]) -> None:
        """Makes exactly these reachable."""
        nat = [f":{self.chain} - [0:0]"]
        private = [f":{self.chain}-P - [0:0]", f"-A {self.chain}-P -m conntrack --ctstate ESTABLISHED,RELATED,DNAT -j ACCEPT"]
        for plug in plugs:
            for rule in plug.rules:
                for words in matches(rule):
                    if plug.public:
                        nat.append(f"-A {self.chain} -s {rule.source} -d {plug.public} {words} -j DNAT --to-destination {plug.private}")
                    private.append(f"-A {self.chain}-P -s {rule.source} -d {plug.private} {words} -j ACCEPT")
        private.append(f"-A {self.chain}-P -j DROP")
        with self.lock:
            restore("nat", nat)
            restore("filter", [f":{self.chain} - [0:0]", f"-A {self.chain} -j DROP", *private])

    def remove(self) -> None:
        """Takes bridge and rules away."""
        remove(self.chain, self.bridge)


def matches(rule: Rule) -> list[str]:
    """The packets of a rule, in iptables' words. IPv6 is not simulated, ICMP neither."""
    if ":" in rule.source:
        return []
    if rule.protocol == "-1":
        return ["-p tcp", "-p udp"]
    if rule.protocol in ("6", "17"):
        rule = dataclasses.replace(rule, protocol="tcp" if rule.protocol == "6" else "udp")
    return [f"-p {rule.protocol} --dport {rule.first}:{rule.last}"] if rule.protocol in ("tcp", "udp") else []


def free_bridge() -> tuple[str, ipaddress.IPv4Network]:
    """A name and a network that nothing on this machine has."""
    addresses = [a["local"] for link in json.loads(cache.run("ip", "-j", "-4", "addr").stdout) for a in link["addr_info"]]
    taken = {address.rsplit(".", 2)[0] for address in addresses}
    for number in range(100, 250):
        bridge = f"rmlab{number}"
        if f"10.{number}" not in taken and not Path(f"/sys/class/net/{bridge}").exists():
            return bridge, ipaddress.IPv4Network(f"10.{number}.0.0/24")
    raise RuntimeError("no free network for the lab's bridge")


def free_prefix() -> str:
    """The first three parts of the public addresses, which no other lab has."""
    rules = subprocess.run(["iptables", "-w", "10", "-t", "nat", "-S", "OUTPUT"], capture_output=True, text=True).stdout
    while f" {(prefix := f'127.{random.randint(2, 250)}.{random.randint(1, 250)}')}.0/24" in rules:
        pass
    return prefix


def smallest_mtu() -> int:
    """The smallest MTU on the way out: what is larger is lost where ICMP is filtered."""
    names = [route["dev"] for route in json.loads(cache.run("ip", "-j", "route", "show", "default").stdout)]
    return min([int(Path(f"/sys/class/net/{name}/mtu").read_text()) for name in names] or [1500])


def remove(chain: str, bridge: str) -> None:
    """Takes a lab's rules and bridge away by their names; missing ones are fine."""
    for table in ("nat", "filter"):
        done = subprocess.run(["iptables", "-w", "10", "-t", table, "-S"], capture_output=True, text=True)
        lines = [shlex.split(line) for line in done.stdout.splitlines()]
        for words in lines:
            names = {chain, f"{chain}-P", bridge}
            if words[0] == "-A" and words[1] not in names and names & set(words):
                iptables(table, "-D", *words[1:], check=False)
        for name in (chain, f"{chain}-P"):
            iptables(table, "-F", name, check=False)
            iptables(table, "-X", name, check=False)
    subprocess.run(["ip", "link", "del", bridge], capture_output=True)


def iptables(table: str, *arguments: str, check: bool = True) -> None:
    """Runs iptables, waiting for its lock."""
    done = subprocess.run(["iptables", "-w", "10", "-t", table, *arguments], capture_output=True, text=True)
    if check and done.returncode != 0:
        raise RuntimeError(f"iptables -t {table} {' '.join(arguments)}: {done.stderr.strip()}")


def restore(table: str, lines: list[str]) -> None:
    """Replaces chains at once."""
    text = "\n".join([f"*{table}", *lines, "COMMIT", ""])
    done = subprocess.run(["iptables-restore", "-w", "10", "--noflush"], input=text, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"iptables-restore: {done.stderr.strip()}\n{text}")
