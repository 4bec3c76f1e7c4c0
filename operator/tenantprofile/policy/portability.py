"""What the API defines and some network plugins get wrong; see docs/enforcement.md for what was seen.

Remarks, not faults: the policy is right, and means the same on every plugin that follows the API.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from tenantprofile.policy.findings import Finding, Path, Rule, shown
from tenantprofile.policy.selection import may_overlap
from tenantprofile.selectors import Selector, SelectorError, parse_selector

BOTH_DIRECTIONS = Rule(
    "both-directions",
    "portability",
    "info",
    "A policy for both directions that selects both ends",
    "Some engines (kube-router 2.10 and 2.11) let the allowance of one direction leak into the other where "
    "one policy isolates both directions and selects both ends of a connection.",
    "Write two policies, one for each direction.",
    refused_in_templates=False,
)
NAMED_PORT = Rule(
    "named-port",
    "portability",
    "info",
    "A port by name",
    "Names are resolved per pod; some engines open every port when no selected pod has the name, and a "
    "name never matches an ipBlock.",
    "Use the number of the container's port.",
    refused_in_templates=False,
)
PORT_RANGE = Rule(
    "port-range",
    "portability",
    "info",
    "A range of ports",
    "Network plugins older than `endPort` (stable since Kubernetes 1.25) apply the first port only.",
    "List the ports, where the plugin is old.",
    refused_in_templates=False,
    on=False,
)
RULES: Final = (BOTH_DIRECTIONS, NAMED_PORT, PORT_RANGE)

_SIDES: Final = (("ingress", "from"), ("egress", "to"))


def check_portability(spec: Any) -> Iterator[Finding]:
    """Every finding about a whole spec; parts of a wrong type are left to `validity`."""
    if not isinstance(spec, Mapping):
        return
    for field, _ in _SIDES:
        for index, rule in enumerate(_list(spec.get(field))):
            ports = rule.get("ports") if isinstance(rule, Mapping) else None
            for number, port in enumerate(_list(ports)):
                if isinstance(port, Mapping):
                    yield from _port(port, (field, index, "ports", number))
    yield from _both_directions(spec)


def is_name(port: Any) -> bool:
    """Whether a port is given by name; a number in quotes is a mistake of another kind."""
    return isinstance(port, str) and not port.isdigit()


def _port(port: Mapping[str, Any], path: Path) -> Iterator[Finding]:
    number = port.get("port")
    if is_name(number):
        yield Finding(
            NAMED_PORT,
            (*path, "port"),
            f"a port by name, {shown(number)}",
            found=number,
            expected="the number of the container's port",
        )
    if port.get("endPort") is not None and port["endPort"] != number:
        yield Finding(
            PORT_RANGE,
            (*path, "endPort"),
            f"a range of ports, {shown(number)} to {shown(port['endPort'])}",
            found=port["endPort"],
            expected="single ports",
        )


def _both_directions(spec: Mapping[str, Any]) -> Iterator[Finding]:
    """Whether the policy selects both ends of a connection that it allows in one direction only."""
    types = _list(spec.get("policyTypes"))
    if "Ingress" not in types or "Egress" not in types:
        return
    try:
        subjects = parse_selector(spec.get("podSelector"))
        open_to_all = [
            any(isinstance(rule, Mapping) and not rule.get(peers) for rule in _list(spec.get(field)))
            for field, peers in _SIDES
        ]
        both_ends = any(
            _own_pods(rule, peers, subjects)
            for field, peers in _SIDES
            for rule in _list(spec.get(field))
            if isinstance(rule, Mapping)
        )
    except SelectorError:
        return
    if both_ends and not all(open_to_all):
        yield Finding(
            BOTH_DIRECTIONS,
            ("policyTypes",),
            "both directions, and rules for pods that the policy itself selects",
            found=types,
            expected="one direction",
        )


def _own_pods(rule: Mapping[str, Any], peers: str, subjects: Selector) -> bool:
    """Whether a rule's peers may be pods of the policy's own. A selector of namespaces that has
    conditions is taken to mean others."""
    listed = [peer for peer in _list(rule.get(peers)) if isinstance(peer, Mapping)]
    if not listed:
        return True
    return any(
        not peer.get("ipBlock")
        and not peer.get("namespaceSelector")
        and may_overlap(subjects, parse_selector(peer.get("podSelector")))
        for peer in listed
    )


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
