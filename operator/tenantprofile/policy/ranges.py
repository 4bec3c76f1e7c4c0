"""What is doubtful in the address ranges of a policy, although the API server takes it."""

from __future__ import annotations

import ipaddress
from collections.abc import Generator, Iterator, Mapping
from typing import Any, Final

from tenantprofile.policy.addresses import (
    METADATA_ADDRESSES,
    Network,
    Range,
    contains,
    cover_a_family,
    overlap,
    parse_cidr,
)
from tenantprofile.policy.findings import Finding, Path, Rule

EMPTY_EXCEPT = Rule(
    "empty-except",
    "meaning",
    "error",
    "An empty list of exceptions leaves no hole",
    "`except: []` means that the whole range is allowed.",
    "Name the exceptions, or leave out the list, on purpose.",
    refused_in_templates=True,
)
HOST_BITS = Rule(
    "host-bits",
    "meaning",
    "error",
    "An address range with host bits",
    "10.0.1.5/24 may be meant as one address or as the range around it; newer API servers refuse it.",
    "Write the range (10.0.1.0/24) or the address (10.0.1.5/32).",
    refused_in_templates=True,
)
LEADING_ZEROS = Rule(
    "leading-zeros",
    "meaning",
    "error",
    "An address with leading zeros",
    "Some readers take 010 for eight, others for ten; newer API servers refuse it.",
    "Write the numbers without leading zeros.",
    refused_in_templates=True,
)
MAPPED_ADDRESS = Rule(
    "mapped-address",
    "meaning",
    "error",
    "An IPv4-mapped IPv6 address",
    "::ffff:10.0.0.0/104 is IPv4 to some engines and IPv6 to others; newer API servers refuse it.",
    "Write the IPv4 range.",
    refused_in_templates=True,
)
EVERY_ADDRESS = Rule(
    "every-address",
    "meaning",
    "warning",
    "A range that is the whole address space",
    "0.0.0.0/0 and ::/0 reach everything, cluster addresses and metadata services included.",
    "Name the ranges that are needed, or take out with `except` what is not the internet: 10.0.0.0/8, "
    "172.16.0.0/12, 192.168.0.0/16, 100.64.0.0/10 and 169.254.0.0/16, fc00::/7.",
    refused_in_templates=False,
)
METADATA_ADDRESS = Rule(
    "metadata-address",
    "meaning",
    "warning",
    "A range that contains a cloud metadata address",
    "Pods that reach the metadata service may get the node's credentials.",
    "Take 169.254.0.0/16 (fd00:ec2::254/128, 100.64.0.0/10) out of the range with `except`.",
    refused_in_templates=False,
)
OVERLAPPING_RANGES = Rule(
    "overlapping-ranges",
    "portability",
    "info",
    "Overlapping ranges, one with exceptions",
    "The API allows what any range allows; some engines apply the exceptions to all of them.",
    "Make the ranges of one rule disjoint.",
    refused_in_templates=False,
)

RULES: Final = (
    EMPTY_EXCEPT,
    HOST_BITS,
    LEADING_ZEROS,
    MAPPED_ADDRESS,
    EVERY_ADDRESS,
    METADATA_ADDRESS,
    OVERLAPPING_RANGES,
)


_PRIVATE: Final = tuple(
    ipaddress.ip_network(cidr) for cidr in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
)
_NEARBY: Final = tuple(ipaddress.ip_network(cidr) for cidr in ("100.64.0.0/10", "169.254.0.0/16"))


METADATA_PORTS: Final = (80, 987, 988)
"""TCP ports of metadata services: 80 everywhere; on GKE connections to it are led to 987 and 988 of the
node before policies see them (GKE documentation, Network Policies and Workload Identity)."""


def check_block(
    block: Mapping[str, Any], path: Path, peers: str, *, only_dns: bool = False, metadata: bool = True
) -> Iterator[Finding]:
    """Every finding about one ipBlock in a `from` or a `to`.

    only_dns: the rule is for port 53 alone. metadata: it allows a port of METADATA_PORTS.
    """
    outer = yield from _spelling(block.get("cidr"), (*path, "cidr"))
    exceptions: list[Range] = []
    written = block.get("except")
    exceptions_written = written if isinstance(written, list) else []
    if block.get("except") == []:
        yield Finding(
            EMPTY_EXCEPT,
            (*path, "except"),
            "an empty `except` leaves no hole",
            found=[],
            expected="at least one range, or no `except`",
        )
    for index, text in enumerate(exceptions_written):
        exception = yield from _spelling(text, (*path, "except", index))
        if exception is not None:
            exceptions.append(exception)
    if outer is None:
        return
    if outer.network.prefixlen == 0 and not _is_internet(outer.network, exceptions, peers):
        yield Finding(
            EVERY_ADDRESS,
            (*path, "cidr"),
            f"{block['cidr']} is every address",
            found=block["cidr"],
            expected="the ranges that are needed",
        )
    # One address for DNS alone is the resolver of GKE Cloud DNS, at the metadata server's address.
    resolver = only_dns and outer.network.prefixlen == outer.network.max_prefixlen
    if peers == "to" and metadata and not resolver:
        for address in METADATA_ADDRESSES:
            if address in outer.network and not any(address in hole.network for hole in exceptions):
                yield Finding(
                    METADATA_ADDRESS,
                    path,
                    f"{block['cidr']} reaches the metadata address {address}",
                    found=block["cidr"],
                    expected=f"`except` with a range around {address}",
                )
                break


