"""`python -m lab`: up, down, serve, prepare, registry, py313. The scripts beside this package call it."""

from __future__ import annotations

import argparse
import json
import os
import sys
import urllib.request
from pathlib import Path

from . import lifecycle


def main() -> None:
    """Parses the command line."""
    parser = argparse.ArgumentParser(prog="lab")
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("serve", "up", "down"):
        command = commands.add_parser(name)
        command.add_argument("state", type=Path, nargs="?", default=Path("/tmp/rmachine-lab"))
        command.add_argument("--no-hosts", action="store_true", help="the EC2 API only, nothing boots")
        command.add_argument("--images", nargs="*", default=[], metavar="IMAGE", help="host images to make ready now")
        command.add_argument("--docker-repo", action="store_true", help="serve a stand-in for Docker's apt repository")
    steps = commands.add_parser("prepare", help="make what tests need, in named steps")
    steps.add_argument("--program", action="store_true", help="also what rmachine itself makes")
    steps.add_argument("steps", nargs="*", metavar="STEP")
    commands.add_parser("registry", help="start an image registry that hosts reach, and print its HOST:PORT")
    python = commands.add_parser("py313", help="run a script under Debian 13's Python 3.13 with docker-py")
    python.add_argument("arguments", nargs=argparse.REMAINDER, metavar="SCRIPT")
    arguments = parser.parse_args()
    match arguments.command:
        case "serve":
            from . import server

            server.serve(arguments.state.resolve(), not arguments.no_hosts, arguments.images, arguments.docker_repo)
        case "up":
            lifecycle.up(arguments.state.resolve(), not arguments.no_hosts, arguments.images, arguments.docker_repo)
        case "down":
            lifecycle.down(arguments.state.resolve())
        case "prepare":
            from . import prepare

            prepare.run(arguments.steps, arguments.program)
        case "registry":
            request = urllib.request.Request(f"{os.environ['RMACHINE_LAB']}/registry", method="POST")
            with urllib.request.urlopen(request) as answer:
                print(json.load(answer)["address"])
        case "py313":
            from . import py313

            sys.exit(py313.run(arguments.arguments))


if __name__ == "__main__":
    main()
