"""Pods that no policy can tell apart, counted once.

Two levels, because most of what policies say stays inside a namespace:

    kind    pods that are alike in every respect, in whatever namespaces they live: they allow the
            same, relative to their own namespace, and the same selectors see them
    role    kinds that are alike as far as other namespaces can tell

Ten thousand namespaces with the same policies and deployments have a handful of kinds. Connections
within a namespace are a matter of two kinds, across namespaces of two roles; neither depends on
which namespaces they are.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tenantprofile.connectivity.addresses import AddressSet, position
from tenantprofile.connectivity.allowances import Allowance, Named, Reading, Readings
from tenantprofile.connectivity.ports import ALL_PORTS, NO_PORTS, PortSet
from tenantprofile.connectivity.reach import Reach, members
from tenantprofile.connectivity.settings import Settings
from tenantprofile.connectivity.verdict import addresses_of, in_block, is_node
from tenantprofile.connectivity.workloads import Workload
from tenantprofile.connectivity.world import World
from tenantprofile.selectors import Selector

Profile = frozenset[Allowance] | None
"""What one side allows; None: not isolated."""
Visible = frozenset[Selector | tuple[int, Selector] | AddressSet]
"""How a pod can be matched: by own-namespace selector, by (foreign part, selector), by ipBlock."""
Cell = dict[str, list[Workload]]
"""Workloads by namespace."""


@dataclass(frozen=True, slots=True, eq=False)
class Role:
    """What other namespaces can tell of a pod."""

    index: int
    ingress: Profile
    egress: Profile
    visible: Visible
    named: Named
    cell: Cell = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """What its own namespace can tell of a pod, and its role."""

    index: int
    ingress: Profile
    egress: Profile
    visible: Visible
    role: Role
    cell: Cell = field(default_factory=dict)


class Classes:
    """A world's pods by kind and role. `kind_of` maps a workload's key to its kind."""

    def __init__(self, world: World, settings: Settings) -> None:
        self.kinds: list[Kind] = []
        self.roles: list[Role] = []
        self.kind_of: dict[tuple[str, str, str], Kind] = {}
        self._kinds: dict[object, Kind] = {}
        self._roles: dict[object, Role] = {}
        self._settings = settings
        by_namespace: dict[str, list[Workload]] = defaultdict(list)
        for workload in world.workloads:
            by_namespace[workload.namespace].append(workload)
        names = sorted(by_namespace)
        reach = Reach([world.namespaces[name].labels for name in names])
        readings = Readings(reach)
        sets = [
            tuple(sorted({readings.number(at, policy) for policy in world.policies_in(name)}))
            for at, name in enumerate(names)
        ]
        views = _Views(reach, readings.all, len(names))
        blocks = _Blocks(readings.all, settings)
        for at, name in enumerate(names):
            view = views.of(at, sets[at])
            for workload in by_namespace[name]:
                self._place(workload, view, views.names, blocks)

    def _place(self, workload: Workload, view: _View, names: frozenset[str], blocks: _Blocks) -> None:
        if is_node(workload, self._settings):
            seen: _Seen = _NODE
            named: Named = ()
        else:
            seen = view.seen(workload.labels)
            named = _named(workload, names)
        by_address = blocks.around(workload)
        role_key = (seen.across[0], seen.across[1], seen.foreign, by_address, named)
        role = self._roles.get(role_key)
        if role is None:
            visible: Visible = frozenset((*seen.foreign, *by_address))
            role = Role(len(self.roles), seen.across[0], seen.across[1], visible, named)
            self._roles[role_key] = role
            self.roles.append(role)
        kind_key = (seen.within[0], seen.within[1], seen.own, role.index)
        kind = self._kinds.get(kind_key)
        if kind is None:
            visible = frozenset((*seen.own, *by_address))
            kind = Kind(len(self.kinds), seen.within[0], seen.within[1], visible, role)
            self._kinds[kind_key] = kind
            self.kinds.append(kind)
        kind.cell.setdefault(workload.namespace, []).append(workload)
        role.cell.setdefault(workload.namespace, []).append(workload)
        self.kind_of[workload.key] = kind


def allowed(profile: Profile, other: Visible, named: Named, own: bool) -> PortSet:
    """The ports that one side allows with the other; named: those of the destination.

    own: both are in one namespace, so `other` is what is visible there.
    """
    if profile is None:
        return ALL_PORTS
    result = NO_PORTS
    for allowance in profile:
        if allowance.everything:
            matched = True
        elif allowance.block is not None:
            matched = allowance.block in other
        elif own:
            matched = allowance.pods in other
        else:
            matched = (allowance.foreign, allowance.pods) in other
        if matched:
            result |= allowance.ports.at(named)
    return result


@dataclass(frozen=True, slots=True)
class _Seen:
    """within and across: (ingress, egress) profiles; own and foreign: the selectors that match."""

    within: tuple[Profile, Profile]
    across: tuple[Profile, Profile]
    own: frozenset[Selector]
    foreign: frozenset[tuple[int, Selector]]


_NODE = _Seen((None, None), (None, None), frozenset(), frozenset())


class _Views:
    """What is to be known of pods, for each combination of own policies and of foreign onlookers."""

    def __init__(self, reach: Reach, readings: Sequence[Reading], count: int) -> None:
        self._readings = readings
        terms: dict[int, set[Selector]] = defaultdict(set)
        names: set[str] = set()
        for reading in readings:
            for allowance in (*(reading.ingress or ()), *(reading.egress or ())):
                names.update(name for name, _ in allowance.ports.names)
                if allowance.pods is not None and allowance.foreign is not None:
                    terms[allowance.foreign].add(allowance.pods)
        self.names = frozenset(names)
        self._terms = terms
        self._onlookers: list[list[int]] = [[] for _ in range(count)]
        for foreign in terms:
            for at in members(reach.foreign[foreign]):
                self._onlookers[at].append(foreign)
        self._views: dict[tuple[tuple[int, ...], tuple[int, ...]], _View] = {}

    def of(self, at: int, policies: tuple[int, ...]) -> _View:
        key = (policies, tuple(self._onlookers[at]))
        view = self._views.get(key)
        if view is None:
            readings = [self._readings[number] for number in policies]
            terms = [(foreign, pods) for foreign in key[1] for pods in self._terms[foreign]]
            view = self._views[key] = _View(readings, terms)
        return view


class _View:
    """Works out what is seen of a pod by its labels; once for labels that nothing here tells apart."""

    def __init__(self, readings: list[Reading], terms: list[tuple[int, Selector]]) -> None:
        self._readings = readings
        self._terms = terms
        self._own = {
            allowance.pods
            for reading in readings
            for allowance in (*(reading.ingress or ()), *(reading.egress or ()))
            if allowance.pods is not None and allowance.own
        }
        selectors = [*(r.subjects for r in readings), *self._own, *(pods for _, pods in terms)]
        self._keys = sorted({q.key for selector in selectors for q in selector.requirements})
        self._seen: dict[tuple[str | None, ...], _Seen] = {}

    def seen(self, labels: Mapping[str, str]) -> _Seen:
        told_apart = tuple([labels.get(key) for key in self._keys])
        seen = self._seen.get(told_apart)
        if seen is None:
            seen = self._seen[told_apart] = self._work_out(labels)
        return seen

    def _work_out(self, labels: Mapping[str, str]) -> _Seen:
        mine = [reading for reading in self._readings if reading.subjects.matches(labels)]
        ingress = [reading.ingress for reading in mine if reading.ingress is not None]
        egress = [reading.egress for reading in mine if reading.egress is not None]
        return _Seen(
            (_profile(ingress, True), _profile(egress, True)),
            (_profile(ingress, False), _profile(egress, False)),
            frozenset(selector for selector in self._own if selector.matches(labels)),
            frozenset(term for term in self._terms if term[1].matches(labels)),
        )


def _profile(sides: list[tuple[Allowance, ...]], own: bool) -> Profile:
    """The union of what policies allow, without what does not matter on this level."""
    if not sides:
        return None
    found = set()
    for allowance in (allowance for side in sides for allowance in side):
        if allowance.pods is None:
            found.add(allowance)
        elif own and allowance.own:
            found.add(Allowance(allowance.ports, allowance.pods, own=True))
        elif not own and allowance.foreign is not None:
            found.add(Allowance(allowance.ports, allowance.pods, foreign=allowance.foreign))
    return frozenset(found)


def _named(workload: Workload, names: frozenset[str]) -> Named:
    if not names:
        return ()
    pairs = sorted({(p.name, p.protocol) for p in workload.ports if p.name is not None and p.name in names})
    return tuple((name, protocol, workload.numbers(name, protocol)) for name, protocol in pairs)


class _Blocks:
    """Which of all ipBlocks contain a pod, found by the range between boundaries that it is in."""

    def __init__(self, readings: Sequence[Reading], settings: Settings) -> None:
        self._settings = settings
        self._blocks = {
            allowance.block
            for reading in readings
            for allowance in (*(reading.ingress or ()), *(reading.egress or ()))
            if allowance.block is not None
        }
        self._boundaries = sorted({place for block in self._blocks for place in block.bounds})
        self._known: dict[object, frozenset[AddressSet]] = {}

    def around(self, workload: Workload) -> frozenset[AddressSet]:
        if not self._blocks:
            return frozenset()
        places = sorted({bisect_right(self._boundaries, position(a)) for a in addresses_of(workload)})
        key = (tuple(places), is_node(workload, self._settings))
        found = self._known.get(key)
        if found is None:
            blocks = (block for block in self._blocks if in_block(workload, block, self._settings))
            found = self._known[key] = frozenset(blocks)
        return found
