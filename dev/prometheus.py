"""Find Prometheus and promtool, or unpack them from Debian's package `prometheus` without installing it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from controlplane.assets import cache_folder

PROGRAMS = ("prometheus", "promtool")


class PrometheusError(RuntimeError):
    """There is no Prometheus, and none can be had from a package."""


def resolve(environ: Mapping[str, str] = os.environ) -> Path:
    """The folder with `prometheus` and `promtool`. Raises PrometheusError.

    Both are taken from PATH, or else from the user's cache, where `apt-get download` and `dpkg -x` put them.
    """
    installed = [shutil.which(program, path=environ.get("PATH")) for program in PROGRAMS]
    if installed[0] and installed[1] and Path(installed[0]).parent == Path(installed[1]).parent:
        return Path(installed[0]).parent
    cache = cache_folder(environ).parent / "prometheus"
    found = cache / "usr" / "bin"
    if not all((found / program).exists() for program in PROGRAMS):
        _unpack(cache)
    return found


def _unpack(folder: Path) -> None:
    """Download the package and unpack it; the folder appears whole or not at all."""
    if not shutil.which("apt-get") or not shutil.which("dpkg"):
        raise PrometheusError("needs prometheus and promtool on PATH, or apt-get and dpkg to unpack them")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".prometheus-", dir=folder.parent) as scratch:
        unpacked = Path(scratch) / "unpacked"
        try:
            subprocess.run(
                ["apt-get", "download", "-qq", "prometheus"], cwd=scratch, check=True, capture_output=True
            )
            (package,) = Path(scratch).glob("prometheus_*.deb")
            subprocess.run(["dpkg", "-x", str(package), str(unpacked)], check=True, capture_output=True)
            unpacked.rename(folder)
        except subprocess.CalledProcessError as error:
            reason = error.stderr.decode(errors="replace").strip().splitlines()[-1:] or [str(error)]
            raise PrometheusError(f"the Debian package prometheus was not unpacked: {reason[0]}") from error
        except OSError as error:
            if not (folder / "usr" / "bin").is_dir():  # else another process was faster
                raise PrometheusError(f"the Debian package prometheus was not unpacked: {error}") from error
