"""Which rules let a flow through, on each side, as the verdict engine finds them.

A verdict is about one port and one address; a flow is about sets. So the set is cut wherever a rule of
the policies concerned begins or ends, and one question is asked for each piece.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Final, Literal

from tenantprofile.connectivity.addresses import Address, AddressSet, address_at
from tenantprofile.connectivity.explanation import reasons as sentences
from tenantprofile.connectivity.intervals import ranges as intervals_of
from tenantprofile.connectivity.policies import Direction, Policy
from tenantprofile.connectivity.ports import NO_PORTS, PortSet, Protocol
from tenantprofile.connectivity.verdict import verdict
from tenantprofile.connectivity.workloads import Workload
from tenantprofile.connectivity.world import World
from tenantprofile.drawing.topology import Group, Link, Node, Range, Topology

State = Literal["rules", "open", "node", "outside"]
"""rules: these let it through. open: no policy isolates the pods. node: no policy can (hostNetwork).
outside: addresses, which no policy governs."""

_TRIED: Final = 1 << 16
"""Addresses of a piece that are looked at for one that is no pod's."""


@dataclass(frozen=True, slots=True)
class LetThrough:
    """A rule, and the ports of the flow that it allows."""

    policy: Policy
    path: str
    direction: Direction
    rule: int
    ports: PortSet


@dataclass(frozen=True, slots=True)
class SideReason:
    """Why one end allows a flow. depends: what else the answer hangs on, in words."""

    state: State
    rules: tuple[LetThrough, ...] = ()
    depends: tuple[str, ...] = ()


class Reasons:
    """Answers for one topology; what is the same for many flows is worked out once."""

    def __init__(self, topology: Topology) -> None:
        self._world: World = topology.connections.world
        self._settings = topology.connections.settings
        self._known: dict[object, SideReason] = {}

    def leaving(self, link: Link) -> SideReason:
        return self._side(link, link.source, link.destination, "Egress")

    def arriving(self, link: Link) -> SideReason:
        return self._side(link, link.destination, link.source, "Ingress")

    def _side(self, link: Link, subject: Node, other: Node, direction: Direction) -> SideReason:
        if isinstance(subject, Range):
            return SideReason("outside")
        if subject.exempt:
            return SideReason("node")
        policies = subject.egress if direction == "Egress" else subject.ingress
        if not policies:
            return SideReason("open")
        names = tuple(str(policy) for policy in policies)
        key = (direction, names, _seen(other, subject), _seen(subject, subject), link.ports)
        if key not in self._known:
            self._known[key] = self._work_out(link, policies, direction)
        return self._known[key]

    def _work_out(self, link: Link, policies: tuple[Policy, ...], direction: Direction) -> SideReason:
        matched: dict[tuple[str, str], LetThrough] = {}
        depends: dict[str, None] = {}
        ends = [
            (source, destination)
            for source in self._ends(link.source, policies)
            for destination in self._ends(link.destination, policies)
        ]
        for protocol, first, last in _pieces(link, policies, direction):
            for source, destination in ends:
                found = verdict(self._world, source, destination, protocol, first, self._settings)
                if found.depends:  # the sentences after those about the two sides
                    said = sentences(self._world, found, settings=self._settings)
                    depends.update(dict.fromkeys(said[1 if found.always else 2 :]))
                side = found.egress if direction == "Egress" else found.ingress
                for match in side.matches:
                    key = match.policy.name, match.path
                    before = matched[key].ports if key in matched else NO_PORTS
                    ports = before | PortSet.of(protocol, first, last)
                    matched[key] = LetThrough(match.policy, match.path, direction, match.rule, ports)
        return SideReason("rules", tuple(matched[key] for key in sorted(matched)), tuple(depends))

    def _ends(self, node: Node, policies: tuple[Policy, ...]) -> list[Workload | Address]:
        if isinstance(node, Group):
            return [node.representative]
        return list(_samples(self._world, node.addresses, policies))


def _seen(node: Node, subject: Group) -> object:
    """What can be told of an end from the subject's namespace; equal for ends that are alike."""
    if isinstance(node, Range):
        return node.key
    own = node.namespace == subject.namespace
    return own, node.kind.index if own else node.kind.role.index


def _pieces(
    link: Link, policies: tuple[Policy, ...], direction: Direction
) -> Iterator[tuple[Protocol, int, int]]:
    """The link's ports, cut where a rule of these policies begins or ends."""
    cuts: set[tuple[str, int]] = set()
    for policy in policies:
        for rule in policy.spec.rules(direction):
            for protocol, first, last in rule.numbers.ranges():
                cuts |= {(protocol, first), (protocol, last + 1)}
    if isinstance(link.destination, Group):
        for port in link.destination.representative.ports:
            cuts |= {(port.protocol, port.number), (port.protocol, port.number + 1)}
    for protocol, first, last in link.ports.ranges():
        within = sorted(at for name, at in cuts if name == protocol and first < at <= last)
        for start, end in pairwise((first, *within, last + 1)):
            yield protocol, start, end - 1


def _samples(world: World, addresses: AddressSet, policies: tuple[Policy, ...]) -> Iterator[Address]:
    """An address of each piece of the set that an ipBlock of these policies cuts out; not a pod's."""
    cuts = {
        place
        for policy in policies
        for rule in (*policy.spec.ingress, *policy.spec.egress)
        for peer in rule.peers or ()
        if peer.block is not None
        for place in peer.block.bounds
    }
    for first, last in intervals_of(addresses.bounds):
        within = sorted(place for place in cuts if first < place <= last)
        for start, end in pairwise((first, *within, last + 1)):
            inside = (address_at(place) for place in range(start, min(end, start + _TRIED)))
            yield from islice((address for address in inside if world.at(address) is None), 1)
