"""Who is isolated: for every workload and direction, the policies that isolate it, and what they are worth.

Three levels, because isolation alone protects nobody: a pod whose policies together allow every peer
on every port is isolated by name only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from tenantprofile.connectivity.addresses import ALL_IPV4, NO_ADDRESSES, AddressSet
from tenantprofile.connectivity.policies import Direction, Policy, PolicySpec, Rule
from tenantprofile.connectivity.ports import EVERY_PORT, NO_PORTS, PortSet
from tenantprofile.connectivity.settings import DEFAULT_SETTINGS, Settings
from tenantprofile.connectivity.verdict import is_node, isolating
from tenantprofile.connectivity.workloads import Workload
from tenantprofile.connectivity.world import World

Level = Literal["open", "open to all", "restricted"]
"""open: no policy isolates it. open to all: isolated, and the union of the policies allows every peer
on every TCP and UDP port. restricted: something is stopped."""

_EVERY = EVERY_PORT["TCP"] | EVERY_PORT["UDP"]


@dataclass(frozen=True, slots=True)
class Coverage:
    """One workload's isolation; empty means open in that direction.

    exempt: node traffic (hostNetwork), which no policy can isolate.
    """

    workload: Workload
    ingress: tuple[Policy, ...]
    egress: tuple[Policy, ...]
    exempt: bool
    ingress_level: Level = "restricted"
    egress_level: Level = "restricted"

    def level(self, direction: Direction) -> Level:
        return self.ingress_level if direction == "Ingress" else self.egress_level

    def by(self, direction: Direction) -> tuple[Policy, ...]:
        return self.ingress if direction == "Ingress" else self.egress

    @property
    def covered(self) -> bool:
        """Restricted in both directions."""
        return self.ingress_level == self.egress_level == "restricted"


def coverage(world: World, settings: Settings = DEFAULT_SETTINGS) -> Iterator[Coverage]:
    """Every workload in the world's order, with the policies that isolate it, by name."""
    levels = Levels(settings)
    for workload in world.workloads:
        yield coverage_of(world, workload, levels, settings)


def coverage_of(
    world: World, workload: Workload, levels: Levels, settings: Settings = DEFAULT_SETTINGS
) -> Coverage:
    """That of one workload, which depends on its labels and on the policies of its namespace alone."""
    ingress = isolating(world, workload, "Ingress", settings)
    egress = isolating(world, workload, "Egress", settings)
    return Coverage(
        workload,
        ingress,
        egress,
        is_node(workload, settings),
        levels.of(ingress, "Ingress"),
        levels.of(egress, "Egress"),
    )


class Levels:
    """The level of policies together; equal sets of specs are worked out once."""

    def __init__(self, settings: Settings = DEFAULT_SETTINGS) -> None:
        self._settings = settings
        self._known: dict[tuple[Direction, frozenset[int]], tuple[Level, tuple[PolicySpec, ...]]] = {}

    def of(self, policies: Iterable[Policy], direction: Direction) -> Level:
        """What the policies come to that isolate a pod in a direction; none are `open`."""
        specs = tuple({id(policy.spec): policy.spec for policy in policies}.values())
        key = direction, frozenset(map(id, specs))
        if key not in self._known:  # the specs are kept, so that no id is given to another one
            self._known[key] = self._level(specs, direction), specs
        return self._known[key][0]

    def _level(self, specs: tuple[PolicySpec, ...], direction: Direction) -> Level:
        if not specs:
            return "open"
        rules = [rule for spec in specs for rule in spec.rules(direction)]
        return "open to all" if _allows_everything(rules, self._settings) else "restricted"


def _allows_everything(rules: list[Rule], settings: Settings) -> bool:
    """Whether rules together allow every IPv4 address and every pod of the cluster on every port."""
    pods, parts = NO_PORTS, {NO_PORTS: ALL_IPV4}
    for rule in rules:
        block = NO_ADDRESSES
        for peer in rule.peers or ():
            if peer.block is not None:
                block |= peer.block
            elif peer.namespaces is not None and peer.namespaces.is_everything and peer.pods.is_everything:
                pods |= rule.numbers
        if rule.peers is None:
            pods, block = pods | rule.numbers, ALL_IPV4
        parts = _with(parts, block, rule.numbers)
    addresses = all(ports >= _EVERY for ports in parts)
    return addresses and (pods >= _EVERY or settings.ip_blocks_match_pods)


def _with(parts: dict[PortSet, AddressSet], block: AddressSet, ports: PortSet) -> dict[PortSet, AddressSet]:
    split: dict[PortSet, AddressSet] = {}
    for before, addresses in parts.items():
        for joined, part in ((before | ports, addresses & block), (before, addresses - block)):
            if part:
                split[joined] = split.get(joined, NO_ADDRESSES) | part
    return split
