"""What kube-apiserver refuses in a NetworkPolicySpec: every field of it, all findings at once.

Follows pkg/apis/networking/validation/validation.go and the label and port checks that it calls
(apimachinery, util/validation), plus what strict decoding refuses: unknown fields and wrong types.
Nulls pass, as they do there; what they then mean is judged in `meaning`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeGuard

from tenantprofile.policy.addresses import contains, parse_cidr
from tenantprofile.policy.findings import Finding, Path, Rule, nearest, shown
from tenantprofile.selectors import is_label_key, is_label_value

_PORT_NAME = re.compile(r"(?=.*[a-z])[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_LABEL_VALUE: Final = (
    "at most 63 letters, digits, '-', '_', '.', first and last a letter or digit, or the empty string"
)


def _api(id_: str, title: str, why: str, fix: str) -> Rule:
    return Rule(id_, "api", "error", title, why, fix, refused_in_templates=True)


WRONG_TYPE = _api(
    "wrong-type",
    "A field has another type than in the API",
    "The API server cannot decode the object and refuses it.",
    "Write the type that the field has: a map, a list, a string or a whole number.",
)
UNKNOWN_FIELD = _api(
    "unknown-field",
    "A field that the API does not have",
    "The API server drops it, or refuses the object; a restriction that was meant by it does not exist.",
    "Correct the name, or move the field to where the API has it.",
)
LABEL_KEY = _api(
    "label-key",
    "A label key that cannot exist",
    "No object can carry such a label; the API server refuses the selector.",
    "Use an optional DNS prefix, a slash, and a name of at most 63 characters.",
)
LABEL_VALUE = _api(
    "label-value",
    "A label value that cannot exist",
    "No object can carry such a value; the API server refuses the selector.",
    f"Use {_LABEL_VALUE}; put values like true or 1 in quotes.",
)
SELECTOR_EXPRESSION = _api(
    "selector-expression",
    "A selector expression that cannot be evaluated",
    "In and NotIn need values, Exists and DoesNotExist may not have any; other operators do not exist.",
    "Use one of the four operators, with or without values as it needs.",
)
PEER_EMPTY = _api(
    "peer-empty",
    "A peer without any selector or ipBlock",
    "The API server refuses a peer that names nobody.",
    "Give podSelector, namespaceSelector or ipBlock. For everybody leave out the whole list, on purpose.",
)
PEER_MIXED = _api(
    "peer-mixed",
    "A peer with ipBlock and a selector",
    "An ipBlock cannot be combined with selectors in one peer; the API server refuses it.",
    "Write two items in the list; they are alternatives.",
)
CIDR = _api(
    "cidr",
    "Not an address range",
    "The API server refuses an ipBlock that is not in CIDR form.",
    "Write address/prefix, like 10.50.0.0/24 or 2001:db8::/32.",
)
EXCEPT_OUTSIDE = _api(
    "except-outside",
    "An exception that is not part of its range",
    "`except` must be a strict subset of `cidr`, of the same address family; the API server refuses it.",
    "Put the exception under the range that contains it, or remove it.",
)
PORT_NUMBER = _api(
    "port-number",
    "A port number out of range",
    "Ports are 1 to 65535; the API server refuses others.",
    "Correct the number; leave `ports` out if every port is meant.",
)
PORT_NAME = _api(
    "port-name",
    "Not the name of a container port",
    "A port given as a string is a name: at most 15 of a-z, 0-9, '-', with a letter (IANA service name).",
    "Use the name that the pods declare, or a number without quotes.",
)
NUMERIC_STRING_PORT = _api(
    "numeric-string-port",
    "A port number in quotes",
    'A string is the name of a port, so "8080" matches no port and the API server refuses it.',
    "Write the number without quotes.",
)
END_PORT = _api(
    "end-port",
    "A port range that is none",
    "`endPort` needs a numeric `port` that is not larger.",
    "Give both as numbers, the smaller one as `port`.",
)
PROTOCOL = _api(
    "protocol",
    "An unknown protocol",
    "NetworkPolicy knows TCP, UDP and SCTP, in capitals.",
    "Use one of the three; other protocols cannot be written as a rule.",
)
POLICY_TYPES = _api(
    "policy-types",
    "Not a list of directions",
    "`policyTypes` may contain Ingress and Egress, at most two entries.",
    "Write [Ingress], [Egress] or [Ingress, Egress].",
)

RULES: Final = (
    WRONG_TYPE,
    UNKNOWN_FIELD,
    LABEL_KEY,
    LABEL_VALUE,
    SELECTOR_EXPRESSION,
    PEER_EMPTY,
    PEER_MIXED,
    CIDR,
    EXCEPT_OUTSIDE,
    PORT_NUMBER,
    PORT_NAME,
    NUMERIC_STRING_PORT,
    END_PORT,
    PROTOCOL,
    POLICY_TYPES,
)

Check = Callable[[Any, Path], Iterator[Finding]]


def check_validity(spec: Any, path: Path = ()) -> Iterator[Finding]:
    """Every finding about a whole spec."""
    yield from _fields(
        spec,
        path,
        {
            "podSelector": check_selector,
            "policyTypes": _policy_types,
            "ingress": _items(_rule("from")),
            "egress": _items(_rule("to")),
        },
    )


def check_selector(selector: Any, path: Path = ()) -> Iterator[Finding]:
    """Every finding about a LabelSelector."""
    yield from _fields(
        selector,
        path,
        {"matchLabels": _match_labels, "matchExpressions": _items(_expression)},
    )


def is_port_name(text: str) -> bool:
    """IANA_SVC_NAME as apimachinery's IsValidPortName has it."""
    return len(text) <= 15 and _PORT_NAME.fullmatch(text) is not None and "--" not in text


