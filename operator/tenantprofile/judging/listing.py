"""Connections as rows in an order that other programs may rely on, and changes of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tenantprofile.connectivity.addresses import AddressSet
from tenantprofile.connectivity.connections import ConnectionMap
from tenantprofile.connectivity.difference import Sign, difference
from tenantprofile.connectivity.flows import Party
from tenantprofile.connectivity.ports import PortSet
from tenantprofile.connectivity.settings import DEFAULT_SETTINGS, Settings
from tenantprofile.connectivity.workloads import Workload
from tenantprofile.connectivity.world import World
from tenantprofile.judging.naming import end_text
from tenantprofile.judging.world import Assembly

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

    Addresses come after workloads. only: keep what has an end in one of these namespaces.
    """
    for found in ConnectionMap(assembly.world, settings).connections(blocked):
        row = Row(
            end_text(found.source),
            end_text(found.destination),
            found.ports,
            _namespace(found.source),
            _namespace(found.destination),
        )
        if not only or row.source_namespace in only or row.destination_namespace in only:
            yield row


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

    Where all pods of a workload change alike it is one row with the workload, as in a listing.
    """
    pods: dict[_Owner | AddressSet, set[tuple[str, str, str]]] = defaultdict(set)
    for world in (old, new):
        for workload in world.workloads:
            pods[_owner(workload)].add(workload.key)
    groups: dict[tuple[Sign, PortSet, _Owner | AddressSet, _Owner | AddressSet], list[_Pair]]
    groups = defaultdict(list)
    for change in difference(ConnectionMap(old, settings), ConnectionMap(new, settings)):
        for source, target in change.flow.pairs():
            groups[change.sign, change.flow.ports, _owner(source), _owner(target)].append((source, target))
    found: list[ChangedRow] = []
    for (sign, ports, source_owner, target_owner), pairs in groups.items():
        one, other = _members(pods, source_owner), _members(pods, target_owner)
        same = source_owner == target_owner and pairs[0][0] is not pairs[0][1]
        if len(pairs) == one * other - (one if same else 0):
            ends = [(_owner_text(source_owner), _owner_text(target_owner), *map(_namespace, pairs[0]))]
        else:
            ends = [(end_text(a), end_text(b), _namespace(a), _namespace(b)) for a, b in pairs]
        found.extend(ChangedRow(sign, Row(a, b, ports, space, place)) for a, b, space, place in ends)
    return sorted(found, key=_order)


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
