"""Coverage: which pods and namespaces policies isolate, which they do not, and who widens what they do.

A pod is covered in a direction when policies restrict it there: one that no policy isolates is open, and
one whose policies together allow every peer on every port is open to all. A namespace is covered in a
direction when policies for every pod of it, also those that are yet to come (`podSelector: {}`),
restrict them. Pods with hostNetwork are their node's traffic: no policy can cover them, and they are
counted apart. So are the namespaces of the system, which no tenant works in.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, Literal

from tenantprofile.analysis.listing import pair_count
from tenantprofile.analysis.naming import end_text
from tenantprofile.analysis.world import Assembly, PolicySource
from tenantprofile.connectivity.connections import ConnectionMap
from tenantprofile.connectivity.coverage import Coverage, Level, Levels, coverage
from tenantprofile.connectivity.difference import difference
from tenantprofile.connectivity.needs import Need, needs
from tenantprofile.connectivity.policies import DIRECTIONS, Direction, Policy
from tenantprofile.connectivity.settings import DEFAULT_SETTINGS, Settings
from tenantprofile.connectivity.world import World

EXACT_UP_TO: Final = 200_000
"""Policies to judge times pods; beyond it, comparing connection maps takes minutes, and rules are read."""

EXAMPLES: Final = 3


@dataclass(frozen=True, slots=True)
class NamespaceCoverage:
    """A namespace. uncovered: pods that are open, by direction; default: policies that isolate every pod.

    wide: pods that are isolated and open to all. system: not a tenant's.
    """

    name: str
    pods: int
    exempt: int
    uncovered_ingress: int
    uncovered_egress: int
    default_ingress: tuple[Policy, ...]
    default_egress: tuple[Policy, ...]
    profiles: tuple[str, ...]
    wide_ingress: int = 0
    wide_egress: int = 0
    ingress_level: Level = "restricted"
    egress_level: Level = "restricted"
    system: bool = False

    def level(self, direction: Direction) -> Level:
        """What a new pod gets, whatever its labels."""
        return self.ingress_level if direction == "Ingress" else self.egress_level

    def wide(self, direction: Direction) -> int:
        """Pods that are isolated and open to all."""
        return self.wide_ingress if direction == "Ingress" else self.wide_egress

    def uncovered(self, direction: Direction) -> int:
        return self.uncovered_ingress if direction == "Ingress" else self.uncovered_egress

    def default(self, direction: Direction) -> tuple[Policy, ...]:
        return self.default_ingress if direction == "Ingress" else self.default_egress

    @property
    def covered(self) -> bool:
        """In both directions, whatever pods come."""
        return self.ingress_level == self.egress_level == "restricted"


@dataclass(frozen=True, slots=True)
class Widening:
    """A policy of nobody's profile that lets through what the others stop.

    method: `connections` when its effect was worked out, with their number and a few of them; `rules`
    when only its rules were read: then it may allow what others allow as well.
    """

    policy: Policy
    source: PolicySource
    method: Literal["connections", "rules"]
    gained: int
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Audit:
    """Everything that an audit found, the namespaces of the system included, which `system` names.

    The methods are about the others, unless they are told otherwise; excluded namespaces are nowhere.
    """

    pods: tuple[Coverage, ...]
    namespaces: tuple[NamespaceCoverage, ...]
    widenings: tuple[Widening, ...]
    excluded: tuple[str, ...]
    system: frozenset[str] = frozenset()
    needs: tuple[Need, ...] = ()

    def countable(self, *, system: bool = False) -> list[Coverage]:
        """The pods that policies can govern, of tenants or else of the system."""
        return [p for p in self.pods if not p.exempt and (p.workload.namespace in self.system) == system]

    def spaces(self, *, system: bool = False) -> list[NamespaceCoverage]:
        """The namespaces of tenants, or else of the system."""
        return [space for space in self.namespaces if space.system == system]

    def at(self, direction: Direction, level: Level, *, system: bool = False) -> list[Coverage]:
        """The pods that have this level in a direction."""
        return [pod for pod in self.countable(system=system) if pod.level(direction) == level]

    def spaces_at(
        self, direction: Direction, level: Level, *, system: bool = False
    ) -> list[NamespaceCoverage]:
        """The namespaces in which a new pod has this level in a direction."""
        return [space for space in self.spaces(system=system) if space.level(direction) == level]

    def open(self, direction: Direction) -> list[Coverage]:
        """The pods that no policy isolates in a direction."""
        return self.at(direction, "open")

    def unguarded(self, direction: Direction) -> list[NamespaceCoverage]:
        """The namespaces in which a new pod would be open in a direction."""
        return self.spaces_at(direction, "open")

    @property
    def complete(self) -> bool:
        """Every pod and namespace of tenants is restricted in both directions."""
        return all(
            len(self.at(d, "restricted")) == len(self.countable())
            and len(self.spaces_at(d, "restricted")) == len(self.spaces())
            for d in DIRECTIONS
        )


SYSTEM_NAMESPACES: Final = re.compile(r"kube-.*|openshift|openshift-.*|tenantprofile-system")
"""Names that Kubernetes and OpenShift keep for themselves (documentation, Namespaces), and the operator's."""


