"""CIDR ranges as the API server reads them, and what is doubtful in how they are written.

The server long parsed with Go's sloppy parser (k8s.io/utils/net.ParseCIDRSloppy) and still does for
stored objects: host bits, leading zeros and IPv4-mapped IPv6 passed, and dataplanes disagree about
what they mean (CVE-2021-29923 for the zeros). They are read here, so that a finding can name them.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")

METADATA_ADDRESSES: Final = tuple(
    ipaddress.ip_address(address)
    for address in (
        "169.254.169.254",  # most clouds: instance metadata, and with it credentials
        "fd00:ec2::254",  # the same on EC2, IPv6
        "169.254.170.2",  # ECS task credentials
        "169.254.170.23",  # EKS Pod Identity agent
        "100.100.100.200",  # Alibaba Cloud, inside 100.64.0.0/10
    )
)


@dataclass(frozen=True, slots=True)
class Range:
    """A parsed CIDR: the range that it stands for, and the doubts about its spelling."""

    network: Network
    host_bits: bool
    leading_zeros: bool
    mapped: bool

    @property
    def doubtful(self) -> bool:
        return self.host_bits or self.leading_zeros or self.mapped


@lru_cache(maxsize=8192)
def parse_cidr(text: str) -> Range | None:
    """The range, or None where no Kubernetes release accepts the text."""
    address, slash, prefix = text.partition("/")
    if not slash or not (prefix.isascii() and prefix.isdigit()) or "%" in address or len(text) > 64:
        return None
    leading_zeros = len(prefix) > 1 and prefix[0] == "0"
    head, colon, dotted = address.rpartition(":")
    if "." in dotted:
        octets = dotted.split(".")
        if not all(octet.isascii() and octet.isdigit() for octet in octets):
            return None
        leading_zeros |= any(len(octet) > 1 and octet[0] == "0" for octet in octets)
        address = head + colon + ".".join(str(int(octet)) for octet in octets)
    try:
        interface = ipaddress.ip_interface(f"{address}/{int(prefix)}")
    except ValueError:
        return None
    network: Network = interface.network
    mapped = isinstance(network, ipaddress.IPv6Network) and interface.ip in _MAPPED
    return Range(network, interface.ip != network.network_address, leading_zeros, mapped)


def contains(outer: Network, inner: Network) -> bool:
    """Whether a range lies in another one of the same family, equal ones included."""
    if isinstance(outer, ipaddress.IPv4Network):
        return isinstance(inner, ipaddress.IPv4Network) and inner.subnet_of(outer)
    return isinstance(inner, ipaddress.IPv6Network) and inner.subnet_of(outer)


def overlap(one: Network, other: Network) -> bool:
    """CIDR ranges overlap exactly if one contains the other."""
    return contains(one, other) or contains(other, one)


def cover_a_family(cidrs: Iterable[str]) -> bool:
    """Whether ranges together are all of IPv4 or all of IPv6, also when written as two halves."""
    networks = [found.network for cidr in cidrs if (found := parse_cidr(cidr)) is not None]
    v4 = [network for network in networks if isinstance(network, ipaddress.IPv4Network)]
    v6 = [network for network in networks if isinstance(network, ipaddress.IPv6Network)]
    return any(network.prefixlen == 0 for network in ipaddress.collapse_addresses(v4)) or any(
        network.prefixlen == 0 for network in ipaddress.collapse_addresses(v6)
    )
