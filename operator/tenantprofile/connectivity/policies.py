"""NetworkPolicies as values: what the API server would understand, with its defaults applied.

Reads stored objects, so it accepts what the API server accepts and refuses what it refuses. Equal
specs become one value: ten thousand namespaces with the same policy share one parse.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from tenantprofile.connectivity.addresses import AddressSet, parse_network
from tenantprofile.connectivity.manifests import ManifestError, as_list, as_map, known_fields
from tenantprofile.connectivity.ports import (
    ALL_PORTS,
    EVERY_PORT,
    MAX_PORT,
    NO_PORTS,
    PROTOCOLS,
    PortSet,
    Protocol,
)
from tenantprofile.paths import path_of
from tenantprofile.selectors import EVERYTHING, Selector, SelectorError, parse_selector

Direction = Literal["Ingress", "Egress"]
DIRECTIONS: Final[tuple[Direction, ...]] = get_args(Direction)

_PORT_NAME = re.compile(r"(?=.*[a-z])(?!.*--)[a-z0-9]([a-z0-9-]{0,13}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Peer:
    """One item of `from` or `to`. Exactly one of selectors or block decides.

    namespaces None: the policy's own namespace. block not None: addresses, selectors unused.
    """

    pods: Selector = EVERYTHING
    namespaces: Selector | None = None
    block: AddressSet | None = None


@dataclass(frozen=True, slots=True)
class PortItem:
    """One item of `ports`: a set of numbers, or a name that each destination pod resolves."""

    protocol: Protocol
    numbers: PortSet = NO_PORTS
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. peers None: every peer; ports None: every port (missing, null and [] are the same)."""

    peers: tuple[Peer, ...] | None
    ports: tuple[PortItem, ...] | None

    @property
    def numbers(self) -> PortSet:
        """The ports that the rule allows by number."""
        if self.ports is None:
            return ALL_PORTS
        result = NO_PORTS
        for item in self.ports:
            result |= item.numbers
        return result

    @property
    def names(self) -> frozenset[tuple[str, Protocol]]:
        """The (name, protocol) pairs that the rule allows by name."""
        return frozenset((item.name, item.protocol) for item in self.ports or () if item.name is not None)


@dataclass(frozen=True, slots=True)
class PolicySpec:
    """What a policy says, independent of where it is."""

    subjects: Selector
    directions: frozenset[Direction]
    ingress: tuple[Rule, ...]
    egress: tuple[Rule, ...]

    def rules(self, direction: Direction) -> tuple[Rule, ...]:
        """The rules that count: those of a direction that the policy does not list are ignored."""
        if direction not in self.directions:
            return ()
        return self.ingress if direction == "Ingress" else self.egress


@dataclass(frozen=True, slots=True)
class Policy:
    """A NetworkPolicy in its namespace."""

    namespace: str
    name: str
    spec: PolicySpec

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


def parse_spec(raw: object) -> PolicySpec:
    """A NetworkPolicySpec as a value. Raises ManifestError with the field's path.

    policyTypes defaults to Ingress, and Egress if there is an egress rule (API documentation).
    """
    spec = as_map(raw, "spec")
    known_fields(spec, "spec", ("podSelector", "policyTypes", "ingress", "egress"))
    ingress = as_list(spec.get("ingress"), "spec.ingress")
    egress = as_list(spec.get("egress"), "spec.egress")
    types = as_list(spec.get("policyTypes"), "spec.policyTypes")
    for index, item in enumerate(types):
        if item not in DIRECTIONS:
            raise ManifestError(f"spec.policyTypes[{index}]", f"found {item!r}; expected Ingress or Egress")
    directions = frozenset(types) if types else frozenset(("Ingress", *(("Egress",) if egress else ())))
    return PolicySpec(
        subjects=_selector(spec.get("podSelector"), "spec.podSelector"),
        directions=directions,
        ingress=tuple(_rule(item, "from", f"spec.ingress[{i}]") for i, item in enumerate(ingress)),
        egress=tuple(_rule(item, "to", f"spec.egress[{i}]") for i, item in enumerate(egress)),
    )


def _selector(raw: Any, path: str) -> Selector:
    try:
        return parse_selector(raw)
    except SelectorError as error:
        raise ManifestError((*path_of(path), *error.path), error.message) from error


