"""One assertion over all its pairs, counted by groups of pods that no policy can tell apart."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final, Literal

from tenantprofile.assertions.ends import Group, select
from tenantprofile.assertions.form import NetworkAssertion, Ports
from tenantprofile.connectivity.addresses import AddressSet
from tenantprofile.connectivity.classes import Kind
from tenantprofile.connectivity.connections import ConnectionMap
from tenantprofile.connectivity.ports import PortSet, Protocol
from tenantprofile.connectivity.verdict import End as Party
from tenantprofile.connectivity.workloads import Workload
from tenantprofile.connectivity.world import World

Status = Literal["passed", "failed", "error", "skipped"]
Cells = dict[str, list[Workload]]

EXAMPLES: Final = 3
"""Pairs that a failure shows; the count tells how many there are."""


@dataclass(frozen=True, slots=True)
class Violation:
    """A pair that is not as expected.

    ports: those of the assertion's ports for which that is so.
    example: one connection to explain, from the first address of a range that is no pod's own, at the first port.
    """

    source: Workload | AddressSet
    destination: Workload | AddressSet
    ports: PortSet
    example: tuple[Party, Party, Protocol, int]


@dataclass(frozen=True, slots=True)
class Result:
    """How an assertion stands. checked: pairs looked at; violated: those that are not as expected.

    message: why there is an error, or why nothing was checked.
    """

    assertion: NetworkAssertion
    status: Status
    checked: int = 0
    violated: int = 0
    examples: tuple[Violation, ...] = ()
    message: str = ""


def check(table: ConnectionMap, assertion: NetworkAssertion) -> Result:
    """An assertion about the objects of a world."""
    sources = select(table.world, assertion.source)
    destinations = select(table.world, assertion.destination)
    for field, group, end in (
        ("from", sources, assertion.source),
        ("to", destinations, assertion.destination),
    ):
        if not group:
            return _nothing(assertion, f"{field}: there is no such pod: {end}")
    return check_groups(table, assertion, sources, destinations)


def check_groups(
    table: ConnectionMap, assertion: NetworkAssertion, sources: Group, destinations: Group
) -> Result:
    """An assertion between given ends; pairs of two addresses and a pod with itself are left out."""
    checked = violated = 0
    found: list[Violation] = []
    for pairs, count, wanted, ports in _parts(table, sources, destinations, assertion.ports):
        if not wanted or not count:
            continue
        checked += count
        wrong = wanted & ports if assertion.expect == "deny" else wanted - ports
        if wrong:
            violated += count
            protocol, port, _ = next(wrong.ranges())
            for a, b in islice(pairs, EXAMPLES):
                example = _party(table.world, a), _party(table.world, b), protocol, port
                found.append(Violation(a, b, wrong, example))
    if not checked:
        unnamed = ", ".join(f"{name!r} ({protocol})" for name, protocol in assertion.ports.names)
        why = (
            f"ports: no pod of the destination has a port named {unnamed}"
            if assertion.ports.names and not assertion.ports.numbers
            else "from and to leave no pair of two different pods, or of a pod and an address"
        )
        return _nothing(assertion, why)
    found.sort(key=lambda violation: (_order(violation.source), _order(violation.destination)))
    status: Status = "failed" if violated else "passed"
    return Result(assertion, status, checked, violated, tuple(found[:EXAMPLES]))


def _nothing(assertion: NetworkAssertion, message: str) -> Result:
    if assertion.may_be_empty:
        return Result(assertion, "skipped", message=message)
    hint = "; a test that meets nothing cannot fail: fix it, or say mayBeEmpty: true"
    return Result(assertion, "error", message=message + hint)


Part = tuple[Iterator[tuple[Workload | AddressSet, Workload | AddressSet]], int, PortSet, PortSet]
"""Pairs that behave alike, their number, the ports they are asked about, the ports that are open."""


def _parts(table: ConnectionMap, sources: Group, destinations: Group, ports: Ports) -> Iterator[Part]:
    senders: dict[Kind, Cells] = defaultdict(lambda: defaultdict(list))
    for workload in sources.workloads:
        senders[table.classes.kind_of[workload.key]][workload.namespace].append(workload)
    receivers: dict[tuple[Kind, PortSet], Cells] = defaultdict(lambda: defaultdict(list))
    for workload in destinations.workloads:
        key = table.classes.kind_of[workload.key], _numbers(ports, workload)
        receivers[key][workload.namespace].append(workload)
    for (receiver, wanted), targets in receivers.items():
        for sender, origins in senders.items():
            common = [name for name in origins if name in targets]
            if common:
                within = sum(_count(origins[name], targets[name]) for name in common)
                pairs = ((a, b) for name in common for a, b in _pairs(origins[name], targets[name]))
                yield pairs, within, wanted, table.within(sender, receiver)
            total = sum(map(len, origins.values())) * sum(map(len, targets.values()))
            across = total - sum(len(origins[name]) * len(targets[name]) for name in common)
            if across:
                yield _across(origins, targets), across, wanted, table.across(sender.role, receiver.role)
        if sources.addresses:
            listed = [target for cell in targets.values() for target in cell]
            for open_ports, addresses in table.addresses(receiver.role, "inbound").items():
                part = addresses & sources.addresses
                if table.world.outside(part):
                    yield ((part, target) for target in listed), len(listed), wanted, open_ports
    if destinations.addresses:
        for sender, origins in senders.items():
            listed = [origin for cell in origins.values() for origin in cell]
            for open_ports, addresses in table.addresses(sender.role, "outbound").items():
                part = addresses & destinations.addresses
                if table.world.outside(part):
                    yield ((origin, part) for origin in listed), len(listed), ports.numbers, open_ports


def _numbers(ports: Ports, destination: Workload) -> PortSet:
    result = ports.numbers
    for name, protocol in ports.names:
        for number in destination.numbers(name, protocol):
            result |= PortSet.of(protocol, number)
    return result


def _count(sources: list[Workload], targets: list[Workload]) -> int:
    """Pairs within a namespace. A pod always reaches itself; two pods of one template are two pods."""
    own = {id(workload) for workload in targets if workload.is_pod}
    return len(sources) * len(targets) - sum(id(workload) in own for workload in sources)


def _pairs(sources: list[Workload], targets: list[Workload]) -> Iterator[tuple[Workload, Workload]]:
    return ((a, b) for a in sources for b in targets if a is not b or not a.is_pod)


def _across(origins: Cells, targets: Cells) -> Iterator[tuple[Workload, Workload]]:
    for name, sources in origins.items():
        for source in sources:
            for other, cell in targets.items():
                if other != name:
                    yield from ((source, target) for target in cell)


def _party(world: World, end: Workload | AddressSet) -> Party:
    if isinstance(end, Workload):
        return end
    address = world.outside(end)
    if address is None:
        raise ValueError("a range stands for what is outside of the pods, and this one has nothing outside")
    return address


def _order(end: Workload | AddressSet) -> tuple[int, tuple[str, str, str], tuple[int, ...]]:
    if isinstance(end, Workload):
        return 0, end.key, ()
    return 1, ("", "", ""), end.bounds