def _fields(value: Any, path: Path, known: Mapping[str, Check]) -> Iterator[Finding]:
    if not isinstance(value, Mapping):
        yield _wrong_type(value, path, f"a map with {', '.join(known)}")
        return
    for field, inner in value.items():
        check = known.get(field)
        if check is None:
            yield Finding(
                UNKNOWN_FIELD,
                (*path, field),
                f"the API has no field {shown(field)} here{nearest(field, known)}",
                found=inner,
                expected=", ".join(known),
            )
        elif inner is not None:
            yield from check(inner, (*path, field))


def _items(check: Check, nothing: Any = MappingProxyType({})) -> Check:
    def check_items(value: Any, path: Path) -> Iterator[Finding]:
        if not isinstance(value, list):
            yield _wrong_type(value, path, "a list")
            return
        for index, item in enumerate(value):
            # A null in a list is an empty struct or string to Go's decoder.
            yield from check(nothing if item is None else item, (*path, index))

    return check_items


def _rule(peers: str) -> Check:
    known = {peers: _items(_peer), "ports": _items(_port)}

    def check_rule(value: Any, path: Path) -> Iterator[Finding]:
        yield from _fields(value, path, known)

    return check_rule


def _peer(value: Any, path: Path) -> Iterator[Finding]:
    yield from _fields(
        value,
        path,
        {"podSelector": check_selector, "namespaceSelector": check_selector, "ipBlock": _ip_block},
    )
    if not isinstance(value, Mapping):
        return
    given = [
        field for field in ("podSelector", "namespaceSelector", "ipBlock") if value.get(field) is not None
    ]
    if not given:
        yield Finding(
            PEER_EMPTY,
            path,
            f"found {shown(dict(value))}, a peer that names nobody",
            found=value,
            expected="podSelector, namespaceSelector or ipBlock",
        )
    elif "ipBlock" in given and len(given) > 1:
        yield Finding(
            PEER_MIXED,
            path,
            f"found ipBlock together with {given[0]} in one peer",
            found=value,
            expected="ipBlock alone, the selectors in an item of their own",
        )


def _ip_block(value: Any, path: Path) -> Iterator[Finding]:
    yield from _fields(value, path, {"cidr": _nothing, "except": _nothing})
    if not isinstance(value, Mapping):
        return
    cidr, exceptions = value.get("cidr"), value.get("except")
    yield from _cidr(cidr, (*path, "cidr"))
    outer = parse_cidr(cidr) if isinstance(cidr, str) else None
    if exceptions is None:
        return
    if not isinstance(exceptions, list):
        yield _wrong_type(exceptions, (*path, "except"), "a list of address ranges")
        return
    for index, exception in enumerate(exceptions):
        yield from _cidr(exception, (*path, "except", index))
        inner = parse_cidr(exception) if isinstance(exception, str) else None
        if inner is None or outer is None:
            continue
        if not contains(outer.network, inner.network) or inner.network.prefixlen == outer.network.prefixlen:
            yield Finding(
                EXCEPT_OUTSIDE,
                (*path, "except", index),
                f"{exception} is not a strict part of {cidr}",
                found=exception,
                expected=f"a smaller range inside {cidr}",
            )


def _cidr(value: Any, path: Path) -> Iterator[Finding]:
    if value is not None and not isinstance(value, str):
        yield _wrong_type(value, path, "a string like 10.50.0.0/24")
    elif value is None or parse_cidr(value) is None:
        yield Finding(
            CIDR,
            path,
            f"found {shown(value)}, which is not an address range",
            found=value,
            expected="address/prefix like 10.50.0.0/24 or 2001:db8::/32",
        )


