"""What changed in meaning between two worlds: connections gained and lost, not lines.

Pods are grouped by what they are in both worlds at once; what such groups may do is compared, so
ten thousand namespaces that change alike are one comparison. A workload that only one of the
worlds has gains or loses all its connections.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from tenantprofile.connectivity.addresses import ALL_ADDRESSES, NO_ADDRESSES, AddressSet
from tenantprofile.connectivity.classes import Cell, Kind, Role
from tenantprofile.connectivity.connections import ConnectionMap
from tenantprofile.connectivity.flows import Flow, PodGroup, Scope
from tenantprofile.connectivity.ports import NO_PORTS, PortSet
from tenantprofile.connectivity.reach import members

Sign = Literal["gained", "lost"]
EVERYWHERE: Final = -1


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """Connections that only the new world allows (gained) or only the old one (lost)."""

    sign: Sign
    flow: Flow


def difference(old: ConnectionMap, new: ConnectionMap) -> Iterator[Change]:
    """Every change between two worlds, grouped; nothing when they mean the same.

    Workloads are the same when namespace, kind and name are. The order depends only on the worlds.
    """
    yield from _Joint(old, new).changes()


@dataclass(frozen=True, slots=True, eq=False)
class _JointKind:
    index: int
    old: Kind | None
    new: Kind | None
    role: _JointRole
    cell: Cell


@dataclass(frozen=True, slots=True, eq=False)
class _JointRole:
    index: int
    old: Role | None
    new: Role | None
    cell: Cell


class _Joint:
    """The workloads of both worlds by (old kind, new kind) and (old role, new role)."""

    def __init__(self, old: ConnectionMap, new: ConnectionMap) -> None:
        self.old, self.new = old, new
        self.kinds: dict[tuple[Kind | None, Kind | None], _JointKind] = {}
        self.roles: dict[tuple[Role | None, Role | None], _JointRole] = {}
        both = {workload.key: workload for world in (old.world, new.world) for workload in world.workloads}
        for key in sorted(both):
            workload = both[key]
            pair = old.classes.kind_of.get(key), new.classes.kind_of.get(key)
            kind = self.kinds.get(pair) or self._add(pair)
            kind.cell.setdefault(workload.namespace, []).append(workload)
            kind.role.cell.setdefault(workload.namespace, []).append(workload)
        self._by_old = _joint_of_roles([role.old for role in self.roles.values()])
        self._by_new = _joint_of_roles([role.new for role in self.roles.values()])

    def _add(self, pair: tuple[Kind | None, Kind | None]) -> _JointKind:
        old, new = pair
        roles = old.role if old else None, new.role if new else None
        if roles not in self.roles:
            self.roles[roles] = _JointRole(len(self.roles), *roles, {})
        self.kinds[pair] = _JointKind(len(self.kinds), old, new, self.roles[roles], {})
        return self.kinds[pair]

    def changes(self) -> Iterator[Change]:
        yield from self._within()
        yield from self._across()
        yield from self._addresses("outbound")
        yield from self._addresses("inbound")

    def _within(self) -> Iterator[Change]:
        kinds_in: dict[str, list[tuple[int, bool]]] = defaultdict(list)
        kinds = list(self.kinds.values())
        for kind in kinds:
            for name, workloads in kind.cell.items():
                kinds_in[name].append((kind.index, len(workloads) > 1 or not workloads[0].is_pod))
        patterns: dict[tuple[tuple[int, bool], ...], list[str]] = defaultdict(list)
        for name in sorted(kinds_in):
            patterns[tuple(kinds_in[name])].append(name)
        for pattern, names in patterns.items():
            for at, several in pattern:
                for to, _ in pattern:
                    if at == to and not several:
                        continue
                    source, target = kinds[at], kinds[to]
                    before = _within(self.old, source.old, target.old)
                    after = _within(self.new, source.new, target.new)
                    for sign, ports in _signs(before, after):
                        one, other = (PodGroup([k.cell], 1, tuple(names)) for k in (source, target))
                        yield Change(sign, Flow("within", one, other, ports))

    def _across(self) -> Iterator[Change]:
        roles = list(self.roles.values())
        cells = [role.cell for role in roles]
        everyone = (1 << len(roles)) - 1
        alone: dict[str, int] = defaultdict(int)
        for role in roles:
            if len(role.cell) == 1:
                alone[next(iter(role.cell))] |= 1 << role.index
        for role in roles:
            before = _sources(self.old, role.old, self._by_old, everyone)
            after = _sources(self.new, role.new, self._by_new, everyone)
            lonely = alone[next(iter(role.cell))] if len(role.cell) == 1 else 0
            for sign, ports, mask in _compare(before, after):
                if mask & ~lonely:
                    sources = PodGroup(cells, mask & ~lonely)
                    yield Change(sign, Flow("across", sources, PodGroup(cells, 1 << role.index), ports))

    def _addresses(self, scope: Scope) -> Iterator[Change]:
        cells = [role.cell for role in self.roles.values()]
        found: dict[tuple[Sign, AddressSet, PortSet], int] = defaultdict(int)
        for role in self.roles.values():
            nothing = {NO_PORTS: ALL_ADDRESSES}
            before = self.old.addresses(role.old, scope) if role.old else nothing
            after = self.new.addresses(role.new, scope) if role.new else nothing
            merged: dict[tuple[Sign, PortSet], AddressSet] = {}
            for was, left in before.items():
                for now, right in after.items():
                    if common := left & right:
                        for sign, ports in _signs(was, now):
                            merged[sign, ports] = merged.get((sign, ports), NO_ADDRESSES) | common
            for (sign, ports), addresses in merged.items():
                found[sign, addresses, ports] |= 1 << role.index
        for (sign, addresses, ports), mask in sorted(
            found.items(), key=lambda f: (f[0][0], f[0][1].bounds, f[0][2].bounds)
        ):
            group = PodGroup(cells, mask)
            if scope == "outbound":
                yield Change(sign, Flow(scope, group, addresses, ports))
            else:
                yield Change(sign, Flow(scope, addresses, group, ports))


def _signs(before: PortSet, after: PortSet) -> Iterator[tuple[Sign, PortSet]]:
    if gained := after - before:
        yield "gained", gained
    if lost := before - after:
        yield "lost", lost


def _within(world: ConnectionMap, source: Kind | None, destination: Kind | None) -> PortSet:
    return world.within(source, destination) if source and destination else NO_PORTS


def _joint_of_roles(roles: list[Role | None]) -> dict[int, int]:
    """For each role of one world the joint roles that it is in, as bits; EVERYWHERE: all of them."""
    found: dict[int, int] = defaultdict(int)
    for index, role in enumerate(roles):
        if role:
            found[role.index] |= 1 << index
            found[EVERYWHERE] |= 1 << index
    return found


def _sources(
    world: ConnectionMap, destination: Role | None, joint: dict[int, int], everyone: int
) -> dict[PortSet, int]:
    """All joint roles by the ports on which they reach a destination in one of the worlds."""
    if not destination:
        return {NO_PORTS: everyone}
    parts = sorted(world.sources(destination).items(), key=lambda part: part[1].bit_count())
    result: dict[PortSet, int] = {}
    left = joint[EVERYWHERE]
    for ports, roles in parts[:-1]:
        mask = 0
        for index in members(roles):
            mask |= joint.get(index, 0)
        result[ports] = mask
        left &= ~mask
    result[parts[-1][0]] = left  # the largest is what the others leave: no need to go through it
    absent = everyone & ~joint[EVERYWHERE]
    result[NO_PORTS] = result.get(NO_PORTS, 0) | absent
    return {ports: mask for ports, mask in result.items() if mask}


def _compare(before: dict[PortSet, int], after: dict[PortSet, int]) -> list[tuple[Sign, PortSet, int]]:
    found: dict[tuple[Sign, PortSet], int] = defaultdict(int)
    for was, left in before.items():
        for now, right in after.items():
            if left & right and was != now:
                for sign, ports in _signs(was, now):
                    found[sign, ports] |= left & right
    ordered = sorted(found.items(), key=lambda f: (f[0][0], f[0][1].bounds))
    return [(sign, ports, mask) for (sign, ports), mask in ordered]
