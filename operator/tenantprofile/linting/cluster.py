"""Policies over the pods and Services of the input: selectors, names and addresses that lead nowhere.

A rule here speaks only of namespaces whose pods are in the input: of the others nothing is known.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from ipaddress import ip_address
from typing import Any, Generic, TypeVar

from tenantprofile.connectivity import intervals
from tenantprofile.connectivity.addresses import ALL_IPV4, ALL_IPV6, Address, AddressSet, address_at, position
from tenantprofile.connectivity.policies import DIRECTIONS, Direction, Peer, Rule
from tenantprofile.connectivity.ports import PortSet
from tenantprofile.connectivity.services import Service
from tenantprofile.connectivity.workloads import RUNTIME_LABELS, Workload
from tenantprofile.linting.catalogue import (
    CLUSTER_IP,
    HOST_NETWORK,
    IP_BLOCK_PODS,
    NAMED_PORT_NOWHERE,
    ONE_FAMILY,
    PEER_HOST_NETWORK,
    PEER_SELECTS_NOTHING,
    SELECTS_NOTHING,
    SERVICE_PORT,
    SEVERAL_NAMED_PORTS,
)
from tenantprofile.linting.placed import PolicyHere
from tenantprofile.linting.reading import Input
from tenantprofile.policy.findings import Finding, Path, shown
from tenantprofile.policy.findings import Rule as LintRule
from tenantprofile.selectors import Selector

Told = Iterator[tuple[PolicyHere, Finding]]
T = TypeVar("T")

_SIDES: dict[Direction, tuple[str, str]] = {"Ingress": ("ingress", "from"), "Egress": ("egress", "to")}
_WIDE = {4: 1 << 30, 6: 1 << 124}


class Cluster:
    """The pods and Services of an input, with what rules look up over and over again kept."""

    def __init__(self, given: Input) -> None:
        self._pods = given.pods
        self._complete = given.complete
        # Of a cluster the pods themselves are read, whoever made them.
        self._makers = {} if given.complete else given.makers
        self._labels = {name: facts.labels for name, facts in given.namespaces.items()}
        self._services: dict[str, list[Service]] = {}
        for service in given.world.services.values():
            self._services.setdefault(service.namespace, []).append(service)
        self._service_at = _ByAddress((address, name) for name, address in _service_addresses(given))
        self._pod_at = _ByAddress((a, w) for ws in given.pods.values() for w in ws for a in w.addresses)
        self._matching = lru_cache(maxsize=1 << 14)(self._find)

    def judge(self, policy: PolicyHere) -> Told:
        """Every finding about one policy."""
        here = self._pods.get(policy.namespace, ())
        subjects = [pod for pod in here if policy.spec.subjects.matches(pod.labels)]
        if here and not subjects:
            message = f"matches none of the pods in {policy.namespace} ({len(here)} in the input)"
            unseen = self._unseen(policy.spec.subjects, (policy.namespace,))
            yield policy, _softened(SELECTS_NOTHING, ("podSelector",), message, unseen)
        host = [pod for pod in subjects if pod.host_network]
        if host:
            message = f"selects {host[0].name}, which is on the host network"
            yield policy, Finding(HOST_NETWORK, ("podSelector",), message)
        for direction in DIRECTIONS:
            field, side = _SIDES[direction]
            for index, rule in enumerate(policy.spec.rules(direction)):
                path: Path = (field, index)
                for number, peer in enumerate(rule.peers or ()):
                    yield from self._peer(policy, peer, (*path, side, number), direction, rule)
                targets = subjects if direction == "Ingress" else self._destinations(policy, rule)
                if targets:
                    yield from self._names(policy, rule, path, targets)
                    yield from self._service_ports(policy, rule, path, targets)
                yield from self._families(policy, rule, path, subjects)

    # --- peers ---

    def _find(self, namespaces: Selector | None, pods: Selector, home: str) -> tuple[list[Workload], bool]:
        """The pods that a peer matches, and whether the pods that it could match are known."""
        if namespaces is None:
            known = home in self._pods
            return [pod for pod in self._pods.get(home, ()) if pods.matches(pod.labels)], known
        chosen = [name for name, labels in self._labels.items() if namespaces.matches(labels)]
        found = [pod for name in chosen for pod in self._pods.get(name, ()) if pods.matches(pod.labels)]
        known = bool(self._pods) and (
            self._complete or (bool(chosen) and all(name in self._pods for name in chosen))
        )
        return found, known

    def _matched(self, policy: PolicyHere, peer: Peer) -> tuple[list[Workload], bool]:
        # One look-up for all namespaces where the own one does not matter.
        home = policy.namespace if peer.namespaces is None else ""
        return self._matching(peer.namespaces, peer.pods, home)

    def _destinations(self, policy: PolicyHere, rule: Rule) -> list[Workload]:
        peers = [peer for peer in rule.peers or () if peer.block is None]
        return [pod for peer in peers for pod in self._matched(policy, peer)[0]]

    def _peer(self, policy: PolicyHere, peer: Peer, path: Path, direction: Direction, rule: Rule) -> Told:
        if peer.block is not None:
            yield from self._block(policy, peer.block, (*path, "ipBlock"), direction)
            return
        found, known = self._matched(policy, peer)
        if known and not found:
            what = "pod of the namespace" if peer.namespaces is None else "pod in any namespace"
            unseen = self._unseen(peer.pods, self._homes(policy, peer))
            yield policy, _softened(PEER_SELECTS_NOTHING, path, f"no {what} matches", unseen)
        elif found and all(pod.host_network for pod in found):
            names = ", ".join(str(pod) for pod in found[:3]) + (", …" if len(found) > 3 else "")
            message = f"the only pods that it matches are on the host network: {names}"
            yield policy, Finding(PEER_HOST_NETWORK, path, message, expected="an ipBlock of the nodes")

    def _homes(self, policy: PolicyHere, peer: Peer) -> tuple[str, ...]:
        """Of the namespaces that a peer is looked for in, those where controllers make pods out of sight."""
        if peer.namespaces is None:
            return (policy.namespace,)
        return tuple(name for name in self._makers if peer.namespaces.matches(self._labels.get(name, {})))

    def _unseen(self, pods: Selector, namespaces: Iterable[str]) -> str:
        """Why a selector may select pods all the same, which are not in the input; empty where it cannot."""
        for requirement in pods.requirements:
            if requirement.key in RUNTIME_LABELS and requirement.operator in ("In", "Exists"):
                return f"a controller sets the label {requirement.key} when it makes a pod"
        made = {kind for name in namespaces for kind in self._makers.get(name, ())}
        return (
            f"the controller of {', '.join(sorted(made))} makes pods that are not in the input"
            if made
            else ""
        )

    def _block(self, policy: PolicyHere, block: AddressSet, path: Path, direction: Direction) -> Told:
        service = self._service_at.first_in(block) if direction == "Egress" and _is_small(block) else None
        if service is not None:
            message = f"the range contains {service[0]}, the address of the Service {service[1]}"
            yield policy, Finding(CLUSTER_IP, path, message, expected="a selector of the pods behind it")
        elif direction == "Egress" and not _is_wide(block) and (known := self._only_services(block)):
            message = (
                f"all known addresses in {block} are of Services ({known[0]} of {known[1]}), none is a pod's"
            )
            expected = "selectors of the pods behind them"
            yield policy, Finding(CLUSTER_IP, path, message, expected=expected)
        if _is_wide(block):
            return  # every-address and the like tell of ranges that wide
        pod = self._pod_at.first_in(block)
        if pod is not None:
            message = f"the range contains {pod[0]}, the address of the pod {pod[1]}"
            yield policy, Finding(IP_BLOCK_PODS, path, message, expected="a selector")

    def _only_services(self, block: AddressSet) -> tuple[Address, str] | None:
        """A Service's address in a range that holds no pod's; None where no pod's address is known."""
        found = self._service_at.first_in(block)
        if found is None or self._pod_at.first_in(block) is not None:
            return None
        family = ALL_IPV4 if found[0].version == 4 else ALL_IPV6
        return found if self._pod_at.first_in(family) is not None else None

    def _families(self, policy: PolicyHere, rule: Rule, path: Path, subjects: Sequence[Workload]) -> Told:
        blocks = [peer.block for peer in rule.peers or () if peer.block is not None]
        if not any(map(_is_wide, blocks)):
            return
        four, six = (any(block & family for block in blocks) for family in (ALL_IPV4, ALL_IPV6))
        if four and six:
            return
        pod = next((p for p in subjects if len({address.version for address in p.addresses}) == 2), None)
        if pod is not None:
            has, lacks = ("IPv4", "IPv6") if four else ("IPv6", "IPv4")
            message = f"ranges of {has} only, and {pod.name} has an address of {lacks} as well"
            yield policy, Finding(ONE_FAMILY, path, message, expected=f"ranges of {lacks} as well")

    # --- ports ---

    def _names(self, policy: PolicyHere, rule: Rule, path: Path, targets: Sequence[Workload]) -> Told:
        for index, item in enumerate(rule.ports or ()):
            if item.name is None:
                continue
            where = (*path, "ports", index, "port")
            having = [pod for pod in targets if pod.numbers(item.name, item.protocol)]
            if not having:
                declared = sorted({str(p.name) for pod in targets for p in pod.ports if p.name})[:5]
                there = f"; they have {', '.join(declared)}" if declared else ""
                message = (
                    f"no pod that the rule leads to has a {item.protocol} port {shown(item.name)}{there}"
                )
                yield policy, Finding(NAMED_PORT_NOWHERE, where, message)
                continue
            crowded = next((p for p in having if len({q.name for q in p.ports if q.name}) > 1), None)
            if crowded is not None:
                names = ", ".join(sorted({str(port.name) for port in crowded.ports if port.name}))
                message = f"{crowded.name} has several named ports: {names}"
                yield policy, Finding(SEVERAL_NAMED_PORTS, where, message, expected="a number")

    def _service_ports(self, policy: PolicyHere, rule: Rule, path: Path, targets: Sequence[Workload]) -> Told:
        for index, item in enumerate(rule.ports or ()):
            if item.name is not None or not item.numbers:
                continue
            hit = self._service_port(item.numbers, rule.numbers, targets)
            if hit is not None:
                service, port, number, what = hit
                message = (
                    f"{port} is the {what} of the Service {service.namespace}/{service.name},"
                    f" whose pods listen on {number}"
                )
                where = (*path, "ports", index, "port")
                yield policy, Finding(SERVICE_PORT, where, message, expected=f"port {number}")

    def _service_port(
        self, numbers: PortSet, all_numbers: PortSet, targets: Sequence[Workload]
    ) -> tuple[Service, int, int, str] | None:
        """A Service whose port or node port the rule names, but not the port that it leads to."""
        for pod in targets:
            declared = {(port.protocol, port.number) for port in pod.ports}
            for service in self._services.get(pod.namespace, ()):
                if not service.selects(pod):
                    continue
                for port in service.ports:
                    leads_to = service.targets(pod, port)
                    if not leads_to or any(all_numbers.contains(port.protocol, n) for n in leads_to):
                        continue
                    for number, what in ((port.port, "port"), (port.node_port, "nodePort")):
                        if number is None or (port.protocol, number) in declared:
                            continue
                        if numbers.contains(port.protocol, number):
                            return service, number, leads_to[0], what
        return None


