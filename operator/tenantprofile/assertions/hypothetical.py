"""Pods that could exist: what an assertion means where only policies are known.

A profile's policies are applied before any pod is there to ask about. What selectors mention, though,
is finite: of all pods and namespaces that could exist, they tell apart only those that differ in a
mentioned label. One witness for each such difference stands for all of them, so the answer is exact:

- an end with `podLabels` is a pod with these labels and no others;
- an end without is every combination of labels that the policies tell apart;
- an end without a namespace is in the profile's own namespace; `namespaces` and `namespaceLabels` name
  others, each with the labels that are stated, and nothing is known of their own policies: they are open;
- `anything` and `outside` are every combination of namespace and pod labels, and all addresses.

A port that policies name may have any number. So where something must be denied a name counts as the
ports that the assertion asks about, and where something must be allowed it counts as none.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final

from tenantprofile.assertions.ends import Group
from tenantprofile.assertions.form import End, NetworkAssertion
from tenantprofile.connectivity.addresses import ALL_ADDRESSES
from tenantprofile.connectivity.policies import DIRECTIONS, Policy, PolicySpec
from tenantprofile.connectivity.ports import Protocol
from tenantprofile.connectivity.workloads import ContainerPort, Workload
from tenantprofile.connectivity.world import Namespace, World
from tenantprofile.names import LABEL_NAMESPACE_NAME
from tenantprofile.selectors import Selector

MAX_WITNESSES: Final = 5000
"""Per end. A profile would have to tell a dozen independent labels apart to need more."""

Labels = dict[str, str]
Choice = tuple[str, Sequence[str | None]]
"""A label's key and the values to try; None is the label left out."""


class UndecidableError(ValueError):
    """More differences than can be gone through; the message says how to narrow the assertion."""


@dataclass(slots=True)
class Mentions:
    """Label keys with the values that selectors mention, and whether they ask if the key is there."""

    values: dict[str, set[str]]
    asked: set[str]

    @classmethod
    def none(cls) -> Mentions:
        return cls(defaultdict(set), set())

    def add(self, selector: Selector) -> None:
        for requirement in selector.requirements:
            self.values[requirement.key] |= requirement.values
            if requirement.operator in ("Exists", "DoesNotExist"):
                self.asked.add(requirement.key)

    def add_labels(self, labels: Sequence[tuple[str, str]]) -> None:
        for key, value in labels:
            self.values[key].add(value)

    def add_mentions(self, other: Mentions) -> None:
        for key, values in other.values.items():
            self.values[key] |= values
        self.asked |= other.asked

    def seen_as(self, labels: Mapping[str, str]) -> tuple[tuple[str, str | None], ...]:
        """What selectors can tell of labels: equal for two sets of labels that none tells apart."""
        return tuple(
            (key, value if (value := labels.get(key)) is None or value in values else "*")
            for key, values in sorted(self.values.items())
        )

    def choices(self) -> list[Choice]:
        """For each key the values to try: those mentioned, none, and another where that is different."""
        return [
            (key, [*sorted(values), *([_other(values)] if key in self.asked else []), None])
            for key, values in sorted(self.values.items())
        ]


def mentions(specs: Sequence[PolicySpec]) -> tuple[Mentions, Mentions, Mentions]:
    """What policies ask: of their own pods, of other namespaces' pods, and of namespaces."""
    own, foreign, spaces = Mentions.none(), Mentions.none(), Mentions.none()
    for spec in specs:
        own.add(spec.subjects)
        for direction in DIRECTIONS:
            for rule in spec.rules(direction):
                for peer in rule.peers or ():
                    if peer.block is not None:
                        continue
                    own.add(peer.pods)
                    if peer.namespaces is not None:
                        foreign.add(peer.pods)
                        spaces.add(peer.namespaces)
    return own, foreign, spaces


@dataclass(frozen=True, slots=True)
class Stage:
    """A world of witnesses for one assertion, and who in it the assertion is about."""

    world: World
    sources: Group
    destinations: Group


def stage(
    assertion: NetworkAssertion,
    policies: Mapping[str, PolicySpec],
    namespace: str,
    labels: Mapping[str, str],
) -> Stage:
    """The witnesses for an assertion about one namespace that holds these policies (by name) alone.

    Raises UndecidableError.
    """
    return _Stage(assertion, policies, namespace, labels).stage()


