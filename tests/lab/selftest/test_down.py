"""`down` leaves nothing, whatever was killed before; two labs stand side by side."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
from conftest import HERE, Lab, until


def traces(state: Path, facts: dict[str, str]) -> list[str]:
    """Whatever is left of a lab."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_text().split("\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        found += [f"process {words}"] if any(w == str(state) or w.startswith(f"{state}/") for w in words) else []
    rules = "".join(subprocess.run(["iptables-save", "-t", t], capture_output=True, text=True).stdout for t in ("nat", "filter"))
    found += [line for line in rules.splitlines() if facts["chain"] in line or facts["bridge"] in line or facts["prefix"] in line]
    links = subprocess.run(["ip", "-br", "link"], capture_output=True, text=True).stdout
    found += [line for line in links.splitlines() if line.startswith(facts["bridge"])]
    mounts = Path("/proc/mounts").read_text().splitlines()
    found += [m for m in mounts if f"{state}/" in m or f"{facts['data']}/" in m]
    found += [str(p) for p in Path("/sys/fs/cgroup").glob(f"**/rmlab-{facts['chain'][-8:]}")]
    found += [str(p) for p in Path(facts["data"]).glob("containers/*")]
    found += [str(p) for p in Path(facts["data"]).glob("volumes/*/_data")]
    return found + ([str(state)] if state.exists() else [])


@pytest.mark.parametrize("killed", [(), ("server",), ("server", "engine")])
def test_down(scratch: Path, hosted: Lab, killed: tuple[str, ...]) -> None:
    state = scratch / f"down{len(killed)}"
    lab = Lab(state, "--images", "debian13")  # beside `hosted`, which runs
    facts = json.loads((state / "lab.json").read_text())
    other = json.loads((hosted.state / "lab.json").read_text())
    own = {facts["bridge"], facts["chain"], facts["prefix"], facts["data"]}
    assert not [value for value in other.values() if isinstance(value, str) and value in own]
    one = lab.control("POST", "hosts", {"image": "debian13"})
    lab.control("POST", "registry")
    assert traces(state, facts)
    if "server" in killed:
        os.kill(facts["pid"], signal.SIGKILL)
    if "engine" in killed:
        os.kill(int((state / "docker.pid").read_text()), signal.SIGKILL)
    lab.down()
    until(lambda: traces(state, facts) == [], patience=10)
    assert one["id"] not in hosted.control("GET", "hosts")
    assert hosted.control("GET", "resources")["instances"] == []


def test_up_again_prints_the_same_and_after_a_kill_starts_anew(scratch: Path) -> None:
    state = scratch / "again"
    first = Lab(state, "--no-hosts")
    assert Lab(state, "--no-hosts").env == first.env
    os.kill(json.loads((state / "lab.json").read_text())["pid"], signal.SIGKILL)
    again = Lab(state, "--no-hosts")
    assert again.ec2.describe_vpcs()["Vpcs"]
    again.down()
    assert not state.exists()


def test_down_touches_nothing_that_is_no_lab(tmp_path: Path) -> None:
    (tmp_path / "precious").touch()
    assert subprocess.run([HERE / "down", tmp_path], capture_output=True).returncode != 0
    assert (tmp_path / "precious").exists()
    assert subprocess.run([HERE / "down", tmp_path / "missing"]).returncode == 0
