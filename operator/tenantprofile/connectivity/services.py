"""Services as names for pods and ports: what a connection to a Service really reaches.

A policy never sees the Service: it applies to the pods behind it, at their target ports
(documentation, Network Policies).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tenantprofile.connectivity.manifests import ManifestError, as_list, as_map, labels_of
from tenantprofile.connectivity.ports import MAX_PORT, PROTOCOLS, Protocol
from tenantprofile.connectivity.workloads import Workload


@dataclass(frozen=True, slots=True)
class ServicePort:
    """A Service's port and where it leads: a number, or a name that each pod resolves."""

    protocol: Protocol
    port: int
    target: int | str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Service:
    """A Service with a selector; without one (ExternalName, hand-made endpoints) it reaches no pod here."""

    namespace: str
    name: str
    selector: tuple[tuple[str, str], ...]
    ports: tuple[ServicePort, ...]

    def selects(self, workload: Workload) -> bool:
        return (
            bool(self.selector)
            and workload.namespace == self.namespace
            and all(workload.labels.get(key) == value for key, value in self.selector)
        )

    def targets(self, workload: Workload, port: ServicePort) -> tuple[int, ...]:
        """The pod's port numbers behind a Service port; empty when the pod lacks the name."""
        if isinstance(port.target, int):
            return (port.target,)
        return workload.numbers(port.target, port.protocol)


def parse_service(namespace: str, name: str, raw: Mapping[str, Any]) -> Service:
    """A Service manifest as a value. Raises ManifestError."""
    spec = as_map(raw.get("spec"), "spec")
    external = spec.get("type") == "ExternalName"
    selector = {} if external else labels_of(spec.get("selector"), "spec.selector")
    ports = as_list(spec.get("ports"), "spec.ports")
    return Service(
        namespace,
        name,
        tuple(sorted(selector.items())),
        tuple(_port(as_map(p, f"spec.ports[{i}]"), f"spec.ports[{i}]") for i, p in enumerate(ports)),
    )


def _port(raw: Mapping[str, Any], path: str) -> ServicePort:
    protocol = raw.get("protocol") or "TCP"
    if protocol not in PROTOCOLS:
        raise ManifestError(f"{path}.protocol", f"found {protocol!r}; expected TCP, UDP or SCTP")
    port = raw.get("port")
    if not isinstance(port, int) or not 1 <= port <= MAX_PORT:
        raise ManifestError(f"{path}.port", f"found {port!r}; expected a number from 1 to {MAX_PORT}")
    target = raw.get("targetPort") or port
    if not isinstance(target, int | str):
        raise ManifestError(f"{path}.targetPort", f"found {target!r}; expected a number or a name")
    return ServicePort(protocol, port, target, raw.get("name") or "")
