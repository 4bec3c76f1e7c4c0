"""Helm as a user runs it, with caches and settings of its own."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import yaml

from .assets import HelmError, Major, resolve


class Helm:
    """One version of Helm, its settings in `home`, against the cluster of a kubeconfig if one is given."""

    def __init__(self, home: Path, kubeconfig: Path | None = None, major: Major = 4) -> None:
        self.program = resolve(major)
        self._environment = {k: v for k, v in os.environ.items() if not k.startswith(("HELM_", "KUBE"))} | {
            "HELM_CACHE_HOME": str(home / "cache"),
            "HELM_CONFIG_HOME": str(home / "config"),
            "HELM_DATA_HOME": str(home / "data"),
            "KUBECONFIG": str(kubeconfig or os.devnull),
        }

    def __call__(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run Helm. With `check`, raises HelmError with what it said."""
        done = subprocess.run(
            [str(self.program), *arguments],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        if check and done.returncode:
            raise HelmError(f"helm {' '.join(arguments)}: status {done.returncode}\n{done.stderr.strip()}")
        return done

    def template(self, chart: Path, *flags: str, name: str, namespace: str) -> list[dict[str, Any]]:
        """The objects that `helm template` prints."""
        text = self("template", name, str(chart), f"--namespace={namespace}", *flags).stdout
        return [document for document in yaml.safe_load_all(text) if document]
