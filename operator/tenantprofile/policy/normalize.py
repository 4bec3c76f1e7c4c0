"""A NetworkPolicySpec in the form in which the API server stores it.

What is desired and what was read back compare equal exactly if they mean the same object:

- `policyTypes` and `ports[].protocol` get the server's defaults (pkg/apis/networking/v1/defaults.go);
- what the server drops on its way through its typed structs is dropped: nulls, empty lists, empty
  `matchLabels`, so that a missing, null and empty list of rules, peers or ports are one thing;
- `{}` stays wherever it is a pointer to a struct, because there it means everything;
- the order of every list stays, because the lists are atomic.

Fields that the API does not have are kept as they are: should one ever be seen on a stored policy,
then a newer API server means something by it, and it is a difference. The input is never changed,
and never shares a container with the output.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

Spec = dict[str, Any]

_encode = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, check_circular=False
).encode


def normalize(spec: Mapping[str, Any]) -> Spec:
    """The spec as a real API server returns it; idempotent. Nonsense passes through for others to judge."""
    normal: Spec = {}
    for field, value in spec.items():
        if field == "ingress":
            if value:
                normal["ingress"] = _each(value, _ingress_rule)
        elif field == "egress":
            if value:
                normal["egress"] = _each(value, _egress_rule)
        elif field == "podSelector":
            pass
        elif field == "policyTypes":
            if value:
                normal["policyTypes"] = _copy(value)
        elif value is not None:
            normal[field] = _copy(value)
    normal["podSelector"] = _selector(spec.get("podSelector") or {})
    if "policyTypes" not in normal:
        normal["policyTypes"] = ["Ingress", "Egress"] if "egress" in normal else ["Ingress"]
    return normal


def canonical(spec: Mapping[str, Any]) -> bytes:
    """The same bytes for every spec that the API server stores as the same object."""
    return _encode(normalize(spec)).encode("utf-8", "surrogatepass")


def _each(items: Any, normal_form: Callable[[Any], Any]) -> Any:
    return [normal_form(item) for item in items] if isinstance(items, list | tuple) else _copy(items)


def _ingress_rule(rule: Any) -> Any:
    return _rule(rule, "from")


def _egress_rule(rule: Any) -> Any:
    return _rule(rule, "to")


def _rule(rule: Any, peers: str) -> Any:
    # A null in a list of structs is an empty struct to Go's decoder: here a rule that allows everything.
    if rule is None:
        return {}
    if not isinstance(rule, Mapping):
        return rule
    normal: dict[str, Any] = {}
    for field, value in rule.items():
        if field == peers:
            if value:
                normal[field] = _each(value, _peer)
        elif field == "ports":
            if value:
                normal[field] = _each(value, _port)
        elif value is not None:
            normal[field] = _copy(value)
    return normal


def _peer(peer: Any) -> Any:
    if peer is None:
        return {}
    if not isinstance(peer, Mapping):
        return peer
    normal: dict[str, Any] = {}
    for field, value in peer.items():
        if value is None:
            continue
        if field in ("podSelector", "namespaceSelector"):
            normal[field] = _selector(value)
        elif field == "ipBlock" and isinstance(value, Mapping):
            normal[field] = {
                key: _copy(part)
                for key, part in value.items()
                if part is not None and (key != "except" or part)
            }
        else:
            normal[field] = _copy(value)
    return normal


def _port(port: Any) -> Any:
    if port is None:
        return {"protocol": "TCP"}
    if not isinstance(port, Mapping):
        return port
    normal = {field: value for field, value in port.items() if value is not None}
    if "protocol" not in normal:
        normal["protocol"] = "TCP"
    return normal


def _selector(selector: Any) -> Any:
    if not isinstance(selector, Mapping):
        return selector
    normal: dict[str, Any] = {}
    for field, value in selector.items():
        if field == "matchLabels":
            if value:
                # A null in a map of strings is the empty string to Go's decoder.
                normal[field] = (
                    {key: "" if text is None else text for key, text in value.items()}
                    if isinstance(value, Mapping)
                    else value
                )
        elif field == "matchExpressions":
            if value:
                normal[field] = _each(value, _expression)
        elif value is not None:
            normal[field] = _copy(value)
    return normal


def _expression(expression: Any) -> Any:
    if not isinstance(expression, Mapping):
        return expression
    normal: dict[str, Any] = {}
    for field, value in expression.items():
        if field == "values":
            if value:
                # As with the map: a null in a list of strings is the empty string.
                normal[field] = _each(value, lambda text: "" if text is None else _copy(text))
        elif value is not None:
            normal[field] = _copy(value)
    return normal


def _copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copy(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_copy(part) for part in value]
    return value
