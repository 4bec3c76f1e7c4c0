"""Ports and addresses are exact sets: checked against Python's own sets."""

from __future__ import annotations

from ipaddress import IPv4Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantprofile.connectivity import intervals
from tenantprofile.connectivity.addresses import ALL_ADDRESSES, ALL_IPV4, ALL_IPV6, AddressSet, parse_network
from tenantprofile.connectivity.ports import ALL_PORTS, NO_PORTS, PROTOCOLS, PortSet

NUMBERS = st.frozensets(st.integers(0, 30))


def bounds(numbers):
    return intervals.union_all(intervals.interval(n, n) for n in numbers)


def numbers_in(found):
    return {n for first, last in intervals.ranges(found) for n in range(first, last + 1)}


@given(NUMBERS, NUMBERS)
def test_the_arithmetic_is_that_of_sets(left, right):
    a, b = bounds(left), bounds(right)
    assert numbers_in(intervals.union(a, b)) == left | right
    assert numbers_in(intervals.intersection(a, b)) == left & right
    assert numbers_in(intervals.difference(a, b)) == left - right
    assert (a == b) == (left == right)
    assert intervals.size(a) == len(left)
    assert all(intervals.contains(a, n) == (n in left) for n in range(31))


def test_protocols_never_touch():
    everything = NO_PORTS
    for protocol in PROTOCOLS:
        everything |= PortSet.of(protocol, 1, 65535)
    assert everything == ALL_PORTS
    assert [r[0] for r in ALL_PORTS.ranges()] == ["TCP", "UDP", "SCTP"]


def test_ports_read_as_people_write_them():
    assert (
        str(PortSet.of("TCP", 80) | PortSet.of("TCP", 8000, 8080) | PortSet.of("UDP", 53))
        == "TCP 80,8000-8080 UDP 53"
    )
    assert (str(ALL_PORTS), str(NO_PORTS), str(PortSet.of("SCTP", 1, 65535))) == ("all", "none", "SCTP *")


@pytest.mark.parametrize(("protocol", "port"), [("TCP", 0), ("TCP", 65536), ("ICMP", 8)])
def test_what_is_no_port_is_refused(protocol, port):
    with pytest.raises(ValueError, match="expected"):
        PortSet.of(protocol, port)


def test_a_block_with_holes_splits_at_every_boundary():
    found = AddressSet.block("10.0.0.0/24", ["10.0.0.64/26", "10.0.0.128/32"])
    assert [(str(a), str(b)) for a, b in found.ranges()] == [
        ("10.0.0.0", "10.0.0.63"),
        ("10.0.0.129", "10.0.0.255"),
    ]
    assert str(AddressSet.block("fd00::/8")) == "fd00::/8"
    assert [str(n) for n in (AddressSet.block("10.0.0.0/31") | AddressSet.block("::/128")).networks()] == [
        "10.0.0.0/31",
        "::/128",
    ]


def test_the_families_are_apart():
    assert ALL_IPV4 | ALL_IPV6 == ALL_ADDRESSES
    assert not ALL_IPV4 & ALL_IPV6
    assert len(list(ALL_ADDRESSES.ranges())) == 2
    assert not AddressSet.of(IPv4Address(1)).contains(ip_address("::1"))


def test_stored_networks_are_read_as_the_api_server_reads_them():
    assert str(parse_network("10.0.1.5/24")) == "10.0.1.0/24"
    assert str(parse_network("010.000.1.0/24")) == "10.0.1.0/24"
    assert str(parse_network("::ffff:10.0.0.0/104")) == "10.0.0.0/8"


@pytest.mark.parametrize(
    "text", ["10.0.0.0", "10.0.0.0/33", "10.0.0/8", "::/129", "10.0.0.0/-1", "x/8", "::ffff:1.2.3.4/90"]
)
def test_what_is_no_network_is_refused(text):
    with pytest.raises(ValueError):  # noqa: PT011
        parse_network(text)
