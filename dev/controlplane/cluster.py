"""A cluster as tests, demo and benchmark use it, and one that exists already.

`Cluster` is what any cluster can do: kubectl, and kubeconfigs for a
ServiceAccount or an impersonated user. `ExistingCluster` is one from the
user's own kubeconfig. It has to be named by its context; the current context
is never looked at.
"""

from __future__ import annotations

import base64
import itertools
import json
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from . import assets, kubeconfig
from .workspace import Workspace

Completed = subprocess.CompletedProcess[str]


class ClusterError(RuntimeError):
    """The cluster refused, or is not what was asked for."""


class Cluster:
    """Access to one cluster. Needs kubectl and an administrator's kubeconfig."""

    #: Whether namespaces finish terminating and dependents are collected.
    has_controller_manager: bool = True

    def __init__(self, directory: Path, kubectl: Path) -> None:
        self.directory = directory
        self.kubectl_program = kubectl
        self._count = itertools.count(1)

    @property
    def admin_kubeconfig(self) -> Path:
        return self.directory / "admin.kubeconfig"

    @property
    def url(self) -> str:
        return str(self._admin()["clusters"][0]["cluster"]["server"])

    @property
    def environment(self) -> dict[str, str]:
        """What a program needs to talk to this cluster as administrator.

        Discovery caches stay in the cluster's folder, and preferences of the
        user's own kubectl (kuberc) stay out.
        """
        return os.environ | {
            "KUBECONFIG": str(self.admin_kubeconfig),
            "KUBECACHEDIR": str(self.directory / "kubectl-cache"),
            "KUBERC": "off",
        }

    def kubectl(
        self,
        *arguments: str,
        input: str | None = None,
        kubeconfig: Path | None = None,
        user: str | None = None,
        groups: Sequence[str] = (),
        check: bool = True,
        timeout: float = 120.0,
    ) -> Completed:
        """Run kubectl as administrator, as another user, or by a kubeconfig.

        With ``check`` a failure raises `ClusterError` with what kubectl said.
        """
        command = [str(self.kubectl_program), f"--kubeconfig={kubeconfig or self.admin_kubeconfig}"]
        if user:
            command += [f"--as={user}", *(f"--as-group={group}" for group in groups)]
        done = subprocess.run(
            [*command, *arguments],
            input=input,
            stdin=subprocess.DEVNULL if input is None else None,
            capture_output=True,
            text=True,
            timeout=timeout,
            env=self.environment,
            check=False,
        )
        if check and done.returncode:
            raise ClusterError(
                f"kubectl {' '.join(arguments)}: status {done.returncode}\n{done.stderr.strip()}"
            )
        return done

    def get(self, *arguments: str, user: str | None = None) -> dict[str, Any]:
        """``kubectl get … -o json``, read."""
        content: dict[str, Any] = json.loads(self.kubectl("get", *arguments, "-o", "json", user=user).stdout)
        return content

    def service_account_token(self, namespace: str, name: str, hours: int = 24) -> str:
        """A token by the TokenRequest API, which stops with its account."""
        return self.kubectl(
            "create", "token", name, f"--namespace={namespace}", f"--duration={hours}h"
        ).stdout.strip()

    def service_account_kubeconfig(self, namespace: str, name: str) -> Path:
        """A kubeconfig with which a program is that ServiceAccount and no more."""
        token = self.service_account_token(namespace, name)
        return self._write(
            f"{namespace}-{name}", kubeconfig.with_token(self._admin(), name, token, namespace)
        )

    def impersonated_kubeconfig(self, user: str, groups: Sequence[str] = ()) -> Path:
        """A kubeconfig with which kubectl acts as that user, a tenant say."""
        return self._write(user, kubeconfig.impersonating(self._admin(), user, groups))

    def close(self) -> None:
        """Leave nothing behind. Closing again does nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _admin(self) -> kubeconfig.Document:
        content: kubeconfig.Document = json.loads(self.admin_kubeconfig.read_text())
        return content

    def _write(self, title: str, content: kubeconfig.Document) -> Path:
        safe = re.sub(r"[^A-Za-z0-9.-]+", "-", title)
        return kubeconfig.write(self.directory / f"{safe}-{next(self._count)}.kubeconfig", content)


class ExistingCluster(Cluster):
    """A cluster of the user's own, by the name of its kubeconfig context."""

    def __init__(self, context: str) -> None:
        if not context:
            raise ClusterError("An existing cluster is used only by the name of its kubeconfig context.")
        found = shutil.which("kubectl")
        self._workspace = Workspace()
        try:
            super().__init__(self._workspace.path, Path(found) if found else assets.resolve() / "kubectl")
            self._copy(context)
        except BaseException:
            self._workspace.remove()
            raise

    @property
    def ca_file(self) -> Path | None:
        """The cluster's authority, or None where the system's authorities vouch for it."""
        data = self._admin()["clusters"][0]["cluster"].get("certificate-authority-data")
        if not data:
            return None
        path = self.directory / "ca.crt"
        path.write_bytes(base64.b64decode(data))
        return path

    def close(self) -> None:
        self._workspace.remove()

    def _copy(self, context: str) -> None:
        """Keep that one context, and take credentials kept in files along."""
        view = [str(self.kubectl_program), "config", "view", "--raw", "--minify", "--flatten", "-o", "json"]
        done = subprocess.run(
            [*view, f"--context={context}"],
            capture_output=True,
            text=True,
            env=os.environ | {"KUBERC": "off"},
            check=False,
        )
        if done.returncode:
            raise ClusterError(f"No usable kubeconfig context {context!r}: {done.stderr.strip()}")
        kubeconfig.write(self.admin_kubeconfig, json.loads(done.stdout))
