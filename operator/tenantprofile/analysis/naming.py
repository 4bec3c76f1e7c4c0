"""How ends and policies of an assembled world are called in explanations."""

from __future__ import annotations

from typing import Any

from tenantprofile.analysis.world import Assembly
from tenantprofile.connectivity.addresses import AddressSet
from tenantprofile.connectivity.explanation import Words
from tenantprofile.connectivity.flows import Party
from tenantprofile.connectivity.policies import Policy
from tenantprofile.connectivity.ports import PortSet
from tenantprofile.connectivity.verdict import Side
from tenantprofile.connectivity.workloads import Workload

NOWHERE = "outside"
"""What addresses are called where everything outside of the pods is meant."""


def words_of(assembly: Assembly) -> Words:
    """Policies by namespace and name, with the template and profile behind them."""

    def origin(policy: Policy) -> str:
        source = assembly.source_of(policy)
        if not source.managed:
            return ""
        template = f"template {source.template} of " if source.template else ""
        return f"{template}TenantProfile {source.profile}"

    return Words(origin=origin)


def end_text(end: Workload | Party | AddressSet | object) -> str:
    """An end in one word: `namespace/pod`, `namespace/Kind/name`, or address ranges."""
    if isinstance(end, AddressSet):
        return NOWHERE if end.is_everything else str(end)
    return str(end)


def ports_text(ports: PortSet) -> str:
    """`TCP 80,443 UDP 53`, or `all`."""
    return str(ports)


def side_data(assembly: Assembly, side: Side) -> dict[str, Any]:
    """One side of a verdict for programs."""
    return {
        "direction": side.direction,
        "allowed": side.allowed,
        "isolatedBy": [policy_data(assembly, policy) for policy in side.isolated_by],
        "rules": [{**policy_data(assembly, match.policy), "path": match.path} for match in side.matches],
    }


def policy_data(assembly: Assembly, policy: Policy) -> dict[str, Any]:
    """A policy for programs; profile, entry and template only where a profile manages it."""
    source = assembly.source_of(policy)
    named = {"profile": source.profile, "entry": source.entry, "template": source.template}
    return {
        "namespace": policy.namespace,
        "name": policy.name,
        "source": source.item.place(),
        **{key: value for key, value in named.items() if value},
    }
