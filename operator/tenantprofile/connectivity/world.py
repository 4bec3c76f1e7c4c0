"""The world that questions are asked about: namespaces, workloads, services and policies.

Built from plain manifests, in any order. A live pod stands for the workload that owns it: its
labels and addresses are what policies really see (a template may already differ during a
roll-out), so a workload's template counts only while none of its pods is given. Finished pods are
left out.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final

from tenantprofile.connectivity.addresses import Address, AddressSet
from tenantprofile.connectivity.manifests import ManifestError, as_list, as_map, identity, labels_of, relevant
from tenantprofile.connectivity.policies import Policy, PolicySpec, parse_spec
from tenantprofile.connectivity.services import Service, parse_service
from tenantprofile.connectivity.workloads import (
    POD_INDEX,
    POD_NAME,
    TEMPLATES,
    Workload,
    is_finished,
    parse_pod,
    parse_template,
    pods_of_set,
)
from tenantprofile.names import LABEL_NAMESPACE_NAME


@dataclass(frozen=True, slots=True)
class Namespace:
    name: str
    labels: Mapping[str, str]


class World:
    """What is there, sorted by name, with the look-ups that questions need. Treat it as a value."""

    __slots__ = ("_addresses", "_names", "_policies", "namespaces", "policies", "services", "workloads")

    def __init__(
        self,
        namespaces: Iterable[Namespace],
        workloads: Iterable[Workload],
        services: Iterable[Service] = (),
        policies: Iterable[Policy] = (),
    ) -> None:
        """Namespaces that only others mention are added, with the one label the API server sets."""
        self.workloads: Sequence[Workload] = sorted(workloads, key=lambda w: w.key)
        self.services: Mapping[tuple[str, str], Service] = {(s.namespace, s.name): s for s in services}
        self.policies: Sequence[Policy] = sorted(policies, key=lambda p: (p.namespace, p.name))
        given = {namespace.name: namespace for namespace in namespaces}
        mentioned = {w.namespace for w in self.workloads} | {p.namespace for p in self.policies}
        for name in mentioned - given.keys():
            given[name] = Namespace(name, {LABEL_NAMESPACE_NAME: name})
        self.namespaces: Mapping[str, Namespace] = {name: given[name] for name in sorted(given)}
        by_namespace: dict[str, list[Policy]] = defaultdict(list)
        for policy in self.policies:
            by_namespace[policy.namespace].append(policy)
        self._policies = dict(by_namespace)
        self._addresses: dict[Address, Workload] = {}
        self._names: dict[str, list[Workload]] = defaultdict(list)
        for workload in self.workloads:
            self._index(workload)

    def _index(self, workload: Workload) -> None:
        if not workload.host_network:
            for address in workload.addresses:
                self._addresses[address] = workload
        space = workload.namespace
        for kind, name in ((workload.kind, workload.name), *((workload.owner,) if workload.owner else ())):
            self._names[f"{space}/{name}"].append(workload)
            self._names[f"{space}/{kind}/{name}"].append(workload)

    @classmethod
    def from_objects(cls, objects: Iterable[object]) -> World:
        """A world from manifests (maps as YAML or JSON gives them; lists are opened up).

        Kinds that do not bear on connectivity are passed over. Raises ManifestError, naming object
        and field, for what the API server would refuse and for two different objects of one name.
        """
        return _Reader().read(objects).world()

    def with_policies(self, objects: Iterable[object]) -> World:
        """The same world under other NetworkPolicies; other kinds among the objects are passed over."""
        chosen = (raw for kind, raw in relevant(objects) if kind == "NetworkPolicy")
        policies = _Reader().read(chosen).policies
        return World(self.namespaces.values(), self.workloads, self.services.values(), policies)

    def policies_in(self, namespace: str) -> Sequence[Policy]:
        """The namespace's policies, by name."""
        return self._policies.get(namespace, ())

    def at(self, address: Address) -> Workload | None:
        """The pod that has this address as its own; None for anything outside the pod network."""
        return self._addresses.get(address)

    def outside(self, addresses: AddressSet) -> Address | None:
        """The lowest address of a set that is no pod's own; None where there is none."""
        return next((address for address in addresses.each() if self.at(address) is None), None)

    def find(self, reference: str) -> Sequence[Workload]:
        """Pods by `namespace/name` or `namespace/kind/name` of a pod or of the workload that owns it.

        Raises LookupError, which suggests what was probably meant.
        """
        found = self._names.get(reference)
        if not found:
            near = get_close_matches(reference, [str(w) for w in self.workloads[:20000]], n=3)
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            raise LookupError(f"no pod or workload {reference!r}{hint}")
        return tuple(found)

    def behind(self, service: Service) -> Sequence[Workload]:
        """The pods that a Service selects."""
        return tuple(w for w in self.workloads if service.selects(w))


