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
"""Pairs of workloads in a listing; more would take minutes, so they are told by groups."""

MAX_ROWS: Final = 100_000
"""Pairs of namespaces in a listing; more are told by groups of namespaces."""

MAX_CHANGED: Final = 100_000
"""Pairs that changes are spelled out for."""

_Owner = tuple[str, str, str]
_Pair = tuple[Workload | AddressSet, Workload | AddressSet]


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

    Addresses come after workloads. only: keep what has an end in one of these namespaces. Where there
    would be more than MAX_PAIRS pairs of workloads to go through, rows are groups of pods that are alike.
    """
    table = ConnectionMap(assembly.world, settings)
    parties = table.parties()
    chosen = [party for party in parties if not only or party.namespace in only]
    pairs = len(parties) * len(parties) - (len(parties) - len(chosen)) ** 2
    if pairs > MAX_PAIRS:
        return (_grouped(flow) for flow in table.flows(blocked) if not only or _touches(flow, only))
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


def by_namespace(
    assembly: Assembly,
    *,
    blocked: bool = False,
    settings: Settings = DEFAULT_SETTINGS,
    only: frozenset[str] = frozenset(),
) -> list[Row]:
    """The same between namespaces: for each pair the union of ports; addresses stay as they are.

    Worked out by groups of pods that are alike, so the number of pods does not matter. More than
    MAX_ROWS rows are told by groups of namespaces instead, with their numbers.
    """
    table = ConnectionMap(assembly.world, settings)
    grouped = [(_spaces(flow.source), _spaces(flow.destination), flow) for flow in table.flows(blocked)]
    if sum(_row_count(*one) for one in grouped) > MAX_ROWS:
        return _space_groups(grouped, only)
    merged: dict[tuple[str, str], Row] = {}
    for sources, targets, flow in grouped:
        for source, target in _space_pairs(sources, targets, flow):
            ends = tuple("" if isinstance(end, AddressSet) else end for end in (source, target))
            if only and not only & set(ends):
                continue
            key = end_text(source), end_text(target)
            ports = flow.ports | merged[key].ports if key in merged else flow.ports
            merged[key] = Row(*key, ports, *ends)
    return sorted(merged.values(), key=_row_order)


_Spaces = tuple[str, ...] | AddressSet


def _spaces(end: PodGroup | AddressSet) -> _Spaces:
    return end if isinstance(end, AddressSet) else end.namespaces()


def _row_count(sources: _Spaces, targets: _Spaces, flow: Flow) -> int:
    one = 1 if isinstance(sources, AddressSet) else len(sources)
    other = 1 if isinstance(targets, AddressSet) else len(targets)
    return one if flow.scope == "within" else one * other


def _space_pairs(
    sources: _Spaces, targets: _Spaces, flow: Flow
) -> Iterator[tuple[str | AddressSet, str | AddressSet]]:
    if flow.scope == "within" and not isinstance(sources, AddressSet):
        yield from ((name, name) for name in sources)
        return
    for source in (sources,) if isinstance(sources, AddressSet) else sources:
        for target in (targets,) if isinstance(targets, AddressSet) else targets:
            if source != target:
                yield source, target


def _space_groups(grouped: Sequence[tuple[_Spaces, _Spaces, Flow]], only: frozenset[str]) -> list[Row]:
    merged: dict[tuple[_Spaces, _Spaces, bool], PortSet] = {}
    for sources, targets, flow in grouped:
        if only and not any(
            only & set(ends) for ends in (sources, targets) if not isinstance(ends, AddressSet)
        ):
            continue
        key = sources, targets, flow.scope == "within"
        merged[key] = merged[key] | flow.ports if key in merged else flow.ports
    rows = []
    for (sources, targets, within), ports in merged.items():
        target = "itself" if within and len(sources) > 1 else _space_text(targets)  # type: ignore[arg-type]
        ends = ("" if isinstance(end, AddressSet) else end[0] for end in (sources, targets))
        rows.append(Row(_space_text(sources), target, ports, *ends))
    return sorted(rows, key=_row_order)


def _space_text(spaces: _Spaces) -> str:
    """`1000 namespaces, such as shop`."""
    if isinstance(spaces, AddressSet):
        return end_text(spaces)
    return spaces[0] if len(spaces) == 1 else f"{len(spaces)} namespaces, such as {spaces[0]}"


def _row_order(row: Row) -> tuple[object, ...]:
    return not row.source_namespace, row.source, not row.destination_namespace, row.destination


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


def _touches(flow: Flow, only: frozenset[str]) -> bool:
    ends = (flow.source, flow.destination)
    return any(isinstance(end, PodGroup) and only & set(end.namespaces()) for end in ends)


def _grouped(flow: Flow) -> Row:
    target = _group_text(flow.destination)
    if flow.scope == "within" and isinstance(flow.source, PodGroup) and len(flow.source.namespaces()) > 1:
        target += " (of the same namespace)"
    return Row(_group_text(flow.source), target, flow.ports)


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
