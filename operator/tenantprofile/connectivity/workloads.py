"""Pods, and the pods that workloads make, as values; read from their manifests.

What bears on connectivity: namespace, labels, named container ports, addresses, the node, and
whether the pod shares the node's network.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from tenantprofile.connectivity.addresses import Address, parse_address
from tenantprofile.connectivity.manifests import ManifestError, as_flag, as_list, as_map, as_text, labels_of
from tenantprofile.connectivity.ports import MAX_PORT, PROTOCOLS, Protocol

TEMPLATES: Final[Mapping[str, tuple[str, ...]]] = {
    "Deployment": ("spec", "template"),
    "StatefulSet": ("spec", "template"),
    "DaemonSet": ("spec", "template"),
    "ReplicaSet": ("spec", "template"),
    "Job": ("spec", "template"),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
}
"""Where each kind of workload keeps its pod template."""


@dataclass(frozen=True, slots=True)
class ContainerPort:
    """A declared port. Declaring opens nothing; only the name has a meaning for policies."""

    protocol: Protocol
    number: int
    name: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Workload:
    """A pod (kind "Pod"), or the pods of a workload none of whose pods is known (kind as written).

    addresses: the pod's own, empty for a template or a pod without one yet. node_addresses: its
    node's. owner: (kind, name) of the workload at the top, for a pod that has one.
    """

    namespace: str
    kind: str
    name: str
    labels: Mapping[str, str]
    ports: tuple[ContainerPort, ...] = ()
    addresses: tuple[Address, ...] = ()
    node_addresses: tuple[Address, ...] = ()
    node: str | None = None
    host_network: bool = False
    owner: tuple[str, str] | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        """(namespace, kind, name): what identifies the workload in any world."""
        return self.namespace, self.kind, self.name

    @property
    def is_pod(self) -> bool:
        """One pod; otherwise a template, of which any number of pods may exist."""
        return self.kind == "Pod"

    def numbers(self, name: str, protocol: Protocol) -> tuple[int, ...]:
        """What a named port stands for here: by name and protocol (API, NetworkPolicyPort.port).

        More than one number where two containers share the name, as plugins do it.
        """
        return tuple(sorted({p.number for p in self.ports if p.name == name and p.protocol == protocol}))

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.is_pod else f"{self.namespace}/{self.kind}/{self.name}"


def is_finished(raw: Mapping[str, Any]) -> bool:
    """A pod that ran to its end has no network any more (documentation, Pod Lifecycle)."""
    return as_map(raw.get("status"), "status").get("phase") in ("Succeeded", "Failed")


def parse_pod(namespace: str, name: str, raw: Mapping[str, Any], owner: tuple[str, str] | None) -> Workload:
    """A Pod manifest as a value. Raises ManifestError."""
    metadata, spec = as_map(raw.get("metadata"), "metadata"), as_map(raw.get("spec"), "spec")
    status = as_map(raw.get("status"), "status")
    return Workload(
        namespace=namespace,
        kind="Pod",
        name=name,
        labels=labels_of(metadata.get("labels"), "metadata.labels"),
        ports=_container_ports(spec, "spec"),
        addresses=_addresses(status, "podIP"),
        node_addresses=_addresses(status, "hostIP"),
        node=as_text(spec.get("nodeName"), "spec.nodeName"),
        host_network=as_flag(spec.get("hostNetwork"), "spec.hostNetwork"),
        owner=owner,
    )


def parse_template(namespace: str, kind: str, name: str, raw: Mapping[str, Any]) -> Workload:
    """The pods that a workload's template makes. Raises ManifestError."""
    path, template = "", raw
    for field in TEMPLATES.get(kind, ("spec", "template")):
        path = f"{path}.{field}" if path else field
        template = as_map(template.get(field), path)
    metadata, spec = as_map(template.get("metadata"), f"{path}.metadata"), as_map(template.get("spec"), path)
    labels = labels_of(metadata.get("labels"), f"{path}.metadata.labels")
    if kind == "Job":  # the Job controller adds these to every pod (documentation, Jobs)
        labels = {"batch.kubernetes.io/job-name": name, "job-name": name, **labels}
    return Workload(
        namespace=namespace,
        kind=kind,
        name=name,
        labels=labels,
        ports=_container_ports(spec, f"{path}.spec"),
        node=as_text(spec.get("nodeName"), f"{path}.spec.nodeName"),
        host_network=as_flag(spec.get("hostNetwork"), f"{path}.spec.hostNetwork"),
    )


