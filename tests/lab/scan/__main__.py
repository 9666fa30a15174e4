"""`python -m scan watch|report`: tests/run starts the first at its beginning and runs the second at its end."""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from pathlib import Path

from lab import auth

from . import files, kept, processes, report, secrets_of

WATCHERS = ("files", "processes", "execs")


def main() -> None:
    """Parses the command line."""
    parser = argparse.ArgumentParser(prog="scan")
    commands = parser.add_subparsers(dest="command", required=True)
    watch_command = commands.add_parser("watch", help="keep what appears, until SIGTERM; DIRECTORY/ready says that it has begun")
    watch_command.add_argument("directory", type=Path, help="where it is kept, new and owner-only")
    watch_command.add_argument("roots", type=Path, nargs="+", help="directories to watch")
    report_command = commands.add_parser("report", help="look for the secrets in what was kept")
    report_command.add_argument("directory", type=Path)
    report_command.add_argument("--output", type=Path, help="what the run itself has printed")
    report_command.add_argument("--want", nargs="*", default=[], choices=["processes", "hosts"], help="what must have been seen")
    arguments = parser.parse_args()
    if arguments.command == "watch":
        watch(arguments.directory, arguments.roots)
    else:
        sys.exit(tell(arguments.directory, arguments.output, tuple(arguments.want)))


def watch(directory: Path, roots: list[Path]) -> None:
    """Three processes, so that none waits for another."""
    ended = threading.Event()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    os.umask(0o077)
    directory.mkdir(parents=True, exist_ok=True)
    fork = multiprocessing.get_context("fork")
    beside = [fork.Process(target=watch_processes, args=(directory, name, ended)) for name in WATCHERS[1:]]
    for process in beside:
        process.start()
    with contextlib.suppress(PermissionError):
        os.nice(-10)
    writer = kept.Writer(directory, WATCHERS[0])
    watched = files.Files(writer, roots, directory)
    (directory / "ready").touch()
    watched.run(ended.is_set)
    writer.close()
    for process in beside:
        process.terminate()
        process.join()
    sys.exit(max(process.exitcode or 0 for process in beside))


def watch_processes(directory: Path, name: str, ended: threading.Event) -> None:
    """A watch over processes; it ends with its parent."""
    parent = os.getppid()
    writer = kept.Writer(directory, name)
    watched = processes.Processes(writer)
    (watched.listen if name == "execs" else watched.run)(lambda: ended.is_set() or os.getppid() != parent)
    writer.close()


def tell(directory: Path, output: Path | None, wanted: tuple[str, ...]) -> int:
    """Prints the report and answers the exit code."""
    store = kept.Store()
    for name in WATCHERS:
        store.read(directory, name)
    if output:
        store.add(kept.Place(kept.OUTPUT, "the output of the run", 0o644), output.read_bytes())
    hosts = report.read_hosts(directory / "hosts", store)
    failed = [path.stem for path in (directory / "hosts").glob("*.failed")]
    account = [auth.SECRET_KEY, auth.SESSION_SECRET, auth.SESSION_TOKEN]
    found = report.scan(store, {secrets_of.CREDENTIAL: account}, hosts, failed, wanted)
    print(found.text(), flush=True)
    return 0 if found.passed else 1


if __name__ == "__main__":
    main()
