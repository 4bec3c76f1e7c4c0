"""A verdict in words: what lets a connection through on each side, or what stops it (pure).

The wording is shared by `explain`, by failing assertions and by the status of a TenantProfile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from tenantprofile.connectivity.policies import Peer, Policy, Rule
from tenantprofile.connectivity.ports import NO_PORTS, PortSet
from tenantprofile.connectivity.settings import DEFAULT_SETTINGS, Settings
from tenantprofile.connectivity.verdict import End, Side, Verdict, is_node, verdict
from tenantprofile.connectivity.workloads import Workload
from tenantprofile.connectivity.world import World
from tenantprofile.names import LABEL_NAMESPACE_NAME
from tenantprofile.selectors import Requirement

_SHOWN: Final = 4
"""Policies and rules that a sentence names before it counts."""

_DEPENDS: Final = {
    "ip_blocks_match_pods": "the answer is the opposite where ipBlock does not match pods (Cilium)",
    "host_network": "the answer depends on how the network plugin treats hostNetwork pods",
    "egress_to_own_node": "the answer depends on whether the plugin always lets a pod reach its own node",
    "address unknown": "an ipBlock decides, and the pod's address is not known: it is taken to be private",
    "a pod always reaches itself": "between two different pods of it; a pod always reaches itself",
}


@dataclass(frozen=True, slots=True)
class Words:
    """How ends and policies are called; `origin` says where a policy comes from, empty for nothing to say."""

    end: Callable[[End], str] = str
    policy: Callable[[Policy], str] = str
    origin: Callable[[Policy], str] = lambda policy: ""

    def named(self, policy: Policy) -> str:
        origin = self.origin(policy)
        return f"{self.policy(policy)} ({origin})" if origin else self.policy(policy)


PLAIN: Final = Words()


def headline(found: Verdict, words: Words = PLAIN, ports: PortSet | None = None) -> str:
    """`shop/web → shop/db, TCP 5432: denied`; ports: all of which the same is true."""
    answer = "allowed" if found.allowed else "denied"
    ends = f"{words.end(found.source)} → {words.end(found.destination)}"
    if ports is None:
        return f"{ends}, {found.protocol} {found.port}: {answer}"
    return f"{ends}, {'all ports' if ports.is_everything else ports}: {answer}"


def reasons(
    world: World, found: Verdict, words: Words = PLAIN, settings: Settings = DEFAULT_SETTINGS
) -> tuple[str, ...]:
    """One sentence for each side that has something to say, and what else the answer depends on."""
    said: list[str] = []
    if found.always == "itself":
        said.append("a pod always reaches itself, whatever policies say")
    elif found.always == "own node":
        said.append("traffic between a pod and its own node is always allowed")
    else:
        said.append(f"leaving: {_side(world, found, found.egress, words, settings)}")
        said.append(f"arriving: {_side(world, found, found.ingress, words, settings)}")
    said.extend(_depends(name, settings) for name in found.depends)
    return tuple(said)


def _depends(name: str, settings: Settings) -> str:
    """The remark is about the other plugins: those that do not read an ipBlock as the one asked about."""
    if name == "ip_blocks_match_pods" and not settings.ip_blocks_match_pods:
        return "the answer is the opposite where ipBlock matches pods (most plugins other than Cilium)"
    return _DEPENDS.get(name, name)


def blocking(
    world: World, found: Verdict, words: Words = PLAIN, settings: Settings = DEFAULT_SETTINGS
) -> tuple[str, ...]:
    """Only the sides that stop a denied connection."""
    sides = (("leaving", found.egress), ("arriving", found.ingress))
    return tuple(
        f"{name}: {_side(world, found, side, words, settings)}" for name, side in sides if not side.allowed
    )


def _side(world: World, found: Verdict, side: Side, words: Words, settings: Settings) -> str:
    leaving = side.direction == "Egress"
    subject = found.source if leaving else found.destination
    name = words.end(subject)
    if not isinstance(subject, Workload):
        return f"{name} is not a pod, and no policy governs what it {'sends' if leaving else 'receives'}"
    if is_node(subject, settings):
        return f"{name} uses its node's network (hostNetwork), which no policy governs"
    if not side.isolated_by:
        open_to = "it may connect to anything" if leaving else "anything may connect to it"
        return f"no policy isolates {name} for {side.direction}, so {open_to}"
    if side.matches:
        rules = _listed([f"{words.named(match.policy)}, {match.path}" for match in side.matches])
        return f"let {'out' if leaving else 'in'} by {rules}"
    policies = _listed([words.policy(policy) for policy in side.isolated_by])
    stopped = f"{name} is isolated for {side.direction} by {policies}, and no rule there lets it through"
    near = _listed(list(_near(world, found, side, words, settings)))
    return f"{stopped}; {near}" if near else stopped


def _near(world: World, found: Verdict, side: Side, words: Words, settings: Settings) -> Iterator[str]:
    """Rules that would let it through on other ports, with one other label, or with both: the usual mistakes."""
    other = found.destination if side.direction == "Egress" else found.source
    for policy in side.isolated_by:
        for index, rule in enumerate(policy.spec.rules(side.direction)):
            rule_path = f"{words.policy(policy)}, spec.{side.direction.lower()}[{index}]"
            missing: list[str] = []
            if isinstance(other, Workload) and not is_node(other, settings):
                missing = [
                    label
                    for peer in rule.peers or ()
                    if (label := _one_label(world, policy, peer, other, words))
                ]
            if _port_fits(rule, found):
                yield from (f"{rule_path}: {label}" for label in missing)
                continue
            elsewhere = next(rule.numbers.ranges(), None)
            if elsewhere is None:
                continue
            protocol, port, _ = elsewhere
            there_found = verdict(world, found.source, found.destination, protocol, port, settings)
            there = there_found.egress if side.direction == "Egress" else there_found.ingress
            if any(match.policy is policy and match.rule == index for match in there.matches):
                yield f"{rule_path} would on {rule.numbers} only"
            else:
                yield from (f"{rule_path}: {label}, on {rule.numbers} only" for label in missing)


def _port_fits(rule: Rule, found: Verdict) -> bool:
    if rule.numbers.contains(found.protocol, found.port):
        return True
    target = found.destination
    return isinstance(target, Workload) and any(
        protocol == found.protocol and found.port in target.numbers(name, protocol)
        for name, protocol in rule.names
    )


def _one_label(world: World, policy: Policy, peer: Peer, other: Workload, words: Words) -> str:
    """What one label would have to be for a peer to match; empty where more than one thing is wrong."""
    if peer.block is not None:
        return ""
    home = world.namespaces[other.namespace]
    pod_misses = [r for r in peer.pods.requirements if not r.matches(other.labels)]
    if peer.namespaces is None:
        if other.namespace == policy.namespace and len(pod_misses) == 1:
            return f"{words.end(other)} would match if it had {_wanted(pod_misses[0])}"
        if other.namespace != policy.namespace and peer.pods.requirements and not pod_misses:
            return (
                f"{words.end(other)} has these labels, but without a namespaceSelector the peer is about"
                f" pods in {policy.namespace} only"
            )
        return ""
    space_misses = [r for r in peer.namespaces.requirements if not r.matches(home.labels)]
    if len(space_misses) + len(pod_misses) != 1:
        return ""
    if space_misses:
        miss = space_misses[0]
        if miss.key == LABEL_NAMESPACE_NAME:
            return ""  # another namespace by name is meant, and no label was forgotten
        return f"namespace {home.name} would match if it had {_wanted(miss)}{_has(miss, home.labels)}"
    return f"{words.end(other)} would match if it had {_wanted(pod_misses[0])}{_has(pod_misses[0], other.labels)}"


def _wanted(miss: Requirement) -> str:
    values = " or ".join(f"{miss.key}={value}" for value in sorted(miss.values)[:_SHOWN])
    if miss.operator == "In":
        return values
    if miss.operator == "Exists":
        return f"the label {miss.key}"
    return f"no label {miss.key}" if miss.operator == "DoesNotExist" else f"not {values}"


def _has(miss: Requirement, labels: Mapping[str, str]) -> str:
    found = labels.get(miss.key)
    return f" (it has {miss.key}={found})" if found is not None and miss.operator == "In" else ""


def open_ports(world: World, source: End, destination: End, settings: Settings = DEFAULT_SETTINGS) -> PortSet:
    """All ports on which one end reaches the other: one question per range that no rule divides."""
    bounds: set[tuple[str, int]] = {("TCP", 1), ("UDP", 1), ("SCTP", 1)}
    for end, direction in ((source, "Egress"), (destination, "Ingress")):
        if not isinstance(end, Workload):
            continue
        for policy in world.policies_in(end.namespace):
            for rule in policy.spec.ingress if direction == "Ingress" else policy.spec.egress:
                for protocol, first, last in rule.numbers.ranges():
                    bounds |= {(protocol, first), (protocol, last + 1)}
    if isinstance(destination, Workload):
        for port in destination.ports:
            bounds |= {(port.protocol, port.number), (port.protocol, port.number + 1)}
    result = NO_PORTS
    for protocol in ("TCP", "UDP", "SCTP"):
        starts = sorted(at for name, at in bounds if name == protocol and at <= 65535)
        for first, following in zip(starts, [*starts[1:], 65536], strict=True):
            if verdict(world, source, destination, protocol, first, settings).allowed:
                result |= PortSet.of(protocol, first, following - 1)
    return result


def _listed(items: list[str]) -> str:
    shown = "; ".join(items[:_SHOWN]) if any(", " in item for item in items) else ", ".join(items[:_SHOWN])
    return shown if len(items) <= _SHOWN else f"{shown} and {len(items) - _SHOWN} more"
