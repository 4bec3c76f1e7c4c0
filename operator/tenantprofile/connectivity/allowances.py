"""What a policy allows, as seen from its namespace: rules flattened into allowances.

An allowance is one peer with one set of ports. Its peer is relative (own namespace, foreign part),
so policies of different namespaces that mean the same become equal.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tenantprofile.connectivity.addresses import ALL_ADDRESSES, NO_ADDRESSES, AddressSet
from tenantprofile.connectivity.policies import Direction, Policy, PolicySpec
from tenantprofile.connectivity.ports import NO_PORTS, PortSet, Protocol
from tenantprofile.connectivity.reach import Reach
from tenantprofile.selectors import Selector

Named = tuple[tuple[str, Protocol, tuple[int, ...]], ...]
"""What named ports stand for at a destination: (name, protocol, numbers)."""


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports of an allowance: numbers, and (name, protocol) pairs that the destination resolves."""

    numbers: PortSet
    names: frozenset[tuple[str, Protocol]]

    def at(self, named: Named) -> PortSet:
        """The numbers that it comes to at a destination."""
        result = self.numbers
        if self.names:
            for name, protocol, numbers in named:
                if (name, protocol) in self.names:
                    for number in numbers:
                        result |= PortSet.of(protocol, number)
        return result


@dataclass(frozen=True, slots=True)
class Allowance:
    """block: an ipBlock peer. Otherwise pods by selector, in the own namespace (own) and in those of
    a foreign part (foreign, an index into Reach.foreign). Everything: anyone, pod or address."""

    ports: Ports
    pods: Selector | None = None
    own: bool = False
    foreign: int | None = None
    block: AddressSet | None = None

    @property
    def everything(self) -> bool:
        return self.pods is None and self.block is None

    @property
    def sight(self) -> AddressSet | tuple[int | None, Selector] | None:
        """How it names the pods of other namespaces that it matches; None for everything."""
        return self.block if self.pods is None else (self.foreign, self.pods)


@dataclass(frozen=True, slots=True)
class Reading:
    """A policy's meaning within its namespace; None for a direction that it does not isolate."""

    subjects: Selector
    ingress: tuple[Allowance, ...] | None
    egress: tuple[Allowance, ...] | None


class Readings:
    """Reads policies relative to their namespaces; equal meanings become one object with one number."""

    def __init__(self, reach: Reach) -> None:
        self._reach = reach
        self._numbers: dict[Reading, int] = {}
        self._read: dict[tuple[int, tuple[object, ...]], int] = {}
        self._selectors: dict[int, tuple[PolicySpec, tuple[Selector, ...]]] = {}
        self.all: list[Reading] = []

    def number(self, position: int, policy: Policy) -> int:
        """The number of what a policy means in the namespace at a position of Reach."""
        spec = policy.spec
        known = self._selectors.get(id(spec))
        if known is None:
            known = self._selectors[id(spec)] = (spec, tuple(_namespace_selectors(spec)))
        seen = tuple(self._reach.seen_from(position, selector) for selector in known[1])
        key = (id(spec), seen)
        found = self._read.get(key)
        if found is None:
            views = dict(zip(known[1], seen, strict=True))
            reading = Reading(
                spec.subjects, _allowances(spec, "Ingress", views), _allowances(spec, "Egress", views)
            )
            found = self._read[key] = self._numbers.setdefault(reading, len(self.all))
            if found == len(self.all):
                self.all.append(reading)
        return found


def _namespace_selectors(spec: PolicySpec) -> Iterator[Selector]:
    for rule in (*spec.rules("Ingress"), *spec.rules("Egress")):
        for peer in rule.peers or ():
            if peer.namespaces is not None:
                yield peer.namespaces


def _allowances(
    spec: PolicySpec, direction: Direction, views: dict[Selector, tuple[bool, int | None]]
) -> tuple[Allowance, ...] | None:
    if direction not in spec.directions:
        return None
    found: dict[Allowance, None] = {}
    for rule in spec.rules(direction):
        ports = Ports(rule.numbers, rule.names)
        if rule.peers is None:
            found[Allowance(ports)] = None
        for peer in rule.peers or ():
            if peer.block is not None:
                # Towards an address a name means nothing; at the policy's own pods it does.
                usable = ports if direction == "Ingress" else Ports(ports.numbers, frozenset())
                if usable.numbers or usable.names:
                    found[Allowance(usable, block=peer.block)] = None
                continue
            own, foreign = (True, None) if peer.namespaces is None else views[peer.namespaces]
            if own or foreign is not None:
                found[Allowance(ports, peer.pods, own, foreign)] = None
    return tuple(found)


def address_parts(allowances: frozenset[Allowance] | None, named: Named) -> dict[PortSet, AddressSet]:
    """All addresses, split by which ports are allowed with them; None (not isolated) allows all."""
    if allowances is None:
        return {~NO_PORTS: ALL_ADDRESSES}
    parts: dict[PortSet, AddressSet] = {NO_PORTS: ALL_ADDRESSES}
    for allowance in allowances:
        if allowance.pods is not None:
            continue
        block = ALL_ADDRESSES if allowance.block is None else allowance.block
        ports = allowance.ports.at(named)
        split: dict[PortSet, AddressSet] = {}
        for before, addresses in parts.items():
            for joined, part in ((before | ports, addresses & block), (before, addresses - block)):
                if part:
                    split[joined] = split.get(joined, NO_ADDRESSES) | part
        parts = split
    return parts
