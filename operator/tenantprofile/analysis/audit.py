"""Coverage: which pods and namespaces policies isolate, which they do not, and who widens what they do.

A pod is covered in a direction when a policy isolates it there. A namespace is covered in a direction
when a policy isolates every pod of it, also those that are yet to come (`podSelector: {}`). Pods with
hostNetwork are their node's traffic: no policy can cover them, and they are counted apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, Literal

from tenantprofile.analysis.listing import pair_count
from tenantprofile.analysis.naming import end_text
from tenantprofile.analysis.world import Assembly, PolicySource
from tenantprofile.connectivity.connections import ConnectionMap
from tenantprofile.connectivity.coverage import Coverage, coverage
from tenantprofile.connectivity.difference import difference
from tenantprofile.connectivity.policies import DIRECTIONS, Direction, Policy
from tenantprofile.connectivity.settings import DEFAULT_SETTINGS, Settings
from tenantprofile.connectivity.world import World

EXACT_UP_TO: Final = 200_000
"""Policies to judge times pods; beyond it, comparing connection maps takes minutes, and rules are read."""

EXAMPLES: Final = 3


@dataclass(frozen=True, slots=True)
class NamespaceCoverage:
    """A namespace. uncovered: pods that are open, by direction; default: policies that isolate every pod."""

    name: str
    pods: int
    exempt: int
    uncovered_ingress: int
    uncovered_egress: int
    default_ingress: tuple[Policy, ...]
    default_egress: tuple[Policy, ...]
    profiles: tuple[str, ...]

    def uncovered(self, direction: Direction) -> int:
        return self.uncovered_ingress if direction == "Ingress" else self.uncovered_egress

    def default(self, direction: Direction) -> tuple[Policy, ...]:
        return self.default_ingress if direction == "Ingress" else self.default_egress

    @property
    def covered(self) -> bool:
        """In both directions, whatever pods come."""
        return bool(self.default_ingress and self.default_egress)


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
    """Everything that an audit found; `pods` without those of excluded namespaces."""

    pods: tuple[Coverage, ...]
    namespaces: tuple[NamespaceCoverage, ...]
    widenings: tuple[Widening, ...]
    excluded: tuple[str, ...]

    def open(self, direction: Direction) -> list[Coverage]:
        """The pods that no policy isolates in a direction."""
        return [pod for pod in self.pods if not pod.exempt and not pod.by(direction)]

    def unguarded(self, direction: Direction) -> list[NamespaceCoverage]:
        """The namespaces in which a new pod would be open in a direction."""
        return [space for space in self.namespaces if not space.default(direction)]

    @property
    def complete(self) -> bool:
        """Every pod and namespace is covered in both directions."""
        return not any(self.open(d) or self.unguarded(d) for d in DIRECTIONS)


def audit(
    assembly: Assembly, *, excluded: Iterable[str] = (), settings: Settings = DEFAULT_SETTINGS
) -> Audit:
    """The audit of a world, without the namespaces that are excluded by name."""
    left_out = set(excluded)
    pods = tuple(p for p in coverage(assembly.world, settings) if p.workload.namespace not in left_out)
    spaces = tuple(_namespaces(assembly, pods, left_out))
    widenings = tuple(_widenings(assembly, left_out, settings))
    return Audit(pods, spaces, widenings, tuple(sorted(left_out)))


def _namespaces(
    assembly: Assembly, pods: Sequence[Coverage], left_out: set[str]
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
        yield NamespaceCoverage(
            name,
            len(countable),
            len(found) - len(countable),
            sum(not pod.ingress for pod in countable),
            sum(not pod.egress for pod in countable),
            _defaults(world, name, "Ingress"),
            _defaults(world, name, "Egress"),
            tuple(sorted(profiles.get(name, ()))),
        )


def _defaults(world: World, namespace: str, direction: Direction) -> tuple[Policy, ...]:
    return tuple(
        policy
        for policy in world.policies_in(namespace)
        if direction in policy.spec.directions and policy.spec.subjects.is_everything
    )


def _widenings(assembly: Assembly, left_out: set[str], settings: Settings) -> Iterator[Widening]:
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
    if len(suspects) * max(len(world.workloads), 1) <= EXACT_UP_TO and world.workloads:
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
        for workload in world.workloads
        if workload.namespace == policy.namespace and policy.spec.subjects.matches(workload.labels)
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
