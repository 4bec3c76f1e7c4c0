"""Filters for the shapes that policies are made of.

Each of them refuses an empty list, because an empty list of peers or ports allows everything, and
gives the shape with nothing left to a default.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from tenantprofile.names import LABEL_NAMESPACE_NAME
from tenantprofile.policy.addresses import contains, parse_cidr
from tenantprofile.policy.validity import check_selector
from tenantprofile.rendering.builtin_filters import COST_OF_A_RANGE, FilterError, bounded, sequence


def selector(value: Any, everything: bool = False) -> dict[str, Any]:
    """Labels (`{app: web}`) or a LabelSelector as a LabelSelector.

    An empty one, which would select everything, is refused unless `everything=true` is said.
    """
    if not isinstance(value, Mapping):
        raise FilterError(f"found a {type(value).__name__}; expected labels or a label selector")
    is_selector = bool(value) and all(key in ("matchLabels", "matchExpressions") for key in value)
    made = dict(value) if is_selector else ({"matchLabels": dict(value)} if value else {})
    for finding in check_selector(made):
        raise FilterError(str(finding))
    if not any(made.values()):
        if not everything:
            raise FilterError("an empty selector selects everything; name a label")
        return {}
    return {field: part for field, part in made.items() if part}


def namespaces_named(value: Any) -> dict[str, Any]:
    """Names of namespaces as a selector on `kubernetes.io/metadata.name`, which no tenant can set."""
    names = [value] if isinstance(value, str) else list(dict.fromkeys(_strings(value, "a namespace's name")))
    if not names:
        raise FilterError("an empty list of namespaces; name at least one")
    if len(names) == 1:
        return {"matchLabels": {LABEL_NAMESPACE_NAME: names[0]}}
    return {"matchExpressions": [{"key": LABEL_NAMESPACE_NAME, "operator": "In", "values": names}]}


def peers(value: Any) -> list[dict[str, Any]]:
    """Peers from items with `namespaces` (names) or `namespaceSelector`, and `podSelector`.

    Within an item all conditions must hold; the items are alternatives. An item without `namespaces`
    and `namespaceSelector` means pods of the policy's own namespace.
    """
    items = sequence(value)
    if not items:
        raise FilterError("an empty list of peers would allow everybody; name at least one")
    return [_peer(item) for item in items]


def _peer(item: Any) -> dict[str, Any]:
    if not isinstance(item, Mapping):
        raise FilterError(f"found a {type(item).__name__} as a peer; expected a map")
    unknown = set(item) - {"namespaces", "namespaceSelector", "podSelector"}
    if unknown:
        raise FilterError(
            f"a peer has no {min(map(str, unknown))!r}; expected namespaces, namespaceSelector, podSelector"
        )
    if "namespaces" in item and "namespaceSelector" in item:
        raise FilterError("a peer has either namespaces or namespaceSelector, not both")
    peer: dict[str, Any] = {}
    if "namespaces" in item:
        peer["namespaceSelector"] = namespaces_named(item["namespaces"])
    elif "namespaceSelector" in item:
        peer["namespaceSelector"] = selector(item["namespaceSelector"], everything=True)
    if "podSelector" in item:
        peer["podSelector"] = selector(item["podSelector"], everything=True)
    if not peer:
        raise FilterError("a peer that names nobody; expected namespaces, namespaceSelector or podSelector")
    return peer


def ports(value: Any, *protocols: str) -> list[dict[str, Any]]:
    """Ports from numbers, names, or maps with `port`, `endPort` and `protocol`.

    A port that names no protocol gets each of the protocols that are given, or TCP.
    """
    items = [value] if isinstance(value, int | str | Mapping) else sequence(value)
    if not items:
        raise FilterError("an empty list of ports would allow every port; name at least one")
    made: dict[str, dict[str, Any]] = {}
    for item in items:
        port = dict(item) if isinstance(item, Mapping) else {"port": item}
        for protocol in [port["protocol"]] if "protocol" in port else protocols or ("TCP",):
            entry = {**port, "protocol": protocol}
            made.setdefault(repr(sorted(entry.items(), key=str)), entry)
    return list(made.values())


def cidrs(value: Any, exceptions: Any = (), where_inside: Any = ()) -> list[dict[str, Any]]:
    """Address ranges as ipBlock peers; each exception goes to the range that contains it.

    Exceptions in `where_inside` are taken where a range contains them, and otherwise left out. With
    exceptions the ranges must not overlap: the other range would allow what was excepted.
    """
    ranges = list(dict.fromkeys([value] if isinstance(value, str) else _strings(value, "an address range")))
    if not ranges:
        raise FilterError("an empty list of address ranges would allow every address; name at least one")
    parsed = {text: _network(text) for text in ranges}
    written = {network: text for text, network in parsed.items()}
    holes: dict[str, dict[str, Any]] = {text: {} for text in ranges}
    taken: dict[str, set[Any]] = {text: set() for text in ranges}
    for exception in _strings(exceptions, "an address range"):
        inner = _network(exception)
        homes = [written[outer] for outer in _around(inner) if outer in written]
        if not homes:
            raise FilterError(f"the exception {exception} is in none of {', '.join(ranges[:5])}")
        for home in homes:
            holes[home][exception] = inner
            taken[home].add(inner)
    for exception in _strings(where_inside, "an address range"):
        inner = _network(exception)
        around = list(_around(inner))
        for home in (written[outer] for outer in around if outer in written):
            if inner not in taken[home] and not any(outer in taken[home] for outer in around):
                holes[home][exception] = inner
                taken[home].add(inner)
    if any(holes.values()):
        _disjoint(parsed)
    return [
        {"ipBlock": {"cidr": text, **({"except": list(holes[text])} if holes[text] else {})}}
        for text in ranges
    ]


def _around(network: Any) -> Iterator[Any]:
    """Every wider range that contains a range: at most 128, so that ranges need not be held against each other."""
    while network.prefixlen:
        network = network.supernet()
        yield network


def _disjoint(parsed: Mapping[str, Any]) -> None:
    # Ranges either nest or are apart, so after sorting an overlap is always with the widest before it.
    widest = None
    for text, network in sorted(
        parsed.items(), key=lambda item: (item[1].version, int(item[1].network_address), item[1].prefixlen)
    ):
        if widest is not None and contains(widest[1], network):
            raise FilterError(
                f"{widest[0]} and {text} overlap, and one of them has exceptions (its own, or the metadata"
                " addresses); some engines get that wrong: make the ranges disjoint"
            )
        widest = (text, network)


def _network(text: str) -> Any:
    found = parse_cidr(text)
    if found is None or found.doubtful:
        raise FilterError(f"{text[:64]!r} is not an address range like 10.50.0.0/24, without host bits")
    return found.network


def _strings(value: Any, what: str) -> list[str]:
    items = sequence(value)
    for item in items:
        if not isinstance(item, str):
            raise FilterError(f"found a {type(item).__name__}; expected {what}")
    return items


SHAPES: Final[dict[str, Callable[..., Any]]] = {
    "selector": selector,
    "namespaces_named": namespaces_named,
    "peers": peers,
    "ports": ports,
    "cidrs": cidrs,
}
"""The filters as their reference page lists them; templates get them bounded."""

FILTERS: Final = {
    **{name: bounded(function) for name, function in SHAPES.items()},
    "cidrs": bounded(cidrs, COST_OF_A_RANGE),
}
