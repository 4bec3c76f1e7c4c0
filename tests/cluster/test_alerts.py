"""The shipped alerts fire and clear in a real Prometheus that scrapes a real operator.

The rules are those of deploy/observability/alerts.yaml with every wait (`for`) set to nothing.
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import prometheus
from client import Refused, eventually, policies_of
from cluster.conftest import World
from controlplane.process import Process, free_ports
from operatorprocess import NAMESPACE, OperatorProcess

ROOT = Path(__file__).resolve().parents[2]
LEASES = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases"
LEASE = "tenantprofile-operator"


class Prometheus:
    """One Prometheus that scrapes the operator's port each second."""

    def __init__(self, folder: Path, scraped: int) -> None:
        programs = prometheus.resolve()
        rules = yaml.safe_load((ROOT / "deploy/observability/alerts.yaml").read_text())["spec"]
        for rule in (rule for group in rules["groups"] for rule in group["rules"]):
            rule["for"] = "0s"
        (folder / "rules.yaml").write_text(yaml.safe_dump(rules))
        job = {"job_name": "operator", "static_configs": [{"targets": [f"127.0.0.1:{scraped}"]}]}
        every = {"scrape_interval": "1s", "evaluation_interval": "1s", "scrape_timeout": "1s"}
        config = {"global": every, "rule_files": ["rules.yaml"], "scrape_configs": [job]}
        (folder / "prometheus.yaml").write_text(yaml.safe_dump(config))
        (self._port,) = free_ports(1)
        arguments = [
            f"--config.file={folder / 'prometheus.yaml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self._port}",
        ]
        self.process = Process(programs / "prometheus", arguments, folder / "prometheus.log", folder)
        self.process.start()

    def firing(self) -> set[str]:
        """The alerts that fire. Fails until Prometheus has scraped and evaluated the rules for the first time."""
        alerts = {(a["labels"]["alertname"]) for a in self._get("alerts")["alerts"] if a["state"] == "firing"}
        rules = [rule for group in self._get("rules")["groups"] for rule in group["rules"]]
        assert all(rule["health"] == "ok" for rule in rules), rules
        return alerts

    def _get(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/api/v1/{path}", timeout=10) as answer:
            return json.load(answer)["data"]

    def fires(self, *alerts: str) -> None:
        """Wait until these fire, whatever else does."""
        eventually(lambda: self._check(lambda firing: firing >= set(alerts)), within=90.0, every=0.2)

    def is_silent(self) -> None:
        """Wait until nothing fires."""
        eventually(lambda: self._check(lambda firing: not firing), within=90.0, every=0.2)

    def _check(self, holds: Callable[[set[str]], bool]) -> bool:
        firing = self.firing()
        assert holds(firing), sorted(firing)
        return True


@pytest.fixture
def port() -> int:
    return free_ports(1)[0]


@pytest.fixture
def watching(tmp_path: Path, port: int) -> Iterator[Prometheus]:
    try:
        prometheus.resolve()
    except prometheus.PrometheusError as error:
        pytest.skip(f"prometheus: {error}")
    running = Prometheus(tmp_path, port)
    yield running
    running.process.stop()


def test_a_foreign_policy_in_the_way_fires_until_it_is_gone(
    world: World, start: Callable[..., OperatorProcess], watching: Prometheus, port: int
) -> None:
    start(f"--metrics-port={port}")
    namespace = world.namespace()
    name = f"{world.tag}.default-deny"
    foreign = {"metadata": {"name": name}, "spec": {"podSelector": {}, "policyTypes": ["Ingress"]}}
    world.client.create(policies_of(namespace), foreign)
    world.profile("default-deny")
    world.is_degraded("Conflict")
    watching.fires("TenantProfileUnprotectedNamespace", "TenantProfileNamespacesFailing")
    world.client.delete(f"{policies_of(namespace)}/{name}")
    world.is_ready()
    watching.is_silent()


def test_an_operator_that_is_gone_fires_until_one_runs(
    world: World, start: Callable[..., OperatorProcess], watching: Prometheus, port: int
) -> None:
    operator = start(f"--metrics-port={port}")
    watching.is_silent()
    operator.kill()
    watching.fires("TenantProfileOperatorAbsent")
    operator.start()
    watching.is_silent()


def test_a_lease_held_by_nobody_who_runs_fires_until_it_is_deleted(
    world: World, start: Callable[..., OperatorProcess], watching: Prometheus, port: int
) -> None:
    operator = start(f"--metrics-port={port}")
    watching.is_silent()
    operator.stop()
    lease = {
        "holderIdentity": "gone",
        "leaseDurationSeconds": 3600,
        "renewTime": "2090-01-01T00:00:00.000000Z",
    }
    try:
        world.client.merge(f"{LEASES}/{LEASE}", {"spec": lease})
        operator.start(wait=False)
        watching.fires("TenantProfileNoLeader")
    finally:
        try:
            world.client.delete(f"{LEASES}/{LEASE}")
        except Refused as error:
            assert error.status == 404, error
    watching.is_silent()


def test_a_fight_over_a_policy_fires_until_it_is_over(
    world: World, start: Callable[..., OperatorProcess], watching: Prometheus, port: int
) -> None:
    start(f"--metrics-port={port}")
    namespace = world.namespace()
    name = f"{world.profile('default-deny')}.default-deny"
    world.has(namespace, name)

    def fight() -> bool:
        world.client.merge(
            f"{policies_of(namespace)}/{name}", {"spec": {"egress": [{}]}}, manager="other-tool"
        )
        return "TenantProfileContested" in watching.firing()

    eventually(fight, within=60.0, every=0.3)
    world.is_ready(within=60)
    watching.is_silent()
