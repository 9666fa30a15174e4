"""The scan for secrets finds what is planted, wherever it is, and lets secrets be where they belong."""

from __future__ import annotations

import base64
import gzip
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

HERE = Path(__file__).parent.parent
PASSWORD = "p4ss/word+of a proxy"


class Run:
    """A test run that is watched: a store in it, and what a test puts beside it."""

    def __init__(self, base: Path) -> None:
        self.kept, self.root = base / "kept", base / "root"
        self.root.mkdir()
        command = [sys.executable, "-m", "scan", "watch", str(self.kept), str(self.root)]
        self.watch = subprocess.Popen(command, cwd=HERE)
        deadline = time.monotonic() + 30
        while not (self.kept / "ready").exists():
            assert self.watch.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)

    def write(self, name: str, content: str | bytes, mode: int = 0o600) -> Path:
        """A file below the watched directory, as rmachine writes it: the mode first."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT, mode)
        os.fchmod(fd, mode)
        with open(fd, "wb") as file:
            file.write(content if isinstance(content, bytes) else content.encode())
        return path

    def store(self) -> dict[str, str]:
        """A store with every kind of secret, each where it belongs."""
        secrets = {"ca-key.pem": pem(), "key.pem": pem(), "server-key.pem": pem(), "id_rsa": openssh(), "seed": openssh()}
        self.write("store/rmachine.json", "{}")
        self.write("store/certs/ca-key.pem", secrets["ca-key.pem"])
        self.write("store/certs/key.pem", secrets["key.pem"])
        for name in ("server-key.pem", "id_rsa", "key.pem"):
            self.write(f"store/machines/m/{name}", secrets[name])
        part = base64.encodebytes(f"ed25519_private: {json.dumps(secrets['seed'])}\n".encode()).decode()
        self.write("store/machines/m/user-data", gzip.compress(f"MIME-Version: 1.0\n\n{part}".encode()))
        secrets["token"] = "cloud-key-of-the-store"
        self.write("store/machines/m/credentials.json", json.dumps({"token": secrets["token"]}))
        secrets["proxy"] = PASSWORD
        self.write("store/machines/m/engine.json", json.dumps({"env": [f"HTTP_PROXY={PASSWORD}"], "opts": []}))
        return secrets

    def host(self, files: dict[str, tuple[str, int]]) -> None:
        """A host that a lab hands over."""
        (self.kept / "hosts").mkdir()
        with tarfile.open(self.kept / "hosts/i-1.tar", "w") as archive:
            for name, (content, mode) in files.items():
                member = tarfile.TarInfo(name)
                member.size, member.mode = len(content), mode
                archive.addfile(member, io.BytesIO(content.encode()))

    def end(self) -> None:
        """Ends the watch."""
        self.watch.send_signal(signal.SIGTERM)
        assert self.watch.wait(30) == 0

    def report(self, *words: str) -> tuple[int, str]:
        """Ends the watch; the exit code and the text of the report."""
        self.end()
        done = subprocess.run([sys.executable, "-m", "scan", "report", str(self.kept), *words], cwd=HERE, capture_output=True, text=True)
        assert done.stderr == ""
        return done.returncode, done.stdout


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """A watched run."""
    # tests/run watches this test, too, and passes by what has this name.
    base = tmp_path / "planted-by-a-selftest"
    base.mkdir()
    run = Run(base)
    yield run
    if run.watch.poll() is None:
        run.end()


def pem() -> str:
    """A key as rmachine's certificates have it."""
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()


def openssh() -> str:
    """A key as rmachine's SSH has it."""
    key = ed25519.Ed25519PrivateKey.generate()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()).decode()


def line(key: str) -> str:
    """The one line of a key that is most private."""
    lines = key.splitlines()
    return lines[4] if "OPENSSH" in key else lines[2]


def process(*words: str, executable: str = "/bin/sh", **environ: str) -> None:
    """A process of a moment with these words and variables."""
    subprocess.run(["sh", "-c", "sleep 0.3; :", *words], executable=executable, env={"PATH": os.environ["PATH"], **environ}, check=True)


