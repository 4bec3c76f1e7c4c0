"""The checks: which policies are put in force, and which attempts have to succeed under them.

Each step starts with no policy at all, when everything is open, so that whatever is closed after it
was closed by the policies of this step. A step has something to let through wherever that is possible:
a plugin that closes everything does not pass for one that enforces.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any, Final, Literal

from tenantprofile.enforcement.attempts import PORTS, Protocol
from tenantprofile.names import LABEL_NAMESPACE_NAME

Spec = Mapping[str, Any]
Direction = Literal["ingress", "egress"]

LABEL_ROLE: Final = "tenantprofile.dev/canary-role"
CLIENT, SERVER, NOBODY = "client", "server", "nobody"
NAMED_PORTS: Final[Mapping[str, tuple[Protocol, int]]] = {
    "named-tcp": ("TCP", 8081),
    "named-udp": ("UDP", 8082),
}
"""Names of the server's ports."""

_FIRST, _SECOND, _THIRD, _LAST = PORTS
_BOTH: Final[tuple[Protocol, ...]] = ("TCP", "UDP")
_PREFIX: Final = {4: 24, 6: 120}
"""Length of the range around an address out of which `except` takes it, or its neighbour."""


@dataclass(frozen=True, slots=True)
class Parties:
    """Where the two pods are."""

    namespace: str
    client: tuple[str, ...]
    server: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """Policies, by name, that are in force at the same time, and the ports that are open under them.

    direction: where all of it hangs on one direction; without that nothing has to be tried.
    """

    policies: Mapping[str, Spec]
    open: frozenset[tuple[Protocol, int]]
    direction: Direction | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """Something that a plugin does or does not do.

    needs: another check without which this one cannot tell anything. rule: the rule of `tenantprofile
    lint` that finds policies for which it matters.
    """

    name: str
    title: str
    steps: tuple[Step, ...]
    needs: str = ""
    rule: str = ""


def checks(parties: Parties) -> tuple[Check, ...]:
    """What every plugin has to do for the built-in templates to mean something, and a few things more."""
    return (
        Check("deny-ingress", "a pod with a policy and no rule receives nothing", (_deny("ingress"),)),
        Check("deny-egress", "a pod with a policy and no rule sends nothing", (_deny("egress"),)),
        Check("ingress", "peers by pod labels and ports, for what a pod receives", (_peers("ingress"),)),
        Check("egress", "peers by pod labels and ports, for what a pod sends", (_peers("egress"),)),
        Check("namespaces", "peers by namespace labels", (_namespaces(parties),)),
        Check(
            "ip-block",
            "peers by address range; whether they match pods is up to the plugin",
            _blocks(parties),
        ),
        Check("except", "ranges with exceptions", _exceptions(parties), needs="ip-block"),
        Check("end-port", "ranges of ports", tuple(map(_port_range, _DIRECTIONS)), rule="port-range"),
        Check("named-ports", "ports by name", tuple(map(_named_ports, _DIRECTIONS)), rule="named-port"),
    )


def portability_checks(parties: Parties) -> tuple[Check, ...]:
    """What some plugins are known to get wrong, and the built-in templates keep clear of."""
    return (
        Check(
            "both-directions",
            "one policy for both directions: what it allows in one, it does not allow in the other",
            (_both_directions(),),
            rule="both-directions",
        ),
        Check(
            "unknown-port-name",
            "a port by a name that no pod has: nothing is open",
            (_unknown_name(),),
            rule="named-port",
        ),
        Check(
            "overlapping-ranges",
            "what one range allows, the exception of another does not take back",
            _overlaps(parties),
            needs="ip-block",
            rule="overlapping-ranges",
        ),
    )


# --- steps ---

_DIRECTIONS: Final[tuple[Direction, ...]] = ("ingress", "egress")


def _deny(direction: Direction) -> Step:
    return Step({f"deny-{direction}": _spec(direction)}, frozenset(), direction)


def _peers(direction: Direction) -> Step:
    """The other pod on the first port, a pod that does not exist on the second."""
    rules = [_rule(direction, [_pods(_other(direction))], _FIRST), _rule(direction, [_pods(NOBODY)], _SECOND)]
    return Step(
        {f"deny-{direction}": _spec(direction), f"allow-{direction}": _spec(direction, rules)},
        _ports(_FIRST),
        direction,
    )


def _namespaces(parties: Parties) -> Step:
    def named(name: str) -> Spec:
        return {"namespaceSelector": {"matchLabels": {LABEL_NAMESPACE_NAME: name}}}

    rules = [
        _rule("ingress", [named(parties.namespace)], _FIRST),
        _rule("ingress", [named(f"not-{parties.namespace}"[:63])], _SECOND),
    ]
    return Step({"namespaces": _spec("ingress", rules)}, _ports(_FIRST), "ingress")


