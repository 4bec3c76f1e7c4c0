"""The world that questions are asked about: namespaces, workloads, services and policies.

Built from plain manifests, in any order. A live pod stands for the workload that owns it: its
labels and addresses are what policies really see (a template may already differ during a
roll-out), so a workload's template counts only while none of its pods is given. Finished pods are
left out.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any, Final

from tenantprofile.connectivity.addresses import Address, AddressSet, parse_address
from tenantprofile.connectivity.manifests import (
    ManifestError,
    as_list,
    as_map,
    as_text,
    check_metadata,
    identity,
    labels_of,
    relevant,
)
from tenantprofile.connectivity.policies import Policy, PolicySpec, parse_spec
from tenantprofile.connectivity.services import (
    Endpoint,
    Service,
    ServiceAddress,
    parse_endpoints,
    parse_service,
)
from tenantprofile.connectivity.workloads import (
    TEMPLATES,
    Workload,
    is_finished,
    parse_pod,
    parse_template,
    pods_of_set,
    selects_single_pods,
)
from tenantprofile.names import LABEL_NAMESPACE_NAME

_ENDPOINTS: Final[Mapping[str, str]] = {"EndpointSlice": "discovery.k8s.io", "Endpoints": ""}
"""Kinds that say what is behind a Service, each with its API group."""


@dataclass(frozen=True, slots=True)
class Namespace:
    name: str
    labels: Mapping[str, str]


class World:
    """What is there, sorted by name, with the look-ups that questions need. Treat it as a value."""

    __slots__ = (
        "_addresses",
        "_inside",
        "_members",
        "_names",
        "_policies",
        "_service_addresses",
        "namespaces",
        "nodes",
        "policies",
        "services",
        "workloads",
    )

    def __init__(
        self,
        namespaces: Iterable[Namespace],
        workloads: Iterable[Workload],
        services: Iterable[Service] = (),
        policies: Iterable[Policy] = (),
        nodes: Mapping[str, tuple[Address, ...]] | None = None,
        members: Mapping[str, Workload] | None = None,
    ) -> None:
        """Namespaces that only others mention are added, with the one label the API server sets.

        nodes: addresses by name; those that pods name are added. members: pods that can be asked about by
        `namespace/name`, each with the workload that stands for it among all its kind.
        """
        self._members: Mapping[str, Workload] = members or {}
        self.workloads: Sequence[Workload] = sorted(workloads, key=lambda w: w.key)
        self.services: Mapping[tuple[str, str], Service] = {(s.namespace, s.name): s for s in services}
        self.policies: Sequence[Policy] = sorted(policies, key=lambda p: (p.namespace, p.name))
        self._service_addresses: dict[Address, tuple[Service, ServiceAddress]] = {}
        for service in self.services.values():
            for known in service.addresses:
                self._service_addresses.setdefault(known.address, (service, known))
        self.nodes: dict[str, tuple[Address, ...]] = dict(nodes or {})
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
        self._inside: dict[str, list[Workload]] = defaultdict(list)
        for workload in self.workloads:
            self._index(workload)

    def _index(self, workload: Workload) -> None:
        if workload.node and workload.node_addresses and not self.nodes.get(workload.node):
            self.nodes[workload.node] = workload.node_addresses
        if not workload.host_network:
            for address in workload.addresses:
                self._addresses[address] = workload
        space = workload.namespace
        self._inside[space].append(workload)
        for kind, name in ((workload.kind, workload.name), *((workload.owner,) if workload.owner else ())):
            self._names[f"{space}/{name}"].append(workload)
            self._names[f"{space}/{kind}/{name}"].append(workload)

    @classmethod
    def from_objects(cls, objects: Iterable[object], *, single_pods: bool = False) -> World:
        """A world from manifests (maps as YAML or JSON gives them; lists are opened up).

        Kinds that do not bear on connectivity are passed over. Raises ManifestError, naming object
        and field, for what the API server would refuse and for two different objects of one name.
        single_pods: the pods of StatefulSets count one by one, as they do where a policy or a Service
        among the objects selects them by the labels of single pods.
        """
        return _Reader(single_pods).read(objects).world()

    def with_policies(self, objects: Iterable[object]) -> World:
        """The same world under other NetworkPolicies; other kinds among the objects are passed over."""
        chosen = (raw for kind, raw in relevant(objects) if kind == "NetworkPolicy")
        policies = _Reader().read(chosen).policies
        return self.under(policies)

    def under(self, policies: Iterable[Policy]) -> World:
        """The same world under these policies."""
        return World(
            self.namespaces.values(),
            self.workloads,
            self.services.values(),
            policies,
            self.nodes,
            self._members,
        )

    def joined_by(self, pods: Sequence[Workload]) -> World:
        """The same world with these pods besides."""
        if not pods:
            return self
        everyone = (*self.workloads, *pods)
        return World(self.namespaces.values(), everyone, self.services.values(), self.policies, self.nodes)

    def workloads_in(self, namespace: str) -> Sequence[Workload]:
        """The namespace's workloads, in the world's order."""
        return self._inside.get(namespace, ())

    def policies_in(self, namespace: str) -> Sequence[Policy]:
        """The namespace's policies, by name."""
        return self._policies.get(namespace, ())

    def at(self, address: Address) -> Workload | None:
        """The pod that has this address as its own; None for anything outside the pod network."""
        return self._addresses.get(address)

    def service_at(self, address: Address) -> tuple[Service, ServiceAddress] | None:
        """The Service that has this address, and what kind of address it is."""
        return self._service_addresses.get(address)

    def node_at(self, address: Address) -> str | None:
        """The name of the node that has this address, or the address where no name is known."""
        if name := next((name for name, own in self.nodes.items() if address in own), None):
            return name
        return str(address) if any(address in w.node_addresses for w in self.workloads) else None

    def outside(self, addresses: AddressSet) -> Address | None:
        """The lowest address of a set that is no pod's or Service's own; None where there is none."""
        known = (self._addresses, self._service_addresses)
        return next((a for a in addresses.each() if not any(a in taken for taken in known)), None)

    def find(self, reference: str) -> Sequence[Workload]:
        """Pods by `namespace/name` or `namespace/kind/name` of a pod or of the workload that owns it.

        Raises LookupError, which suggests what was probably meant.
        """
        found: Sequence[Workload] | None = self._names.get(reference)
        if not found and (member := self._members.get(reference)):
            found = (member,)
        if not found:
            near = get_close_matches(reference, [str(w) for w in self.workloads[:20000]], n=3)
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            raise LookupError(f"no pod or workload {reference!r}{hint}")
        return tuple(found)

    def behind(self, service: Service) -> Sequence[Workload]:
        """The pods that a Service selects."""
        return tuple(w for w in self._inside.get(service.namespace, ()) if service.selects(w))


