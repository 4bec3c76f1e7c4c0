"""``python -m controlplane``: a control plane from the shell.

``up`` starts one and stays until Ctrl-C, ``build`` makes sure that the
programs are there, ``path`` says where they are without building anything.
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from . import assets
from .golang import GoError
from .local import NO_CONTROLLER_MANAGER, ControlPlane
from .process import ProcessError


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m controlplane", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="start a control plane and stay until Ctrl-C")
    up.add_argument("--audit", action="store_true", help="keep an audit log, level Metadata")
    up.add_argument("--bind-address", default="127.0.0.1", help="where the API server listens")
    commands.add_parser("build", help="find or build the programs and print their folder")
    commands.add_parser("path", help="print the folder of the programs; status 1 if there is none yet")
    asked = parser.parse_args(arguments)
    try:
        if asked.command == "up":
            return _up(audit=asked.audit, bind_address=asked.bind_address)
        if asked.command == "build":
            print(assets.resolve())
            return 0
        return _path()
    except (assets.AssetsError, GoError, ProcessError) as error:
        print(error, file=sys.stderr)
        return 1


def _up(*, audit: bool, bind_address: str) -> int:
    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    signal.signal(signal.SIGHUP, interrupt)
    try:
        began = time.monotonic()
        with ControlPlane(audit=audit, bind_address=bind_address) as plane:
            took = time.monotonic() - began
            print(f"# {plane.url} serves after {took:.1f} s; log files in {plane.directory}")
            if not plane.has_controller_manager:
                print(f"# {NO_CONTROLLER_MANAGER}")
            print(f"# etcd: {plane.etcd_url}")
            print(f"export KUBECONFIG={shlex.quote(str(plane.admin_kubeconfig))}")
            print(f"export PATH={shlex.quote(str(plane.assets))}:$PATH")
            print("# Ctrl-C stops it and removes everything.", flush=True)
            _watch(plane)
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
    return 0


def _watch(plane: ControlPlane) -> None:
    """Stay, and say so if a part ends on its own."""
    ended: set[str] = set()
    while True:
        time.sleep(0.5)
        for part in plane.parts:
            if not plane.is_running(part) and part not in ended:
                ended.add(part)
                print(f"{part} ended; its log is {plane.directory / f'{part}.log'}", file=sys.stderr)


def _path() -> int:
    cache = assets.cache_folder() / assets.key()
    folder = Path(os.environ["KUBEBUILDER_ASSETS"]) if os.environ.get("KUBEBUILDER_ASSETS") else cache
    print(folder)
    if assets.is_complete(folder, assets.REQUIRED):
        return 0
    print("There is nothing in it yet: python -m controlplane build", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
