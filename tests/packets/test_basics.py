"""The basic shapes of policies, without the operator: wire and connectivity engine agree, flow by flow.

This is what tells first whether engine, wire and analyser mean the same by a NetworkPolicy.
"""

from __future__ import annotations

from typing import Any

import pytest

from packets import oracle
from packets.api import Object
from packets.flows import Flow, Outcome
from packets.world import World

DNS = [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]


def policy(name: str, namespace: str, pods: dict[str, Any] | None = None, **spec: Any) -> Object:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"podSelector": pods or {}} | spec,
    }


def named(namespace: str) -> dict[str, Any]:
    return {"matchLabels": {"kubernetes.io/metadata.name": namespace}}


def labelled(**labels: str) -> dict[str, Any]:
    return {"matchLabels": labels}


POLICIES = {
    "default denies": [policy("deny", "shop", policyTypes=["Ingress", "Egress"])],
    "only ingress denied, by the type that is implied": [policy("deny", "shop")],
    "only egress denied": [policy("deny", "shop", policyTypes=["Egress"])],
    "DNS": [
        policy("deny", "shop", policyTypes=["Ingress", "Egress"]),
        policy(
            "dns",
            "shop",
            policyTypes=["Egress"],
            egress=[
                {
                    "to": [
                        {
                            "namespaceSelector": named("dns"),
                            "podSelector": labelled(**{"k8s-app": "kube-dns"}),
                        }
                    ],
                    "ports": DNS,
                }
            ],
        ),
    ],
    "same namespace": [
        policy("own", "shop", policyTypes=["Ingress"], ingress=[{"from": [{"podSelector": {}}]}])
    ],
    "monitoring": [
        policy("deny", "shop"),
        policy(
            "scrape",
            "shop",
            labelled(metrics="enabled"),
            policyTypes=["Ingress"],
            ingress=[
                {
                    "from": [
                        {"namespaceSelector": named("monitoring"), "podSelector": labelled(app="prometheus")}
                    ],
                    "ports": [{"protocol": "TCP", "port": 9090}],
                }
            ],
        ),
    ],
    "ipBlock with except": [
        policy(
            "block",
            "shop",
            policyTypes=["Egress"],
            egress=[
                {"to": [{"ipBlock": {"cidr": "10.50.0.0/24", "except": ["10.50.0.128/25"]}}]},
                {"to": [{"ipBlock": {"cidr": "2001:db8:50::/64", "except": ["2001:db8:50::80/121"]}}]},
            ],
        ),
    ],
    "ipBlock that covers pods": [
        policy(
            "block",
            "shop",
            policyTypes=["Ingress"],
            ingress=[{"from": [{"ipBlock": {"cidr": "10.244.0.0/16"}}]}],
        ),
    ],
    "endPort": [
        policy(
            "range",
            "shop",
            policyTypes=["Ingress"],
            ingress=[{"ports": [{"protocol": "TCP", "port": 8080, "endPort": 9090}]}],
        ),
    ],
    "matchExpressions": [
        policy(
            "expressions",
            "shop",
            {"matchExpressions": [{"key": "app", "operator": "In", "values": ["web", "api"]}]},
            policyTypes=["Ingress"],
            ingress=[
                {
                    "from": [
                        {
                            "namespaceSelector": {
                                "matchExpressions": [{"key": "team", "operator": "NotIn", "values": ["dev"]}]
                            },
                            "podSelector": {"matchExpressions": [{"key": "app", "operator": "Exists"}]},
                        }
                    ]
                }
            ],
        ),
    ],
    "peers are alternatives": [
        policy(
            "or",
            "shop",
            policyTypes=["Ingress"],
            ingress=[
                {"from": [{"podSelector": labelled(app="web")}, {"namespaceSelector": named("monitoring")}]},
                {
                    "from": [{"ipBlock": {"cidr": "203.0.113.0/24"}}],
                    "ports": [{"protocol": "TCP", "port": 443}],
                },
            ],
        ),
    ],
    "a named port": [
        policy(
            "named",
            "shop",
            policyTypes=["Ingress"],
            ingress=[
                {"from": [{"namespaceSelector": {}}], "ports": [{"protocol": "TCP", "port": "http"}]},
            ],
        ),
    ],
    "all of one protocol": [
        policy("udp", "shop", policyTypes=["Ingress"], ingress=[{"ports": [{"protocol": "UDP"}]}]),
    ],
    "an empty rule allows everything": [policy("all", "shop", policyTypes=["Ingress"], ingress=[{}])],
}


@pytest.fixture
def town(world: World) -> World:
    """A namespace under test, its neighbours, and hosts outside."""
    for name, labels in {
        "shop": {"team": "shop"},
        "dev": {"team": "dev"},
        "dns": {},
        "monitoring": {},
    }.items():
        world.add_namespace(name, labels)
    http = [("http", "TCP", 8080)]
    world.add_pod("shop", "web", {"app": "web", "metrics": "enabled"}, http)
    world.add_pod("shop", "api", {"app": "api"}, http)
    world.add_pod("shop", "job")
    world.add_pod("dev", "web", {"app": "web"}, http)
    world.add_pod("dns", "coredns", {"k8s-app": "kube-dns"})
    world.add_pod("monitoring", "prometheus", {"app": "prometheus"})
    world.add_pod("monitoring", "other")
    world.add_host("database", "10.50.0.10", "2001:db8:50::10")
    world.add_host("excepted", "10.50.0.200", "2001:db8:50::90")
    world.add_host("customer", "203.0.113.77")
    return world


@pytest.mark.parametrize("name", POLICIES)
def test_wire_and_connectivity_engine_agree(name: str, town: World) -> None:
    for item in POLICIES[name]:
        town.api.apply(item)
    comparison = oracle.compare(town)
    assert not comparison.differences, str(comparison)
    assert comparison.flows > 1500


def test_labels_decide_anew_when_they_change(town: World) -> None:
    """Of the pod that is selected, of the pod that is the peer, and of the peer's namespace."""
    for item in POLICIES["matchExpressions"]:
        town.api.apply(item)
    watched = Flow("dev/web", "shop/api", "TCP", 8080, 4)

    def now() -> Outcome:
        comparison = oracle.compare(town)
        assert not comparison.differences, str(comparison)
        return town.probe([watched])[watched]

    assert now() is Outcome.REFUSED
    town.api.patch("Namespace", "", "dev", {"metadata": {"labels": {"team": "qa"}}})
    assert now() is Outcome.OPEN
    town.api.patch("Pod", "dev", "web", {"metadata": {"labels": {"app": None}}})
    assert now() is Outcome.REFUSED
    town.api.patch("Pod", "shop", "api", {"metadata": {"labels": {"app": "free"}}})
    assert now() is Outcome.OPEN


def test_a_wire_that_differs_is_noticed(town: World) -> None:
    """The comparison can fail: with the engine stopped, the wire stays behind the policies."""
    town.settle()
    town.engine.stop()
    try:
        town.api.apply(POLICIES["default denies"][0])
        flows = town.flows()
        wanted = oracle.expected(town.objects(), town.parties, flows)
        found = town.probe(flows)
        assert sum(found[f].allowed != wanted[f] for f in flows) > 1000
    finally:
        town.engine.start()
        town.settle()
