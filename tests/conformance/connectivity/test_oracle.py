"""The engine and network-config-analyzer, on random clusters: the same map, port by port, range by range."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, given, settings

from conformance.connectivity import oracle
from tenantprofile.connectivity.connections import ConnectionMap
from tenantprofile.connectivity.ports import NO_PORTS
from tenantprofile.connectivity.settings import Settings
from tenantprofile.connectivity.world import World
from unit.connectivity.small_worlds import clusters, of_kind

pytest.importorskip("nca", reason="network-config-analyzer is not installed")

CASES = int(os.environ.get("TENANTPROFILE_ORACLE_CASES", "300"))
LIKE_THE_ORACLE = Settings(ip_blocks_match_pods=False)
RELAXED = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


def compare(objects):
    table = ConnectionMap(World.from_objects(objects), LIKE_THE_ORACLE)
    pods = {str(w): w for w in table.world.workloads}
    pairs, outbound, inbound = oracle.connectivity(objects)
    for one, source in pods.items():
        for other, destination in pods.items():
            if source is not destination:
                found, expected = table.between(source, destination), pairs.get((one, other), NO_PORTS)
                assert found == expected, f"{one} -> {other}: engine {found}, oracle {expected}"
        role = table.classes.kind_of[source.key].role
        for scope, expected in (("outbound", outbound[one]), ("inbound", inbound[one])):
            found = {ports: part for ports, part in table.addresses(role, scope).items() if ports}
            assert found == expected, f"{one} {scope}: engine {_text(found)}, oracle {_text(expected)}"


def _text(parts):
    return {str(ports): str(addresses) for ports, addresses in parts.items()}


@settings(max_examples=CASES, deadline=None, suppress_health_check=RELAXED)
@given(clusters())
def test_both_engines_see_the_same_connections(objects):
    compare(objects)


@pytest.mark.slow
@settings(max_examples=max(CASES, 5000), deadline=None, suppress_health_check=RELAXED)
@given(clusters(most=10))
def test_both_engines_see_the_same_connections_under_many_policies(objects):
    compare(objects)


def test_the_oracle_does_judge():
    """Guards against a comparison of nothing: it must see a policy that isolates a pod."""
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "red", "labels": {}}}
    pods = [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": "red", "labels": {"app": name}},
            "spec": {"containers": []},
        }
        for name in ("a", "b")
    ]
    policy = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "deny", "namespace": "red"},
        "spec": {"podSelector": {"matchLabels": {"app": "a"}}},
    }
    pairs, outbound, inbound = oracle.connectivity([space, *pods, policy])
    assert set(pairs) == {("red/a", "red/b")}
    assert outbound["red/a"]
    assert not inbound["red/a"]
    assert of_kind([space], "Pod") == []