def _port(value: Any, path: Path) -> Iterator[Finding]:
    yield from _fields(value, path, {"protocol": _protocol, "port": _port_value, "endPort": _whole_number})
    if not isinstance(value, Mapping):
        return
    port, end = value.get("port"), value.get("endPort")
    if not _is_integer(end):
        return
    if not _is_integer(port):
        yield Finding(
            END_PORT,
            (*path, "endPort"),
            f"found endPort {end} with port {shown(port)}",
            found=end,
            expected="a number as `port`",
        )
    elif not port <= end <= 65535:
        yield Finding(
            END_PORT,
            (*path, "endPort"),
            f"found endPort {end} with port {port}",
            found=end,
            expected=f"a number from {port} to 65535",
        )


def _port_value(value: Any, path: Path) -> Iterator[Finding]:
    if _is_integer(value):
        if not 1 <= value <= 65535:
            yield Finding(
                PORT_NUMBER, path, f"found {value}", found=value, expected="a number from 1 to 65535"
            )
    elif not isinstance(value, str):
        yield _wrong_type(value, path, "a number or the name of a port")
    elif value.isascii() and value.isdigit():
        yield Finding(
            NUMERIC_STRING_PORT,
            path,
            f"found the string {shown(value)}, which is the name of a port and not a number",
            found=value,
            expected=f"{int(value[:10])} without quotes",
        )
    elif not is_port_name(value):
        yield Finding(
            PORT_NAME,
            path,
            f"found {shown(value)}, which no container port can be called",
            found=value,
            expected="at most 15 of a-z, 0-9 and single inner '-', with at least one letter",
        )


def _protocol(value: Any, path: Path) -> Iterator[Finding]:
    if value not in ("TCP", "UDP", "SCTP"):
        yield Finding(PROTOCOL, path, f"found {shown(value)}", found=value, expected="TCP, UDP or SCTP")


def _policy_types(value: Any, path: Path) -> Iterator[Finding]:
    if not isinstance(value, list):
        yield _wrong_type(value, path, "a list of Ingress and Egress")
        return
    if len(value) > 2:
        yield Finding(
            POLICY_TYPES, path, f"found {len(value)} entries", found=value, expected="at most two entries"
        )
    for index, direction in enumerate(value):
        if direction not in ("Ingress", "Egress"):
            yield Finding(
                POLICY_TYPES,
                (*path, index),
                f"found {shown(direction)}{nearest(direction, ('Ingress', 'Egress'))}",
                found=direction,
                expected="Ingress or Egress",
            )


def _match_labels(value: Any, path: Path) -> Iterator[Finding]:
    if not isinstance(value, Mapping):
        yield _wrong_type(value, path, "a map of label keys to values")
        return
    for key, text in value.items():
        yield from _label_key(key, (*path, key))
        if text is not None:
            yield from _label_value(text, (*path, key))


def _expression(value: Any, path: Path) -> Iterator[Finding]:
    yield from _fields(
        value, path, {"key": _label_key, "operator": _nothing, "values": _items(_label_value, nothing="")}
    )
    if not isinstance(value, Mapping):
        return
    operator, values = value.get("operator"), value.get("values")
    if value.get("key") is None:
        yield from _label_key(None, (*path, "key"))
    if operator in ("In", "NotIn"):
        if not values:
            yield Finding(
                SELECTOR_EXPRESSION,
                (*path, "values"),
                f"found no values for {operator}",
                found=values,
                expected="at least one value",
            )
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            yield Finding(
                SELECTOR_EXPRESSION,
                (*path, "values"),
                f"found values for {operator}",
                found=values,
                expected="no values",
            )
    else:
        operators = ("In", "NotIn", "Exists", "DoesNotExist")
        yield Finding(
            SELECTOR_EXPRESSION,
            (*path, "operator"),
            f"found {shown(operator)}{nearest(operator, operators)}",
            found=operator,
            expected=", ".join(operators),
        )


def _label_key(value: Any, path: Path) -> Iterator[Finding]:
    if not is_label_key(value):
        yield Finding(
            LABEL_KEY,
            path,
            f"{shown(value)} is not a label key",
            found=value,
            expected="a form like app or app.kubernetes.io/name",
        )


def _label_value(value: Any, path: Path) -> Iterator[Finding]:
    if not is_label_value(value):
        yield Finding(
            LABEL_VALUE, path, f"{shown(value)} is not a label value", found=value, expected=_LABEL_VALUE
        )


def _whole_number(value: Any, path: Path) -> Iterator[Finding]:
    if not _is_integer(value):
        yield _wrong_type(value, path, "a whole number")


def _nothing(value: Any, path: Path) -> Iterator[Finding]:
    return iter(())


def _is_integer(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _wrong_type(value: Any, path: Path, expected: str) -> Finding:
    return Finding(WRONG_TYPE, path, f"found {shown(value)}", found=value, expected=expected)