def _blocks(parties: Parties) -> tuple[Step, ...]:
    """The other pod's own address on the first port, its neighbour's on the second."""
    steps = []
    for direction in _DIRECTIONS:
        rules = []
        for address in _addresses(parties, direction):
            rules.append(_rule(direction, [_block(_single(address))], _FIRST))
            rules.append(_rule(direction, [_block(_single(_neighbour(address)))], _SECOND))
        steps.append(Step({f"blocks-{direction}": _spec(direction, rules)}, _ports(_FIRST), direction))
    return tuple(steps)


def _exceptions(parties: Parties) -> tuple[Step, ...]:
    """A range without the other pod's neighbour on the first port, without the pod on the second."""
    steps = []
    for direction in _DIRECTIONS:
        rules = []
        for address in _addresses(parties, direction):
            around, beside = _around(address), _neighbour(address)
            rules.append(_rule(direction, [_block(around, _single(beside))], _FIRST))
            rules.append(_rule(direction, [_block(around, _single(address))], _SECOND))
        steps.append(Step({f"except-{direction}": _spec(direction, rules)}, _ports(_FIRST), direction))
    return tuple(steps)


def _port_range(direction: Direction) -> Step:
    """From the second to the third port: a plugin that ignores the end closes the third."""
    ports = [{"protocol": p, "port": _SECOND, "endPort": _THIRD} for p in _BOTH]
    rule = {_peer_key(direction): [_pods(_other(direction))], "ports": ports}
    return Step({f"range-{direction}": _spec(direction, [rule])}, _ports(_SECOND, _THIRD), direction)


def _named_ports(direction: Direction) -> Step:
    ports = [{"protocol": protocol, "port": name} for name, (protocol, _) in NAMED_PORTS.items()]
    rule = {_peer_key(direction): [_pods(_other(direction))], "ports": ports}
    return Step({f"named-{direction}": _spec(direction, [rule])}, frozenset(NAMED_PORTS.values()), direction)


def _both_directions() -> Step:
    """Every pod may receive from every pod, and none may send."""
    spec = {
        "podSelector": {},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{"from": [{"podSelector": {}}]}],
    }
    return Step({"both-directions": spec}, frozenset())


def _unknown_name() -> Step:
    rule = {"from": [_pods(CLIENT)], "ports": [{"protocol": p, "port": "nobody-has"} for p in _BOTH]}
    return Step({"unknown-name": _spec("ingress", [rule])}, frozenset(), "ingress")


def _overlaps(parties: Parties) -> tuple[Step, ...]:
    """Of two ranges with the pod in both, one takes it out again. Same rule, hence the same ports."""
    peers = [
        peer
        for address in _addresses(parties, "egress")
        for peer in (_block(_around(address), _single(address)), _block(_around(address, 1)))
    ]
    spec = _spec("egress", [_rule("egress", peers, _FIRST)])
    return (Step({"overlaps": spec}, _ports(_FIRST), "egress"),)


# --- parts of policies ---


def _spec(direction: Direction, rules: Sequence[Spec] = ()) -> Spec:
    """A policy for the pod at the end where the direction counts."""
    selected = SERVER if direction == "ingress" else CLIENT
    spec: dict[str, Any] = {"policyTypes": [direction.capitalize()], **_pods(selected)}
    return spec | ({direction: list(rules)} if rules else {})


def _rule(direction: Direction, peers: Sequence[Spec], port: int) -> Spec:
    ports = [{"protocol": protocol, "port": port} for protocol in _BOTH]
    return {_peer_key(direction): list(peers), "ports": ports}


def _peer_key(direction: Direction) -> str:
    return "from" if direction == "ingress" else "to"


def _other(direction: Direction) -> str:
    return CLIENT if direction == "ingress" else SERVER


def _addresses(parties: Parties, direction: Direction) -> tuple[str, ...]:
    """Those of the peer."""
    return parties.client if direction == "ingress" else parties.server


def _pods(role: str) -> Spec:
    return {"podSelector": {"matchLabels": {LABEL_ROLE: role}}}


def _block(cidr: IPv4Network | IPv6Network, *excepted: IPv4Network | IPv6Network) -> Spec:
    block: dict[str, Any] = {"cidr": str(cidr)}
    return {"ipBlock": block | ({"except": [str(one) for one in excepted]} if excepted else {})}


def _single(address: str) -> IPv4Network | IPv6Network:
    return ip_network(address)


def _neighbour(address: str) -> str:
    """The address that differs in the last bit."""
    parsed = ip_address(address)
    return str(type(parsed)(int(parsed) ^ 1))


def _around(address: str, longer: int = 0) -> IPv4Network | IPv6Network:
    return ip_network(f"{address}/{_PREFIX[ip_address(address).version] + longer}", strict=False)


def _ports(*numbers: int) -> frozenset[tuple[Protocol, int]]:
    return frozenset((protocol, number) for protocol in _BOTH for number in numbers)
