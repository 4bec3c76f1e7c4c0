"""The policies of one namespace beside each other: what they repeat, leave out, and open again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tenantprofile.connectivity.policies import DIRECTIONS, Direction, Rule
from tenantprofile.connectivity.ports import PortSet
from tenantprofile.connectivity.workloads import Workload
from tenantprofile.linting.catalogue import (
    CONTAINED_RULE,
    EGRESS_WITHOUT_DNS,
    WIDENS_BASELINE,
    WIDENS_WITHIN,
)
from tenantprofile.linting.containment import Home, peer_in, rule_in, stays_home
from tenantprofile.linting.placed import PolicyHere
from tenantprofile.policy.findings import Finding, Path, field_path
from tenantprofile.policy.selection import implies, may_overlap
from tenantprofile.selectors import Requirement, Selector

_DNS = PortSet.of("UDP", 53) | PortSet.of("UDP", 5353) | PortSet.of("UDP", 8053)
_SIDES: dict[Direction, tuple[str, str]] = {"Ingress": ("ingress", "from"), "Egress": ("egress", "to")}

Told = Iterator[tuple[PolicyHere, Finding]]


def judge_namespace(home: Home, policies: Sequence[PolicyHere], pods: Sequence[Workload]) -> Told:
    """Every finding about a namespace's policies, each at the policy that should change."""
    yield from contained(home, policies)
    yield from without_dns(home, policies, pods)
    yield from widening(home, policies)


# --- repeated ---


def contained(home: Home, policies: Sequence[PolicyHere]) -> Told:
    """Rules that another rule contains; of two that say the same, the later one is told of."""
    for direction in DIRECTIONS:
        rules = [
            (policy, index, rule)
            for policy in policies
            for index, rule in enumerate(policy.spec.rules(direction))
        ]
        for place, (policy, index, rule) in enumerate(rules):
            path: Path = (_SIDES[direction][0], index)
            for other_place, (other, other_index, other_rule) in enumerate(rules):
                if place == other_place or not implies(policy.spec.subjects, other.spec.subjects):
                    continue
                if policy.managed and not other.managed:
                    continue  # what a tenant opens, a tenant may close again
                if not rule_in(rule, other_rule, home):
                    continue
                same = rule_in(other_rule, rule, home) and implies(other.spec.subjects, policy.spec.subjects)
                if same and place < other_place and policy.managed == other.managed:
                    continue
                where = field_path((_SIDES[direction][0], other_index))
                what = where if other is policy else f"{where} of {other.name}"
                word = "says the same as" if same else "is contained in"
                yield policy, Finding(CONTAINED_RULE, path, f"the rule {word} {what}")
                break
            else:
                yield from _peers(home, policy, direction, path, rule)


def _peers(home: Home, policy: PolicyHere, direction: Direction, path: Path, rule: Rule) -> Told:
    """Peers of one rule that another of its peers contains."""
    peers, side = rule.peers or (), _SIDES[direction][1]
    for index, peer in enumerate(peers):
        for number, other in enumerate(peers):
            if index == number or not peer_in(peer, other, home):
                continue
            if index < number and peer_in(other, peer, home):
                continue
            message = f"the peer is contained in {field_path((*path, side, number))}"
            yield policy, Finding(CONTAINED_RULE, (*path, side, index), message)
            break


# --- left out ---


def without_dns(home: Home, policies: Sequence[PolicyHere], pods: Sequence[Workload]) -> Told:
    """Policies that isolate pods for egress, where none lets these pods reach DNS.

    Decided over the pods where these are given, otherwise over the selectors.
    """
    isolating = [policy for policy in policies if "Egress" in policy.spec.directions]
    resolving = [p for p in isolating if any(_reaches_dns(rule, home) for rule in p.spec.rules("Egress"))]
    told: list[PolicyHere] = []
    # The widest and most closed first: what is said of all pods is not to be said again of some.
    for policy in sorted(isolating, key=lambda p: (len(p.spec.subjects.requirements), len(p.spec.egress))):
        if any(implies(policy.spec.subjects, other.spec.subjects) for other in told):
            continue
        if pods:
            cut_off = [
                pod
                for pod in pods
                if not pod.host_network
                and policy.spec.subjects.matches(pod.labels)
                and not any(other.spec.subjects.matches(pod.labels) for other in resolving)
            ]
            if not cut_off:
                continue
            names = ", ".join(pod.name for pod in cut_off[:3])
            more = f" and {len(cut_off) - 3} more" if len(cut_off) > 3 else ""
            message = f"nothing lets {names}{more} reach DNS"
        elif any(implies(policy.spec.subjects, other.spec.subjects) for other in resolving):
            continue
        else:
            some = [o for o in resolving if may_overlap(policy.spec.subjects, o.spec.subjects)]
            message = "no policy of the namespace lets the pods that it selects reach DNS"
            if some:
                message = (
                    "no policy of the namespace lets some of the pods that it selects reach DNS: those that"
                    f" {' and '.join(_without(other.spec.subjects) for other in some[:3])}"
                )
        told.append(policy)
        yield (
            policy,
            Finding(
                EGRESS_WITHOUT_DNS, ("policyTypes",), message, expected="UDP and TCP 53 to the cluster's DNS"
            ),
        )


def _without(selector: Selector) -> str:
    """Who a selector leaves out: `without app=eso`."""
    return "are without " + ",".join(_requirement(r) for r in selector.requirements)


def _requirement(r: Requirement) -> str:
    values = sorted(r.values)
    if r.operator == "In":
        return f"{r.key}={values[0]}" if len(values) == 1 else f"{r.key} in ({', '.join(values)})"
    if r.operator == "NotIn":
        return f"{r.key} not in ({', '.join(values)})"
    return r.key if r.operator == "Exists" else f"!{r.key}"


def _reaches_dns(rule: Rule, home: Home) -> bool:
    """By a port of DNS, to where DNS may be; a port by name may be DNS."""
    if rule.ports is not None and not rule.numbers & _DNS and not rule.names:
        return False
    if rule.peers is None or home.name == "kube-system":
        return True
    return any(not stays_home(peer, home) for peer in rule.peers)


# --- opened again ---


def widening(home: Home, policies: Sequence[PolicyHere]) -> Told:
    """Rules of policies that nobody manages, which allow what the managed ones close."""
    baseline = [policy for policy in policies if policy.managed]
    for policy in policies if baseline else ():
        if policy.managed:
            continue
        for direction in DIRECTIONS:
            closed = [
                other
                for other in baseline
                if direction in other.spec.directions
                and may_overlap(other.spec.subjects, policy.spec.subjects)
            ]
            for index, rule in enumerate(policy.spec.rules(direction) if closed else ()):
                allowed = any(
                    rule_in(rule, known, home)
                    for other in closed
                    if implies(policy.spec.subjects, other.spec.subjects)
                    for known in other.spec.rules(direction)
                )
                if allowed:
                    continue
                within = rule.peers is not None and all(stays_home(peer, home) for peer in rule.peers)
                names = ", ".join(dict.fromkeys(other.name for other in closed[:3]))
                yield (
                    policy,
                    Finding(
                        WIDENS_WITHIN if within else WIDENS_BASELINE,
                        (_SIDES[direction][0], index),
                        f"the rule allows what {names} {'closes' if len(closed) == 1 else 'close'}"
                        f"{' within the namespace' if within else ''}",
                    ),
                )
