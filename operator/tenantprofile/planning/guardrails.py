"""`spec.guardrails`: what tenants' own policies may not contain. The guard enforces it; the operator only reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from tenantprofile.paths import Complaint, Path
from tenantprofile.policy.findings import shown

REFUSALS: Final = (
    "Everybody",
    "AllNamespaces",
    "OpenNamespaceSelectors",
    "MetadataAddresses",
    "NAT64",
    "AllPorts",
    "Egress",
)
DEFAULT_MAX_PEERS: Final = 500


@dataclass(frozen=True, slots=True)
class Guardrails:
    """As in the CRD; None where nothing is said."""

    refuse: frozenset[str] = frozenset()
    widest_ipv4: int | None = None
    widest_ipv6: int | None = None
    refused_ports: frozenset[int] = frozenset()
    max_peers: int = DEFAULT_MAX_PEERS


def parse_guardrails(raw: object, path: Path, complaints: list[Complaint]) -> Guardrails | None:
    """The field's value; what is wrong with it is added to the complaints. Fields of newer releases do not count."""
    if raw is None:
        return None
    if not isinstance(raw, Mapping) or not raw:
        complaints.append(Complaint(path, f"found {shown(raw)}; expected a map with at least one field"))
        return None
    refuse = _list(raw, "refuse", path, complaints)
    for found in refuse:
        if found not in REFUSALS:
            complaints.append(
                Complaint((*path, "refuse"), f"found {shown(found)}; expected some of {', '.join(REFUSALS)}")
            )
    ports = _list(raw, "refusedPorts", path, complaints)
    for found in ports:
        if not _between(found, 1, 65535):
            complaints.append(
                Complaint((*path, "refusedPorts"), f"found {shown(found)}; expected numbers from 1 to 65535")
            )
    return Guardrails(
        refuse=frozenset(found for found in refuse if isinstance(found, str)),
        widest_ipv4=_number(raw, "widestIPv4", (0, 32), path, complaints),
        widest_ipv6=_number(raw, "widestIPv6", (32, 64), path, complaints),
        refused_ports=frozenset(found for found in ports if isinstance(found, int)),
        max_peers=_number(raw, "maxPeers", (1, 2000), path, complaints) or DEFAULT_MAX_PEERS,
    )


def _list(raw: Mapping[str, Any], field: str, path: Path, complaints: list[Complaint]) -> list[Any]:
    found = raw.get(field)
    if found is None:
        return []
    if not isinstance(found, list):
        complaints.append(Complaint((*path, field), f"found {shown(found)}; expected a list"))
        return []
    return found


def _number(
    raw: Mapping[str, Any], field: str, limits: tuple[int, int], path: Path, complaints: list[Complaint]
) -> int | None:
    found = raw.get(field)
    if found is None:
        return None
    if not _between(found, *limits):
        low, high = limits
        text = f"found {shown(found)}; expected a number from {low} to {high}"
        complaints.append(Complaint((*path, field), text))
        return None
    return int(found)


def _between(found: object, low: int, high: int) -> bool:
    return isinstance(found, int) and not isinstance(found, bool) and low <= found <= high
