"""Connections as rows in an order that other programs may rely on, and changes of them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tenantprofile.analysis.naming import end_text
from tenantprofile.analysis.world import Assembly
from tenantprofile.connectivity.addresses import AddressSet
from tenantprofile.connectivity.connections import ConnectionMap
from tenantprofile.connectivity.difference import Change, Sign, difference
from tenantprofile.connectivity.flows import Flow, Party, PodGroup, Scope
from tenantprofile.connectivity.ports import PortSet
from tenantprofile.connectivity.settings import DEFAULT_SETTINGS, Settings
from tenantprofile.connectivity.workloads import Workload
from tenantprofile.connectivity.world import World

MAX_PAIRS: Final = 4_000_000
"""Pairs of workloads in a listing; more would take minutes, and nobody reads them."""

MAX_CHANGED: Final = 100_000
"""Pairs that changes are spelled out for."""

_Owner = tuple[str, str, str]
_Pair = tuple[Workload | AddressSet, Workload | AddressSet]


class TooManyError(ValueError):
    """More pairs than can be listed."""

    def __init__(self, workloads: int, pairs: int) -> None:
        super().__init__(f"{workloads} workloads make {pairs} pairs; expected at most {MAX_PAIRS}")


@dataclass(frozen=True, slots=True)
class Row:
    """One connection; namespaces are empty for addresses."""

    source: str
    destination: str
    ports: PortSet
    source_namespace: str = ""
    destination_namespace: str = ""

    def data(self) -> dict[str, Any]:
        """For programs: ports as ranges, because text is for people."""
        ranges = [{"protocol": p, "first": first, "last": last} for p, first, last in self.ports.ranges()]
        return {"source": self.source, "destination": self.destination, "ports": ranges}


def listing(
    assembly: Assembly,
    *,
    blocked: bool = False,
    settings: Settings = DEFAULT_SETTINGS,
    only: frozenset[str] = frozenset(),
) -> Iterator[Row]:
    """Every allowed (or blocked) connection, by source and then destination: namespace, kind, name.

    Addresses come after workloads. only: keep what has an end in one of these namespaces. Raises
    TooManyError where there would be more than MAX_PAIRS pairs of workloads to go through.
    """
    table = ConnectionMap(assembly.world, settings)
    parties = table.parties()
    chosen = [party for party in parties if not only or party.namespace in only]
    pairs = len(parties) * len(parties) - (len(parties) - len(chosen)) ** 2
    if pairs > MAX_PAIRS:
        raise TooManyError(len(parties), pairs)
    return _rows(table, parties, chosen, blocked)


def _rows(
    table: ConnectionMap, parties: Sequence[Party], chosen: Sequence[Party], blocked: bool
) -> Iterator[Row]:
    names = {party.namespace for party in chosen}
    for party in parties:
        for other in parties if party.namespace in names else chosen:
            if other is party and not party.several:
                continue
            ports = table.between(party.members[0], other.members[0])
            ports = ~ports if blocked else ports
            if ports:
                yield Row(str(party), str(other), ports, party.namespace, other.namespace)
        if party.namespace in names:
            for ports, addresses in _addresses(table, party, "outbound", blocked):
                yield Row(str(party), end_text(addresses), ports, party.namespace)
    for party in chosen:
        for ports, addresses in _addresses(table, party, "inbound", blocked):
            yield Row(end_text(addresses), str(party), ports, "", party.namespace)


def _addresses(
    table: ConnectionMap, party: Party, scope: Scope, blocked: bool
) -> list[tuple[PortSet, AddressSet]]:
    role = table.classes.kind_of[party.members[0].key].role
    parts = table.addresses(role, scope).items()
    rows = [(~ports if blocked else ports, addresses) for ports, addresses in parts]
    return sorted((row for row in rows if row[0]), key=lambda row: row[1].bounds)


def by_namespace(rows: Iterator[Row]) -> Iterator[Row]:
    """The same between namespaces: for each pair the union of ports; addresses stay as they are."""
    merged: dict[tuple[str, str], Row] = {}
    for row in rows:
        key = row.source_namespace or row.source, row.destination_namespace or row.destination
        before = merged.get(key)
        ports = row.ports | before.ports if before else row.ports
        merged[key] = Row(*key, ports, row.source_namespace, row.destination_namespace)
    yield from merged.values()


@dataclass(frozen=True, slots=True)
class ChangedRow:
    """Connections gained or lost."""

    sign: Sign
    row: Row


def changes(old: World, new: World, settings: Settings = DEFAULT_SETTINGS) -> list[ChangedRow]:
    """Every connection that only one of the worlds allows: gained first, in the order of listings.

    Where all pods of a workload change alike it is one row with the workload, as in a listing. Changes
    of more than MAX_CHANGED pairs are told by groups of pods that change alike, with their numbers.
    """
    found = list(difference(ConnectionMap(old, settings), ConnectionMap(new, settings)))
    if sum(pair_count(change.flow) for change in found) > MAX_CHANGED:
        rows = [ChangedRow(change.sign, _grouped(change.flow)) for change in found]
    else:
        rows = _folded(found, old, new)
    return sorted(rows, key=_order)


def pair_count(flow: Flow) -> int:
    """How many pairs a flow stands for, without going through them."""
    if isinstance(flow.source, AddressSet):
        return len(flow.destination) if isinstance(flow.destination, PodGroup) else 0
    if isinstance(flow.destination, AddressSet):
        return len(flow.source)
    sources = Counter(workload.namespace for workload in flow.source.workloads())
    targets = Counter(workload.namespace for workload in flow.destination.workloads())
    within = sum(count * targets[name] for name, count in sources.items())
    if flow.scope == "within":
        own = {id(workload) for workload in flow.destination.workloads() if workload.is_pod}
        return within - sum(id(workload) in own for workload in flow.source.workloads())
    return sources.total() * targets.total() - within


def _grouped(flow: Flow) -> Row:
    return Row(_group_text(flow.source), _group_text(flow.destination), flow.ports)


def _group_text(end: PodGroup | AddressSet) -> str:
    """`2000 pods of 1000 namespaces, such as shop/web`."""
    if isinstance(end, AddressSet):
        return end_text(end)
    count, spaces = len(end), len(end.namespaces())
    first = next(iter(end.workloads()))
    where = f" of {spaces} namespaces" if spaces > 1 else ""
    return f"{count} pods{where}, such as {first}" if count > 1 else str(first)


def _folded(found: Sequence[Change], old: World, new: World) -> list[ChangedRow]:
    pods: dict[_Owner | AddressSet, set[tuple[str, str, str]]] = defaultdict(set)
    for world in (old, new):
        for workload in world.workloads:
            pods[_owner(workload)].add(workload.key)
    groups: dict[tuple[Sign, PortSet, _Owner | AddressSet, _Owner | AddressSet], list[_Pair]]
    groups = defaultdict(list)
    for change in found:
        for source, target in change.flow.pairs():
            groups[change.sign, change.flow.ports, _owner(source), _owner(target)].append((source, target))
    rows: list[ChangedRow] = []
    for (sign, ports, source_owner, target_owner), pairs in groups.items():
        one, other = _members(pods, source_owner), _members(pods, target_owner)
        same = source_owner == target_owner and pairs[0][0] is not pairs[0][1]
        if len(pairs) == one * other - (one if same else 0):
            ends = [(_owner_text(source_owner), _owner_text(target_owner), *map(_namespace, pairs[0]))]
        else:
            ends = [(end_text(a), end_text(b), _namespace(a), _namespace(b)) for a, b in pairs]
        rows.extend(ChangedRow(sign, Row(a, b, ports, space, place)) for a, b, space, place in ends)
    return rows


def _owner(end: Workload | AddressSet) -> _Owner | AddressSet:
    if isinstance(end, AddressSet):
        return end
    return (end.namespace, *(end.owner or (end.kind, end.name)))


def _owner_text(owner: _Owner | AddressSet) -> str:
    if isinstance(owner, AddressSet):
        return end_text(owner)
    namespace, kind, name = owner
    return f"{namespace}/{name}" if kind == "Pod" else f"{namespace}/{kind}/{name}"


def _members(
    pods: Mapping[_Owner | AddressSet, set[tuple[str, str, str]]], owner: _Owner | AddressSet
) -> int:
    return 1 if isinstance(owner, AddressSet) else len(pods[owner])


def _order(changed: ChangedRow) -> tuple[object, ...]:
    row = changed.row
    return (
        changed.sign,
        not row.source_namespace,
        row.source,
        not row.destination_namespace,
        row.destination,
        row.ports.bounds,
    )


def _namespace(end: Workload | Party | AddressSet) -> str:
    return "" if isinstance(end, AddressSet) else end.namespace
