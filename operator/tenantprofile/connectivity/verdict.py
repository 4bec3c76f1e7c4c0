"""One connection: allowed or not, and by which rule on which side.

A connection needs egress at the source and ingress at the destination; each side is open until a
policy isolates it, and then open to the union of what its policies allow (documentation, Network
Policies, "The two sorts of pod isolation").
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from tenantprofile.connectivity.addresses import ALL_IPV4, Address, AddressSet
from tenantprofile.connectivity.policies import Direction, Peer, Policy, Rule
from tenantprofile.connectivity.ports import Protocol, position
from tenantprofile.connectivity.settings import DEFAULT_SETTINGS, Settings
from tenantprofile.connectivity.workloads import Workload
from tenantprofile.connectivity.world import World

End: TypeAlias = Workload | Address


@dataclass(frozen=True, slots=True)
class RuleMatch:
    """Where in which policy a connection is allowed. peer and port None: the rule allows every one."""

    policy: Policy
    direction: Direction
    rule: int
    peer: int | None
    port: int | None

    @property
    def path(self) -> str:
        """The field in the manifest: `spec.ingress[0].from[1]`."""
        peer = "" if self.peer is None else f".{'from' if self.direction == 'Ingress' else 'to'}[{self.peer}]"
        return f"spec.{self.direction.lower()}[{self.rule}]{peer}"


@dataclass(frozen=True, slots=True)
class Side:
    """One end's view. isolated_by: the policies that isolate it here; matches: what lets it through.

    Open without isolation; isolated and without a match it is what stops the connection.
    """

    direction: Direction
    isolated_by: tuple[Policy, ...]
    matches: tuple[RuleMatch, ...]

    @property
    def allowed(self) -> bool:
        return not self.isolated_by or bool(self.matches)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer. always: why policies do not matter here. depends: the settings under which the
    answer is the opposite, and facts that were not known."""

    source: End
    destination: End
    protocol: Protocol
    port: int
    egress: Side
    ingress: Side
    always: Literal["itself", "own node"] | None = None
    depends: tuple[str, ...] = ()

    @property
    def allowed(self) -> bool:
        return self.always is not None or (self.egress.allowed and self.ingress.allowed)


def verdict(
    world: World,
    source: End,
    destination: End,
    protocol: Protocol,
    port: int,
    settings: Settings = DEFAULT_SETTINGS,
) -> Verdict:
    """Whether source may open a connection to this port of destination (the pod's port, not a Service's).

    An address that is a pod's own is that pod. Raises ValueError for a port or protocol that is none.
    """
    position(protocol, port)
    source, destination = _resolve(world, source), _resolve(world, destination)
    found = _verdict(world, source, destination, protocol, port, settings)
    depends = [
        name
        for name, other in settings.alternatives()
        if _verdict(world, source, destination, protocol, port, other).allowed != found.allowed
    ]
    if _guesses(world, found, settings):
        depends.append("address unknown")
    if source is destination and isinstance(source, Workload) and not source.is_pod and not found.allowed:
        depends.append("a pod always reaches itself")
    return replace(found, depends=tuple(depends))


def isolating(
    world: World, workload: Workload, direction: Direction, settings: Settings
) -> tuple[Policy, ...]:
    """The policies that isolate a workload in a direction; none for node traffic."""
    if is_node(workload, settings):
        return ()
    return tuple(
        policy
        for policy in world.policies_in(workload.namespace)
        if direction in policy.spec.directions and policy.spec.subjects.matches(workload.labels)
    )


def is_node(end: End, settings: Settings) -> bool:
    """Whether an end counts as its node."""
    return isinstance(end, Workload) and end.host_network and settings.host_network == "node"


def addresses_of(end: End) -> tuple[Address, ...]:
    """The addresses that an ipBlock may match; a hostNetwork pod has its node's."""
    if not isinstance(end, Workload):
        return (end,)
    return (end.addresses or end.node_addresses) if end.host_network else end.addresses


def in_block(end: End, block: AddressSet, settings: Settings) -> bool:
    """Whether an ipBlock matches this end (see Settings)."""
    if isinstance(end, Workload) and not is_node(end, settings) and not settings.ip_blocks_match_pods:
        return False
    addresses = addresses_of(end)
    if addresses:
        return any(block.contains(address) for address in addresses)
    if settings.unknown_addresses == "matched":
        return True
    if settings.unknown_addresses == "unmatched":
        return block >= ALL_IPV4
    return any(family and family <= block for family in settings.pod_families)


