"""Three levels of coverage: what a pod's policies are worth together."""

from __future__ import annotations

from typing import Any

import pytest

from tenantprofile.connectivity.coverage import Levels
from tenantprofile.connectivity.policies import Policy, parse_spec
from tenantprofile.connectivity.settings import Settings


def block(cidr: str, **more: Any) -> dict[str, Any]:
    return {"ipBlock": {"cidr": cidr, **more}}


EVERY_POD = {"namespaceSelector": {}}


def level(*specs: list[dict[str, Any]], settings: Settings = Settings()) -> str:  # noqa: B008
    policies = [
        Policy("a", str(number), parse_spec({"policyTypes": ["Egress"], "egress": rules}))
        for number, rules in enumerate(specs)
    ]
    return Levels(settings).of(policies, "Egress")


@pytest.mark.parametrize(
    ("specs", "expected"),
    [
        ([], "open"),
        ([[]], "restricted"),
        ([[{}]], "open to all"),
        ([[], [{}]], "open to all"),
        ([[{"to": [block("0.0.0.0/0")]}]], "open to all"),
        ([[{"to": [block("0.0.0.0/1")]}], [{"to": [block("128.0.0.0/1")]}]], "open to all"),
        ([[{"to": [block("0.0.0.0/0", **{"except": ["10.0.0.0/8"]})]}]], "restricted"),
        ([[{"to": [EVERY_POD]}]], "restricted"),
        ([[{"ports": [{"protocol": "TCP"}]}], [{"ports": [{"protocol": "UDP"}]}]], "open to all"),
        ([[{"ports": [{"port": 1, "endPort": 32767}, {"protocol": "UDP"}]}]], "restricted"),
        ([[{"to": [{"podSelector": {}}]}]], "restricted"),
    ],
)
def test_the_union_of_the_policies_decides(specs: list[list[dict[str, Any]]], expected: str) -> None:
    assert level(*specs) == expected


def test_where_ranges_match_no_pods_every_address_is_not_everybody() -> None:
    cilium = Settings(ip_blocks_match_pods=False)
    assert level([{"to": [block("0.0.0.0/0")]}], settings=cilium) == "restricted"
    assert level([{"to": [block("0.0.0.0/0"), EVERY_POD]}], settings=cilium) == "open to all"
