"""A real Kubernetes control plane on any machine, for tests, demo and benchmark.

::

    with ControlPlane(audit=True) as cluster:
        cluster.kubectl("create", "namespace", "team-a")
        cluster.restart("kube-apiserver", kill=True)

The way through the package: `assets` finds or builds the programs (`golang`
finds the compiler), `workspace` is the temporary folder, `pki` and
`kubeconfig` are the credentials, `commands` the command lines, `process` one
running program, `cluster` what any cluster can do, `local` the control plane
itself. It belongs to the development tools and is no part of the operator.

Runs on Linux and macOS.
"""

from .assets import AssetsError
from .audit import is_write
from .cluster import Cluster, ClusterError, ExistingCluster
from .golang import GoError
from .local import NO_CONTROLLER_MANAGER, ControlPlane, open_cluster
from .process import ProcessError

__all__ = [
    "NO_CONTROLLER_MANAGER",
    "AssetsError",
    "Cluster",
    "ClusterError",
    "ControlPlane",
    "ExistingCluster",
    "GoError",
    "ProcessError",
    "is_write",
    "open_cluster",
]
