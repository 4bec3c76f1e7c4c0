"""What the API server accepts and a person hardly means.

NetworkPolicy tells empty from missing, and ignores instead of refusing: a loop over an empty list
renders an allow-all, a rule in the wrong direction protects nothing. Judged on the spec as written,
before normalising, because the API server's form no longer shows the difference.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from tenantprofile.names import LABEL_NAMESPACE_NAME
from tenantprofile.policy import ranges
from tenantprofile.policy.findings import Finding, Path, Rule, shown
from tenantprofile.policy.portability import is_name
from tenantprofile.policy.selection import contradiction
from tenantprofile.selectors import SelectorError, parse_selector

EMPTY_PEERS = Rule(
    "empty-peers",
    "meaning",
    "error",
    "An empty list of peers allows everybody",
    "`from: []` and `to: []` mean the same as no list: every peer. They usually come from an empty loop.",
    "Name at least one peer, or leave out the whole rule. For everybody leave out the list, on purpose.",
    refused_in_templates=True,
)
EMPTY_PORTS = Rule(
    "empty-ports",
    "meaning",
    "error",
    "An empty list of ports allows every port",
    "`ports: []` means the same as no list: every port and protocol.",
    "Name at least one port. For every port leave out the list, on purpose.",
    refused_in_templates=True,
)
EMPTY_SELECTOR_TERMS = Rule(
    "empty-selector-terms",
    "meaning",
    "error",
    "A selector with terms that say nothing selects everything",
    "Empty `matchLabels` and `matchExpressions` are no condition, so the selector matches everything.",
    "Give a label. If everything is meant, write the whole selector as `{}`, on purpose.",
    refused_in_templates=True,
)
NULL_VALUE = Rule(
    "null-value",
    "meaning",
    "error",
    "A null counts as missing",
    "The API server drops nulls; a selector, list or port that is missing usually means everything.",
    "Give a value, or leave out the field.",
    refused_in_templates=True,
)
DIRECTION_IGNORED = Rule(
    "direction-ignored",
    "meaning",
    "error",
    "Rules for a direction that policyTypes lacks",
    "They are accepted and ignored: the policy neither isolates nor allows anything in that direction.",
    "Add the direction to `policyTypes`, or remove the rules.",
    refused_in_templates=True,
)
POLICY_TYPES_MISSING = Rule(
    "policy-types-missing",
    "meaning",
    "warning",
    "No policyTypes",
    "The default is Ingress, plus Egress only if an egress rule exists: an egress deny becomes an ingress "
    "deny.",
    "Write `policyTypes`.",
    refused_in_templates=True,
)
POD_SELECTOR_MISSING = Rule(
    "pod-selector-missing",
    "meaning",
    "warning",
    "No podSelector",
    "A missing `podSelector` selects every pod of the namespace.",
    "Write the selector; `podSelector: {}` if every pod is meant.",
    refused_in_templates=True,
)
EVERY_PEER = Rule(
    "every-peer",
    "meaning",
    "warning",
    "A rule without peers allows everybody",
    "Without `from` or `to` the rule covers every pod and every address, inside and outside the cluster.",
    "Name the peers, or waive this finding with the reason.",
    refused_in_templates=False,
)
EVERY_NAMESPACE = Rule(
    "every-namespace",
    "meaning",
    "warning",
    "A peer in every namespace",
    "`namespaceSelector: {}` matches all namespaces, other tenants' as well.",
    f"Select namespaces by {LABEL_NAMESPACE_NAME} or by a label that tenants cannot set.",
    refused_in_templates=False,
)
NEGATIVE_PEER = Rule(
    "negative-peer",
    "meaning",
    "warning",
    "A peer chosen by what it is not",
    "NotIn and DoesNotExist also match everything that lacks the key, so the rule allows whatever comes "
    "later (CVE-2026-32737, CVE-2026-32768, CVE-2026-32769).",
    "Name what is allowed, with In or matchLabels.",
    refused_in_templates=False,
)
FREE_NAMESPACE_LABEL = Rule(
    "free-namespace-label",
    "meaning",
    "warning",
    "A namespace trusted by a label that anybody may set",
    "Whoever may label a namespace can take the name of a trusted one.",
    f"Use {LABEL_NAMESPACE_NAME}, which the API server sets and keeps.",
    refused_in_templates=False,
)
NEVER_MATCHES = Rule(
    "never-matches",
    "meaning",
    "warning",
    "A part of a policy that can never match",
    "The conditions contradict each other, the exceptions leave nothing of the range, or a port by name "
    "is used with addresses, which have no names. What was meant is not there.",
    "Correct the condition, or remove the part.",
    refused_in_templates=False,
)
DNS_WITHOUT_TCP = Rule(
    "dns-without-tcp",
    "meaning",
    "info",
    "DNS over UDP only",
    "Answers that do not fit into a datagram are fetched again over TCP (RFC 7766); without TCP some names "
    "do not resolve, now and then.",
    "Allow TCP on the same port.",
    refused_in_templates=False,
)
RULES: Final = (
    EMPTY_PEERS,
    EMPTY_PORTS,
    EMPTY_SELECTOR_TERMS,
    NULL_VALUE,
    DIRECTION_IGNORED,
    POLICY_TYPES_MISSING,
    POD_SELECTOR_MISSING,
    EVERY_PEER,
    EVERY_NAMESPACE,
    NEGATIVE_PEER,
    FREE_NAMESPACE_LABEL,
    NEVER_MATCHES,
    DNS_WITHOUT_TCP,
    *ranges.RULES,
)

_LOOKS_LIKE_THE_NAME: Final = frozenset({"name", "namespace", "ns", "kubernetes.io/name"})
_DIRECTIONS: Final = (("ingress", "Ingress", "from"), ("egress", "Egress", "to"))


def check_meaning(spec: Any) -> Iterator[Finding]:
    """Every finding about a whole spec; parts of a wrong type are left to `validity`."""
    if not isinstance(spec, Mapping):
        return
    yield from _nulls(spec, ())
    yield from _policy_types(spec)
    if "podSelector" not in spec:
        yield Finding(
            POD_SELECTOR_MISSING, (), "no podSelector selects every pod", expected="podSelector, {} for all"
        )
    yield from _selector_terms(spec.get("podSelector"), ("podSelector",))
    yield from _contradictions(spec.get("podSelector"), ("podSelector",))
    for field, _, peers in _DIRECTIONS:
        for index, rule in enumerate(_list(spec.get(field))):
            if isinstance(rule, Mapping):
                yield from _rule(rule, (field, index), peers)
    yield from _dns_without_tcp(spec)


def _nulls(value: Any, path: Path) -> Iterator[Finding]:
    if value is None:
        yield Finding(
            NULL_VALUE, path, "found null, which counts as missing", expected="a value, or no such field"
        )
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield from _nulls(part, (*path, key))
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from _nulls(part, (*path, index))


def _policy_types(spec: Mapping[str, Any]) -> Iterator[Finding]:
    types = spec.get("policyTypes")
    if not types:
        implied = "[Ingress, Egress]" if spec.get("egress") else "[Ingress]"
        yield Finding(
            POLICY_TYPES_MISSING,
            ("policyTypes",) if "policyTypes" in spec else (),
            f"no policyTypes, which means {implied}",
            found=types,
            expected="policyTypes with Ingress, Egress or both",
        )
        return
    for field, direction, _ in _DIRECTIONS:
        if spec.get(field) and direction not in _list(types):
            yield Finding(
                DIRECTION_IGNORED,
                (field,),
                f"{field} rules are ignored, because policyTypes is {shown(types)}",
                found=types,
                expected=f"{direction} in policyTypes",
            )


def _rule(rule: Mapping[str, Any], path: Path, peers: str) -> Iterator[Finding]:
    listed = rule.get(peers)
    if listed == [] and peers in rule:
        yield Finding(
            EMPTY_PEERS,
            (*path, peers),
            f"an empty `{peers}` allows every peer",
            found=listed,
            expected="at least one peer",
        )
    elif listed is None:
        yield Finding(
            EVERY_PEER, path, f"no `{peers}` allows every peer", found=rule, expected=f"`{peers}` with peers"
        )
    if rule.get("ports") == []:
        yield Finding(
            EMPTY_PORTS,
            (*path, "ports"),
            "an empty `ports` allows every port",
            found=[],
            expected="at least one port",
        )
    ports = [port for port in _list(rule.get("ports")) if isinstance(port, Mapping)]
    only_dns = bool(ports) and all(port.get("port") == 53 and not port.get("endPort") for port in ports)
    metadata = not ports or any(map(_reaches_metadata, ports))
    only_names = bool(ports) and all(is_name(port.get("port")) for port in ports)
    for index, peer in enumerate(_list(listed)):
        if isinstance(peer, Mapping):
            where = (*path, peers, index)
            yield from _peer(peer, where)
            yield from _block(peer.get("ipBlock"), where, peers, only_dns, only_names, metadata)
    yield from ranges.check_together(_list(listed), (*path, peers), peers)
    yield from ranges.check_overlaps(_list(listed), (*path, peers))


def _peer(peer: Mapping[str, Any], path: Path) -> Iterator[Finding]:
    for field in ("podSelector", "namespaceSelector"):
        selector = peer.get(field)
        yield from _selector_terms(selector, (*path, field))
        yield from _negatives(selector, (*path, field))
        yield from _contradictions(selector, (*path, field))
    namespaces = peer.get("namespaceSelector")
    if namespaces == {}:
        yield Finding(
            EVERY_NAMESPACE,
            (*path, "namespaceSelector"),
            "an empty namespaceSelector matches every namespace",
            found={},
            expected=f"a selector, for example by {LABEL_NAMESPACE_NAME}",
        )
    yield from _free_labels(namespaces, (*path, "namespaceSelector"))


def _reaches_metadata(port: Mapping[str, Any]) -> bool:
    """Whether an item of `ports` holds one on which a metadata service answers; a name never means an address."""
    if port.get("protocol") not in (None, "TCP"):
        return False
    first, last = port.get("port"), port.get("endPort")
    if first is None:
        return True
    if not isinstance(first, int):
        return False
    end = last if isinstance(last, int) else first
    return any(first <= number <= end for number in ranges.METADATA_PORTS)


def _block(
    block: Any, path: Path, peers: str, only_dns: bool, only_names: bool, metadata: bool
) -> Iterator[Finding]:
    if not isinstance(block, Mapping):
        return
    yield from ranges.check_block(block, (*path, "ipBlock"), peers, only_dns=only_dns, metadata=metadata)
    if ranges.is_empty(block):
        yield _never((*path, "ipBlock"), "the exceptions leave nothing of the range", block)
    if peers == "to" and only_names:
        yield _never(path, "ports by name never match an address", block)


def _never(path: Path, message: str, found: Any) -> Finding:
    return Finding(NEVER_MATCHES, path, message, found=found, expected="something that can match")


def _contradictions(selector: Any, path: Path) -> Iterator[Finding]:
    try:
        key = contradiction(parse_selector(selector))
    except SelectorError:
        return
    if key is not None:
        yield _never(path, f"the conditions on {shown(key)} contradict each other", selector)


def _dns_without_tcp(spec: Mapping[str, Any]) -> Iterator[Finding]:
    """Port 53 by UDP in some egress rule, by TCP in none."""
    udp: Path | None = None
    for index, rule in enumerate(_list(spec.get("egress"))):
        ports = rule.get("ports") if isinstance(rule, Mapping) else None
        if not ports:
            return
        for number, port in enumerate(_list(ports)):
            if not isinstance(port, Mapping) or port.get("port") not in (53, None):
                continue
            if port.get("protocol") != "UDP":
                return
            udp = udp or ("egress", index, "ports", number)
    if udp is not None:
        yield Finding(DNS_WITHOUT_TCP, udp, "port 53 over UDP, and not over TCP", expected="TCP 53 as well")


def _selector_terms(selector: Any, path: Path) -> Iterator[Finding]:
    if isinstance(selector, Mapping) and selector and not any(selector.values()):
        yield Finding(
            EMPTY_SELECTOR_TERMS,
            path,
            f"found {shown(dict(selector))}, which selects everything",
            found=selector,
            expected="a label, or {} if everything is meant",
        )


def _negatives(selector: Any, path: Path) -> Iterator[Finding]:
    expressions = _list(selector.get("matchExpressions")) if isinstance(selector, Mapping) else []
    for index, expression in enumerate(expressions):
        if isinstance(expression, Mapping) and expression.get("operator") in ("NotIn", "DoesNotExist"):
            yield Finding(
                NEGATIVE_PEER,
                (*path, "matchExpressions", index),
                f"{expression['operator']} also matches everything that lacks {shown(expression.get('key'))}",
                found=expression,
                expected="In with the values that are allowed",
            )


def _free_labels(selector: Any, path: Path) -> Iterator[Finding]:
    if not isinstance(selector, Mapping):
        return
    labels = selector.get("matchLabels")
    for key in labels if isinstance(labels, Mapping) else ():
        if key in _LOOKS_LIKE_THE_NAME:
            yield _free_label(key, (*path, "matchLabels", key))
    for index, expression in enumerate(_list(selector.get("matchExpressions"))):
        if isinstance(expression, Mapping) and str(expression.get("key")) in _LOOKS_LIKE_THE_NAME:
            yield _free_label(expression["key"], (*path, "matchExpressions", index, "key"))


def _free_label(key: str, path: Path) -> Finding:
    return Finding(
        FREE_NAMESPACE_LABEL,
        path,
        f"the label {key!r} on a namespace can be set by whoever may edit it",
        found=key,
        expected=LABEL_NAMESPACE_NAME,
    )


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
