"""The rules by which every policy is judged, one implementation for templates and for lint.

`check_spec` judges one spec by itself. What needs the other objects of a cluster (selectors that
select nothing, rules contained in others, egress without DNS) is not here.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from tenantprofile.policy import meaning, portability, validity
from tenantprofile.policy.findings import Finding, Path, Rule, Severity, field_path

__all__ = ["RULES", "Finding", "Path", "Rule", "Severity", "check_spec", "field_path", "refused"]

RULES: Final[Mapping[str, Rule]] = MappingProxyType(
    {rule.id: rule for rule in (*validity.RULES, *meaning.RULES, *portability.RULES)}
)
"""Every rule by its id."""


def check_spec(spec: Any) -> list[Finding]:
    """All findings about a NetworkPolicySpec as it is written; none of them hides another."""
    return [
        *validity.check_validity(spec),
        *meaning.check_meaning(spec),
        *portability.check_portability(spec),
    ]


def refused(findings: list[Finding]) -> list[Finding]:
    """Those that no template may render."""
    return [finding for finding in findings if finding.rule.refused_in_templates]
