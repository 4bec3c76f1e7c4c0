"""Every allowed connection of a world, exactly, without listing pairs that behave alike.

What the API always allows is not listed: a pod to itself, and a pod's own node. Address ranges
stand for peers outside the pods; pods are listed as pods.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from tenantprofile.connectivity.addresses import AddressSet
from tenantprofile.connectivity.allowances import address_parts
from tenantprofile.connectivity.classes import Classes, Kind, Profile, Role, allowed
from tenantprofile.connectivity.flows import Connection, Flow, Party, PodGroup, Scope
from tenantprofile.connectivity.ports import ALL_PORTS, NO_PORTS, PortSet
from tenantprofile.connectivity.settings import DEFAULT_SETTINGS, Settings
from tenantprofile.connectivity.workloads import Workload
from tenantprofile.connectivity.world import World


class ConnectionMap:
    """A world's connections. Building it sorts the pods into kinds; the rest is worked out when asked."""

    def __init__(self, world: World, settings: Settings = DEFAULT_SETTINGS) -> None:
        self.world = world
        self.settings = settings
        self.classes = Classes(world, settings)
        self._within: dict[tuple[int, int], PortSet] = {}
        self._across: dict[tuple[int, int], PortSet] = {}
        self._indexed: _SourceIndex | None = None
        self._cells = [role.cell for role in self.classes.roles]

    def between(self, source: Workload, destination: Workload) -> PortSet:
        """The ports on which one workload reaches another (two different pods of it, if the same)."""
        one, other = self.classes.kind_of[source.key], self.classes.kind_of[destination.key]
        if source.namespace == destination.namespace:
            return self.within(one, other)
        return self.across(one.role, other.role)

    def within(self, source: Kind, destination: Kind) -> PortSet:
        """The ports between pods of two kinds in one namespace."""
        key = source.index, destination.index
        if key not in self._within:
            named = destination.role.named
            out = allowed(source.egress, destination.visible, named, own=True)
            into = allowed(destination.ingress, source.visible, named, own=True)
            self._within[key] = out & into
        return self._within[key]

    def across(self, source: Role, destination: Role) -> PortSet:
        """The ports between pods of two roles in different namespaces."""
        key = source.index, destination.index
        if key not in self._across:
            out = allowed(source.egress, destination.visible, destination.named, own=False)
            into = allowed(destination.ingress, source.visible, destination.named, own=False)
            self._across[key] = out & into
        return self._across[key]

    def flows(self, blocked: bool = False) -> Iterator[Flow]:
        """All that is allowed (or all that is blocked), grouped: within, across, outbound, inbound.

        The order and the grouping depend only on what the world holds. No two flows overlap.
        """
        for names, source, destination in self._pairs_within():
            ports = self.within(source, destination)
            ports = ~ports if blocked else ports
            if ports:
                yield Flow("within", self._kind(source, names), self._kind(destination, names), ports)
        alone: dict[str, int] = defaultdict(int)
        for role in self.classes.roles:
            if len(role.cell) == 1:
                alone[next(iter(role.cell))] |= 1 << role.index
        for role in self.classes.roles:
            # Not from roles that live nowhere but in its own one namespace.
            lonely = alone[next(iter(role.cell))] if len(role.cell) == 1 else 0
            for ports, mask in sorted(self.sources(role).items(), key=lambda part: part[0].bounds):
                ports, sources = ~ports if blocked else ports, mask & ~lonely
                if ports and sources:
                    yield Flow("across", self._roles(sources), self._roles(1 << role.index), ports)
        for scope in ("outbound", "inbound"):
            yield from self._address_flows(scope, blocked)

    def connections(self, blocked: bool = False) -> Iterator[Connection]:
        """The same as rows of workloads and address ranges, sorted by source and then destination.

        Order: by namespace, kind and name; as destinations the addresses come after the workloads, and
        as sources last. There are as many rows as pairs: for thousands of workloads use `flows`.
        """
        parties = self.parties()
        for party in parties:
            for other in parties:
                if other is party and not party.several:
                    continue
                ports = self.between(party.members[0], other.members[0])
                ports = ~ports if blocked else ports
                if ports:
                    yield Connection(party, other, ports)
            for ports, addresses in self._address_rows(party, "outbound", blocked):
                yield Connection(party, addresses, ports)
        for party in parties:
            for ports, addresses in self._address_rows(party, "inbound", blocked):
                yield Connection(addresses, party, ports)

    def parties(self) -> list[Party]:
        """Workloads with their alike pods folded together; a workload of unlike pods stays in pods."""
        kinds: dict[tuple[str, str, str], dict[int, None]] = defaultdict(dict)
        pods: dict[tuple[str, str, str], list[Workload]] = defaultdict(list)
        for workload in self.world.workloads:
            key = (workload.namespace, *(workload.owner or (workload.kind, workload.name)))
            kinds[key][self.classes.kind_of[workload.key].index] = None
            pods[key].append(workload)
        found = []
        for (space, kind, name), folded in pods.items():
            if len(kinds[space, kind, name]) == 1:
                found.append(Party(space, kind, name, tuple(folded)))
            else:
                found.extend(Party(w.namespace, w.kind, w.name, (w,)) for w in folded)
        return sorted(found, key=lambda party: (party.namespace, party.kind, party.name))

    def addresses(self, role: Role, scope: Scope) -> dict[PortSet, AddressSet]:
        """All addresses by the ports that are open to them (outbound) or from them (inbound)."""
        if scope == "outbound":
            return address_parts(role.egress, ())
        return address_parts(role.ingress, role.named)

    def sources(self, destination: Role) -> dict[PortSet, int]:
        """All roles, as bits, by the ports on which they reach a role in another namespace."""
        if self._indexed is None:
            self._indexed = _SourceIndex(self.classes.roles)
        return self._indexed.sources(destination)

    def _pairs_within(self) -> Iterator[tuple[tuple[str, ...], Kind, Kind]]:
        """(namespaces, source, destination): every pair of kinds that meet somewhere, once per pattern
        of namespaces. A kind meets itself where it has more than one pod."""
        kinds_in: dict[str, list[tuple[int, bool]]] = defaultdict(list)
        for kind in self.classes.kinds:
            for name, workloads in kind.cell.items():
                kinds_in[name].append((kind.index, len(workloads) > 1 or not workloads[0].is_pod))
        patterns: dict[tuple[tuple[int, bool], ...], list[str]] = defaultdict(list)
        for name in sorted(kinds_in):
            patterns[tuple(kinds_in[name])].append(name)
        kinds = self.classes.kinds
        for pattern, names in patterns.items():
            spaces = tuple(names)
            for source, several in pattern:
                for destination, _ in pattern:
                    if source != destination or several:
                        yield spaces, kinds[source], kinds[destination]

    def _address_flows(self, scope: Scope, blocked: bool) -> Iterator[Flow]:
        found: dict[tuple[PortSet, AddressSet], int] = defaultdict(int)
        for role in self.classes.roles:
            for ports, addresses in self.addresses(role, scope).items():
                ports = ~ports if blocked else ports
                if ports:
                    found[ports, addresses] |= 1 << role.index
        for (ports, addresses), mask in sorted(found.items(), key=lambda f: (f[0][1].bounds, f[0][0].bounds)):
            group = self._roles(mask)
            yield (
                Flow(scope, group, addresses, ports)
                if scope == "outbound"
                else Flow(scope, addresses, group, ports)
            )

    def _address_rows(self, party: Party, scope: Scope, blocked: bool) -> list[tuple[PortSet, AddressSet]]:
        parts = self.addresses(self.classes.kind_of[party.members[0].key].role, scope)
        rows = [(~ports if blocked else ports, addresses) for ports, addresses in parts.items()]
        return sorted((row for row in rows if row[0]), key=lambda row: row[1].bounds)

    def _kind(self, kind: Kind, names: tuple[str, ...]) -> PodGroup:
        return PodGroup([kind.cell], 1, names)

    def _roles(self, mask: int) -> PodGroup:
        return PodGroup(self._cells, mask)