POD_NAME: Final = "statefulset.kubernetes.io/pod-name"
POD_INDEX: Final = "apps.kubernetes.io/pod-index"
"""Labels that the StatefulSet controller sets on each pod (documentation, StatefulSets, Pod Identity)."""
MAX_REPLICAS: Final = 100
RUNTIME_LABELS: Final = frozenset(
    {
        "pod-template-hash",
        "controller-revision-hash",
        "pod-template-generation",
        "rollouts-pod-template-hash",
        "batch.kubernetes.io/controller-uid",
        "batch.kubernetes.io/job-completion-index",
        "controller-uid",
        "job-name",
        "batch.kubernetes.io/job-name",
    }
)
"""Labels whose values controllers work out when they make a pod, so that no template has them (API reference,
Well-Known Labels; a CronJob's Jobs get their names at run time)."""


def selects_single_pods(text: str) -> bool:
    """Whether a text, such as that of a policy, may select single pods of a StatefulSet."""
    return POD_NAME in text or POD_INDEX in text


def pods_of_set(made: Workload, raw: Mapping[str, Any]) -> tuple[Workload, ...]:
    """The pods of a StatefulSet one by one, each with its own labels. Raises ManifestError."""
    spec = as_map(raw.get("spec"), "spec")
    replicas, ordinals = spec.get("replicas", 1), as_map(spec.get("ordinals"), "spec.ordinals")
    start = ordinals.get("start", 0)
    for name, value in (("replicas", replicas), ("ordinals.start", start)):
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise ManifestError(f"spec.{name}", f"found {value!r}; expected a number from 0")
    return tuple(
        replace(
            made,
            kind="Pod",
            name=f"{made.name}-{index}",
            labels=dict(
                sorted({**made.labels, POD_NAME: f"{made.name}-{index}", POD_INDEX: str(index)}.items())
            ),
            owner=("StatefulSet", made.name),
        )
        for index in range(start, start + min(replicas, MAX_REPLICAS))
    )


def _container_ports(spec: Mapping[str, Any], path: str) -> tuple[ContainerPort, ...]:
    """Ports of containers and of init containers that keep running beside them (sidecars)."""
    found = []
    for field in ("containers", "initContainers"):
        for index, raw in enumerate(as_list(spec.get(field), f"{path}.{field}")):
            container = as_map(raw, f"{path}.{field}[{index}]")
            if field == "initContainers" and container.get("restartPolicy") != "Always":
                continue
            where = f"{path}.{field}[{index}].ports"
            for number, port in enumerate(as_list(container.get("ports"), where)):
                found.append(_container_port(as_map(port, where), f"{where}[{number}]"))
    return tuple(found)


def _container_port(raw: Mapping[str, Any], path: str) -> ContainerPort:
    protocol = raw.get("protocol") or "TCP"
    if protocol not in PROTOCOLS:
        raise ManifestError(f"{path}.protocol", f"found {protocol!r}; expected TCP, UDP or SCTP")
    number = raw.get("containerPort")
    if not isinstance(number, int) or isinstance(number, bool) or not 1 <= number <= MAX_PORT:
        raise ManifestError(f"{path}.containerPort", f"found {number!r}; expected a number to {MAX_PORT}")
    return ContainerPort(protocol, number, as_text(raw.get("name"), f"{path}.name") or None)


def _addresses(status: Mapping[str, Any], field: str) -> tuple[Address, ...]:
    """podIP and podIPs, or hostIP and hostIPs; the plural repeats the singular."""
    first = as_text(status.get(field), f"status.{field}")
    texts = [first] if first else []
    for index, item in enumerate(as_list(status.get(f"{field}s"), f"status.{field}s")):
        where = f"status.{field}s[{index}]"
        text = as_text(as_map(item, where).get("ip"), f"{where}.ip")
        if text and text not in texts:
            texts.append(text)
    try:
        return tuple(parse_address(text) for text in texts)
    except ValueError as error:
        raise ManifestError(f"status.{field}", str(error)) from error
