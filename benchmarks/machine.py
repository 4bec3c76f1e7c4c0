"""What a run was made on: versions and machine, so that figures can be read later."""

from __future__ import annotations

import json
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import tenantprofile
from controlplane import ControlPlane


def describe(cluster: ControlPlane) -> dict[str, Any]:
    server = json.loads(cluster.kubectl("get", "--raw", "/version").stdout)
    return {
        "operator": tenantprofile.__version__,
        "kubernetes": server["gitVersion"],
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in ("kopf", "aiohttp", "kubernetes")},
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpu": _cpu(),
        "cpus": len(os.sched_getaffinity(0)),
        "load_average": round(os.getloadavg()[0], 1),  # how busy others kept the machine before it began
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or "unknown"
