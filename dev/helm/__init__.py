"""Helm, built from its Go modules, to install the chart as users do.

`v4` and `v3` beside this file hold a go.mod each, with the program as a tool dependency. A build is kept in
the user's cache folder, as `controlplane.assets` keeps the control plane.
"""

from .assets import HelmError, resolve
from .program import Helm

__all__ = ["Helm", "HelmError", "resolve"]
