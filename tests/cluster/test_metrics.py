"""A real scrape of a running operator."""

from __future__ import annotations

import urllib.request
from collections.abc import Callable

from client import eventually, policies_of
from cluster.conftest import World
from controlplane.process import free_ports
from operatorprocess import NAMESPACE, OperatorProcess


def test_metrics_are_served_and_follow_what_happens(
    world: World, start: Callable[..., OperatorProcess]
) -> None:
    (port,) = free_ports(1)
    start(f"--metrics-port={port}")
    profile = world.profile("default-deny")
    namespace = world.namespace()
    world.has(namespace, f"{profile}.default-deny")

    def scraped() -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            return str(answer.read().decode())

    eventually(
        lambda: f'tenantprofile_profile_namespaces{{profile="{profile}",state="ready"}} 1.0' in scraped()
    )
    assert "tenantprofile_time_to_protected_seconds_count 1.0" in scraped()
    assert 'tenantprofile_policy_changes_total{what="created"} 1.0' in scraped()
    assert 'leader_election_master_status{name="tenantprofile-operator"} 1.0' in scraped()
    assert 'rest_client_requests_total{code="201",method="POST"}' in scraped()
    assert 'rest_client_requests_total{code="<error>"' not in scraped()
    world.client.delete(f"{policies_of(namespace)}/{profile}.default-deny")
    eventually(lambda: 'tenantprofile_repairs_total{manager="unknown",what="deleted"} 1.0' in scraped())


def test_a_replica_that_no_longer_leads_counts_nothing_by_profile(
    world: World, start: Callable[..., OperatorProcess]
) -> None:
    (port,) = free_ports(1)
    start(f"--metrics-port={port}")
    profile = world.profile("default-deny")
    world.namespace()
    world.is_ready()

    def scraped() -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            return str(answer.read().decode())

    eventually(lambda: f'profile="{profile}"' in scraped())
    lease = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/tenantprofile-operator"
    taken = {
        "holderIdentity": "another",
        "leaseDurationSeconds": 3600,
        "renewTime": "2090-01-01T00:00:00.000000Z",
    }
    world.client.merge(lease, {"spec": taken})
    try:
        eventually(
            lambda: 'leader_election_master_status{name="tenantprofile-operator"} 0.0' in scraped(), within=60
        )
        assert f'profile="{profile}"' not in scraped()
        assert "tenantprofile_oldest_urgent_seconds 0.0" in scraped()
    finally:
        world.client.delete(lease)
    eventually(lambda: f'profile="{profile}"' in scraped(), within=60)
