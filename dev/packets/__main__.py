"""``python -m packets``: make this machine ready for the tests of tests/packets, or say what it lacks.

``prepare`` installs the Debian packages that are missing (as root, where there is apt) and builds the
enforcement engine; ``check`` only tells, and ends with status 1 where packets cannot be sent.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence

from controlplane.golang import GoError

from . import assets
from .requirements import PACKAGES, missing_packages, unavailable


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m packets", description=__doc__)
    parser.add_argument("command", choices=["prepare", "check"])
    command = parser.parse_args(arguments).command
    if command == "prepare":
        _install(missing_packages())
    reason = unavailable()
    if reason is not None:
        print(f"Not here: {reason}", file=sys.stderr)
        return int(command == "check")
    if command == "prepare":
        try:
            print(assets.resolve())
        except (assets.EngineError, GoError) as error:
            print(error, file=sys.stderr)
            return 1
    return 0


def _install(packages: Sequence[str]) -> None:
    """Install what is missing; where that is not possible, `unavailable` gives the reason afterwards."""
    apt = shutil.which("apt-get")
    if not packages or apt is None or os.geteuid() != 0:
        return
    print(f"Installing {' '.join(packages)} (see {PACKAGES}).", file=sys.stderr)
    quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for step in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", *packages]):
        done = subprocess.run([apt, *step], env=quiet, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"apt-get {step[0]}: {done.stderr.strip()[-500:]}", file=sys.stderr)
            return


if __name__ == "__main__":
    sys.exit(main())
