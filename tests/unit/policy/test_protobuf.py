"""The API server's own format: what is written is what a reader of the format finds."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantprofile.policy import protobuf


def read(message: bytes) -> list[tuple[int, int | bytes]]:
    """Fields and values, by the rules of the format (protobuf.dev, Encoding)."""
    found: list[tuple[int, int | bytes]] = []
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(message):
        tag = varint()
        if tag & 7 == 0:
            found.append((tag >> 3, varint()))
        else:
            assert tag & 7 == 2
            size = varint()
            assert at + size <= len(message)
            found.append((tag >> 3, message[at : at + size]))
            at += size
    return found


def text(value: int | bytes) -> bytes:
    assert isinstance(value, bytes)
    return value


def test_a_known_object() -> None:
    # Worked out by hand from the .proto files; tests/cluster/test_wire.py asks the API server.
    body = protobuf.policy(
        protobuf.metadata({"name": "p"}),
        protobuf.spec({"podSelector": {}, "ingress": [{}], "policyTypes": ["Ingress"]}),
    )
    assert body == (
        b"k8s\x00"
        b"\n%\n\x14networking.k8s.io/v1\x12\rNetworkPolicy"
        b'\x12\x14\n\x03\n\x01p\x12\r\n\x00\x12\x00"\x07Ingress'
    )


@given(st.dictionaries(st.text(max_size=8), st.text(max_size=300), max_size=5))
def test_maps_and_long_values(labels: dict[str, str]) -> None:
    found = read(protobuf.metadata({"labels": labels}))
    assert all(number == 11 for number, _ in found)
    pairs = [dict(read(text(entry))) for _, entry in found]
    assert {text(p[1]).decode(): text(p[2]).decode() for p in pairs} == labels


def test_ports_by_number_and_by_name() -> None:
    spec = protobuf.spec(
        {"egress": [{"ports": [{"port": 8080, "endPort": 9000}, {"port": "http", "protocol": "TCP"}]}]}
    )
    rule = read(text(dict(read(spec))[3]))
    number, name = (read(text(port)) for _, port in rule)
    assert [n for n, _ in number] == [2, 3]
    assert read(text(number[0][1])) == [(1, 0), (2, 8080)]
    assert number[1][1] == 9000
    assert dict(name)[1] == b"TCP"
    assert read(text(dict(name)[2])) == [(1, 1), (3, b"http")]


def test_an_empty_selector_is_there_and_a_missing_one_is_not() -> None:
    spec = protobuf.spec({"ingress": [{"from": [{"namespaceSelector": {}}]}]})
    peer = text(read(text(dict(read(spec))[2]))[0][1])
    assert read(peer) == [(2, b"")]


@pytest.mark.parametrize(
    "spec",
    [
        {"unknown": 1},
        {"ingress": {}},
        {"ingress": [None]},
        {"egress": [{"from": []}]},
        {"ingress": [{"ports": [{"port": 1.5}]}]},
        {"ingress": [{"ports": [{"port": True}]}]},
        {"ingress": [{"ports": [{"port": -1}]}]},
        {"podSelector": {"matchLabels": {"a": None}}},
        {"policyTypes": "Ingress"},
        [],
    ],
)
def test_what_is_no_policy_is_refused(spec: Any) -> None:
    with pytest.raises(ValueError, match="expected"):
        protobuf.spec(spec)
