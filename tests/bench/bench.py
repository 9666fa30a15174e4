"""Figures of rmachine next to the floor, both in the same run; medians of interleaved rounds.

The floor is the least that the work takes by hand: boot to the first SSH login, one session that
installs the engine with apt, one start of dockerd with TLS. Run through `tests/bench/run`.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

import boto3

PROGRAM = os.environ["RMACHINE_BENCH_PROGRAM"]
LAB = os.environ["RMACHINE_LAB"]
DOCKER = f"{os.environ['RMACHINE_LAB_TOOLS']}/usr/bin/docker"
PLAIN, PREBAKED = "rmachine-lab-debian-13", "rmachine-lab-debian-13-docker"
HOT_RUNS = 21
STORE_SIZE = 300

ec2 = boto3.client("ec2")


def lab(path: str, method: str = "GET", body: object = None) -> Any:
    data = json.dumps(body).encode() if body is not None else None
    with urllib.request.urlopen(urllib.request.Request(f"{LAB}/{path}", data, method=method)) as answer:
        return json.load(answer)


class Measured:
    """One finished program: seconds, peak memory in MB."""

    def __init__(self, arguments: list[str], store: Path, watch_memory: bool = False) -> None:
        environment = os.environ | {"MACHINE_STORAGE_PATH": str(store)}
        began = time.monotonic()
        pid = os.posix_spawn(
            PROGRAM, [PROGRAM, *arguments], environment,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(store) + ".out", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
                (os.POSIX_SPAWN_OPEN, 2, str(store) + ".err", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
            ],
        )  # fmt: skip
        self.megabytes = 0.0
        ended = 0
        while not ended:
            ended, status = os.waitpid(pid, os.WNOHANG if watch_memory else 0)
            if not ended:
                self._look(pid)
                time.sleep(0.02)
        self.seconds = time.monotonic() - began
        if status != 0:
            raise RuntimeError(f"rmachine {' '.join(arguments)}: {Path(str(store) + '.err').read_text()}")


    def _look(self, pid: int) -> None:
        """Peak memory so far. What wait4 tells is no less than ours was before the exec."""
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                self.megabytes = max(self.megabytes, int(line.split()[1]) / 1024)


# --- the floor ------------------------------------------------------------------------------------


class Floor:
    """A host made by hand."""

    def __init__(self, work: Path) -> None:
        self.work = work
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", work / "key"], check=True)
        self._openssl("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=floor-ca -keyout ca-key.pem -out ca.pem")
        self._openssl("req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=client -keyout key.pem -out client.csr")
        self._openssl("x509 -req -days 2 -in client.csr -CA ca.pem -CAkey ca-key.pem -CAcreateserial -out cert.pem")

    def _openssl(self, line: str) -> None:
        subprocess.run(["openssl", *line.split()], cwd=self.work, check=True, capture_output=True)

    def _server(self, address: str) -> None:
        (self.work / "san").write_text(f"subjectAltName=IP:{address}\n")
        self._openssl("req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=server -keyout server-key.pem -out server.csr")
        self._openssl("x509 -req -days 2 -in server.csr -CA ca.pem -CAkey ca-key.pem -CAcreateserial -extfile san -out server.pem")

    def _ssh(self, address: str, script: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["ssh", "-i", self.work / "key", "-o", "StrictHostKeyChecking=accept-new", "-o", f"UserKnownHostsFile={self.work}/known",
             "-o", "BatchMode=yes", "-o", "ConnectTimeout=5", "-o", "LogLevel=ERROR", f"admin@{address}", "sudo sh -s"],
            input=script, capture_output=True, text=True,
        )  # fmt: skip

    def run(self, image: str, install: bool) -> dict[str, float]:
        """Makes one host; seconds to the login, of the installation, of the TLS start, and in all."""
        (self.work / "known").unlink(missing_ok=True)
        ami = ec2.describe_images(Filters=[{"Name": "name", "Values": [image]}])["Images"][0]["ImageId"]
        key = (self.work / "key.pub").read_text()
        # Like rmachine's own first boot, the package must not start an engine without TLS.
        data = f"#cloud-config\nssh_authorized_keys:\n  - {key}"
        group = ec2.create_security_group(GroupName=f"floor-{time.time_ns()}", Description="floor")["GroupId"]
        for port in (22, 2376):
            ec2.authorize_security_group_ingress(GroupId=group, IpProtocol="tcp", FromPort=port, ToPort=port, CidrIp="0.0.0.0/0")
        began = time.monotonic()
        id = ec2.run_instances(
            ImageId=ami, InstanceType="t3.micro", MinCount=1, MaxCount=1, UserData=data, SecurityGroupIds=[group]
        )["Instances"][0]["InstanceId"]
        try:
            address = None
            while not address:
                found = ec2.describe_instances(Filters=[{"Name": "instance-id", "Values": [id]}])["Reservations"]
                address = found and found[0]["Instances"][0].get("PublicIpAddress")
                time.sleep(0.1)
            while self._ssh(address, "true\n").returncode != 0:
                time.sleep(0.1)
            login = time.monotonic()
            self._server(address)
            put = "".join(f"cat >/etc/docker/{name} <<'END'\n{(self.work / name).read_text()}END\n" for name in ("ca.pem", "server.pem", "server-key.pem"))
            script = "set -e\nexport DEBIAN_FRONTEND=noninteractive\nmkdir -p /etc/docker /etc/systemd/system/docker.service.d\n"
            if install:
                script += (
                    "printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d; chmod +x /usr/sbin/policy-rc.d\n"
                    "apt-get -q -o DPkg::Lock::Timeout=60 update && apt-get -q -y -o DPkg::Lock::Timeout=60 install --no-install-recommends docker.io\n"
                    "rm /usr/sbin/policy-rc.d\n"
                )
            script += put + (
                "printf '[Service]\\nExecStart=\\nExecStart=/usr/sbin/dockerd -H fd:// -H tcp://0.0.0.0:2376 --tlsverify --tlscacert=/etc/docker/ca.pem "
                "--tlscert=/etc/docker/server.pem --tlskey=/etc/docker/server-key.pem\\n' >/etc/systemd/system/docker.service.d/tls.conf\n"
                "systemctl daemon-reload; cut -d' ' -f1 /proc/uptime >/run/tls-began; systemctl restart docker; cut -d' ' -f1 /proc/uptime >/run/tls-ended\n"
                "paste -d' ' /run/tls-began /run/tls-ended\n"
            )
            done = self._ssh(address, script)
            if done.returncode != 0:
                raise RuntimeError(done.stderr)
            environment = os.environ | {"DOCKER_HOST": f"tcp://{address}:2376", "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(self.work)}
            while subprocess.run([DOCKER, "version"], env=environment, capture_output=True).returncode != 0:
                time.sleep(0.05)
            ended = time.monotonic()
            first, last = map(float, done.stdout.strip().splitlines()[-1].split())
            return {"login": login - began, "tls": last - first, "all": ended - began}
        finally:
            ec2.terminate_instances(InstanceIds=[id])
            ec2.get_waiter("instance_terminated").wait(InstanceIds=[id], WaiterConfig={"Delay": 1})
            ec2.delete_security_group(GroupId=group)


# --- rmachine ------------------------------------------------------------------------------------


def create(image: str, store: Path) -> dict[str, Any]:
    """One `create`: seconds, memory, EC2 calls besides polls, SSH logins."""
    lab("calls", "DELETE")
    done = Measured(["create", "-d", "amazonec2", "--amazonec2-ami-name", image, "bench"], store, watch_memory=True)
    calls = [call["action"] for call in lab("calls")]
    id = json.loads((store / "machines/bench/config.json").read_text())["Driver"]["InstanceId"]
    logins = lab(f"hosts/{id}/exec", "POST", {"command": "journalctl -q -o cat | grep -c 'Accepted publickey'"})
    return {
        "seconds": done.seconds, "megabytes": done.megabytes,
        "calls": sum(call != "DescribeInstances" for call in calls), "polls": calls.count("DescribeInstances"),
        "logins": int(str(logins["stdout"]).strip() or 0), "id": id,
    }  # fmt: skip


class Banner(threading.Thread):
    """Notes when a host's sshd answers."""

    def __init__(self, id: str) -> None:
        super().__init__(daemon=True)
        self.id = id
        self.answered: float | None = None
        self.start()

    def run(self) -> None:
        while self.answered is None:
            address = lab("hosts")[self.id]["address"]
            try:
                with socket.create_connection((address, 22), 1) as connection:
                    connection.settimeout(1)
                    if connection.recv(4).startswith(b"SSH"):
                        self.answered = time.monotonic()
            except (OSError, TypeError):
                pass
            time.sleep(0.02)


