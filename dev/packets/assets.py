"""Find the enforcement engine, or build it.

The same way as `controlplane.assets`: a build of exactly these sources is kept in the user's cache
folder; otherwise it is built, by whoever asks first, while the others wait.
``PACKETS_ENGINE`` names a program to use instead.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from controlplane import golang
from controlplane.assets import cache_folder
from controlplane.golang import Progress

SOURCES = Path(__file__).resolve().parent.parent / "enforcement"
PROGRAM = "enforcement"
USUALLY = "about 2 minutes on two cores the first time"


class EngineError(RuntimeError):
    """The engine is not where it was said to be, does not build, or does not run."""


def _stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def resolve(
    progress: Progress = _stderr,
    environ: Mapping[str, str] = os.environ,
    sources: Path = SOURCES,
) -> Path:
    """The program, built now if there is none yet. Raises EngineError or GoError."""
    named = environ.get("PACKETS_ENGINE")
    if named:
        if not os.access(named, os.X_OK):
            raise EngineError(f"PACKETS_ENGINE is {named!r}, which cannot be run")
        return Path(named).resolve()
    cache = cache_folder(environ).parent / "enforcement"
    program = cache / key(sources) / PROGRAM
    if program.exists():
        return program
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f".{program.parent.name}.lock").open("w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("Another process is building the enforcement engine; waiting for it.")
            fcntl.flock(held, fcntl.LOCK_EX)
        if not program.exists():
            build(program, sources, cache_folder(environ), progress)
    return program


def key(sources: Path = SOURCES) -> str:
    """The name under which a build of exactly these sources is cached."""
    digest = hashlib.sha256()
    for name in ("go.mod", "go.sum", "main.go"):
        content = (sources / name).read_bytes()
        digest.update(f"{name} {len(content)}\n".encode() + content)
    return f"{platform.system()}-{platform.machine()}-{digest.hexdigest()[:12]}".lower()


def build(program: Path, sources: Path, toolchains: Path, progress: Progress) -> None:
    """Compile; the program appears whole or not at all."""
    go = golang.find(golang.required((sources / "go.mod").read_text()), toolchains, progress)
    progress(f"Building the enforcement engine (kube-router's policy controller) with {go}: {USUALLY}.")
    started = time.monotonic()
    program.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".build-", dir=program.parent) as scratch:
        made = Path(scratch) / PROGRAM
        command = [str(go), "build", "-trimpath", "-buildvcs=false", "-mod=readonly"]
        done = subprocess.run(
            [*command, "-ldflags=-s -w", "-o", str(made), "."],
            cwd=sources,
            env=golang.environment(go),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise EngineError(f"go build failed with status {done.returncode}:\n{done.stderr[-3000:]}")
        made.rename(program)
    progress(f"Built in {time.monotonic() - started:.0f} s: {program}")