class _Reader:
    """Collects manifests in any order; pods are read last, when their owners are known."""

    def __init__(self) -> None:
        self.namespaces: list[Namespace] = []
        self.policies: list[Policy] = []
        self.services: list[Service] = []
        self.pods: list[tuple[str, str, Mapping[str, Any]]] = []
        self.templates: dict[tuple[str, str, str], Mapping[str, Any]] = {}
        self.owners: dict[tuple[str, str, str], tuple[str, str] | None] = {}
        self._seen: dict[tuple[str, str, str], Mapping[str, Any]] = {}
        self._specs: dict[str, PolicySpec] = {}
        self._shared: dict[object, Any] = {}

    def read(self, objects: Iterable[object]) -> _Reader:
        for kind, raw in relevant(objects):
            namespace, name = identity(kind, raw)
            key = (namespace, kind, name)
            before = self._seen.setdefault(key, raw)
            if before is not raw:
                if before != raw:
                    raise ManifestError("", "given twice, with different content", _reference(*key))
                continue
            try:
                self._take(kind, namespace, name, raw)
            except ManifestError as error:
                raise error.of(_reference(*key)) from error
            except (AttributeError, TypeError, ValueError) as error:
                raise ManifestError("", f"cannot be read: {error}", _reference(*key)) from error
        return self

    def _take(self, kind: str, namespace: str, name: str, raw: Mapping[str, Any]) -> None:
        if kind == "Namespace":
            labels = labels_of(as_map(raw.get("metadata"), "metadata").get("labels"), "metadata.labels")
            self.namespaces.append(Namespace(name, {**labels, LABEL_NAMESPACE_NAME: name}))
        elif kind == "NetworkPolicy":
            self.policies.append(Policy(namespace, name, self._spec(raw.get("spec"))))
        elif kind == "Service":
            self.services.append(parse_service(namespace, name, raw))
        elif kind == "Pod":
            if not is_finished(raw):
                self.pods.append((namespace, name, raw))
        else:
            self.templates[namespace, kind, name] = raw
            self.owners[namespace, kind, name] = _controller(raw)

    def _spec(self, raw: object) -> PolicySpec:
        """One value for equal specs, so that what is worked out for one serves all."""
        text = json.dumps(raw, sort_keys=True, default=str)
        if text not in self._specs:
            self._specs[text] = parse_spec(raw)
        return self._specs[text]

    @property
    def _single_pods_matter(self) -> bool:
        """Whether anything selects single pods of StatefulSets by the labels that their controller sets."""
        selectors = [*self._specs, *(str(service) for service in self.services)]
        return any(POD_NAME in text or POD_INDEX in text for text in selectors)

    def world(self) -> World:
        workloads, alive = [], set()
        for namespace, name, raw in self.pods:
            try:
                owner = self._top(namespace, raw)
                workloads.append(self._share(parse_pod(namespace, name, raw, owner)))
            except ManifestError as error:
                raise error.of(_reference(namespace, "Pod", name)) from error
            if owner:
                alive.add((namespace, *owner))
        for (namespace, kind, name), raw in self.templates.items():
            above = self.owners[namespace, kind, name]
            if (namespace, kind, name) in alive or (above and (namespace, *above) in self.templates):
                continue
            try:
                made = parse_template(namespace, kind, name, raw)
                one_by_one = kind == "StatefulSet" and self._single_pods_matter
                workloads.extend(pods_of_set(made, raw) if one_by_one else (made,))
            except ManifestError as error:
                raise error.of(_reference(namespace, kind, name)) from error
        return World(self.namespaces, workloads, self.services, self.policies)

    def _top(self, namespace: str, raw: Mapping[str, Any]) -> tuple[str, str] | None:
        """The workload at the top of a pod's chain of controllers.

        A ReplicaSet that is not given is its Deployment's by name: <deployment>-<pod-template-hash>.
        """
        owner = _controller(raw)
        while owner and (above := self.owners.get((namespace, *owner))):
            owner = above
        if owner and owner[0] == "ReplicaSet" and (namespace, *owner) not in self.templates:
            labels = as_map(as_map(raw.get("metadata"), "metadata").get("labels"), "metadata.labels")
            suffix = f"-{labels.get('pod-template-hash')}"
            if owner[1].endswith(suffix):
                owner = ("Deployment", owner[1].removesuffix(suffix))
        return owner

    def _share(self, pod: Workload) -> Workload:
        """Labels and ports of a replica are those of its siblings: keep one copy in memory."""
        labels = self._shared.setdefault(("labels", *sorted(pod.labels.items())), pod.labels)
        ports = self._shared.setdefault(("ports", *pod.ports), pod.ports)
        if labels is pod.labels and ports is pod.ports:
            return pod
        return Workload(
            pod.namespace,
            pod.kind,
            pod.name,
            labels,
            ports,
            pod.addresses,
            pod.node_addresses,
            pod.node,
            pod.host_network,
            pod.owner,
        )


_OWNERS: Final = frozenset({*TEMPLATES, "Rollout", "ReplicationController", "DeploymentConfig"})
"""Kinds that are above a pod; the last three are Argo Rollouts', Kubernetes' older one and OpenShift's."""


def _controller(raw: Mapping[str, Any]) -> tuple[str, str] | None:
    metadata = as_map(raw.get("metadata"), "metadata")
    for reference in as_list(metadata.get("ownerReferences"), "metadata.ownerReferences"):
        reference = as_map(reference, "metadata.ownerReferences")
        if reference.get("controller") and reference.get("kind") in _OWNERS:
            return str(reference["kind"]), str(reference.get("name"))
    return None


def _reference(namespace: str, kind: str, name: str) -> str:
    return f"{kind} {namespace}/{name}" if namespace else f"{kind} {name}"