class _Stage:
    def __init__(
        self,
        assertion: NetworkAssertion,
        policies: Mapping[str, PolicySpec],
        namespace: str,
        labels: Mapping[str, str],
    ) -> None:
        self._assertion = assertion
        self._policies = policies
        self._name = namespace
        self._labels = {**labels, LABEL_NAMESPACE_NAME: namespace}
        self._own, self._foreign, self._spaces = mentions(list(policies.values()))
        for end in (assertion.source.outside, assertion.destination.outside):
            if end is not None:
                self._own.add_labels(end.pod_labels)
                self._foreign.add_labels(end.pod_labels)
                self._spaces.add_labels(end.namespace_labels)
                self._spaces.add_labels([(LABEL_NAMESPACE_NAME, name) for name in end.namespaces])
        self._namespaces: dict[tuple[tuple[str, str], ...], Namespace] = {}
        self._workloads: dict[tuple[str, tuple[tuple[str, str], ...]], Workload] = {}
        self._ports = self._named_ports()

    def stage(self) -> Stage:
        sources = self._group(self._assertion.source)
        destinations = self._group(self._assertion.destination)
        policies = [Policy(self._name, name, spec) for name, spec in self._policies.items()]
        spaces = [Namespace(self._name, self._labels), *self._namespaces.values()]
        world = World(spaces, self._workloads.values(), (), policies)
        return Stage(world, sources, destinations)

    def _group(self, end: End) -> Group:
        if end.addresses:
            return Group(addresses=end.addresses)
        if end.anything or end.outside is not None:
            found = [
                workload
                for space in (None, *self._other_namespaces())
                for workload in self._pods(space, ())
                if end.outside is None or not self._is(end.outside, workload)
            ]
            outside = end.outside.addresses if end.outside is not None else None
            return Group(tuple(found), ALL_ADDRESSES - outside if outside else ALL_ADDRESSES)
        return Group(tuple(w for space in self._named(end) for w in self._pods(space, end.pod_labels)))

    def _named(self, end: End) -> Iterator[Namespace | None]:
        """The namespaces of an end of pods; None is the profile's own."""
        stated = dict(end.namespace_labels)
        own = all(self._labels.get(key) == value for key, value in end.namespace_labels)
        if not end.names_namespace or (own and (not end.namespaces or self._name in end.namespaces)):
            yield None
        for name in end.namespaces:
            if name != self._name:
                yield self._namespace({LABEL_NAMESPACE_NAME: name, **stated})
        if end.namespace_labels and not end.namespaces:
            unheard = _other({*self._spaces.values.get(LABEL_NAMESPACE_NAME, ()), self._name})
            yield self._namespace({LABEL_NAMESPACE_NAME: unheard, **stated})

    def _is(self, end: End, workload: Workload) -> bool:
        """Whether a witness is among those that an end of pods names."""
        own = workload.namespace == self._name
        if not end.is_pods or (not end.names_namespace and not own):
            return False
        labels = self._labels if own else self._space_of(workload).labels
        if end.namespaces and labels.get(LABEL_NAMESPACE_NAME) not in end.namespaces:
            return False
        return all(labels.get(key) == value for key, value in end.namespace_labels) and all(
            workload.labels.get(key) == value for key, value in end.pod_labels
        )

    def _space_of(self, workload: Workload) -> Namespace:
        return next(space for space in self._namespaces.values() if space.name == workload.namespace)

    def _other_namespaces(self) -> list[Namespace]:
        """One for each combination of labels that policies tell apart; every namespace has its name."""
        names = self._spaces.values.get(LABEL_NAMESPACE_NAME, set())
        named: Choice = (LABEL_NAMESPACE_NAME, [*sorted(names - {self._name}), _other({*names, self._name})])
        others = [choice for choice in self._spaces.choices() if choice[0] != LABEL_NAMESPACE_NAME]
        return [self._namespace(labels) for labels in _combinations([named, *others])]

    def _namespace(self, labels: Labels) -> Namespace:
        """Its name is what a message calls it; the name that policies see is the label."""
        key = tuple(sorted(labels.items()))
        if key not in self._namespaces:
            known = labels[LABEL_NAMESPACE_NAME]
            listed = _listed({k: v for k, v in labels.items() if k != LABEL_NAMESPACE_NAME})
            called = known if known in self._spaces_named() else "another namespace"
            self._namespaces[key] = Namespace(f"{called} with {listed}" if listed else called, labels)
        return self._namespaces[key]

    def _spaces_named(self) -> set[str]:
        stated = {n for e in (self._assertion.source, self._assertion.destination) for n in e.namespaces}
        return stated | self._spaces.values.get(LABEL_NAMESPACE_NAME, set())

    def _pods(self, space: Namespace | None, stated: tuple[tuple[str, str], ...]) -> list[Workload]:
        choices = (self._own if space is None else self._foreign).choices()
        every = [dict(stated)] if stated else sorted(_combinations(choices), key=len)
        return [self._pod(self._name if space is None else space.name, labels) for labels in every]

    def _pod(self, namespace: str, labels: Labels) -> Workload:
        key = namespace, tuple(sorted(labels.items()))
        if key not in self._workloads:
            listed = _listed(labels)
            name = f"a pod with {listed}" if listed else "a pod without labels"
            # A template rather than a pod: there may be two of them, which may talk to each other. By its
            # kind the plainest comes first, so that it is the one that a message shows.
            kind = f"Hypothetical{len(labels):03d}"
            self._workloads[key] = Workload(namespace, kind, name, labels, self._ports)
        return self._workloads[key]

    def _named_ports(self) -> tuple[ContainerPort, ...]:
        if self._assertion.expect == "allow":
            return ()
        first: dict[Protocol, int] = {}
        for protocol, low, _ in self._assertion.ports.numbers.ranges():
            first.setdefault(protocol, low)
        rules = [r for spec in self._policies.values() for d in DIRECTIONS for r in spec.rules(d)]
        names = sorted({pair for rule in rules for pair in rule.names})
        return tuple(
            ContainerPort(protocol, first[protocol], name) for name, protocol in names if protocol in first
        )


def _combinations(choices: Sequence[Choice]) -> list[Labels]:
    count = 1
    for _, values in choices:
        count *= len(values)
    if count > MAX_WITNESSES:
        keys = ", ".join(key for key, _ in choices)
        raise UndecidableError(
            f"the policies tell {count} kinds of pods apart, by {keys}; name podLabels to narrow it down"
        )
    return [
        {key: value for (key, _), value in zip(choices, values, strict=True) if value is not None}
        for values in product(*(values for _, values in choices))
    ]


def _other(values: set[str] | frozenset[str]) -> str:
    """A value that is none of these."""
    found = "another"
    while found in values:
        found += "-one"
    return found


def _listed(labels: Mapping[str, str]) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