def record(secrets: dict[str, str], **more: object) -> str:
    """A record as docker-machine has it."""
    engine = {"Env": [f"HTTP_PROXY={secrets['proxy']}"]}
    return json.dumps({"ConfigVersion": 3, "Driver": {"SecretKey": secrets["token"]}, "HostOptions": {"EngineOptions": engine}, **more})


def test_all_is_where_it_belongs(run: Run) -> None:
    """Stores, users' own keys, hosts and an engine's options pass, also where they are gone at the end."""
    secrets = run.store()
    run.write("login", openssh())
    run.write("store/machines/m/server.pem", "-----BEGIN CERTIFICATE-----\n", 0o644)
    run.host({
        "etc/docker/server-key.pem": (secrets["server-key.pem"], 0o600),
        "etc/systemd/system/docker.service.d/20-rmachine.conf": (f"Environment={PASSWORD}", 0o600),
        "etc/ssh/ssh_host_ed25519_key": (secrets["seed"], 0o600),
        "var/lib/cloud/instances/i-1/user-data.txt": (secrets["seed"], 0o600),
        "var/log/journal.txt": (f'MESSAGE=msg="Reloaded configuration: {{{PASSWORD}}}"\n', 0o640),
    })  # fmt: skip
    run.write("spoiled/spoiled-on-purpose", "by a test")
    run.write("spoiled/store/log", secrets["token"], 0o644)
    run.write("theirs/machines/m/config.json", record(secrets))
    run.write("taken/machines/m/config.json", record({**secrets, "token": ""}, Rmachine={"Imported": True}))
    subprocess.run(["rm", "-r", run.root / "store"], check=True)
    process(AWS_SECRET_ACCESS_KEY=secrets["token"])
    code, text = run.report("--want", "processes", "hosts")
    assert code == 0, text
    assert text.startswith("11 secrets"), text  # three of them the lab's own account
    assert " of 1 stores" in text and " 1 hosts" in text
    assert "FOUND" not in text


PLANTED: dict[str, tuple[Callable[[Run, dict[str, str]], object], str]] = {
    "a record that others read": (lambda run, s: run.write("theirs/config.json", record(s), 0o644), "engine option: "),
    "a record that was taken over": (
        lambda run, s: run.write("taken/config.json", record({**s, "proxy": ""}, Rmachine={"Imported": True})), "cloud key: "),
    "a record of our own": (lambda run, s: run.write("own/config.json", record({**s, "token": ""}, Rmachine={})), "engine option: "),
    "argv": (lambda run, s: process(s["token"]), "cloud key: argv of"),
    "argv, a key": (lambda run, s: process(f"--key={line(s['key.pem'])}"), "client key: argv of"),
    "environ": (lambda run, s: process(TOKEN=s["token"]), "cloud key: environ of"),
    "environ of another service": (lambda run, s: process(HTTP_PROXY=s["proxy"]), "engine option: environ of"),
    "a file that others read": (lambda run, s: run.write("store/certs/ca-key.pem", s["ca-key.pem"], 0o644), "CA key: "),
    "a name that is no secret's": (lambda run, s: run.write("store/machines/m/config.json", json.dumps(s)), "login key: "),
    "another secret's name": (lambda run, s: run.write("store/machines/m/key.pem", s["ca-key.pem"]), "CA key or client key: "),
    "a log that grows": (lambda run, s: grow(run.root / "tunnel.log", s["server-key.pem"]), "engine's key: "),
    "a file of a moment": (lambda run, s: gone_at_once(run.write("moment", s["proxy"], 0o644)), "engine option: "),
    "a directory that moves": (lambda run, s: run.write("new/a/b", s["proxy"], 0o644).parent.parent.rename(run.root / "old"), "engine option: "),
    "base64": (lambda run, s: run.write("log", base64.b64encode(f"ab {s['token']}".encode()), 0o644), "cloud key: "),
    "base64 in lines": (lambda run, s: run.write("log", base64.encodebytes(f"a{s['id_rsa']}".encode() * 3), 0o644), "login key: "),
    "URL": (lambda run, s: run.write("log", "p4ss%2Fword%2Bof%20a%20proxy", 0o644), "engine option: "),
    "the shell's quotes": (lambda run, s: run.write("log", f"env '{PASSWORD}'", 0o644), "engine option: "),
    "gzip": (lambda run, s: run.write("log.gz", gzip.compress(s["seed"].encode()), 0o644), "seed host key: "),
    "part of a key": (lambda run, s: run.write("log", f"key {''.join(s['seed'].splitlines()[1:-1])[205:260]}", 0o644), "seed host key: "),
    "a host's file": (lambda run, s: run.host({"etc/docker/server-key.pem": (s["server-key.pem"], 0o640)}), "engine's key: host i-1:"),
    "a host's journal": (lambda run, s: run.host({"var/log/journal.txt": (f"COMMAND={s['proxy']}", 0o640)}), "engine option: host i-1:"),
    "the wrong host's file": (lambda run, s: run.host({"root/key": (s["id_rsa"], 0o600)}), "login key: host i-1:"),
}