def audit(
    assembly: Assembly,
    *,
    excluded: Iterable[str] = (),
    system: Iterable[str] = (),
    settings: Settings = DEFAULT_SETTINGS,
    covered: Iterable[Coverage] | None = None,
    exact_up_to: int | None = None,
) -> Audit:
    """The audit of a world, without the namespaces that are excluded by name.

    system: names of namespaces to be counted apart besides SYSTEM_NAMESPACES. Where there are no others,
    those of the system are what is asked about. covered: the coverage of every pod where it is known
    already. exact_up_to: see EXACT_UP_TO.
    """
    left_out = set(excluded)
    each = coverage(assembly.world, settings) if covered is None else covered
    pods = tuple(p for p in each if p.workload.namespace not in left_out)
    known = [name for name in assembly.world.namespaces if name not in left_out]
    named = set(system)
    apart = frozenset(name for name in known if name in named or SYSTEM_NAMESPACES.fullmatch(name))
    if len(apart) == len(known):
        apart = frozenset()
    spaces = tuple(_namespaces(assembly, pods, left_out, apart, Levels(settings)))
    widenings = tuple(
        _widenings(assembly, left_out, settings, EXACT_UP_TO if exact_up_to is None else exact_up_to)
    )
    needed = tuple(
        need
        for need in needs((item.raw for item in assembly.objects), assembly.world, settings)
        if need.namespace not in left_out
    )
    return Audit(pods, spaces, widenings, tuple(sorted(left_out)), apart, needed)


def _namespaces(
    assembly: Assembly,
    pods: Sequence[Coverage],
    left_out: set[str],
    apart: frozenset[str],
    levels: Levels,
) -> Iterator[NamespaceCoverage]:
    world = assembly.world
    members: dict[str, list[Coverage]] = {name: [] for name in world.namespaces}
    for pod in pods:
        members[pod.workload.namespace].append(pod)
    profiles: dict[str, list[str]] = {}
    for profile, names in assembly.selected.items():
        for name in names:
            profiles.setdefault(name, []).append(profile)
    for name, found in members.items():
        if name in left_out:
            continue
        countable = [pod for pod in found if not pod.exempt]
        ingress, egress = _defaults(world, name, "Ingress"), _defaults(world, name, "Egress")
        yield NamespaceCoverage(
            name,
            len(countable),
            len(found) - len(countable),
            sum(not pod.ingress for pod in countable),
            sum(not pod.egress for pod in countable),
            ingress,
            egress,
            tuple(sorted(profiles.get(name, ()))),
            sum(pod.ingress_level == "open to all" for pod in countable),
            sum(pod.egress_level == "open to all" for pod in countable),
            levels.of(ingress, "Ingress"),
            levels.of(egress, "Egress"),
            name in apart,
        )


def _defaults(world: World, namespace: str, direction: Direction) -> tuple[Policy, ...]:
    return tuple(
        policy
        for policy in world.policies_in(namespace)
        if direction in policy.spec.directions and policy.spec.subjects.is_everything
    )


def _widenings(
    assembly: Assembly, left_out: set[str], settings: Settings, exact_up_to: int
) -> Iterator[Widening]:
    """Of the policies beside a profile's, those that open something; of others there is no baseline."""
    world = assembly.world
    managed = {policy.namespace for policy in world.policies if assembly.source_of(policy).managed}
    suspects = [
        policy
        for policy in world.policies
        if policy.namespace in managed - left_out
        and not assembly.source_of(policy).managed
        and any(policy.spec.rules(direction) for direction in DIRECTIONS)
    ]
    if len(suspects) * max(len(world.workloads), 1) <= exact_up_to and world.workloads:
        table = ConnectionMap(world, settings) if suspects else None
        for policy in suspects:
            if table is not None and (found := _gained(assembly, table, policy, settings)):
                yield found
    else:
        yield from (_by_rules(assembly, policy) for policy in suspects if _adds_to_others(world, policy))


def _gained(assembly: Assembly, table: ConnectionMap, policy: Policy, settings: Settings) -> Widening | None:
    world = assembly.world
    others = [other for other in world.policies if other is not policy]
    without = world.under(others)
    count, examples = 0, list[str]()
    for change in difference(ConnectionMap(without, settings), table):
        if change.sign != "gained":
            continue
        count += pair_count(change.flow)
        for source, destination in islice(change.flow.pairs(), EXAMPLES - len(examples)):
            examples.append(f"{end_text(source)} → {end_text(destination)}: {change.flow.ports}")
    if not count:
        return None
    return Widening(policy, assembly.source_of(policy), "connections", count, tuple(examples))


def _adds_to_others(world: World, policy: Policy) -> bool:
    """Whether a policy has rules in a direction in which another isolates its pods as well."""
    subjects = [
        workload
        for workload in world.workloads_in(policy.namespace)
        if policy.spec.subjects.matches(workload.labels)
    ]
    for direction in DIRECTIONS:
        if not policy.spec.rules(direction):
            continue
        for other in world.policies_in(policy.namespace):
            if other is policy or direction not in other.spec.directions:
                continue
            if other.spec.subjects.is_everything or any(
                other.spec.subjects.matches(w.labels) for w in subjects
            ):
                return True
    return False


def _by_rules(assembly: Assembly, policy: Policy) -> Widening:
    paths = [
        f"spec.{direction.lower()}[{index}]"
        for direction in DIRECTIONS
        for index, _ in enumerate(policy.spec.rules(direction))
    ]
    return Widening(policy, assembly.source_of(policy), "rules", 0, tuple(islice(paths, EXAMPLES)))
