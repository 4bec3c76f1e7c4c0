"""The control plane on this machine.

Three processes on loopback with generated certificates, RBAC and the default
admission plugins, their data in one temporary folder. Any number run side by
side. Each part can be stopped, killed and started again, keeping its address
and its data, which is how tests make the failures that an operator has to
live through.
"""

from __future__ import annotations

import atexit
import http.client
import json
import secrets
import shutil
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

from . import assets, audit, commands, etcd, kubeconfig, pki
from .cluster import Cluster, ExistingCluster
from .process import Process, ProcessError, free_ports
from .workspace import Workspace

Part = Literal["etcd", "kube-apiserver", "kube-controller-manager"]
READY_SECONDS = 60.0
NO_CONTROLLER_MANAGER = (
    "these assets have no kube-controller-manager (envtest's never do): "
    "namespaces never finish terminating and nothing collects garbage"
)


class ControlPlane(Cluster):
    """etcd, kube-apiserver and, where the assets have it, kube-controller-manager.

    ``bind_address`` is where the API server listens besides, or instead of,
    loopback (``0.0.0.0`` is both); ``tls_names`` are further names and
    addresses in its certificate. ``audit_policy`` says what the audit log
    keeps. Flags are appended to those of `commands`.
    """

    def __init__(
        self,
        *,
        audit: bool = False,
        audit_policy: Mapping[str, Any] = audit.POLICY,
        apiserver_flags: Sequence[str] = (),
        etcd_flags: Sequence[str] = (),
        controller_manager_flags: Sequence[str] = (),
        bind_address: str = "127.0.0.1",
        tls_names: Iterable[str] = (),
        controller_manager: bool = True,
        assets_folder: Path | None = None,
    ) -> None:
        folder = assets_folder or assets.resolve()
        self._parts: dict[str, Process] = {}
        self._workspace = Workspace()
        atexit.register(self.close)
        super().__init__(self._workspace.path, folder / "kubectl")
        self.assets = folder
        self.audit = audit
        self._audit_policy = audit_policy
        self._lacks_controller_manager = bool(assets.missing(folder, ("kube-controller-manager",)))
        self.has_controller_manager = controller_manager and not self._lacks_controller_manager
        self.admin_token = secrets.token_hex(16)
        self._controller_manager_token = secrets.token_hex(16)
        self._bind_address = bind_address
        self._tls_names = tuple(tls_names)
        self._flags: dict[str, Sequence[str]] = {
            "etcd": etcd_flags,
            "kube-apiserver": apiserver_flags,
            "kube-controller-manager": controller_manager_flags,
        }
        self._layout = self._prepare()

    # Where things are.

    @property
    def url(self) -> str:
        everywhere = {"0.0.0.0", "::"}  # noqa: S104
        host = "127.0.0.1" if self._bind_address in everywhere else self._bind_address
        return f"https://{f'[{host}]' if ':' in host else host}:{self._layout.apiserver_port}"

    @property
    def port(self) -> int:
        """The API server's port, the same on every address it listens on."""
        return self._layout.apiserver_port

    @property
    def etcd_url(self) -> str:
        return self._layout.etcd_url

    @property
    def ca_file(self) -> Path:
        return self._layout.files.ca

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts that this control plane has, in the order they start."""
        return tuple(self._parts)

    def is_running(self, part: str) -> bool:
        return self._part(part).running

    def pid(self, part: Part) -> int | None:
        """The process id of a part while it runs, to measure it for example."""
        return self._part(part).pid

    def logs(self, part: Part) -> str:
        log = self._part(part).log
        return log.read_text(errors="replace") if log.exists() else ""

    # Start, stop, and the failures in between.

    def up(self) -> Self:
        """Start every part and wait until it serves; on failure leave nothing."""
        try:
            self._parts["etcd"].start()
            self.start("kube-apiserver")  # it waits for etcd on its own
            if self.has_controller_manager:
                self.start("kube-controller-manager")  # it gives up where RBAC is not set up yet
            self.wait_ready()
        except BaseException:
            self.close()
            raise
        return self

    def start(self, part: Part, timeout: float = READY_SECONDS) -> None:
        """Start a part on its old address and data, and wait until it serves."""
        self._part(part).start()
        self._wait_for(part, time.monotonic() + timeout)

    def stop(self, part: Part) -> None:
        """Let a part shut down in order (SIGTERM): open watches end cleanly."""
        self._part(part).stop()

    def kill(self, part: Part) -> None:
        """End a part as a crash would (SIGKILL): connections break."""
        self._part(part).kill()

    def restart(self, part: Part, *, kill: bool = False, timeout: float = READY_SECONDS) -> None:
        (self.kill if kill else self.stop)(part)
        self.start(part, timeout)

    def wait_ready(self, timeout: float = READY_SECONDS) -> None:
        """Wait until every part that was not stopped on purpose serves, and ``default`` is there."""
        deadline = time.monotonic() + timeout
        for part, process in self._parts.items():
            if process.wanted:
                self._wait_for(part, deadline)
        namespace = f"{self.url}/api/v1/namespaces/default"
        self._poll("kube-apiserver", lambda: self._answers(namespace), deadline)

    def close(self) -> None:
        """End every process and remove the folder. The data is temporary, so at once."""
        atexit.unregister(self.close)
        for process in reversed(self._parts.values()):
            process.kill()
        self._workspace.remove()

    def __enter__(self) -> Self:
        return self.up()

    # What tests ask of it.

    def audit_events(self) -> Iterator[audit.Event]:
        """Every request answered so far, oldest first (with ``audit=True``)."""
        if not self.audit:
            raise RuntimeError("This control plane keeps no audit log; start it with audit=True.")
        return audit.read(self._layout.audit_log)

    def compact(self) -> int:
        """Let etcd forget all history, and return the revision that is left.

        What the API server still holds in its watch cache it goes on serving.
        For ``410 Gone`` to a watch from an old resource version, restart
        ``kube-apiserver`` afterwards, or start it with
        ``apiserver_flags=["--watch-cache=false"]``.
        """
        return etcd.compact(self.etcd_url)

    def back_up(self, folder: Path) -> None:
        """Copy etcd's data; it stops for that moment."""
        self.stop("etcd")
        shutil.copytree(self.directory / "etcd", folder)
        self.start("etcd")
        self.wait_ready()

    def restore(self, folder: Path) -> None:
        """Put back what `back_up` has copied, as after a disaster: everything later is gone, revisions included."""
        self.kill("kube-apiserver")
        self.kill("etcd")
        shutil.rmtree(self.directory / "etcd")
        shutil.copytree(folder, self.directory / "etcd")
        self.start("etcd")
        self.start("kube-apiserver")
        self.wait_ready()

    def _prepare(self) -> commands.Layout:
        """Write certificates, tokens and kubeconfigs, and name the processes."""
        folder = self.directory
        names = [*pki.USUAL_NAMES, commands.KUBERNETES_SERVICE_IP, *self._tls_names]
        if self._bind_address not in {"0.0.0.0", "::"}:  # noqa: S104
            names.append(self._bind_address)
        files = pki.create(folder, names)
        ports = free_ports(4)
        layout = commands.Layout(folder, files, self._bind_address, *ports)
        self._layout = layout
        tokens = (
            f'{self.admin_token},admin,admin,"system:masters"\n'
            f"{self._controller_manager_token},system:kube-controller-manager,controller-manager\n"
        )
        pki.write_private(layout.tokens, tokens.encode())
        layout.audit_policy.write_text(json.dumps(self._audit_policy))
        ca = files.ca.read_bytes()
        kubeconfig.write(self.admin_kubeconfig, kubeconfig.for_token(self.url, ca, "admin", self.admin_token))
        kubeconfig.write(
            layout.controller_manager_kubeconfig,
            kubeconfig.for_token(
                self.url, ca, "system:kube-controller-manager", self._controller_manager_token
            ),
        )
        self._add("etcd", commands.etcd(layout, self._flags["etcd"]))
        self._add(
            "kube-apiserver", commands.kube_apiserver(layout, self.audit, self._flags["kube-apiserver"])
        )
        if self.has_controller_manager:
            name: Part = "kube-controller-manager"
            self._add(name, commands.kube_controller_manager(layout, self._flags[name]))
        return layout

    def _add(self, part: Part, arguments: list[str]) -> None:
        self._parts[part] = Process(
            self.assets / part, arguments, self.directory / f"{part}.log", self.directory
        )

    def _part(self, part: str) -> Process:
        if part not in self._parts:
            reason = f"it was started with {', '.join(self._parts)}"
            if part == "kube-controller-manager" and self._lacks_controller_manager:
                reason = NO_CONTROLLER_MANAGER
            raise ProcessError(f"This control plane has no {part}: {reason}")
        return self._parts[part]

    def _wait_for(self, part: str, deadline: float) -> None:
        manager = f"https://127.0.0.1:{self._layout.controller_manager_port}/healthz"
        serving: dict[str, Callable[[], bool]] = {
            "etcd": lambda: etcd.healthy(self.etcd_url),
            "kube-apiserver": lambda: self._answers(f"{self.url}/readyz"),
            "kube-controller-manager": lambda: self._answers(manager),
        }
        self._poll(part, serving[part], deadline)

    def _poll(self, part: str, condition: Callable[[], bool], deadline: float) -> None:
        process = self._part(part)
        while not condition():
            if not process.running or time.monotonic() > deadline:
                raise ProcessError(f"The control plane is not ready: {process.explain()}")
            time.sleep(0.05)

    def _answers(self, url: str) -> bool:
        trust = ssl.create_default_context(cafile=str(self.ca_file))
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {self.admin_token}"})
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trust)
        )
        try:
            with opener.open(request, timeout=5) as answer:
                return bool(answer.status == 200)
        except (OSError, urllib.error.URLError, http.client.HTTPException):
            return False


def open_cluster(context: str = "", *, audit: bool = False) -> Cluster:
    """The existing cluster of that kubeconfig context if one is named, else a new control plane.

    Either is closed by ``close`` or by leaving its ``with``. Nothing but the
    argument names an existing cluster: neither KUBECONFIG nor the current
    context does.
    """
    return ExistingCluster(context) if context else ControlPlane(audit=audit).up()
