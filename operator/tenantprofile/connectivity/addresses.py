"""Sets of IP addresses of both families, exact at every boundary.

IPv4 and IPv6 share one number line with a gap between them, so a set may hold both and no range
ever crosses from one family into the other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, summarize_address_range
from typing import Final

from tenantprofile.connectivity import intervals

Address = IPv4Address | IPv6Address

_V6 = (1 << 32) + 1
_LEADING_ZEROS = re.compile(r"(?<![0-9])0+(?=[0-9])")


def position(address: Address) -> int:
    """The place of an address on the common number line."""
    return int(address) + (_V6 if address.version == 6 else 0)


def address_at(place: int) -> Address:
    return IPv4Address(place) if place < _V6 else IPv6Address(place - _V6)


def parse_address(text: str) -> Address:
    """An address as the API server reads it; raises ValueError.

    Leading zeros are decimal and an IPv4-mapped IPv6 address is its IPv4 address (Kubernetes
    utils/net ParseIPSloppy): refused in what we render, but stored objects may still hold them.
    """
    found = ip_address(text if ":" in text else _LEADING_ZEROS.sub("", text))
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return mapped or found


def parse_network(text: str) -> IPv4Network | IPv6Network:
    """A CIDR as the API server reads it; host bits are masked away. Raises ValueError."""
    base, slash, length = text.partition("/")
    if not slash or not length.isascii() or not length.isdigit():
        raise ValueError(f"{text!r} is not a CIDR; expected a form like 10.0.0.0/8 or fd00::/8")
    address, bits = parse_address(base), int(length)
    if address.version == 4:
        bits -= 96 if ":" in base else 0
        if not 0 <= bits <= 32:
            raise ValueError(f"{text!r} is not a CIDR: the prefix of an IPv4 range is 0 to 32")
        return IPv4Network((address, bits), strict=False)
    if bits > 128:
        raise ValueError(f"{text!r} is not a CIDR: the prefix of an IPv6 range is 0 to 128")
    return IPv6Network((address, bits), strict=False)


@dataclass(frozen=True, slots=True)
class AddressSet:
    """An exact set of IPv4 and IPv6 addresses; equal sets compare and hash equal."""

    bounds: intervals.Bounds = intervals.EMPTY

    @classmethod
    def block(cls, cidr: str, excepted: Iterable[str] = ()) -> AddressSet:
        """What an ipBlock covers: its cidr without each of its `except`. Raises ValueError."""
        result = cls._network(parse_network(cidr))
        for hole in excepted:
            result -= cls._network(parse_network(hole))
        return result

    @classmethod
    def of(cls, *addresses: Address) -> AddressSet:
        places = (position(address) for address in addresses)
        return cls(intervals.union_all(intervals.interval(place, place) for place in places))

    @classmethod
    def _network(cls, network: IPv4Network | IPv6Network) -> AddressSet:
        ends = position(network.network_address), position(network.broadcast_address)
        return cls(intervals.interval(*ends))

    def __bool__(self) -> bool:
        return bool(self.bounds)

    def __or__(self, other: AddressSet) -> AddressSet:
        return AddressSet(intervals.union(self.bounds, other.bounds))

    def __and__(self, other: AddressSet) -> AddressSet:
        return AddressSet(intervals.intersection(self.bounds, other.bounds))

    def __sub__(self, other: AddressSet) -> AddressSet:
        return AddressSet(intervals.difference(self.bounds, other.bounds))

    def __le__(self, other: AddressSet) -> bool:
        return not self - other

    def contains(self, address: Address) -> bool:
        return intervals.contains(self.bounds, position(address))

    @property
    def is_everything(self) -> bool:
        return self == ALL_ADDRESSES

    def ranges(self) -> Iterator[tuple[Address, Address]]:
        """(first, last) of every maximal range, IPv4 before IPv6, each in order."""
        for first, last in intervals.ranges(self.bounds):
            yield address_at(first), address_at(last)

    def each(self) -> Iterator[Address]:
        """Every address, one by one and in order; a caller stops in time."""
        for first, last in intervals.ranges(self.bounds):
            for place in range(first, last + 1):
                yield address_at(place)

    def networks(self) -> Iterator[IPv4Network | IPv6Network]:
        """The fewest CIDRs that make up the set, in order."""
        for first, last in self.ranges():
            yield from summarize_address_range(first, last)

    def __str__(self) -> str:
        """Ranges as a person reads them: `0.0.0.0/0`, `10.0.0.1-10.0.0.7`, comma between; `none`."""
        words = []
        for first, last in self.ranges():
            networks = list(summarize_address_range(first, last))
            if first == last:
                words.append(str(first))
            else:
                words.append(str(networks[0]) if len(networks) == 1 else f"{first}-{last}")
        return ",".join(words) or "none"


NO_ADDRESSES: Final = AddressSet()
ALL_IPV4: Final = AddressSet.block("0.0.0.0/0")
ALL_IPV6: Final = AddressSet.block("::/0")
ALL_ADDRESSES: Final = ALL_IPV4 | ALL_IPV6