def start(store: Path, id: str) -> float:
    """Seconds from the first answer of sshd to the end of `start`, with a `docker ps` after it."""
    Measured(["stop", "bench"], store)
    banner = Banner(id)
    Measured(["start", "bench"], store)
    ended = time.monotonic()
    line = f'eval "$({PROGRAM} env --shell sh bench)"; {DOCKER} ps'
    subprocess.run(["sh", "-c", line], env=os.environ | {"MACHINE_STORAGE_PATH": str(store)}, check=True, capture_output=True)
    banner.join(5)
    return ended - (banner.answered or ended)


def hot(store: Path) -> dict[str, float]:
    """Milliseconds of the commands that only read the record, in a store of many machines."""
    figures = {}
    # A machine that looks like any other: what `none` has is what these commands read.
    Measured(["create", "-d", "none", "--url", "tcp://127.0.0.1:2376", "m0"], store)
    for number in range(1, STORE_SIZE):
        shutil.copytree(store / "machines/m0", store / f"machines/m{number}")
        config = store / f"machines/m{number}/config.json"
        config.write_text(config.read_text().replace('"m0"', f'"m{number}"').replace("machines/m0", f"machines/m{number}"))
    for command in (["env", "m7"], ["url", "m7"], ["ip", "m7"], ["config", "m7"], ["inspect", "m7"], ["ls", "-q"], ["--version"]):
        runs = [Measured(command, store).seconds * 1000 for _ in range(HOT_RUNS)]
        figures[" ".join(command)] = statistics.median(runs)
    return figures


