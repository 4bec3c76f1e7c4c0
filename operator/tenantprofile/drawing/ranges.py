"""Sets of addresses as a person calls them: the internet, a metadata service, a private range."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tenantprofile.connectivity.addresses import ALL_ADDRESSES, ALL_IPV4, ALL_IPV6, AddressSet
from tenantprofile.connectivity.ports import ALL_PORTS, PortSet
from tenantprofile.connectivity.settings import PRIVATE_ADDRESSES

_SHOWN: Final = 3
"""Ranges that a label names before it counts."""


def _blocks(*cidrs: str) -> AddressSet:
    result = AddressSet()
    for cidr in cidrs:
        result |= AddressSet.block(cidr)
    return result


_NOT_PUBLIC: Final = PRIVATE_ADDRESSES | _blocks(
    "0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "192.0.0.0/24", "198.18.0.0/15", "224.0.0.0/3"
)
"""IPv4 ranges that a policy for the internet leaves out or not, as it likes (RFC 6890)."""
_PUBLIC_IPV4: Final = ALL_IPV4 - _NOT_PUBLIC
_PUBLIC_IPV6: Final = _blocks("2000::/3")
_METADATA: Final = _blocks("169.254.169.254/32", "fd00:ec2::254/128")


@dataclass(frozen=True, slots=True)
class RangeName:
    """title: what it is. detail: the addresses, shortened where they are many."""

    title: str
    detail: str


def named(addresses: AddressSet) -> RangeName:
    """What to call a set of addresses."""
    if addresses == ALL_ADDRESSES:
        return RangeName("Any address", "0.0.0.0/0 and ::/0")
    if addresses <= _METADATA:
        return RangeName("Cloud metadata", spelled(addresses))
    if any(public <= addresses for public in (_PUBLIC_IPV4, _PUBLIC_IPV6)):
        return RangeName("Internet", spelled(addresses))
    if addresses <= PRIVATE_ADDRESSES:
        return RangeName("Private range", spelled(addresses))
    return RangeName("Address range", spelled(addresses))


def spelled(addresses: AddressSet, shown: int = _SHOWN) -> str:
    """CIDRs; a family with holes as `0.0.0.0/0 except 10.0.0.0/8`, where that is shorter."""
    parts = []
    for whole in (ALL_IPV4, ALL_IPV6):
        part = addresses & whole
        if not part:
            continue
        inside, holes = str(part).split(","), str(whole - part).split(",")
        if whole - part and len(holes) <= len(inside):
            parts.append(f"{whole} except {_listed(holes, shown)}")
        else:
            parts.append(_listed(inside, shown))
    return " and ".join(parts) or "none"


def by_ports(parts: dict[PortSet, AddressSet]) -> list[tuple[AddressSet, PortSet]]:
    """Addresses by the ports that are open with them, turned round: for each port, all its addresses.

    So a rule for 0.0.0.0/0 stays one range where another rule opens more ports to a part of it.
    """
    pieces: list[tuple[PortSet, AddressSet]] = [(ALL_PORTS, AddressSet())]
    for ports, addresses in parts.items():
        split: list[tuple[PortSet, AddressSet]] = []
        for piece, reached in pieces:
            split += [(piece & ports, reached | addresses), (piece - ports, reached)]
        pieces = [(piece, reached) for piece, reached in split if piece]
    found: dict[AddressSet, PortSet] = {}
    for piece, reached in pieces:
        if reached:
            found[reached] = found[reached] | piece if reached in found else piece
    return sorted(found.items(), key=lambda item: (item[0].bounds, item[1].bounds))


def _listed(items: list[str], shown: int) -> str:
    return ", ".join(items[:shown]) + (f" and {len(items) - shown} more" if len(items) > shown else "")
