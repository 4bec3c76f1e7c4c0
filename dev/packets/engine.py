"""The enforcement engine as a process in the node's network namespace, under an account of its own."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from controlplane import ControlPlane
from controlplane.process import Process

from . import assets
from .netns import Netns
from .wiring import NODE_NAME

NAMESPACE = "kube-system"
ACCOUNT = "enforcement"

_RBAC = [
    {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": ACCOUNT, "namespace": NAMESPACE},
    },
    {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": ACCOUNT},
        "rules": [
            {
                "apiGroups": [""],
                "resources": ["pods", "namespaces", "nodes"],
                "verbs": ["get", "list", "watch"],
            },
            {
                "apiGroups": ["networking.k8s.io"],
                "resources": ["networkpolicies"],
                "verbs": ["get", "list", "watch"],
            },
        ],
    },
    {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": ACCOUNT},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": ACCOUNT},
        "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": NAMESPACE}],
    },
]


class Engine:
    """One engine. It can be stopped and started; what it enforced last stays in force meanwhile."""

    def __init__(self, cluster: ControlPlane, node: Netns, program: Path | None = None) -> None:
        for manifest in _RBAC:
            cluster.kubectl("apply", "-f", "-", input=json.dumps(manifest))
        kubeconfig = cluster.service_account_kubeconfig(NAMESPACE, ACCOUNT)
        enter = ["-I", "-S", str(Path(__file__).with_name("enter.py")), node.path]
        flags = [f"-kubeconfig={kubeconfig}", f"-node={NODE_NAME}", "-v=1"]
        here = f"-api-netns=/proc/{os.getpid()}/ns/net"
        self._process = Process(
            Path(sys.executable),
            [*enter, str(program or assets.resolve()), *flags, here],
            cluster.directory / "enforcement.log",
            cluster.directory,
        )

    @property
    def running(self) -> bool:
        return self._process.running

    @property
    def pid(self) -> int | None:
        return self._process.pid

    def start(self) -> None:
        """Start it; it protects pods a few seconds later (see `Barrier`)."""
        self._process.start()

    def stop(self) -> None:
        self._process.stop(5)

    def kill(self) -> None:
        self._process.kill()

    def explain(self) -> str:
        """Whether it runs, and the end of its log."""
        return self._process.explain()
