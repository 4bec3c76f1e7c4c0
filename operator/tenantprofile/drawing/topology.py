"""What there is to draw: groups of workloads that are alike, address ranges, and the flows among them.

Workloads of a namespace are one group when no policy can tell them apart and the same policies select
them, so that what is said of a group, coverage and the rules behind its flows included, holds for each.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from tenantprofile.connectivity.addresses import AddressSet
from tenantprofile.connectivity.classes import Kind
from tenantprofile.connectivity.connections import ConnectionMap
from tenantprofile.connectivity.coverage import Levels
from tenantprofile.connectivity.flows import Party
from tenantprofile.connectivity.policies import Policy
from tenantprofile.connectivity.ports import PortSet
from tenantprofile.connectivity.reach import members as bits
from tenantprofile.connectivity.verdict import is_node, isolating
from tenantprofile.connectivity.workloads import Workload
from tenantprofile.drawing.ranges import RangeName, by_ports, named

MAX_GROUPS: Final = 3000
"""More than this no picture can show, and the pairs of groups would take minutes."""

Governance = Literal["ruled", "half", "open"]
"""ruled: at each end that is a pod, a rule allows the flow. half: at one end no policy applies.
open: at neither end, so no policy has ever considered the flow."""

GroupCoverage = Literal["covered", "open to all", "open ingress", "open egress", "uncovered", "node"]


class TooLargeError(ValueError):
    """More groups than a picture can show; the message says how to ask for less."""


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """Workloads of one namespace that are alike. ingress and egress: the policies that isolate them."""

    key: str
    namespace: str
    members: tuple[Party, ...]
    pods: int
    kind: Kind
    ingress: tuple[Policy, ...]
    egress: tuple[Policy, ...]
    exempt: bool
    open_to_all: bool = False

    @property
    def representative(self) -> Workload:
        return self.members[0].members[0]

    @property
    def several(self) -> bool:
        """Whether there is a pair of different pods in it."""
        return len(self.members) > 1 or self.members[0].several

    @property
    def title(self) -> str:
        return self.members[0].name if len(self.members) == 1 else f"{len(self.members)} workloads alike"

    @property
    def coverage(self) -> GroupCoverage:
        if self.exempt:
            return "node"
        if self.ingress and self.egress:
            return "open to all" if self.open_to_all else "covered"
        if not self.ingress and not self.egress:
            return "uncovered"
        return "open egress" if self.ingress else "open ingress"


@dataclass(frozen=True, slots=True, eq=False)
class Range:
    """A set of addresses outside the pods."""

    key: str
    addresses: AddressSet
    name: RangeName


Node: TypeAlias = Group | Range


@dataclass(frozen=True, slots=True, eq=False)
class Link:
    """Everything in source may reach everything in destination on these ports."""

    source: Node
    destination: Node
    ports: PortSet

    @property
    def governance(self) -> Governance:
        sides = []
        if isinstance(self.source, Group):
            sides.append(bool(self.source.egress))
        if isinstance(self.destination, Group):
            sides.append(bool(self.destination.ingress))
        return "ruled" if all(sides) else "half" if any(sides) else "open"


@dataclass(frozen=True, slots=True, eq=False)
class Topology:
    """Groups by namespace and name, ranges by address, links in the order of their ends.

    namespaces: all that are shown, those without a workload included.
    """

    connections: ConnectionMap
    namespaces: tuple[str, ...]
    groups: tuple[Group, ...]
    ranges: tuple[Range, ...]
    links: tuple[Link, ...]

    @property
    def workloads(self) -> int:
        return sum(len(group.members) for group in self.groups)


def topology(connections: ConnectionMap, only: Collection[str] = ()) -> Topology:
    """A world's topology. only: these namespaces, and what they are connected with by a policy's leave.

    Raises TooLargeError when there is more than a picture can show.
    """
    groups = _groups(connections)
    chosen = [group for group in groups if not only or group.namespace in only]
    if len(chosen) > MAX_GROUPS or (only and len(chosen) * len(groups) > MAX_GROUPS**2):
        raise TooLargeError(
            f"{len(chosen)} groups of workloads that differ in what they may reach; a picture shows up to"
            f" {MAX_GROUPS}. Choose namespaces with --namespace, or see tenantprofile connections"
        )
    inner = {group.key for group in chosen}
    links = list(_pod_links(connections, groups, inner))
    if only:
        links = [
            link
            for link in links
            if link.governance != "open" or {link.source.key, link.destination.key} <= inner
        ]
        near = {node.key for link in links for node in (link.source, link.destination)}
        groups = [group for group in groups if group.key in inner | near]
        named_spaces = sorted({group.namespace for group in groups} | (set(only) & set(_names(connections))))
    else:
        named_spaces = _names(connections)
    outside, ranges = _range_links(connections, chosen)
    return Topology(
        connections,
        tuple(named_spaces),
        tuple(groups),
        tuple(ranges),
        tuple(sorted((*links, *outside), key=lambda link: (_order(link.source), _order(link.destination)))),
    )


def _names(connections: ConnectionMap) -> list[str]:
    return sorted(connections.world.namespaces)


def _order(node: Node) -> tuple[object, ...]:
    if isinstance(node, Group):
        return (0, node.namespace, node.key)
    return (1, node.addresses.bounds)


def _groups(connections: ConnectionMap) -> list[Group]:
    """Sorted by namespace and the key of their first member."""
    folded: dict[object, list[Party]] = defaultdict(list)
    for party in connections.parties():
        keys = {_likeness(connections, workload) for workload in party.members}
        if len(keys) == 1:
            folded[keys.pop()].append(party)
        else:
            for pod in party.members:
                single = Party(pod.namespace, pod.kind, pod.name, (pod,))
                folded[_likeness(connections, pod)].append(single)
    found, levels = [], Levels(connections.settings)
    for members in folded.values():
        members.sort(key=lambda party: (party.name, party.kind))
        one = members[0].members[0]
        ingress = isolating(connections.world, one, "Ingress", connections.settings)
        egress = isolating(connections.world, one, "Egress", connections.settings)
        found.append(
            Group(
                key=f"{one.namespace}/{members[0].kind}/{members[0].name}",
                namespace=one.namespace,
                members=tuple(members),
                pods=sum(workload.is_pod for party in members for workload in party.members),
                kind=connections.classes.kind_of[one.key],
                ingress=ingress,
                egress=egress,
                exempt=is_node(one, connections.settings),
                open_to_all="open to all" in (levels.of(ingress, "Ingress"), levels.of(egress, "Egress")),
            )
        )
    return sorted(found, key=lambda group: (group.namespace, group.key))


def _likeness(connections: ConnectionMap, workload: Workload) -> object:
    ingress = isolating(connections.world, workload, "Ingress", connections.settings)
    egress = isolating(connections.world, workload, "Egress", connections.settings)
    return (
        workload.namespace,
        connections.classes.kind_of[workload.key].index,
        tuple(policy.name for policy in ingress),
        tuple(policy.name for policy in egress),
        is_node(workload, connections.settings),
    )


def _pod_links(connections: ConnectionMap, groups: Sequence[Group], inner: Collection[str]) -> Iterator[Link]:
    """The links with an end in `inner`; roles are asked, not pairs of groups."""
    by_namespace: dict[str, list[Group]] = defaultdict(list)
    by_role: dict[int, list[Group]] = defaultdict(list)
    for group in groups:
        by_namespace[group.namespace].append(group)
        by_role[group.kind.role.index].append(group)
    for beside in by_namespace.values():
        for source in beside:
            for destination in beside:
                ports = connections.within(source.kind, destination.kind)
                counts = source is not destination or source.several
                if ports and counts and (source.key in inner or destination.key in inner):
                    yield Link(source, destination, ports)
    own_roles = {group.kind.role.index: group.kind.role for group in groups if group.key in inner}
    for role in connections.classes.roles:
        targets = by_role.get(role.index, [])
        if any(group.key in inner for group in targets):
            reached = connections.sources(role)
            parts = [(ports, number) for ports, mask in reached.items() if ports for number in bits(mask)]
        else:  # only callers in `inner` matter, which may be few
            parts = [(connections.across(own, role), number) for number, own in own_roles.items()]
        for ports, number in parts if targets else ():
            for source in by_role.get(number, ()) if ports else ():
                for destination in targets:
                    if source.namespace == destination.namespace:
                        continue
                    if source.key in inner or destination.key in inner:
                        yield Link(source, destination, ports)


def _range_links(connections: ConnectionMap, groups: Sequence[Group]) -> tuple[list[Link], list[Range]]:
    outbound: dict[int, list[tuple[AddressSet, PortSet]]] = {}
    inbound: dict[int, list[tuple[AddressSet, PortSet]]] = {}
    ranges: dict[AddressSet, Range] = {}
    links = []
    for group in groups:
        role = group.kind.role
        if role.index not in outbound:
            outbound[role.index] = by_ports(connections.addresses(role, "outbound"))
            inbound[role.index] = by_ports(connections.addresses(role, "inbound"))
        for addresses, ports in outbound[role.index]:
            links.append(Link(group, _range(ranges, addresses), ports))
        for addresses, ports in inbound[role.index]:
            links.append(Link(_range(ranges, addresses), group, ports))
    return links, sorted(ranges.values(), key=lambda found: found.addresses.bounds)


def _range(known: dict[AddressSet, Range], addresses: AddressSet) -> Range:
    if addresses not in known:
        known[addresses] = Range(str(addresses), addresses, named(addresses))
    return known[addresses]
