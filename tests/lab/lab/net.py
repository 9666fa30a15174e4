"""Addresses and firewalls: each host at a loopback address of its own, reachable on admitted ports only.

Packets to 127.X.Y.N are translated to the host's container by the kernel where a rule admits the
sender, and dropped in silence otherwise, as a security group does. The chains have the lab's name
and go with it.
"""

from __future__ import annotations

import dataclasses
import random
import subprocess
import threading

TABLES = {"nat": "OUTPUT", "filter": "OUTPUT"}


@dataclasses.dataclass(frozen=True)
class Rule:
    """One ingress permission."""

    protocol: str
    first: int
    last: int
    source: str


class Network:
    """The loopback addresses of one lab."""

    def __init__(self, name: str, bridge: str) -> None:
        self.chain = f"RMLAB-{name}"
        self.bridge = bridge
        self.lock = threading.Lock()
        self.prefix = f"127.{random.randint(2, 250)}.{random.randint(1, 250)}"
        self.next = random.randint(2, 120)
        for table, parent in TABLES.items():
            iptables(table, "-N", self.chain)
            iptables(table, "-A", parent, "-d", f"{self.prefix}.0/24", "-j", self.chain)
        # Answers have to come back to us: a container cannot reach 127.0.0.1.
        iptables("nat", "-A", "POSTROUTING", *self._masquerade())

    def _masquerade(self) -> list[str]:
        return ["-o", self.bridge, "-s", "127.0.0.0/8", "-j", "MASQUERADE", "-m", "comment", "--comment", self.chain]

    def new_address(self) -> str:
        """An address that no host has had in this lab for the last two hundred."""
        with self.lock:
            self.next = 2 if self.next >= 250 else self.next + 1
            return f"{self.prefix}.{self.next}"

    def publish(self, hosts: list[tuple[str, str, list[Rule]]]) -> None:
        """Makes exactly these (address, container address, rules) reachable."""
        with self.lock:
            nat = [f":{self.chain} - [0:0]"]
            for address, target, rules in hosts:
                for rule in rules:
                    if ":" in rule.source:
                        continue  # IPv6 is not simulated
                    ports = [] if rule.protocol == "-1" else ["--dport", f"{rule.first}:{rule.last}"]
                    for protocol in ("tcp", "udp") if rule.protocol == "-1" else (rule.protocol,):
                        if protocol in ("tcp", "udp"):
                            words = ["-A", self.chain, "-s", rule.source, "-d", address, "-p", protocol, *ports]
                            nat.append(" ".join([*words, "-j", "DNAT", "--to-destination", target]))
            restore("nat", nat)
            restore("filter", [f":{self.chain} - [0:0]", f"-A {self.chain} -j DROP"])

    def remove(self) -> None:
        """Takes all rules away."""
        remove(self.chain, self.prefix, self.bridge)


def remove(chain: str, prefix: str, bridge: str) -> None:
    """Takes the rules of a lab away by their names; missing ones are fine."""
    for table, parent in TABLES.items():
        iptables(table, "-D", parent, "-d", f"{prefix}.0/24", "-j", chain, check=False)
        iptables(table, "-F", chain, check=False)
        iptables(table, "-X", chain, check=False)
    iptables(
        "nat", "-D", "POSTROUTING", "-o", bridge, "-s", "127.0.0.0/8", "-j", "MASQUERADE",
        "-m", "comment", "--comment", chain, check=False,
    )  # fmt: skip


def iptables(table: str, *arguments: str, check: bool = True) -> None:
    """Runs iptables, waiting for its lock."""
    done = subprocess.run(["iptables", "-w", "10", "-t", table, *arguments], capture_output=True, text=True)
    if check and done.returncode != 0:
        raise RuntimeError(f"iptables -t {table} {' '.join(arguments)}: {done.stderr.strip()}")


def restore(table: str, lines: list[str]) -> None:
    """Replaces a chain at once."""
    text = "\n".join([f"*{table}", *lines, "COMMIT", ""])
    done = subprocess.run(["iptables-restore", "-w", "10", "--noflush"], input=text, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"iptables-restore: {done.stderr.strip()}\n{text}")
