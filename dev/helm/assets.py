"""Find Helm, or build it."""

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
from typing import Literal

from controlplane import golang
from controlplane.assets import cache_folder
from controlplane.golang import Progress

Major = Literal[3, 4]
SOURCES = Path(__file__).resolve().parent
USUALLY = "2 to 3 minutes on two cores the first time"


class HelmError(RuntimeError):
    """Helm is not where it was said to be, does not build, or has failed."""


def _stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def resolve(
    major: Major = 4,
    progress: Progress = _stderr,
    environ: Mapping[str, str] = os.environ,
    sources: Path = SOURCES,
) -> Path:
    """The program, built now if there is none yet. Raises HelmError or GoError.

    ``HELM4_PROGRAM`` and ``HELM3_PROGRAM`` name one to use instead.
    """
    named = environ.get(f"HELM{major}_PROGRAM")
    if named:
        if not os.access(named, os.X_OK):
            raise HelmError(f"HELM{major}_PROGRAM is {named!r}, which cannot be run")
        return Path(named).resolve()
    module = sources / f"v{major}"
    cache = cache_folder(environ).parent / "helm"
    program = cache / key(module) / "helm"
    if program.exists():
        return program
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f".{program.parent.name}.lock").open("w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("Another process is building Helm; waiting for it.")
            fcntl.flock(held, fcntl.LOCK_EX)
        if not program.exists():
            build(program, major, module, cache_folder(environ), progress)
    return program


def key(module: Path) -> str:
    """The name under which a build of exactly these modules is cached."""
    digest = hashlib.sha256()
    for name in ("go.mod", "go.sum"):
        content = (module / name).read_bytes()
        digest.update(f"{name} {len(content)}\n".encode() + content)
    return f"{module.name}-{platform.system()}-{platform.machine()}-{digest.hexdigest()[:12]}".lower()


def build(program: Path, major: Major, module: Path, toolchains: Path, progress: Progress) -> None:
    """Compile; the program appears whole or not at all."""
    go = golang.find(golang.required((module / "go.mod").read_text()), toolchains, progress)
    progress(f"Building Helm {major} with {go}: {USUALLY}.")
    started = time.monotonic()
    program.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".build-", dir=program.parent) as scratch:
        made = Path(scratch) / "helm"
        command = [str(go), "build", "-trimpath", "-buildvcs=false", "-mod=readonly", "-ldflags=-s -w"]
        done = subprocess.run(
            [*command, "-o", str(made), f"helm.sh/helm/v{major}/cmd/helm"],
            cwd=module,
            env=golang.environment(go),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise HelmError(f"go build failed with status {done.returncode}:\n{done.stderr[-3000:]}")
        made.rename(program)
    progress(f"Built in {time.monotonic() - started:.0f} s: {program}")
