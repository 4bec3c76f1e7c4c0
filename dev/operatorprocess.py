"""The operator as a process of its own, under its own ServiceAccount and the shipped RBAC.

What tests, demo and benchmark share beside `controlplane`: install the base, start `tenantprofile run`,
wait until it is ready, stop or kill it, read its log.
"""

from __future__ import annotations

import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from client import Object, eventually
from controlplane import Cluster
from controlplane.process import Process, free_ports

ROOT = Path(__file__).resolve().parents[1]
NAMESPACE = "tenantprofile-system"
ACCOUNT = "tenantprofile-operator"


class OperatorError(RuntimeError):
    """The operator ended, or did not become ready; the message ends with its log."""


def install(cluster: Cluster) -> None:
    """Apply the shipped CRDs and the Kustomize base: namespace, account, RBAC and the rest. Idempotent."""
    cluster.kubectl("apply", "--server-side", "-k", str(ROOT / "crds"))
    # `kubectl wait` gives up on an object that has no conditions yet, as a CRD has for its first moment.
    eventually(lambda: all(established(crd) for crd in cluster.get("crd")["items"]), within=60.0)
    cluster.kubectl("apply", "--server-side", "-k", str(ROOT / "deploy" / "base"))


def established(crd: Object) -> bool:
    """Whether the API server serves a CustomResourceDefinition."""
    conditions = (crd.get("status") or {}).get("conditions") or []
    return any(c["type"] == "Established" and c["status"] == "True" for c in conditions)


class OperatorProcess:
    """`tenantprofile run` against one cluster; as a context manager it is stopped at the end."""

    def __init__(
        self,
        cluster: Cluster,
        *flags: str,
        kubeconfig: Path | None = None,
        program: Sequence[str] = (sys.executable, "-m", "tenantprofile"),
    ) -> None:
        self.cluster = cluster
        self._made_with = (flags, kubeconfig, program)
        self.port = free_ports(1)[0]
        kubeconfig = kubeconfig or cluster.service_account_kubeconfig(NAMESPACE, ACCOUNT)
        own = [
            f"--kubeconfig={kubeconfig}",
            f"--probe-port={self.port}",
            # As in a pod, whose name stays when its container restarts: the lease is its own still.
            f"--identity=operator-{self.port}",
            "--log-format=text",
        ]
        self._process = Process(
            Path(program[0]),
            [*program[1:], "run", *own, *flags],
            cluster.directory / f"operator-{self.port}.log",
            cluster.directory,
        )

    def variant(self, *flags: str) -> OperatorProcess:
        """Another one, not started, with these flags on top."""
        before, kubeconfig, program = self._made_with
        return OperatorProcess(self.cluster, *before, *flags, kubeconfig=kubeconfig, program=program)

    def start(self, *, wait: bool = True, timeout: float = 60.0) -> Self:
        """Start the process; with `wait`, until it is ready. Raises OperatorError."""
        self._process.start()
        if wait:
            self.wait_ready(timeout)
        return self

    def wait_ready(self, timeout: float = 60.0) -> None:
        """Wait until /readyz answers 200. Raises OperatorError."""
        deadline = time.monotonic() + timeout
        while not self.probe("readyz")[0]:
            if not self.alive or time.monotonic() > deadline:
                raise OperatorError(f"the operator is not ready: {self._process.explain()}")
            time.sleep(0.05)

    def probe(self, path: str) -> tuple[bool, str]:
        """Whether a probe (`livez`, `readyz`) answers 200, and its text."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/{path}", timeout=5) as answer:
                return True, answer.read().decode()
        except urllib.error.HTTPError as error:
            return False, error.read().decode()
        except OSError as error:
            return False, str(error)

    @property
    def alive(self) -> bool:
        return self._process.running

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._process.pid

    def stop(self) -> None:
        """SIGTERM, as the kubelet does it."""
        self._process.stop()

    def kill(self) -> None:
        """SIGKILL: no clean-up of any kind."""
        self._process.kill()

    def log(self) -> str:
        """Everything it has said, over restarts."""
        return self._process.log.read_text(errors="replace") if self._process.log.exists() else ""

    def __enter__(self) -> Self:
        return self if self.alive else self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