class _Reader:
    """Collects manifests in any order; pods are read last, when their owners are known."""

    def __init__(self, single_pods: bool = False) -> None:
        self._single_pods = single_pods
        self.namespaces: list[Namespace] = []
        self.policies: list[Policy] = []
        self.services: list[Service] = []
        self.pods: list[tuple[str, str, Mapping[str, Any]]] = []
        self.templates: dict[tuple[str, str, str], Mapping[str, Any]] = {}
        self.owners: dict[tuple[str, str, str], tuple[str, str] | None] = {}
        self.endpoints: dict[tuple[str, str], list[Endpoint]] = defaultdict(list)
        self.nodes: dict[str, tuple[Address, ...]] = {}
        self._seen: dict[tuple[str, str, str], Mapping[str, Any]] = {}
        self._specs: dict[str, PolicySpec] = {}
        self._shared: dict[object, Any] = {}

    def read(self, objects: Iterable[object]) -> _Reader:
        others: list[Mapping[str, Any]] = []
        for kind, raw in relevant(self._each(objects, others)):
            namespace, name = identity(kind, raw)
            key = (namespace, kind, name)
            before = self._seen.setdefault(key, raw)
            if before is not raw:
                if before != raw:
                    raise ManifestError("", "given twice, with different content", _reference(*key))
                continue
            try:
                check_metadata(kind, raw)
                self._take(kind, namespace, name, raw)
            except ManifestError as error:
                raise error.of(_reference(*key)) from error
            except (AttributeError, TypeError, ValueError) as error:
                raise ManifestError("", f"cannot be read: {error}", _reference(*key)) from error
        for raw in others:
            self._take_other(raw)
        return self

    def _each(self, objects: Iterable[object], others: list[Mapping[str, Any]]) -> Iterator[object]:
        """Passes everything on, and keeps nodes and endpoints."""
        for raw in objects:
            yield raw
            items = raw.get("items") if isinstance(raw, Mapping) else None
            for item in items if isinstance(items, list) else (raw,):
                if not isinstance(item, Mapping):
                    continue
                kind, group = item.get("kind"), str(item.get("apiVersion") or "").rpartition("/")[0]
                if (kind == "Node" and not group) or _ENDPOINTS.get(str(kind)) == group:
                    others.append(item)

    def _take_other(self, raw: Mapping[str, Any]) -> None:
        kind = str(raw.get("kind"))
        namespace, name = identity(kind, raw)
        try:
            if kind == "Node":
                self.nodes[name] = node_addresses(raw)
                return
            service, found = parse_endpoints(raw)
        except ManifestError as error:
            raise error.of(_reference("" if kind == "Node" else namespace, kind, name)) from error
        known = self.endpoints[namespace, service]
        known.extend(endpoint for endpoint in found if endpoint not in known)

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
        return any(selects_single_pods(text) for text in selectors)

    def world(self) -> World:
        workloads, alive = [], set()
        members: dict[str, Workload] = {}
        one_by_one = self._single_pods or self._single_pods_matter
        for namespace, name, raw in self.pods:
            try:
                owner = self.top(namespace, raw)
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
                single = pods_of_set(made, raw) if kind == "StatefulSet" else ()
            except ManifestError as error:
                raise error.of(_reference(namespace, kind, name)) from error
            if single and one_by_one:
                workloads.extend(single)
            else:
                workloads.append(made)
                members.update((f"{namespace}/{pod.name}", made) for pod in single)
        services = [
            replace(service, endpoints=tuple(self.endpoints.get((service.namespace, service.name), ())))
            for service in self.services
        ]
        return World(self.namespaces, workloads, services, self.policies, self.nodes, members)

    def top(self, namespace: str, raw: Mapping[str, Any]) -> tuple[str, str] | None:
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


