"""The normal form is the one that the API server stores, and there is only one."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tenantprofile.policy.normalize import canonical, normalize

TCP = {"protocol": "TCP"}


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ({}, {"podSelector": {}, "policyTypes": ["Ingress"]}),
        ({"ingress": None, "egress": []}, {"podSelector": {}, "policyTypes": ["Ingress"]}),
        ({"egress": [{}]}, {"podSelector": {}, "egress": [{}], "policyTypes": ["Ingress", "Egress"]}),
        ({"policyTypes": [], "egress": []}, {"podSelector": {}, "policyTypes": ["Ingress"]}),
        ({"policyTypes": ["Egress"]}, {"podSelector": {}, "policyTypes": ["Egress"]}),
        ({"policyTypes": ["Egress", "Ingress"]}, {"podSelector": {}, "policyTypes": ["Egress", "Ingress"]}),
        (
            {"podSelector": {"matchLabels": {"a": None}, "matchExpressions": [{"values": [None, "x"]}]}},
            {
                "podSelector": {"matchLabels": {"a": ""}, "matchExpressions": [{"values": ["", "x"]}]},
                "policyTypes": ["Ingress"],
            },
        ),
        (
            {"ingress": [{"from": [], "ports": None}, None, {"from": None}]},
            {"podSelector": {}, "ingress": [{}, {}, {}], "policyTypes": ["Ingress"]},
        ),
        (
            {"ingress": [{"ports": [{"port": 1}, {}, None, {"port": None, "protocol": "UDP"}]}]},
            {
                "podSelector": {},
                "ingress": [{"ports": [{"port": 1, **TCP}, TCP, TCP, {"protocol": "UDP"}]}],
                "policyTypes": ["Ingress"],
            },
        ),
        (
            {
                "podSelector": {"matchLabels": None, "matchExpressions": []},
                "ingress": [
                    {
                        "from": [
                            {"podSelector": {"matchLabels": {}}, "namespaceSelector": None},
                            {"ipBlock": {"cidr": "10.0.0.0/8", "except": []}, "podSelector": None},
                            {
                                "namespaceSelector": {
                                    "matchExpressions": [{"key": "a", "operator": "Exists", "values": []}]
                                }
                            },
                        ]
                    }
                ],
            },
            {
                "podSelector": {},
                "ingress": [
                    {
                        "from": [
                            {"podSelector": {}},
                            {"ipBlock": {"cidr": "10.0.0.0/8"}},
                            {"namespaceSelector": {"matchExpressions": [{"key": "a", "operator": "Exists"}]}},
                        ]
                    }
                ],
                "policyTypes": ["Ingress"],
            },
        ),
    ],
)
def test_a_spec_becomes_what_the_api_server_stores(written: Any, stored: Any) -> None:
    assert normalize(written) == stored


def test_the_order_of_lists_is_kept_because_they_are_atomic() -> None:
    one = {"egress": [{"ports": [{"port": 1}, {"port": 2}]}], "policyTypes": ["Egress"]}
    other = {"egress": [{"ports": [{"port": 2}, {"port": 1}]}], "policyTypes": ["Egress"]}
    assert canonical(one) != canonical(other)


def test_a_field_that_nobody_knows_is_a_difference() -> None:
    assert canonical({"podSelector": {}}) != canonical({"podSelector": {}, "later": {"x": 1}})


labels = st.dictionaries(st.sampled_from(["a", "b"]), st.sampled_from(["x", ""]) | st.none(), max_size=2)
expressions = st.fixed_dictionaries(
    {"key": st.just("k"), "operator": st.sampled_from(["In", "Exists"])},
    optional={"values": st.none() | st.lists(st.sampled_from(["x", "y"]), max_size=2)},
)
selectors = st.fixed_dictionaries(
    {}, optional={"matchLabels": st.none() | labels, "matchExpressions": st.none() | st.lists(expressions)}
)
blocks = st.fixed_dictionaries(
    {"cidr": st.just("10.0.0.0/8")}, optional={"except": st.none() | st.lists(st.just("10.1.0.0/16"))}
)
peers = st.fixed_dictionaries(
    {},
    optional={
        "podSelector": st.none() | selectors,
        "namespaceSelector": st.none() | selectors,
        "ipBlock": st.none() | blocks,
    },
)
ports = st.fixed_dictionaries(
    {},
    optional={
        "port": st.none() | st.just(80) | st.just("http"),
        "protocol": st.none() | st.sampled_from(["TCP", "UDP"]),
        "endPort": st.none() | st.just(90),
    },
)


def rules(direction: str) -> st.SearchStrategy[Any]:
    return st.none() | st.fixed_dictionaries(
        {}, optional={direction: st.none() | st.lists(peers), "ports": st.none() | st.lists(ports)}
    )


specs = st.fixed_dictionaries(
    {},
    optional={
        "podSelector": st.none() | selectors,
        "policyTypes": st.none() | st.lists(st.sampled_from(["Ingress", "Egress"]), max_size=2),
        "ingress": st.none() | st.lists(rules("from")),
        "egress": st.none() | st.lists(rules("to")),
    },
)
nonsense = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.sampled_from(["from", "ports", "ipBlock", "x"]), inner)
    ),
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(specs)
def test_normalising_is_idempotent_and_leaves_its_input_alone(spec: Any) -> None:
    before = copy.deepcopy(spec)
    normal = normalize(spec)
    assert spec == before
    assert normalize(normal) == normal
    assert canonical(spec) == canonical(normal) == canonical(json.loads(canonical(spec)))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(["podSelector", "policyTypes", "ingress", "egress", "y"]), nonsense))
def test_nonsense_passes_through_for_others_to_judge(spec: Any) -> None:
    assert canonical(normalize(spec)) == canonical(spec)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(specs)
def test_the_normal_form_holds_nothing_that_the_server_drops(spec: Any) -> None:
    def nothing_empty(value: Any) -> bool:
        if isinstance(value, dict):
            return all(part is not None and part != [] and nothing_empty(part) for part in value.values())
        return all(nothing_empty(part) for part in value) if isinstance(value, list) else value is not None

    assert nothing_empty(normalize(spec))


def test_the_normal_form_shares_nothing_with_its_input() -> None:
    spec = {"ingress": [{"from": [{"podSelector": {"matchLabels": {"a": "b"}}}]}], "policyTypes": ["Ingress"]}
    normal = normalize(spec)
    before = copy.deepcopy(normal)
    spec["ingress"][0]["from"][0]["podSelector"]["matchLabels"]["a"] = "changed"  # type: ignore[index]
    spec["policyTypes"].append("Egress")  # type: ignore[union-attr]
    assert normal == before
