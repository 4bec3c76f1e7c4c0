"""Random clusters, three judges: the wire, the connectivity engine, and network-config-analyzer.

Policies are generated within what the enforcement engine is known to get right (packets.deviations):
one direction each, ports by number, address ranges that do not overlap. The same pods serve every
case; labels and policies change, which tries the engine's handling of changes as well.
``PACKETS_CASES`` says how many clusters, always the same ones in the same order.
"""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conformance.connectivity import oracle as analyzer
from packets import oracle
from packets.api import Object
from packets.world import World
from tenantprofile.connectivity.ports import NO_PORTS

pytest.importorskip("nca", reason="network-config-analyzer is not installed")

CASES = int(os.environ.get("PACKETS_CASES", "15"))
NAMESPACES = ("one", "two", "three")
PODS = tuple((namespace, name) for namespace in NAMESPACES for name in ("x", "y"))
PORTS = {"TCP": (79, 80, 81, 443), "UDP": (53, 80)}
RELAXED = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]

labels = st.fixed_dictionaries(
    {}, optional={"app": st.sampled_from(["web", "api"]), "tier": st.sampled_from(["front", "back"])}
)
expressions = st.one_of(
    st.builds(
        lambda key, operator, values: {"key": key, "operator": operator, "values": values},
        st.sampled_from(["app", "tier"]),
        st.sampled_from(["In", "NotIn"]),
        st.lists(st.sampled_from(["web", "api", "front", "back"]), min_size=1, max_size=2, unique=True),
    ),
    st.builds(
        lambda key, operator: {"key": key, "operator": operator},
        st.sampled_from(["app", "tier"]),
        st.sampled_from(["Exists", "DoesNotExist"]),
    ),
)
selectors = st.one_of(
    st.just({}),
    labels.map(lambda found: {"matchLabels": found}),
    expressions.map(lambda found: {"matchExpressions": [found]}),
)
namespace_selectors = st.one_of(
    selectors,
    st.lists(st.sampled_from(NAMESPACES), min_size=1, max_size=2, unique=True).map(
        lambda names: {
            "matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "In", "values": names}]
        }
    ),
)
blocks = st.sampled_from(
    [
        {"cidr": "10.50.0.0/24"},
        {"cidr": "10.50.0.0/16", "except": ["10.50.0.0/24"]},
        {"cidr": "2001:db8:50::/64"},
        {"cidr": "203.0.113.0/24", "except": ["203.0.113.128/25"]},
    ]
)
peers = st.one_of(
    selectors.map(lambda found: {"podSelector": found}),
    namespace_selectors.map(lambda found: {"namespaceSelector": found}),
    st.builds(lambda p, n: {"podSelector": p, "namespaceSelector": n}, selectors, namespace_selectors),
)
ports = st.one_of(
    st.builds(
        lambda protocol, number: {"protocol": protocol, "port": number},
        st.sampled_from(["TCP", "UDP"]),
        st.sampled_from([53, 80, 443]),
    ),
    st.just({"protocol": "TCP", "port": 79, "endPort": 80}),
    st.sampled_from(["TCP", "UDP"]).map(lambda protocol: {"protocol": protocol}),
)


@st.composite
def rules(draw: Any, side: str) -> dict[str, Any]:
    """At most one ipBlock, so that no two overlap."""
    chosen = draw(st.lists(peers, max_size=2))
    if draw(st.integers(0, 3)) == 0:
        chosen.append({"ipBlock": draw(blocks)})
    rule = {side: chosen} if chosen else {}
    numbers = draw(st.lists(ports, max_size=2))
    return rule | ({"ports": numbers} if numbers else {})


@st.composite
def policies(draw: Any) -> list[Object]:
    made = []
    for number in range(draw(st.integers(1, 5))):
        direction = draw(st.sampled_from(["Ingress", "Egress"]))
        side = "from" if direction == "Ingress" else "to"
        found = draw(st.lists(rules(side), max_size=2))
        made.append(
            {
                "apiVersion": "networking.k8s.io/v1",
                "kind": "NetworkPolicy",
                "metadata": {"name": f"random-{number}", "namespace": draw(st.sampled_from(NAMESPACES))},
                "spec": {
                    "podSelector": draw(selectors),
                    "policyTypes": [direction],
                    direction.lower(): found,
                },
            }
        )
    return made


@pytest.fixture
def small(world: World) -> World:
    world.ports = PORTS
    for namespace in NAMESPACES:
        world.add_namespace(namespace)
    for namespace, name in PODS:
        world.add_pod(namespace, name)
    world.add_host("database", "10.50.0.10", "2001:db8:50::10")
    world.add_host("elsewhere", "203.0.113.10", "2001:db8:99::1")
    return world


@settings(max_examples=CASES, deadline=None, derandomize=True, database=None, suppress_health_check=RELAXED)
@given(
    pods=st.lists(labels, min_size=len(PODS), max_size=len(PODS)),
    spaces=st.lists(labels, min_size=len(NAMESPACES), max_size=len(NAMESPACES)),
    found=policies(),
)
def test_three_judges_agree(
    pods: list[dict[str, str]], spaces: list[dict[str, str]], found: list[Object], small: World
) -> None:
    _arrange(small, pods, spaces, found)
    flows = small.flows()
    comparison = oracle.compare(small, flows)
    assert not comparison.differences, str(comparison)

    objects = small.objects()
    pairs, _, _ = analyzer.connectivity(objects)
    wanted = oracle.expected(objects, small.parties, flows)
    for flow in flows:
        if "/" in flow.source and "/" in flow.destination:
            open_there = pairs.get((flow.source, flow.destination), NO_PORTS)
            assert open_there.contains(flow.protocol, flow.port) == wanted[flow], f"the analyzer: {flow}"


def _arrange(
    world: World, pods: list[dict[str, str]], spaces: list[dict[str, str]], found: list[Object]
) -> None:
    """Exactly these labels and policies."""
    nothing = dict.fromkeys(("app", "tier"))
    for (namespace, name), own in zip(PODS, pods, strict=True):
        world.api.patch("Pod", namespace, name, {"metadata": {"labels": nothing | own}})
    for name, own in zip(NAMESPACES, spaces, strict=True):
        world.api.patch("Namespace", "", name, {"metadata": {"labels": nothing | own}})
    wanted = {(p["metadata"]["namespace"], p["metadata"]["name"]) for p in found}
    for namespace in NAMESPACES:
        for item in world.api.list("NetworkPolicy", namespace):
            if (namespace, item["metadata"]["name"]) not in wanted:
                world.api.delete("NetworkPolicy", namespace, item["metadata"]["name"])
    for policy in found:
        world.api.apply(policy)
