"""NetworkPolicies in the API server's own wire format, which it reads in less time than JSON.

Only what a request body needs. The format of a released API version never changes (k8s.io/api, networking/v1
generated.proto; apimachinery, meta/v1 and util/intstr generated.proto; the envelope: runtime generated.proto).
What the API server made of it is in its answer, in JSON, and is compared with what was wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

MAGIC: Final = b"k8s\x00"
"""The first bytes of a body in this format."""
CONTENT_TYPE: Final = "application/vnd.kubernetes.protobuf"

Encoder = Callable[[Any], bytes]


def policy(metadata: bytes, spec: bytes) -> bytes:
    """A request body out of an encoded metadata and an encoded spec."""
    return MAGIC + _TYPE + _field(2, _field(1, metadata) + _field(2, spec))


def metadata(fields: Mapping[str, Any]) -> bytes:
    """Name, resourceVersion, labels and annotations. Raises ValueError for anything else.

    Two encoded ones put together are one with the fields of both.
    """
    return _message(
        {"name": (1, _text), "resourceVersion": (6, _text), "labels": (11, _map), "annotations": (12, _map)},
        fields,
    )


def spec(fields: Mapping[str, Any]) -> bytes:
    """A NetworkPolicySpec. Raises ValueError for what is none."""
    return _message(
        {
            "podSelector": (1, _one(_selector)),
            "ingress": (2, _each(_ingress)),
            "egress": (3, _each(_egress)),
            "policyTypes": (4, _texts),
        },
        {"podSelector": {}, **fields} if isinstance(fields, Mapping) else fields,
    )


def _ingress(rule: Any) -> bytes:
    return _message({"ports": (1, _each(_port)), "from": (2, _each(_peer))}, rule)


def _egress(rule: Any) -> bytes:
    return _message({"ports": (1, _each(_port)), "to": (2, _each(_peer))}, rule)


def _port(port: Any) -> bytes:
    return _message(
        {"protocol": (1, _text), "port": (2, _one(_int_or_string)), "endPort": (3, _number)}, port
    )


def _peer(peer: Any) -> bytes:
    return _message(
        {
            "podSelector": (1, _one(_selector)),
            "namespaceSelector": (2, _one(_selector)),
            "ipBlock": (3, _one(_block)),
        },
        peer,
    )


def _block(block: Any) -> bytes:
    return _message({"cidr": (1, _text), "except": (2, _texts)}, block)


def _selector(selector: Any) -> bytes:
    return _message({"matchLabels": (1, _map), "matchExpressions": (2, _each(_requirement))}, selector)


def _requirement(requirement: Any) -> bytes:
    return _message({"key": (1, _text), "operator": (2, _text), "values": (3, _texts)}, requirement)


def _int_or_string(value: Any) -> bytes:
    if isinstance(value, str):
        return _number(1, 1) + _text(3, value)
    return _number(1, 0) + _number(2, value)


# --- the wire format (protobuf.dev, Encoding) ---


def _message(known: Mapping[str, tuple[int, Callable[[int, Any], bytes]]], fields: Any) -> bytes:
    if not isinstance(fields, Mapping) or not fields.keys() <= known.keys():
        raise ValueError(f"found {fields!r}; expected a map with some of {', '.join(known)}")
    encoded = []
    for name, value in fields.items():
        if value is not None:
            number, encode = known[name]
            encoded.append(encode(number, value))
    return b"".join(encoded)


def _one(encode: Encoder) -> Callable[[int, Any], bytes]:
    return lambda number, value: _field(number, encode(value))


def _each(encode: Encoder) -> Callable[[int, Any], bytes]:
    return lambda number, values: b"".join(_field(number, encode(value)) for value in _list(values))


def _texts(number: int, values: Any) -> bytes:
    return b"".join(_text(number, value) for value in _list(values))


def _map(number: int, values: Any) -> bytes:
    if not isinstance(values, Mapping):
        raise ValueError(f"found {values!r}; expected a map")
    return b"".join(_field(number, _text(1, key) + _text(2, value)) for key, value in values.items())


def _text(number: int, value: Any) -> bytes:
    if not isinstance(value, str):
        raise ValueError(f"found {value!r}; expected a string")
    return _field(number, value.encode())


def _number(number: int, value: Any) -> bytes:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**31:
        raise ValueError(f"found {value!r}; expected a number")
    return _varint(number << 3) + _varint(value)


def _list(values: Any) -> list[Any]:
    if not isinstance(values, list):
        raise ValueError(f"found {values!r}; expected a list")
    return values


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


_TYPE: Final = _field(1, _text(1, "networking.k8s.io/v1") + _text(2, "NetworkPolicy"))