def main() -> None:
    rounds = int(sys.argv[1])
    work = Path(tempfile.mkdtemp(prefix="rmachine-bench-"))
    floor = Floor(work)
    table: dict[str, list[float]] = {}

    def note(name: str, value: float) -> float:
        table.setdefault(name, []).append(value)
        return value

    for round in range(rounds):
        if "prebaked" not in sys.argv:
            plain = floor.run(PLAIN, True)
            store = work / f"plain{round}"
            made = create(PLAIN, store)
            note("floor: boot, apt, TLS start (s)", plain["all"])
            note("create (s)", made["seconds"])
            note("create / floor", made["seconds"] / plain["all"])
            for name in ("calls", "polls", "logins"):
                note(f"create: {name}", made[name])
            note("create: peak memory (MB)", made["megabytes"])
            Measured(["rm", "-y", "bench"], store)
        ready = floor.run(PREBAKED, False)
        store = work / f"baked{round}"
        made = create(PREBAKED, store)
        note("prebaked floor: boot to login + TLS start (s)", ready["login"] + ready["tls"])
        note("create, prebaked (s)", made["seconds"])
        note("create, prebaked / its floor", made["seconds"] / (ready["login"] + ready["tls"]))
        note("regenerate-certs -f (s)", Measured(["regenerate-certs", "-f", "bench"], store).seconds)
        note("start, after sshd answers (s)", start(store, made["id"]))
        Measured(["rm", "-y", "bench"], store)
        print(f"round {round + 1} of {rounds}", file=sys.stderr)
    print(f"{'':48}{'median':>9}{'min':>9}{'max':>9}")
    for name, values in table.items():
        print(f"{name:48}{statistics.median(values):9.2f}{min(values):9.2f}{max(values):9.2f}")
    for name, value in hot(work / "hot").items():
        print(f"{name + f' (ms, store of {STORE_SIZE})':48}{value:9.2f}")
    print(f"{'release binary (MB)':48}{Path(PROGRAM).stat().st_size / 1e6:9.2f}")
    shutil.rmtree(work)


main()
