"""Find the programs of the control plane, or build them.

The result is a folder that holds ``etcd``, ``kube-apiserver``, ``kubectl``
and, unless it is envtest's own, ``kube-controller-manager``. It is looked
for in this order:

1. ``KUBEBUILDER_ASSETS``, the convention of envtest
   (book.kubebuilder.io/reference/envtest). A folder named there is used or
   refused with the reason, never silently passed over.
2. The user's cache folder, under a key made of the Kubernetes version, the
   platform and the sources in ``dev``.
3. A build from those sources into the cache folder. Any number of processes
   may ask at once: one builds, the others wait for it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from . import golang
from .golang import Progress

SOURCES = Path(__file__).resolve().parent.parent
REQUIRED = ("etcd", "kube-apiserver", "kubectl")
PROGRAMS = (*REQUIRED, "kube-controller-manager")
USUALLY = "about 6 minutes on two cores the first time, one minute once Go's own build cache is warm"
REPORT_SECONDS = 15.0


class AssetsError(RuntimeError):
    """The programs are not where they were said to be, or do not build."""


def _stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def resolve(
    progress: Progress = _stderr,
    environ: Mapping[str, str] = os.environ,
    cache: Path | None = None,
    sources: Path = SOURCES,
) -> Path:
    """The folder with the programs, built now if there is none yet."""
    named = environ.get("KUBEBUILDER_ASSETS")
    if named:
        return _checked(Path(named))
    cache = cache or cache_folder(environ)
    folder = cache / key(sources)
    if is_complete(folder):
        return folder
    with _only_builder(cache / f".{folder.name}.lock", progress):
        if not is_complete(folder):
            build(folder, sources, cache, progress)
    return folder


def cache_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """This package's own folder among the user's caches."""
    base = environ.get("XDG_CACHE_HOME")
    if not base:
        base = str(Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache"))
    return Path(base) / "tenantprofile" / "controlplane"


def kubernetes_version(sources: Path = SOURCES) -> str:
    """The release that the sources build, such as ``v1.36.3``."""
    found = re.search(r"k8s\.io/kubernetes (v[0-9][^\s]*)", (sources / "go.mod").read_text())
    if not found:
        raise AssetsError(f"{sources / 'go.mod'} does not require k8s.io/kubernetes")
    return found[1]


def key(sources: Path = SOURCES) -> str:
    """The name under which a build of exactly these sources is cached."""
    digest = hashlib.sha256()
    for name in ("go.mod", "go.sum", "main.go"):
        content = (sources / name).read_bytes()
        digest.update(f"{name} {len(content)}\n".encode() + content)
    place = f"{platform.system()}-{platform.machine()}".lower()
    return f"{kubernetes_version(sources)}-{place}-{digest.hexdigest()[:12]}"


def is_complete(folder: Path, programs: tuple[str, ...] = PROGRAMS) -> bool:
    return not missing(folder, programs)


def missing(folder: Path, programs: tuple[str, ...] = PROGRAMS) -> list[str]:
    """Those of the programs that the folder lacks or that cannot be run."""
    return [name for name in programs if not os.access(folder / name, os.X_OK)]


def build(folder: Path, sources: Path, cache: Path, progress: Progress) -> None:
    """Compile into ``folder``, which appears whole or not at all."""
    version = kubernetes_version(sources)
    go = golang.find(golang.required((sources / "go.mod").read_text()), cache, progress)
    progress(f"Building the Kubernetes {version} control plane with {go}: {USUALLY}.")
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix=".build-", dir=cache) as scratch:
        made = Path(scratch) / folder.name
        made.mkdir()
        _compile(go, sources, version, made / "controlplane", progress)
        for name in PROGRAMS:
            (made / name).symlink_to("controlplane")
        shutil.rmtree(folder, ignore_errors=True)
        made.rename(folder)
    progress(f"Built in {time.monotonic() - started:.0f} s: {folder}")


def _checked(folder: Path) -> Path:
    lacks = missing(folder, REQUIRED)
    if lacks:
        raise AssetsError(
            f"KUBEBUILDER_ASSETS is {str(folder)!r}, but {', '.join(lacks)} cannot be run there. "
            "Name a folder that holds them, or unset the variable to use the build of dev."
        )
    return folder.resolve()


def _compile(go: Path, sources: Path, version: str, output: Path, progress: Progress) -> None:
    environment = golang.environment(go)
    total = _packages(go, sources, environment, progress)
    major, minor = version.removeprefix("v").split(".")[:2]
    stamp = {"gitVersion": version, "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    # Without these, /version says v0.0.0: both packages keep their own copy.
    homes = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    flags = ["-s -w", *(f"-X {home}.{name}={value}" for home in homes for name, value in stamp.items())]
    command = [str(go), "build", "-v", "-trimpath", "-buildvcs=false", "-mod=readonly"]
    command += [f"-ldflags={' '.join(flags)}", "-o", str(output), "."]
    compiled, said, tail = 0, time.monotonic(), list[str]()
    started = said
    with subprocess.Popen(
        command, cwd=sources, env=environment, stderr=subprocess.PIPE, text=True, errors="replace"
    ) as running:
        assert running.stderr is not None
        for line in running.stderr:  # with -v: a line for each package that had to be compiled
            compiled += 1
            tail = [*tail[-30:], line]
            if time.monotonic() - said >= REPORT_SECONDS:
                said = time.monotonic()
                progress(f"  {said - started:4.0f} s: {compiled} of at most {total} packages compiled")
    if running.returncode:
        raise AssetsError(f"go build failed with status {running.returncode}:\n{''.join(tail)}")


def _packages(go: Path, sources: Path, environment: dict[str, str], progress: Progress) -> int:
    """How many packages the binary is made of; fetches the modules on the way."""
    progress("Fetching the Go modules that are not in Go's module cache yet.")
    listed = subprocess.run(
        [str(go), "list", "-mod=readonly", "-deps", "."],
        cwd=sources,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        raise AssetsError(f"The Go modules could not be fetched:\n{listed.stderr.strip()[-2000:]}")
    return len(listed.stdout.splitlines())


@contextlib.contextmanager
def _only_builder(lock: Path, progress: Progress) -> Iterator[None]:
    """Hold the lock; the kernel lets go of it however this process ends."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("Another process is building the control plane; waiting for it.")
            fcntl.flock(held, fcntl.LOCK_EX)
        yield