def read_pod(raw: Mapping[str, Any]) -> Workload | None:
    """A pod by itself, as a world without the workloads above it has it; None for a finished one.

    Raises ManifestError.
    """
    namespace, name = identity("Pod", raw)
    if is_finished(raw):
        return None
    return parse_pod(namespace, name, raw, _Reader().top(namespace, raw))


_OWNERS: Final = frozenset({*TEMPLATES, "Rollout", "ReplicationController", "DeploymentConfig"})
"""Kinds that are above a pod; the last three are Argo Rollouts', Kubernetes' older one and OpenShift's."""


def node_addresses(raw: Mapping[str, Any]) -> tuple[Address, ...]:
    """The addresses of a Node object; host names are left out. Raises ManifestError."""
    status = as_map(raw.get("status"), "status")
    found: list[Address] = []
    for index, item in enumerate(as_list(status.get("addresses"), "status.addresses")):
        entry = as_map(item, f"status.addresses[{index}]")
        if entry.get("type") in ("InternalIP", "ExternalIP"):
            try:
                found.append(parse_address(str(entry.get("address"))))
            except ValueError as error:
                raise ManifestError(f"status.addresses[{index}].address", str(error)) from error
    return tuple(found)


def _controller(raw: Mapping[str, Any]) -> tuple[str, str] | None:
    metadata = as_map(raw.get("metadata"), "metadata")
    for index, item in enumerate(as_list(metadata.get("ownerReferences"), "metadata.ownerReferences")):
        where = f"metadata.ownerReferences[{index}]"
        reference = as_map(item, where)
        kind = as_text(reference.get("kind"), f"{where}.kind")
        name = as_text(reference.get("name"), f"{where}.name")
        if reference.get("controller") and kind in _OWNERS and name:
            return kind, name
    return None


def _reference(namespace: str, kind: str, name: str) -> str:
    return f"{kind} {namespace}/{name}" if namespace else f"{kind} {name}"