def _resolve(world: World, end: End) -> End:
    return end if isinstance(end, Workload) else world.at(end) or end


def _verdict(
    world: World, source: End, destination: End, protocol: Protocol, port: int, settings: Settings
) -> Verdict:
    egress = _side(world, source, destination, "Egress", protocol, port, settings)
    ingress = _side(world, destination, source, "Ingress", protocol, port, settings)
    always = _always(source, destination, settings)
    return Verdict(source, destination, protocol, port, egress, ingress, always)


def _always(source: End, destination: End, settings: Settings) -> Literal["itself", "own node"] | None:
    if source is destination and isinstance(source, Workload) and source.is_pod:
        return "itself"
    if _hosts(source, destination, settings):
        return "own node"
    if settings.egress_to_own_node and _hosts(destination, source, settings):
        return "own node"
    return None


def _hosts(node: End, pod: End, settings: Settings) -> bool:
    """Whether the first end is the node on which the second, a pod, runs."""
    if not isinstance(pod, Workload) or is_node(pod, settings):
        return False
    if not isinstance(node, Workload):
        return node in pod.node_addresses
    if not is_node(node, settings):
        return False
    same_node = node.node is not None and node.node == pod.node
    return same_node or bool(set(addresses_of(node)) & set(pod.node_addresses))


def _side(
    world: World,
    subject: End,
    other: End,
    direction: Direction,
    protocol: Protocol,
    port: int,
    settings: Settings,
) -> Side:
    if not isinstance(subject, Workload):
        return Side(direction, (), ())
    policies = isolating(world, subject, direction, settings)
    destination = subject if direction == "Ingress" else other
    matches = (
        match
        for policy in policies
        for match in _matches(world, policy, direction, other, destination, protocol, port, settings)
    )
    return Side(direction, policies, tuple(matches))


def _matches(
    world: World,
    policy: Policy,
    direction: Direction,
    other: End,
    destination: End,
    protocol: Protocol,
    port: int,
    settings: Settings,
) -> Iterator[RuleMatch]:
    """The first match of each rule."""
    for index, rule in enumerate(policy.spec.rules(direction)):
        item = _port_item(rule, destination, protocol, port, settings)
        if item is None:
            continue
        if rule.peers is None:
            yield RuleMatch(policy, direction, index, None, None if item < 0 else item)
            continue
        for number, peer in enumerate(rule.peers):
            named = rule.ports is not None and rule.ports[item].name is not None
            if peer.block is not None and named and direction == "Egress":
                continue  # the name would be the destination's, and an address has none
            if _peer_matches(world, policy, peer, other, settings):
                yield RuleMatch(policy, direction, index, number, None if item < 0 else item)
                break


def _port_item(rule: Rule, destination: End, protocol: Protocol, port: int, settings: Settings) -> int | None:
    """The index of the port item that matches; -1 when the rule allows every port; None for none.

    A number is preferred over a name, because a name never matches towards an ipBlock.
    """
    if rule.ports is None:
        return -1
    for index, item in enumerate(rule.ports):
        if item.protocol == protocol and item.numbers and item.numbers.contains(protocol, port):
            return index
    if isinstance(destination, Workload) and not is_node(destination, settings):
        for index, item in enumerate(rule.ports):
            if (
                item.name is not None
                and item.protocol == protocol
                and port in destination.numbers(item.name, protocol)
            ):
                return index
    return None


def _peer_matches(world: World, policy: Policy, peer: Peer, other: End, settings: Settings) -> bool:
    if peer.block is not None:
        return in_block(other, peer.block, settings)
    if not isinstance(other, Workload) or is_node(other, settings):
        return False
    if peer.namespaces is None:
        if other.namespace != policy.namespace:
            return False
    elif not peer.namespaces.matches(world.namespaces[other.namespace].labels):
        return False
    return peer.pods.matches(other.labels)


def _guesses(world: World, found: Verdict, settings: Settings) -> bool:
    """Whether the answer hangs on the address of an end, and nobody knows that address."""
    ends = [end for end in (found.source, found.destination) if isinstance(end, Workload)]
    if all(addresses_of(end) for end in ends):
        return False
    answers = {
        _verdict(world, *_question(found), replace(settings, unknown_addresses=assumed)).allowed
        for assumed in ("matched", "unmatched")
    }
    return len(answers) > 1


def _question(found: Verdict) -> tuple[End, End, Protocol, int]:
    return found.source, found.destination, found.protocol, found.port