def _rule(raw: object, side: Literal["from", "to"], path: str) -> Rule:
    """A null rule decodes to an empty one, which allows everything."""
    rule = as_map(raw, path)
    known_fields(rule, path, (side, "ports"))
    peers = as_list(rule.get(side), f"{path}.{side}")
    ports = as_list(rule.get("ports"), f"{path}.ports")
    return Rule(
        tuple(_peer(item, f"{path}.{side}[{i}]") for i, item in enumerate(peers)) if peers else None,
        tuple(_port(item, f"{path}.ports[{i}]") for i, item in enumerate(ports)) if ports else None,
    )


def _peer(raw: object, path: str) -> Peer:
    peer = as_map(raw, path)
    known_fields(peer, path, ("podSelector", "namespaceSelector", "ipBlock"))
    pods, namespaces, block = (peer.get(f) for f in ("podSelector", "namespaceSelector", "ipBlock"))
    if block is not None:
        if pods is not None or namespaces is not None:
            raise ManifestError(path, "ipBlock excludes podSelector and namespaceSelector in one item")
        return Peer(block=_block(as_map(block, f"{path}.ipBlock"), f"{path}.ipBlock"))
    if pods is None and namespaces is None:
        raise ManifestError(path, "empty; expected podSelector, namespaceSelector or ipBlock")
    return Peer(
        pods=_selector(pods, f"{path}.podSelector"),
        namespaces=None if namespaces is None else _selector(namespaces, f"{path}.namespaceSelector"),
    )


def _block(raw: Mapping[str, Any], path: str) -> AddressSet:
    """Every `except` must lie strictly inside the cidr (API validation, ValidateIPBlock)."""
    known_fields(raw, path, ("cidr", "except"))
    cidr = _network(raw.get("cidr"), f"{path}.cidr")
    holes = as_list(raw.get("except"), f"{path}.except")
    for index, hole in enumerate(holes):
        inner = _network(hole, f"{path}.except[{index}]")
        outer_set, inner_set = AddressSet.block(cidr), AddressSet.block(inner)
        if not inner_set <= outer_set or inner_set == outer_set:
            raise ManifestError(f"{path}.except[{index}]", f"{hole!r} must be a strict subset of {cidr!r}")
    return AddressSet.block(cidr, holes)


def _network(raw: object, path: str) -> str:
    if not isinstance(raw, str):
        raise ManifestError(path, f"found {raw!r}; expected a CIDR such as 10.0.0.0/8")
    try:
        parse_network(raw)
    except ValueError as error:
        raise ManifestError(path, str(error)) from error
    return raw


def _port(raw: object, path: str) -> PortItem:
    item = as_map(raw, path)
    known_fields(item, path, ("protocol", "port", "endPort"))
    protocol = item.get("protocol")
    protocol = "TCP" if protocol is None else protocol
    if protocol not in PROTOCOLS:
        raise ManifestError(f"{path}.protocol", f"found {protocol!r}; expected TCP, UDP or SCTP")
    port, end = item.get("port"), item.get("endPort")
    if port is None:
        if end is not None:
            raise ManifestError(f"{path}.endPort", "needs a port to start from")
        return PortItem(protocol, EVERY_PORT[protocol])
    if isinstance(port, str):
        if end is not None:
            raise ManifestError(f"{path}.endPort", "needs a numeric port, not a name")
        if not _PORT_NAME.fullmatch(port):
            hint = f"; write the number without quotes: {port}" if port.isdigit() else ""
            raise ManifestError(f"{path}.port", f"{port!r} is not a port name{hint}")
        return PortItem(protocol, name=port)
    first = _number(port, f"{path}.port")
    last = first if end is None else _number(end, f"{path}.endPort")
    if last < first:
        raise ManifestError(f"{path}.endPort", f"found {last}; expected at least the port, {first}")
    return PortItem(protocol, PortSet.of(protocol, first, last))


def _number(raw: object, path: str) -> int:
    if not isinstance(raw, int) or isinstance(raw, bool) or not 1 <= raw <= MAX_PORT:
        raise ManifestError(path, f"found {raw!r}; expected a number from 1 to {MAX_PORT}")
    return raw