def gone_at_once(path: Path) -> None:
    """A file that is there for a moment."""
    time.sleep(0.1)
    path.unlink()


def grow(path: Path, text: str) -> None:
    """A log that is unlinked before its writer closes it."""
    with open(path, "w") as log:
        log.write("first\n")
        log.flush()
        time.sleep(0.3)
        path.unlink()
        log.write(text)


@pytest.mark.parametrize("where", PLANTED)
def test_what_is_planted_is_found(run: Run, where: str) -> None:
    """Each place and form; the secret itself is not told."""
    secrets = run.store()
    plant, found = PLANTED[where]
    plant(run, secrets)
    code, text = run.report()
    assert code == 1
    assert f"FOUND {found}" in text, text
    assert not any(secret.strip() in text or line(secret) in text for secret in secrets.values() if "KEY" in secret)
    assert secrets["token"] not in text and PASSWORD not in text


def test_what_the_run_prints_is_looked_at(run: Run, tmp_path: Path) -> None:
    """The output of the run is a file like any other."""
    output = tmp_path / "output"
    output.write_text(run.store()["token"])
    code, text = run.report("--output", str(output))
    assert code == 1 and "FOUND cloud key: the output of the run" in text


def test_typed_to_rmachine(run: Run) -> None:
    """What a user types as a secret's flag is in rmachine's argv; in another program's, or as another word, it is found."""
    secrets = run.store()
    rmachine = run.root / "rmachine"
    rmachine.write_bytes(Path("/bin/sleep").read_bytes())
    rmachine.chmod(0o755)
    # `sleep` refuses the flag after it has looked at its words, which the kernel has told of by then.
    for words in (["--fake-token", secrets["token"]], [f"--engine-env=HTTP_PROXY={PASSWORD}"]):
        stopped = subprocess.Popen([rmachine, *words], stderr=subprocess.DEVNULL)
        stopped.wait()
    code, text = run.report()
    assert code == 0, text


def test_seeing_nothing_is_no_pass(run: Run) -> None:
    """Neither an empty run, nor one without hosts where there were to be some, nor a watch that was killed."""
    run.store()
    code, text = run.report("--want", "hosts")
    assert code == 1 and "BLIND: no hosts were seen" in text


def test_an_empty_run_is_no_pass(run: Run) -> None:
    """Nothing to look for."""
    code, text = run.report()
    assert code == 1 and "BLIND: no stores were seen" in text


def test_a_watch_that_was_killed_is_no_pass(run: Run) -> None:
    """What it has not written down is not known."""
    run.store()
    run.watch.kill()
    run.watch.wait()
    done = subprocess.run([sys.executable, "-m", "scan", "report", str(run.kept)], cwd=HERE, capture_output=True, text=True)
    assert done.returncode == 1 and "did not come to its end" in done.stderr
