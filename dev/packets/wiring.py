"""Addresses and links: one node, and pods and outside hosts behind it, in both address families.

A pod has its address with a full prefix and one default route through its link, as with Calico; the
node has one route to each. Neighbours are written down instead of looked up, so the first packet is
not late. The names `ip` prints inside a namespace are `eth0` in a pod and `p<number>` on the node.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from .netns import Netns

NODE_NAME = "node"
NODE_IPV4 = IPv4Address("172.18.0.2")
NODE_IPV6 = IPv6Address("fd00:172:18::2")
POD_NETWORKS = ("10.244.0.0/16", "fd00:10:244::/64")
_POD_IPV4 = IPv4Address("10.244.0.0")
_POD_IPV6 = IPv6Address("fd00:10:244::")
_GATEWAY_IPV4 = "169.254.1.1"
_GATEWAY_IPV6 = "fe80::1"

_NODE_SETTINGS = {
    "net/ipv4/ip_forward": "1",
    "net/ipv6/conf/all/forwarding": "1",
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv4/conf/default/rp_filter": "0",
    # Every refusal is an ICMP message, and a matrix refuses hundreds at once.
    "net/ipv4/icmp_ratelimit": "0",
    "net/ipv6/icmp/ratelimit": "0",
}
# In this namespace only since Linux 6.13 or so, and the connection tracker's only once it is loaded.
_NODE_SETTINGS_IF_THERE = {
    "net/ipv4/icmp_msgs_per_sec": "100000",
    "net/ipv4/icmp_msgs_burst": "10000",
    # A later question must not look allowed because an earlier one was.
    "net/netfilter/nf_conntrack_udp_timeout": "1",
    "net/netfilter/nf_conntrack_udp_timeout_stream": "1",
}


@dataclass(frozen=True, slots=True)
class Addresses:
    """The addresses of a pod or host; the first of each family is the one it answers from."""

    ipv4: tuple[IPv4Address, ...] = ()
    ipv6: tuple[IPv6Address, ...] = ()

    def __iter__(self) -> Iterator[IPv4Address | IPv6Address]:
        yield from self.ipv4
        yield from self.ipv6


def pod_addresses(number: int) -> Addresses:
    """The addresses of the pod with this number, from 1."""
    return Addresses((_POD_IPV4 + number,), (_POD_IPV6 + number,))


def make_node() -> Netns:
    """The node: it forwards between its pods and the outside, and filters nothing by itself."""
    node = Netns()
    node.ip(
        [
            "link set lo up",
            f"addr add {NODE_IPV4}/32 dev lo",
            f"addr add {NODE_IPV6}/128 dev lo nodad",
        ]
    )
    node.sysctl(_NODE_SETTINGS)
    node.sysctl(_NODE_SETTINGS_IF_THERE, optional=True)
    return node


def connect(node: Netns, number: int, addresses: Addresses) -> Netns:
    """A new namespace with these addresses, linked to the node. The number is the link's, from 1."""
    inside = Netns()
    try:
        link, here, there = f"p{number}", _mac(0x02, number), _mac(0x06, number)
        node.ip(
            [
                f"link add {link} address {here} type veth"
                f" peer name eth0 address {there} netns {inside.path}",
                f"link set {link} addrgenmode none",
                f"link set {link} up",
            ]
        )
        inside.ip(
            [
                "link set lo up",
                "link set eth0 addrgenmode none",
                *(f"addr add {a}/32 dev eth0" for a in addresses.ipv4),
                *(f"addr add {a}/128 dev eth0 nodad" for a in addresses.ipv6),
                "link set eth0 up",
                f"neigh add {_GATEWAY_IPV4} lladdr {here} dev eth0 nud permanent",
                f"neigh add {_GATEWAY_IPV6} lladdr {here} dev eth0 nud permanent",
                f"route add {_GATEWAY_IPV4} dev eth0",
                *(f"route add default via {_GATEWAY_IPV4} dev eth0 src {a}" for a in addresses.ipv4[:1]),
                *(f"route add default via {_GATEWAY_IPV6} dev eth0 src {a}" for a in addresses.ipv6[:1]),
            ]
        )
        node.ip(
            [
                line
                for address in addresses
                for line in (
                    f"neigh add {address} lladdr {there} dev {link} nud permanent",
                    f"route add {address} dev {link}",
                )
            ]
        )
    except BaseException:
        inside.close()
        raise
    return inside


def disconnect(node: Netns, number: int) -> None:
    """Take the link with this number away now; the kernel takes its time to end the namespace behind it."""
    node.ip([f"link del p{number}"])


def _mac(first: int, number: int) -> str:
    """A locally administered address."""
    return f"{first:02x}:00:00:00:{number >> 8:02x}:{number & 255:02x}"