class _SourceIndex:
    """For a destination: which roles reach it, without asking every role.

    Roles of one egress profile are asked once, and only profiles that mention how the destination
    can be seen are asked at all.
    """

    def __init__(self, roles: list[Role]) -> None:
        self.everyone = (1 << len(roles)) - 1
        self._visible: dict[object, int] = defaultdict(int)
        self._open = 0
        self._senders: dict[Profile, int] = defaultdict(int)
        for role in roles:
            for term in role.visible:
                self._visible[term] |= 1 << role.index
            if role.egress is None:
                self._open |= 1 << role.index
            else:
                self._senders[role.egress] |= 1 << role.index
        self._mentioning: dict[object, list[Profile]] = defaultdict(list)
        for profile in self._senders:
            assert profile is not None  # noqa: S101
            for key in {allowance.sight for allowance in profile}:
                self._mentioning[key].append(profile)

    def sources(self, destination: Role) -> dict[PortSet, int]:
        """All roles by the ports on which they reach it; NO_PORTS for those that do not."""
        result: dict[PortSet, int] = defaultdict(int)
        senders = self._sending(destination)
        for into, accepted in self._accepted(destination).items():
            for out, sending in senders.items():
                if accepted & sending:
                    result[into & out] |= accepted & sending
        return result

    def _accepted(self, destination: Role) -> dict[PortSet, int]:
        if destination.ingress is None:
            return {ALL_PORTS: self.everyone}
        parts = {NO_PORTS: self.everyone}
        for allowance in destination.ingress:
            mask = self.everyone if allowance.everything else self._visible.get(allowance.sight, 0)
            ports = allowance.ports.at(destination.named)
            if not mask or not ports:
                continue
            split: dict[PortSet, int] = defaultdict(int)
            for before, roles in parts.items():
                if roles & mask:
                    split[before | ports] |= roles & mask
                if roles & ~mask:
                    split[before] |= roles & ~mask
            parts = split
        return parts

    def _sending(self, destination: Role) -> dict[PortSet, int]:
        parts: dict[PortSet, int] = defaultdict(int)
        left = self.everyone & ~self._open
        if self._open:
            parts[ALL_PORTS] = self._open
        asked: dict[Profile, None] = {}
        for key in (None, *destination.visible):
            asked.update(dict.fromkeys(self._mentioning.get(key, ())))
        for profile in asked:
            ports = allowed(profile, destination.visible, destination.named, own=False)
            if ports:
                parts[ports] |= self._senders[profile]
                left &= ~self._senders[profile]
        if left:
            parts[NO_PORTS] |= left
        return parts
