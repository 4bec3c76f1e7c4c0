"""Pin every dependency, with hashes, in requirements/: what the image, `make install` and so CI install.

    python dev/lock.py               keeps the pins that still fit pyproject.toml
    python dev/lock.py --upgrade     takes the newest versions

It is not a uv.lock, because that records the addresses of the registry it was made with. Hashes say the same about
the files, wherever they come from.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
#: Which file holds what.
FILES = {
    "operator.txt": ["pyproject.toml"],
    "build.txt": ["--group=build"],
    "otel.txt": ["pyproject.toml", "--extra=otel"],
    "dev.txt": ["pyproject.toml", "--group=dev"],
}


def main() -> int:
    """Write the four files; uv's exit code where it is not 0."""
    (ROOT / "requirements").mkdir(exist_ok=True)
    for name, what in FILES.items():
        # One resolution for all: what the operator runs with is what it is tested with.
        constraints = [] if name == "operator.txt" else ["--constraint=requirements/operator.txt"]
        done = subprocess.run(
            [
                *(sys.executable, "-m", "uv", "pip", "compile", *what, *constraints, *sys.argv[1:]),
                *("--universal", "--python-version=3.11", "--generate-hashes"),
                *("--no-emit-index-url", "--no-emit-find-links", "--no-annotate", "--quiet"),
                f"--output-file=requirements/{name}",
            ],
            cwd=ROOT,
            env=os.environ | {"UV_CUSTOM_COMPILE_COMMAND": "make lock"},
            check=False,
        )
        if done.returncode:
            return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
