"""Where network plugins differ, and what the engine assumes unless told otherwise.

Every answer that would turn out differently under another value names the setting.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final, Literal

from tenantprofile.connectivity.addresses import ALL_IPV4, ALL_IPV6, AddressSet

_POD_NETWORKS = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")


def _private() -> AddressSet:
    result = AddressSet.block("fc00::/7")
    for cidr in _POD_NETWORKS:
        result |= AddressSet.block(cidr)
    return result


PRIVATE_ADDRESSES: Final = _private()
"""RFC 1918, RFC 6598 and RFC 4193: where a pod lives whose address is not known yet."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The behaviours of a network plugin that the API leaves open."""

    ip_blocks_match_pods: bool = True
    """An ipBlock matches a pod by its address. The upstream e2e suite expects it ("should allow egress
    access to server in CIDR block"); Cilium never matches pods by CIDR."""

    host_network: Literal["node", "pod"] = "node"
    """Pods with hostNetwork are node traffic: no policy selects them and only an ipBlock matches them.
    The API leaves it undefined (documentation, Network Policies, "hostNetwork pods")."""

    egress_to_own_node: bool = True
    """A pod may always reach its own node. The documentation says so of traffic "to and from the node
    where a Pod is running"; the field's description promises only traffic from the node."""

    pod_networks: AddressSet = PRIVATE_ADDRESSES
    """Where pods without a known address may live. An ipBlock matches such a pod when it covers all of
    these networks of one family."""

    unknown_addresses: Literal["pod networks", "matched", "unmatched"] = "pod networks"
    """Whether an ipBlock matches a pod without a known address: by `pod_networks`, or always, or never
    (unless it is all of IPv4). The last two show whether an answer hangs on the address."""

    @property
    def pod_families(self) -> tuple[AddressSet, AddressSet]:
        """The pod networks of IPv4 and of IPv6."""
        return self.pod_networks & ALL_IPV4, self.pod_networks & ALL_IPV6

    def alternatives(self) -> Iterator[tuple[str, Settings]]:
        """Each setting that a plugin may decide the other way, by name, with that choice made."""
        yield "ip_blocks_match_pods", replace(self, ip_blocks_match_pods=not self.ip_blocks_match_pods)
        other: Literal["node", "pod"] = "pod" if self.host_network == "node" else "node"
        yield "host_network", replace(self, host_network=other)
        yield "egress_to_own_node", replace(self, egress_to_own_node=not self.egress_to_own_node)


DEFAULT_SETTINGS: Final = Settings()
