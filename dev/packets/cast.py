"""Who has to be in the world so that a set of policies can be seen at work.

For everything that a policy names there is someone whom it matches and someone whom it only almost
matches: a pod with the right labels in the wrong namespace, one without the labels in the right
namespace, a host inside an address range, one inside each exception, one outside; for every port
its neighbours, and the same number in the other protocol.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any

from tenantprofile.names import LABEL_NAMESPACE_NAME

from .flows import PROTOCOLS, Flow, Protocol
from .world import World

Labels = Mapping[str, str]
Policy = tuple[str, Mapping[str, Any]]
"""The namespace in which a policy is, and its spec."""

STRANGER = "stranger"
_OUTSIDE = ("192.0.2.250", "2001:db8:dead::1")
_SOME_PORT = 4444
_FIRST_NAMED_PORT = 6001


@dataclass
class Cast:
    """Namespaces, pods, hosts and ports; `enter` puts them into a world."""

    subjects: tuple[str, ...]
    namespaces: dict[str, dict[str, str]] = field(default_factory=dict)
    pods: dict[str, dict[str, dict[str, str]]] = field(default_factory=dict)
    """By namespace, then by name: labels."""
    hosts: dict[str, str] = field(default_factory=dict)
    ports: set[int] = field(default_factory=lambda: {_SOME_PORT})
    named: dict[tuple[str, Protocol], int] = field(default_factory=dict)

    def pod(self, namespace: str, labels: Labels, name: str = "") -> None:
        """A pod with exactly these labels, unless there is one."""
        there = self.pods.setdefault(namespace, {})
        self.namespaces.setdefault(namespace, {})
        if dict(labels) not in there.values():
            there[name or f"pod-{len(there)}"] = dict(labels)

    def host(self, address: str) -> None:
        self.hosts.setdefault("at-" + address.replace(":", "-").replace(".", "-"), address)

    def enter(self, world: World) -> None:
        """Make all of it; pods listen on every port of the cast."""
        world.ports = {protocol: sorted(self.ports) for protocol in PROTOCOLS}
        named = [(name, protocol, number) for (name, protocol), number in self.named.items()]
        for namespace, labels in self.namespaces.items():
            world.add_namespace(namespace, labels)
        for namespace, pods in self.pods.items():
            for name, labels in pods.items():
                world.add_pod(namespace, name, labels, named)
        for name, address in self.hosts.items():
            world.add_host(name, address)

    def flows(self, world: World) -> list[Flow]:
        """Every connection that has an end in one of the namespaces that have policies."""
        inside = tuple(f"{namespace}/" for namespace in self.subjects)
        return [f for f in world.flows() if f.source.startswith(inside) or f.destination.startswith(inside)]


def cast_for(policies: Iterable[Policy], namespaces: Mapping[str, Labels] | None = None) -> Cast:
    """The cast for these policies. `namespaces`: labels of those that have some."""
    given = list(policies)
    cast = Cast(tuple(dict.fromkeys(namespace for namespace, _ in given)))
    cast.namespaces.update({name: dict(labels) for name, labels in (namespaces or {}).items()})
    cast.pod(STRANGER, {}, "plain")
    for namespace, spec in given:
        cast.pod(namespace, {}, "plain")
        cast.pod(namespace, {"role": "other"}, "other")
        cast.pod(namespace, satisfying(spec.get("podSelector")))
    for namespace, spec in given:
        for _, peers, ports in rules(spec):
            for peer in peers:
                _peer(cast, namespace, peer)
            for port in ports:
                _port(cast, port)
    for address in _OUTSIDE:
        cast.host(address)
    return cast


def rules(spec: Mapping[str, Any]) -> Iterator[tuple[str, list[Any], list[Any]]]:
    """(direction, peers, ports) of every rule."""
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        for rule in spec.get(direction) or ():
            yield direction, rule.get(peers) or [], rule.get("ports") or []


def satisfying(selector: Mapping[str, Any] | None) -> dict[str, str]:
    """Labels that a selector matches."""
    labels = dict((selector or {}).get("matchLabels") or {})
    for expression in (selector or {}).get("matchExpressions") or ():
        if expression["operator"] == "In":
            labels[expression["key"]] = expression["values"][0]
        elif expression["operator"] == "Exists":
            labels[expression["key"]] = "any"
    return labels


def _peer(cast: Cast, own: str, peer: Mapping[str, Any]) -> None:
    if "ipBlock" in peer:
        _block(cast, peer["ipBlock"])
        return
    labels = satisfying(peer.get("podSelector"))
    cast.pod(STRANGER, labels)
    if "namespaceSelector" not in peer:
        cast.pod(own, labels)
        return
    for namespace in _namespaces(cast, peer["namespaceSelector"] or {}):
        cast.pod(namespace, {}, "plain")
        cast.pod(namespace, labels)


def _namespaces(cast: Cast, selector: Mapping[str, Any]) -> list[str]:
    """Namespaces that a selector matches: those it names, else one that is made for it."""
    labels = satisfying(selector)
    named = list(dict.fromkeys(_named(selector)))
    if named:
        rest = {key: value for key, value in labels.items() if key != LABEL_NAMESPACE_NAME}
        for name in named:
            cast.namespaces.setdefault(name, {}).update(rest)
        return named
    for name, there in cast.namespaces.items():
        if labels and labels.items() <= there.items() and name not in cast.subjects:
            return [name]
    name = f"peer-{len(cast.namespaces)}"
    cast.namespaces[name] = labels
    return [name]


def _named(selector: Mapping[str, Any]) -> Iterator[str]:
    if LABEL_NAMESPACE_NAME in (selector.get("matchLabels") or {}):
        yield selector["matchLabels"][LABEL_NAMESPACE_NAME]
    for expression in selector.get("matchExpressions") or ():
        if expression["key"] == LABEL_NAMESPACE_NAME and expression["operator"] == "In":
            yield from expression["values"]


def _block(cast: Cast, block: Mapping[str, Any]) -> None:
    holes = [ip_network(hole) for hole in block.get("except") or ()]
    for network in (ip_network(block["cidr"]), *holes):
        for offset in (1, 10, 130, 70000):
            address = network[min(offset, network.num_addresses - 1)]
            if network in holes or not any(address in hole for hole in holes):
                cast.host(str(address))
                break
    _beside(cast, ip_network(block["cidr"]))


def _beside(cast: Cast, network: IPv4Network | IPv6Network) -> None:
    """The next address behind a range."""
    behind = int(network.broadcast_address) + 1
    if behind < 1 << network.max_prefixlen:
        cast.host(str(type(network.network_address)(behind)))


def _port(cast: Cast, port: Mapping[str, Any]) -> None:
    number, protocol = port.get("port"), port.get("protocol", "TCP")
    if isinstance(number, str):
        if protocol in PROTOCOLS and (number, protocol) not in cast.named:
            cast.named[number, protocol] = _FIRST_NAMED_PORT + len(cast.named)
            cast.ports.add(cast.named[number, protocol])
    elif number is not None:
        last = port.get("endPort") or number
        wanted = {number, last, (number + last) // 2, last + 1, *([number - 1] if last > number else ())}
        cast.ports |= {p for p in wanted if 1 <= p <= 65535}
