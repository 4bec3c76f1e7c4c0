"""All of lint in one call: objects in, findings out, in an order that does not depend on theirs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from tenantprofile.connectivity.workloads import Workload
from tenantprofile.input.objects import SourceObject
from tenantprofile.linting import cluster, together, wanted
from tenantprofile.linting.catalogue import (
    CONTAINED_RULE,
    NAMED_PORT_NOWHERE,
    PEER_SELECTS_NOTHING,
    RULES,
    SELECTS_NOTHING,
    SEVERITIES,
    choose,
)
from tenantprofile.linting.containment import Home
from tenantprofile.linting.placed import Placed, PolicyHere
from tenantprofile.linting.profiles import MADE_UP, Profiles, missing_records
from tenantprofile.linting.reading import Input, is_managed, parsed, read
from tenantprofile.linting.templates import judge_unused, load
from tenantprofile.linting.waivers import apply
from tenantprofile.names import LABEL_PROFILE
from tenantprofile.policy.findings import Finding, Path, Severity
from tenantprofile.policy.rules import check_spec

OPERATOR_NAMESPACE = "tenantprofile-system"

_ONLY_EVERYWHERE = frozenset(
    rule.id for rule in (CONTAINED_RULE, NAMED_PORT_NOWHERE, PEER_SELECTS_NOTHING, SELECTS_NOTHING)
)
"""Of an entry these are true only if they are true in every namespace that it could be held against:
a policy for pods that opted in is not wrong because one namespace has none."""


@dataclass(frozen=True, slots=True)
class Result:
    """findings: those that count. waived: those that somebody accepted. judged: how many objects."""

    findings: tuple[Placed, ...]
    waived: tuple[Placed, ...]
    judged: int

    def count(self, severity: Severity) -> int:
        return sum(placed.rule.severity == severity for placed in self.findings)

    def reaches(self, threshold: Severity) -> bool:
        """Whether any finding is as bad as this, or worse."""
        bad = SEVERITIES[: SEVERITIES.index(threshold) + 1]
        return any(placed.rule.severity in bad for placed in self.findings)


def lint(
    objects: Iterable[SourceObject],
    today: str,
    chosen: frozenset[str] | None = None,
    complete: bool = False,
    operator_namespace: str = OPERATOR_NAMESPACE,
    pods: Sequence[Workload] = (),
) -> Result:
    """Judges everything. today: the day, as 2027-01-31, on which waivers are held against the calendar.

    chosen: ids of the rules to judge by, see `catalogue.choose`. complete: the input is a whole
    cluster, so a peer that nothing in it matches is matched by nothing. pods: such as there are
    besides, and were read before.
    """
    chosen = choose() if chosen is None else chosen
    items = tuple(objects)
    given = read(items, complete, pods)
    found = [*given.findings, *_judged(given, items, operator_namespace)]
    for placed in found:
        if placed.rule.id not in RULES:
            raise RuntimeError(
                f"the rule {placed.rule.id} is not in the catalogue, so nobody could choose it"
            )
    unique = {(id(p.item), p.entry, p.path, p.finding, p.namespaces): p for p in found if p.rule.id in chosen}
    told = [p for p in apply(unique.values(), items, today, chosen) if p.rule.id in chosen]
    told.sort(key=lambda placed: placed.order)
    judged = len(given.policies) + len(given.profiles) + len(given.templates)
    return Result(
        tuple(placed for placed in told if placed.waiver is None),
        tuple(placed for placed in told if placed.waiver is not None),
        judged,
    )


def _judged(given: Input, items: tuple[SourceObject, ...], operator_namespace: str) -> Iterator[Placed]:
    findings: list[Placed] = []
    known = load(given.templates, findings)
    profiles = Profiles(given, known, operator_namespace)
    yield from findings
    yield from profiles.findings
    yield from judge_unused(known, frozenset(profiles.used))
    rendered = {(policy.namespace, policy.name) for policy in profiles.policies}
    # What a profile of the input renders counts as it is rendered, not as it once was applied.
    written = [
        item
        for item in given.policies
        if not (is_managed(item) and _profile_of(item) in profiles.names)
        and (item.namespace or "default", item.name) not in rendered
    ]
    yield from missing_records([item for item in written if is_managed(item)], profiles.names)
    policies = list(profiles.policies)
    for item in written:
        spec = item.raw.get("spec")
        for finding in check_spec(spec if spec is not None else {}):
            yield Placed(finding, item, ("spec", *finding.path))
        understood = parsed(spec)
        if understood is not None:
            namespace = item.namespace or "default"
            policies.append(PolicyHere(namespace, item.name, understood, item, ("spec",), is_managed(item)))
    yield from _over_namespaces(given, policies)
    for here, finding in wanted.judge((item.raw for item in items), given.world, policies):
        yield here.place(finding, (here.namespace,) if here.entry else ())


def _profile_of(item: SourceObject) -> str:
    return str(item.metadata["labels"].get(LABEL_PROFILE) or "")


def _over_namespaces(given: Input, policies: list[PolicyHere]) -> Iterator[Placed]:
    """What policies say beside each other and over pods; an entry's findings told once."""
    by_namespace: dict[str, list[PolicyHere]] = defaultdict(list)
    for policy in policies:
        by_namespace[policy.namespace].append(policy)
    there = cluster.Cluster(given)
    entries: dict[tuple[int, Path, str, Path], list[tuple[PolicyHere, Finding]]] = defaultdict(list)
    for name in sorted(by_namespace):
        here = sorted(by_namespace[name], key=lambda policy: policy.name)
        home = Home(name, given.namespaces[name].labels if name in given.namespaces_given else None)
        found = [
            *together.judge_namespace(home, here, given.pods.get(name, ())),
            *(told for policy in here for told in there.judge(policy)),
        ]
        for policy, finding in found:
            if policy.entry:
                entries[id(policy.item), policy.base, finding.rule.id, finding.path].append((policy, finding))
            else:
                yield policy.place(finding)
    yield from _entries(given, policies, entries)


def _entries(
    given: Input,
    policies: list[PolicyHere],
    found: dict[tuple[int, Path, str, Path], list[tuple[PolicyHere, Finding]]],
) -> Iterator[Placed]:
    everywhere: dict[tuple[int, Path], set[str]] = defaultdict(set)
    for policy in policies:
        everywhere[id(policy.item), policy.base].add(policy.namespace)
    for (item, base, rule, _), told in found.items():
        namespaces = tuple(dict.fromkeys(policy.namespace for policy, _ in told))
        made_up = namespaces[0].startswith(MADE_UP)
        asked = everywhere[item, base]
        if RULES[rule].group == "cluster":
            asked = {name for name in asked if name in given.pods} or asked
        if rule in _ONLY_EVERYWHERE and len(namespaces) < len(asked):
            continue
        policy, finding = told[0]
        if len(namespaces) > 1:
            finding = replace(finding, message=f"{finding.message} (in {_some(namespaces)})")
        yield policy.place(finding, () if made_up else namespaces)


def _some(names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more namespaces"