def is_empty(block: Mapping[str, Any]) -> bool:
    """Whether the exceptions of an ipBlock together leave nothing of its range."""
    outer = _network(block.get("cidr"))
    written = block.get("except")
    holes = [hole for text in (written if isinstance(written, list) else ()) if (hole := _network(text))]
    return outer is not None and _covered(outer, holes)


def check_together(peers: list[Any], path: Path, direction: str) -> Iterator[Finding]:
    """Ranges that are the whole address space only when they are taken together."""
    blocks = [
        block
        for peer in peers
        if isinstance(peer, Mapping) and isinstance(block := peer.get("ipBlock"), Mapping)
    ]
    networks = [(network, block) for block in blocks if (network := _network(block.get("cidr"))) is not None]
    if len(networks) < 2 or any(network.prefixlen == 0 for network, _ in networks):
        return
    for version in (4, 6):
        family = [(network, block) for network, block in networks if network.version == version]
        if not cover_a_family(str(network) for network, _ in family):
            continue
        holes = [
            hole for _, block in family for text in _texts(block.get("except")) if (hole := parse_cidr(text))
        ]
        whole = ipaddress.ip_network("0.0.0.0/0" if version == 4 else "::/0")
        if not _is_internet(whole, holes, direction):
            yield Finding(
                EVERY_ADDRESS,
                path,
                f"the ranges together are every IPv{version} address",
                found=[str(network) for network, _ in family],
                expected="the ranges that are needed",
            )


def _is_internet(outer: Network, exceptions: list[Range], peers: str) -> bool:
    """Whether a whole address space has lost what is private, and for egress what is near by."""
    holes = [hole.network for hole in exceptions]
    kept_out = (*_PRIVATE, *_NEARBY) if peers == "to" else _PRIVATE
    return all(_covered(network, holes) for network in kept_out if network.version == outer.version)


def _covered(network: Network, holes: list[Network]) -> bool:
    """Whether ranges together contain another one."""
    if isinstance(network, ipaddress.IPv4Network):
        four = [hole for hole in holes if isinstance(hole, ipaddress.IPv4Network)]
        return any(contains(hole, network) for hole in ipaddress.collapse_addresses(four))
    six = [hole for hole in holes if isinstance(hole, ipaddress.IPv6Network)]
    return any(contains(hole, network) for hole in ipaddress.collapse_addresses(six))


def _texts(value: Any) -> list[str]:
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else []


def _network(text: Any) -> Network | None:
    found = parse_cidr(text) if isinstance(text, str) else None
    return None if found is None else found.network


def _spelling(text: Any, path: Path) -> Generator[Finding, None, Range | None]:
    """Yields what is doubtful in how a range is written; returns the range, or None."""
    found = parse_cidr(text) if isinstance(text, str) else None
    if found is None:
        return None
    for doubtful, rule, doubt in (
        (found.host_bits, HOST_BITS, "has host bits"),
        (found.leading_zeros, LEADING_ZEROS, "has leading zeros"),
        (found.mapped, MAPPED_ADDRESS, "is IPv4 written as IPv6"),
    ):
        if doubtful:
            yield Finding(rule, path, f"{text} {doubt}", found=text, expected=_proper(found, text))
    return found


def _proper(found: Range, text: str) -> str:
    network = found.network
    if found.mapped:
        address = text.partition("/")[0].rpartition(":")[2]
        if network.prefixlen >= 96 and "." in address:
            return f"the IPv4 range {address}/{network.prefixlen - 96}"
        return "the IPv4 range"
    if found.host_bits:
        single = text.partition("/")[0]
        return f"{network} for the range, or {single}/{network.max_prefixlen} for the address"
    return str(network)


def check_overlaps(peers: list[Any], path: Path) -> Iterator[Finding]:
    """Ranges of one list of peers that overlap although one of them has exceptions."""
    blocks = [
        (index, found.network, bool(block.get("except")))
        for index, peer in enumerate(peers)
        if isinstance(peer, Mapping)
        and isinstance(block := peer.get("ipBlock"), Mapping)
        and isinstance(cidr := block.get("cidr"), str)
        and (found := parse_cidr(cidr)) is not None
    ]
    if not any(holed for _, _, holed in blocks):
        return
    # Sorted by first address, then widest first, an overlap is always with one that came before.
    blocks.sort(key=lambda block: (block[1].version, int(block[1].network_address), block[1].prefixlen))
    open_blocks: list[tuple[int, Any, bool]] = []
    for index, network, holed in blocks:
        open_blocks = [entry for entry in open_blocks if overlap(entry[1], network)]
        if any(entry[2] or holed for entry in open_blocks):
            yield Finding(
                OVERLAPPING_RANGES,
                (*path, index, "ipBlock"),
                f"{network} overlaps another range of the rule, and one of them has exceptions",
                found=str(network),
                expected="disjoint ranges",
            )
        open_blocks.append((index, network, holed))