def _softened(rule: LintRule, path: Path, message: str, unseen: str) -> Finding:
    """A finding; only for information, where pods that are not in the input may make it untrue."""
    if not unseen:
        return Finding(rule, path, message)
    return Finding(replace(rule, severity="info"), path, f"{message}; {unseen}")


class _ByAddress(Generic[T]):
    """What has an address, to be found by a range."""

    def __init__(self, pairs: Iterable[tuple[Address, T]]) -> None:
        ordered = sorted(((position(address), what) for address, what in pairs), key=lambda pair: pair[0])
        self._places = [place for place, _ in ordered]
        self._found = [what for _, what in ordered]

    def first_in(self, block: AddressSet) -> tuple[Address, T] | None:
        for first, last in intervals.ranges(block.bounds):
            index = bisect_left(self._places, first)
            if index < len(self._places) and self._places[index] <= last:
                return address_at(self._places[index]), self._found[index]
        return None


def _is_wide(block: AddressSet) -> bool:
    """The internet, or what is left of it, and not a network."""
    return any(int(last) - int(first) >= _WIDE[first.version] for first, last in block.ranges())


def _is_small(block: AddressSet) -> bool:
    """One or a few addresses: whoever wrote them meant what is there, and not a network."""
    return sum(last - first + 1 for first, last in intervals.ranges(block.bounds)) <= 256


def _service_addresses(given: Input) -> Iterator[tuple[str, Address]]:
    for item in given.services:
        spec: Any = item.raw.get("spec")
        if not isinstance(spec, Mapping):
            continue
        texts = [spec.get("clusterIP"), *(spec.get("clusterIPs") or [])]
        for text in dict.fromkeys(str(text) for text in texts if text and text != "None"):
            try:
                yield f"{item.namespace or 'default'}/{item.name}", ip_address(text)
            except ValueError:
                continue
