"""A real scrape of a running operator."""

from __future__ import annotations

import urllib.request
from collections.abc import Callable

from client import eventually, policies_of
from cluster.conftest import World
from controlplane.process import free_ports
from operatorprocess import OperatorProcess


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
    world.client.delete(f"{policies_of(namespace)}/{profile}.default-deny")
    eventually(lambda: 'tenantprofile_repairs_total{manager="unknown",what="deleted"} 1.0' in scraped())
